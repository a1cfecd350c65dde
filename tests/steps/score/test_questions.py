"""Several questions about each photo: the answers of separate runs, and one look at each photo."""

import csv
import json
from pathlib import Path
from typing import Any

import pytest
from brute_force import photos
from process import Realqa
from small_models import CORPUS, tokenizer, write

from realqa_cli import Scorer, UsageError
from realqa_cli.io.flat import flat, nested

FIVE = ("excellent", "good", "fair", "poor", "bad")
TWO = ("quality", "aesthetics")


def small(folder: Path, family: str) -> Path:
    """A small random model whose tokenizer has the words as single tokens."""
    sentences = [f"The {name} of the image is {word}." for name in TWO for word in FIVE for _ in range(40)]
    return write(folder, family, words=tokenizer(vocabulary=900, corpus=[*CORPUS, *sentences]))


@pytest.fixture(scope="module", params=["qwen2_vl", "qwen2_5_vl", "qwen3_5"])
def folder(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return small(tmp_path_factory.mktemp("questions") / "model", request.param)


@pytest.fixture
def looks(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The number of photos in each pass of the vision tower."""
    from transformers.models.qwen2_5_vl.modeling_qwen2_5_vl import Qwen2_5_VLModel
    from transformers.models.qwen2_vl.modeling_qwen2_vl import Qwen2VLModel
    from transformers.models.qwen3_5.modeling_qwen3_5 import Qwen3_5Model

    found: list[int] = []
    kinds: list[Any] = [Qwen2VLModel, Qwen2_5_VLModel, Qwen3_5Model]
    for kind in kinds:
        plain = kind.get_image_features

        def counted(self: Any, pixels: Any, grids: Any, *more: Any, plain: Any = plain, **named: Any) -> Any:
            found.append(len(grids))
            return plain(self, pixels, grids, *more, **named)

        monkeypatch.setattr(kind, "get_image_features", counted)
    return found


@pytest.mark.parametrize("preset", ["q-realign", "q-align"])
def test_two_questions_have_the_answers_of_two_runs_and_one_look_at_each_photo(
    folder: Path, preset: str, looks: list[int]
) -> None:
    """The photo comes before the question (q-realign), or after it (q-align)."""
    images = photos()[:4]
    alone = {
        name: Scorer(str(folder), backend="hf", preset=preset, ask=(name,), batch_size=2).score(images) for name in TWO
    }
    looks.clear()
    together = Scorer(str(folder), backend="hf", preset=preset, ask=TWO, batch_size=2).score(images)
    assert sum(looks) == len(images)
    for i, record in enumerate(together):
        assert [*record["scores"]] == [*TWO]
        for name in TWO:
            answer, expected = record["scores"][name], alone[name][i]
            assert answer["score"] == pytest.approx(expected["score"], abs=1e-6)
            assert answer["std"] == pytest.approx(expected["std"], abs=1e-6)
            assert answer["mass"] == pytest.approx(expected["mass"], abs=1e-6)
            assert (answer["mode"], answer["text"]) == (expected["mode"], expected["text"])
            assert answer["levels"] == pytest.approx(expected["levels"], abs=1e-6)
        assert record["score"] == record["scores"]["quality"]["score"]
        assert record["text"] == record["scores"]["quality"]["text"]
    assert together[0]["scores"]["quality"]["score"] != together[0]["scores"]["aesthetics"]["score"]


def test_the_first_question_asked_is_the_score(tmp_path: Path) -> None:
    folder = small(tmp_path / "model", "qwen2_vl")
    image = photos()[0]
    record = Scorer(str(folder), backend="hf", preset="q-realign", ask=TWO[::-1], distribution=True).score(image)
    assert record["score"] == record["scores"]["aesthetics"]["score"]
    assert record["text"].startswith("The aesthetics of the image is ")
    for answer in record["scores"].values():
        assert sum(p for _, p in answer["distribution"]) == pytest.approx(1, abs=1e-4)
        assert sum(value * p for value, p in answer["distribution"]) == pytest.approx(answer["score"], abs=1e-4)
    default = Scorer(str(folder), backend="hf", preset="q-realign").score(image)
    assert "scores" not in default
    assert default["score"] == pytest.approx(record["scores"]["quality"]["score"], abs=1e-6)


def test_questions_of_ones_own_preset_can_ask_for_numbers(tmp_path: Path) -> None:
    file = tmp_path / "mine.toml"
    file.write_text(
        'method = "direct"\nscale = [1, 5]\n'
        '[questions.sharp]\nprompt = "How sharp?"\nprefix = "The score of this image is "\n'
        '[questions.bright]\nprompt = "How bright?"\nprefix = "The score of this image is "\n'
    )
    folder = write(tmp_path / "model")
    record = Scorer(str(folder), backend="hf", preset_file=file, ask=("sharp", "bright")).score(photos()[0])
    assert [*record["scores"]] == ["sharp", "bright"]
    for name in record["scores"]:
        alone = Scorer(str(folder), backend="hf", preset_file=file, ask=(name,)).score(photos()[0])
        assert record["scores"][name]["score"] == pytest.approx(alone["score"], abs=1e-6)


def test_the_bundled_model_answers_its_one_question_and_says_so_once(realqa: Realqa, photo_files: list[Path]) -> None:
    ran = realqa("score", photo_files[0], "--ask", "quality,aesthetics")
    assert ran.code == 0
    assert sum("the one question that it has learnt" in line for line in ran.said) == 1
    assert "scores" not in ran.records[0]
    assert ran.records[0]["score"] == realqa("score", photo_files[0]).records[0]["score"]


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"ask": ("quality",)}, "names the questions of a preset, and there is none"),
        ({"ask": ("taste",), "preset": "q-align"}, "has no question 'taste'; use some of: quality, aesthetics"),
        ({"ask": ("quality",), "preset": "q-align", "prompt": "How?"}, "--ask and --prompt are mutually exclusive"),
        ({"ask": (), "preset": "q-align"}, "names no question"),
    ],
)
def test_questions_that_cannot_be_asked_are_usage_errors(tmp_path: Path, settings: dict[str, Any], said: str) -> None:
    with pytest.raises(UsageError, match=said):
        Scorer(str(write(tmp_path / "model")), backend="hf", **settings)


@pytest.mark.slow
def test_answers_have_columns_in_tables_and_come_back_from_them(realqa: Realqa, tmp_path: Path) -> None:
    folder, output = small(tmp_path / "model", "qwen2_vl"), tmp_path / "scores.csv"
    photos()[0].save(tmp_path / "a.png")
    arguments = ["score", tmp_path / "a.png", tmp_path / "gone.png", "--model", folder, "--preset", "q-align"]
    ran = realqa(*arguments, "--ask", "quality,aesthetics")
    sound, failed = ran.records
    assert failed["scores"] is None
    assert sound.keys() == failed.keys()
    realqa(*arguments, "--ask", "quality,aesthetics", "-o", output)
    with output.open() as stream:
        row = next(csv.DictReader(stream))
    assert float(row["scores_aesthetics_score"]) == pytest.approx(sound["scores"]["aesthetics"]["score"])
    assert nested(flat(sound))["scores"] == json.loads(json.dumps(sound["scores"]))
    table = realqa(*arguments, "--ask", "quality,aesthetics", "--table").out
    assert f"{sound['scores']['aesthetics']['score']:.2f}" in table
    assert "aesthetics" in table
