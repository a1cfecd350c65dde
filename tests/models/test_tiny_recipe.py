"""The recipe of realqa-tiny: what it makes is known, ordered, and the same on every run."""

import dataclasses
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from process import ROOT, Realqa

PHOTOS = [ROOT / "examples" / "photos" / f"{name}.jpg" for name in ("bee", "mountain", "dogs")]
SMALL = {50_176: 1.0}


@pytest.fixture(scope="module", autouse=True)
def recipe() -> Iterator[None]:
    """The recipe's modules can be imported as its scripts import them."""
    sys.path.insert(0, str(ROOT / "examples" / "realqa-tiny"))
    yield
    sys.path.remove(str(ROOT / "examples" / "realqa-tiny"))


def grey(image: Any) -> Any:
    return np.asarray(image, float) @ np.array([0.299, 0.587, 0.114])


def chroma(image: Any) -> float:
    return float(np.abs(np.asarray(image, float) - grey(image)[:, :, None]).mean())


@pytest.fixture(scope="module")
def scenes(recipe: None) -> list[tuple[Any, dict[str, Any]]]:
    from scenes import make_scene

    return [make_scene(PHOTOS, number, seed=4, areas=SMALL) for number in range(60)]


def test_a_scene_is_the_same_on_every_run(scenes: Any) -> None:
    from scenes import make_scene

    pixels, facts = make_scene(PHOTOS, 7, seed=4, areas=SMALL)
    assert np.array_equal(pixels, scenes[7][0])
    assert facts == scenes[7][1]
    assert not np.array_equal(pixels, make_scene(PHOTOS, 7, seed=5, areas=SMALL)[0])


@pytest.mark.parametrize("photo", PHOTOS, ids=lambda photo: photo.stem)
def test_a_photo_has_about_ordinary_light_and_colour_before_it_is_made_wrong(photo: Path) -> None:
    from scenes import balanced, exposed, saturated

    even = balanced(np.asarray(Image.open(photo).convert("RGB").reduce(4)))
    assert np.median((even / 255.0) ** 2.2) == pytest.approx(0.17, abs=0.08)
    assert chroma(even) == pytest.approx(22, rel=0.4)
    assert grey(exposed(even, -1)).mean() < grey(even).mean() < grey(exposed(even, 1)).mean()
    assert chroma(saturated(even, 0.5)) < chroma(even) < chroma(saturated(even, 1.7))


def test_facts_lie_within_the_option_that_they_are_named_by(scenes: Any) -> None:
    from scenes import EXPOSURE, SATURATION

    for _, facts in scenes:
        for attribute, options, value in (
            ("exposure", EXPOSURE, "stops"),
            ("saturation", SATURATION, "gain"),
        ):
            _, least, most = options[facts["attributes"][attribute]]
            assert least <= facts[value] <= most
        assert (abs(facts["degrees"]) >= 3) == (facts["attributes"]["level_shot"] == "no")


def test_clarity_depends_on_what_blurs_and_on_noise_alone(scenes: Any) -> None:
    from degrade import BLURRING, GRAINS
    from scene_labels import clarity, fit_quantiles

    facts = [facts for _, facts in scenes]
    usual = fit_quantiles(facts)["detail"]
    sharp = [scene for scene in facts if not {name for name, _ in scene["chain"]} & (BLURRING | GRAINS)]
    assert any(scene["chain"] for scene in sharp)
    assert all(clarity(scene, usual) == 1 for scene in sharp), "a sharp photo that is bent or dark is sharp"
    others = [clarity(scene, usual) for scene in facts if scene not in sharp]
    assert 0 <= min(others) < 0.25
    assert 0.75 < max(others) <= 1


def test_scenes_near_the_border_of_two_clarities_are_told_apart(scenes: Any, tmp_path: Path) -> None:
    from scene_labels import CLARITY, clarity, fit_quantiles, is_clear_cut, write_labels

    facts = [dict(facts, image=f"{number}.png") for number, (_, facts) in enumerate(scenes)]
    quantiles = fit_quantiles(facts)
    chosen = [scene for scene in facts if is_clear_cut(scene, quantiles)]
    assert 0 < len(chosen) < len(facts)
    write_labels(chosen, quantiles, tmp_path / "labels.jsonl")
    labels = [json.loads(line) for line in (tmp_path / "labels.jsonl").read_text().splitlines()]
    assert [label["image"] for label in labels] == [scene["image"] for scene in chosen]
    for label in labels:
        clear = clarity(label, quantiles["detail"])
        assert min(abs(clear - border) for border in list(CLARITY.values())[1:]) >= 0.05
        assert CLARITY[label["attributes"]["image_clarity"]] <= clear


def test_labels_are_made_into_conversations(scenes: Any, tmp_path: Path, realqa_here: Realqa) -> None:
    from scene_labels import fit_quantiles, write_labels

    facts = [dict(facts, image=str(PHOTOS[0])) for _, facts in scenes[:5]]
    write_labels(facts, fit_quantiles([facts for _, facts in scenes]), tmp_path / "labels.jsonl")
    made = realqa_here("build-cot", tmp_path / "labels.jsonl", "--formats", "cot-regular")
    answers = [json.loads(line)["messages"][1]["content"] for line in made.out.splitlines()]
    assert len(answers) == len(facts)
    assert all("Image Clarity: " in answer and "Saturation: " in answer for answer in answers)


@pytest.mark.parametrize("whole", [False, True], ids=["pieces", "whole photos"])
def test_ladders_are_of_every_kind_of_damage_and_begin_with_the_least(whole: bool) -> None:
    import ladders
    from degrade import DEGRADATIONS, TONES

    assert set(ladders.SHARES) == set(DEGRADATIONS) | set(TONES)
    assert sum(ladders.SHARES.values()) == pytest.approx(1)
    for seed in range(5):
        rungs = ladders.ladder(PHOTOS[0], np.random.default_rng(seed), whole)
        assert len(rungs) == len(ladders.RUNGS)
        assert all(side % 28 == 0 for side in rungs.shape[1:3])
        slight, *_, ruin = (np.abs(rung - rungs[0].astype(float)).mean() for rung in rungs[1:])
        assert 0 < slight < ruin


@pytest.mark.parametrize("tones", [False, True], ids=["degradations", "changes of tone"])
def test_damage_grows_with_its_severity(tones: bool) -> None:
    from degrade import DEGRADATIONS, TONES

    photo = np.asarray(Image.open(PHOTOS[0]).convert("RGB").resize((224, 224)))
    for name, damage in (TONES if tones else DEGRADATIONS).items():
        made = [damage(photo, severity, np.random.default_rng(3)) for severity in (0.0, 0.5, 1.0)]
        images = [image[0] if isinstance(image, tuple) else image for image in made]
        slight, middle, strong = (np.abs(image.astype(float) - photo).mean() for image in images)
        assert slight < middle < strong, name


def test_fidelity_is_one_for_the_same_photo_and_falls_with_blur() -> None:
    from degrade import gaussian_blur
    from fidelity import fidelity

    photo = np.asarray(Image.open(PHOTOS[1]).convert("RGB").resize((224, 224)))
    rng = np.random.default_rng(0)
    none, some, much = (
        fidelity(photo, image, [(0, 0, 224, 224)])[0]
        for image in (photo, gaussian_blur(photo, 0.3, rng), gaussian_blur(photo, 0.8, rng))
    )
    assert np.allclose(none, 1, atol=1e-4)
    assert (none > some).all()
    assert (some > much).all()


def test_the_settings_of_the_last_leg_share_out_all_batches() -> None:
    from together import FORMATS, Settings

    told = dataclasses.asdict(Settings())
    assert sum(told[kind] for kind in ("windows", "ladders", "whole_ladders", "lessons")) == pytest.approx(1)
    assert sum(share for share, _ in FORMATS.values()) == pytest.approx(1)
