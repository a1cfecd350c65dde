"""The recipe of realqa-tiny: what it makes is known, ordered, and the same on every run."""

import dataclasses
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image, ImageFilter
from process import ROOT, Realqa

pytestmark = pytest.mark.slow

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


def test_scenes_near_the_border_of_two_clarities_are_distinguished(scenes: Any, tmp_path: Path) -> None:
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


def test_the_settings_of_the_mixture_share_out_all_batches() -> None:
    from train_mixture import FORMATS, Settings

    settings = dataclasses.asdict(Settings())
    assert sum(settings[kind] for kind in ("windows", "ladders", "whole_ladders", "conversations")) == pytest.approx(1)
    assert sum(share for share, _ in FORMATS.values()) == pytest.approx(1)


class _Patterns:
    """Stands for the teacher's network: how strong a few differences between pixels are in each cell."""

    def __init__(self, weights: Path | None = None) -> None:
        self.weights = weights

    def cells(self, image: Any) -> Any:
        rows, columns = image.shape[0] // 28, image.shape[1] // 28
        values = image.astype(np.float32) / 255
        shifts = [np.abs(values - np.roll(values, step, axis)) for step in (1, 2, 4, 8) for axis in (0, 1)]
        maps = np.concatenate([values, *shifts], axis=-1)
        maps = np.concatenate([maps, maps**2], axis=-1)  # (height, width, 54)
        grid = maps.reshape(rows, 28, columns, 28, -1)
        return np.stack([grid.mean(axis=(1, 3)), (grid**2).mean(axis=(1, 3))], axis=2).astype(np.float16)


@pytest.fixture
def rated_photos(tmp_path: Path) -> Path:
    """A folder like that of LIVE In the Wild: cuts of sample photos, of which the blurred ones are worse."""
    (tmp_path / "livec" / "images").mkdir(parents=True)
    lines = ["image,mos,std,split"]
    for number in range(12):
        photo = Image.open(PHOTOS[number % 3]).convert("RGB").resize((224, 196))
        blur = number // 3
        photo = photo.filter(ImageFilter.GaussianBlur(blur))
        photo.save(tmp_path / "livec" / "images" / f"{number}.jpg")
        lines.append(f"{number}.jpg,{80 - 20 * blur},15,{'dev' if number > 9 else 'train'}")
    (tmp_path / "livec" / "labels.csv").write_text("\n".join(lines) + "\n")
    return tmp_path / "livec"


@pytest.mark.slow
def test_training_on_ratings_runs_from_data_to_a_model(
    rated_photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, realqa_here: Realqa
) -> None:
    import distill_features
    import photos
    import train_language
    import train_on_ratings
    import views
    from evaluate_ratings import blanks, distributions
    from livec import read_ratings
    from safetensors.torch import load_file

    monkeypatch.setattr(views, "Network", _Patterns)
    monkeypatch.setattr(views, "imagenet_weights", lambda: None)
    monkeypatch.setattr(views, "fit", lambda photo, *_: photos.fit(photo, 12_544, 50_176))
    monkeypatch.setattr(photos, "HELD_OUT", 0)
    small: dict[str, Any] = {"minutes": 0.01, "processes": 1}
    recipe = train_on_ratings.Recipe(
        dataclasses.replace(distill_features.Settings(), **small, sizes=((4, 2, 1.0, 1.0),), scored=1.0),
        dataclasses.replace(
            train_language.Settings(), **small, rated=(2, 4, 6), whole=(2, 4, 6), unrated=(2, 4, 6),
            others=((train_language.LADDERS, 1.0),), ladders=1,
        ),
        changed_views=4, share_of_start=0.25, processes=1,
    )  # fmt: skip
    start, output, work = (
        ROOT / "realqa_cli" / "models" / "realqa-tiny",
        tmp_path / "model",
        tmp_path / "work",
    )
    threads = torch.get_num_threads()
    try:
        for _ in range(2):  # the second time goes on where the first one stopped
            train_on_ratings.train_on_ratings(
                PHOTOS[0].parent, rated_photos, start, output, work, recipe, conversations=[]
            )
    finally:
        torch.set_num_threads(threads)
    first, second = (torch.load(work / f"{part}.pt", weights_only=True) for part in ("distilled", "language"))
    assert first["step"] > 0
    assert second["step"] > 0
    blocks = [name for name in first["mean"] if ".visual.blocks." in name]
    assert all(torch.equal(first["mean"][name], second["model"][name]) for name in blocks)
    before, after = (load_file(folder / "model.safetensors") for folder in (start, output))
    name = "lm_head.weight"
    expected = second["mean"][name].lerp(before[name].float(), 0.25)
    assert torch.allclose(after[name].float(), expected, atol=2e-3)
    assert "people's ratings of 10 photographs" in json.loads((output / "realqa.json").read_text())["trained_on"]
    assert len(list((work / "views").glob("*.npy"))) == 10 + len(photos.split(PHOTOS[0].parent)["train"]) + 4

    from evaluate import Judge

    rated = read_ratings(rated_photos, "dev")
    judge = Judge(output)
    found = distributions(judge, [one.path for one in rated])
    assert found.shape == (2, 401)
    assert found.sum(axis=1) == pytest.approx(1)
    assert all(1 <= score <= 5 for score in blanks(judge, random=2).values())
    scored = realqa_here("score", PHOTOS[0], "--model", output)
    assert 1 <= json.loads(scored.out.splitlines()[-1])["score"] <= 5


def test_intervals_are_judged_by_the_share_of_scores_that_they_hold() -> None:
    from evaluate_ratings import people
    from train import soft_targets

    rng = np.random.default_rng(0)
    means = rng.uniform(2, 4, 400)
    found = soft_targets(means.astype(np.float32), 0.4)[:, :401]
    scores = np.clip(means + rng.normal(0, 0.4, 400), 1, 5)
    honest = people(found, scores)
    assert honest["interval_holds"] == pytest.approx(0.9, abs=0.04)
    assert honest["srcc_low"] < honest["srcc"] < honest["srcc_high"]
    assert people(found, np.clip(means + rng.normal(0, 0.8, 400), 1, 5))["interval_holds"] < 0.75


def test_people_s_scale_is_used_whole() -> None:
    from livec import to_score

    assert to_score(5) == 1
    assert to_score(47) == pytest.approx(3)
    assert to_score(89) == 5
    assert (to_score(0), to_score(100)) == (1, 5)


def test_a_soft_target_keeps_its_mean_at_the_ends_of_the_scale() -> None:
    from train import NUMERALS, soft_targets

    values = np.array([1.1, 1.5, 3.0, 4.9], np.float32)
    kept = soft_targets(values, 0.5, keeps_mean=True)
    assert kept.sum(axis=1) == pytest.approx(1)
    assert kept[:, :401] @ NUMERALS == pytest.approx(values, abs=0.02)
    cut_off = soft_targets(values, 0.5)[:, :401] @ NUMERALS
    assert cut_off[0] > 1.3


def test_the_ridge_of_the_teacher_finds_a_linear_map() -> None:
    from teacher import choose_ridge

    rng = np.random.default_rng(0)
    features = rng.standard_normal((80, 5))
    scores = 3 + features @ np.array([0.5, -0.3, 0.2, 0, 0])
    ridge, left_out, _ = choose_ridge(features, scores)
    assert np.corrcoef(left_out, scores)[0, 1] > 0.95
    assert np.corrcoef(ridge(features), scores)[0, 1] > 0.95


def test_the_statistics_of_a_crop_follow_from_its_cells() -> None:
    from teacher import statistics

    image = np.asarray(Image.open(PHOTOS[0]).convert("RGB").resize((224, 196)))
    cells = _Patterns().cells(image)
    crop = statistics(cells[2:5, 1:6])
    again = statistics(_Patterns().cells(image)[2:5, 1:6])
    assert crop.shape == (2 * cells.shape[-1],)
    assert np.array_equal(crop, again)
    mean = np.asarray(image[56:140, 28:168, 0] / 255).mean()
    assert crop[0] == pytest.approx(np.log1p(mean), abs=0.01)


def test_blank_frames_are_of_many_kinds() -> None:

    from blank_frames import blank

    rng = np.random.default_rng(1)
    frames = [blank(84, 112, rng) for _ in range(30)]
    assert {frame.shape for frame in frames} == {(84, 112, 3)}
    assert len({int(frame.mean()) // 20 for frame in frames}) > 4


def test_the_sample_covers_the_range_of_the_ratings() -> None:
    from livec import Rated
    from livec_sample import evenly

    rated = [Rated(Path(f"{mos}.jpg"), float(mos), 15.0) for mos in range(90)]
    chosen = [one.mos for one in evenly(rated, 10)]
    assert (chosen[0], chosen[-1], len(chosen)) == (0, 89, 10)
    assert chosen == sorted(chosen)


def test_an_attribute_is_known_when_it_is_above_chance(tmp_path: Path) -> None:
    from evaluate import knowledge, known_attributes

    rng = np.random.default_rng(0)
    answers: dict[str, list[dict[str, Any]]] = {"found": [], "truth": []}
    for number in range(80):
        clear = ("very blurry", "very clear")[number % 2]
        common = {
            "composition": {"score": 3 + number % 3},
            "eye_catching": {"score": 4 + number % 2},
            "subject_integrity": "fully complete",
            "subject_clutter": "uncluttered",
            "background_clutter": "cluttered",
            "image_clarity": clear,
            "exposure": "properly exposed",
            "saturation": "medium",
        }
        level = str(rng.choice(["yes", "no"]))
        answers["truth"].append({"image": f"{number}.png", "attributes": {**common, "level_shot": level}})
        answers["found"].append({"image": f"{number}.png", "attributes": {**common, "level_shot": "yes"}})
    files = {name: tmp_path / f"{name}.jsonl" for name in answers}
    for name, lines in answers.items():
        files[name].write_text("".join(json.dumps(line) + "\n" for line in lines))
    found = knowledge(known_attributes(files["found"], files["truth"]))
    assert found["image_clarity"] == {"agreement": 1.0, "chance": 0.5, "known": True}
    assert found["level_shot"] == {"agreement": 0.5, "chance": 0.5, "known": False}
