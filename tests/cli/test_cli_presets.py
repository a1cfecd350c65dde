"""`realqa presets`, and the options of `realqa score` that change what is asked."""

import json
import tomllib
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from realqa_cli.cli import main
from realqa_cli.models.presets import preset_names

Captured = pytest.CaptureFixture[str]


@pytest.fixture
def photo(tmp_path: Path) -> Path:
    file = tmp_path / "photo.png"
    Image.effect_noise((80, 64), 90).convert("RGB").save(file)
    return file


def score(capfd: Captured, photo: Path, *options: str) -> tuple[int, dict[str, Any], str]:
    code = main(["score", str(photo), "--backend", "echo", "--json", *options])
    out, err = capfd.readouterr()
    return code, json.loads(out) if out else {}, err


def test_presets_lists_every_preset_with_its_source(capfd: Captured) -> None:
    assert main(["presets", "--json"]) == 0
    rows = [json.loads(line) for line in capfd.readouterr().out.splitlines()]
    assert [row["name"] for row in rows] == preset_names()
    assert all(row["source"] and row["verified"] for row in rows)
    assert main(["presets", "--table"]) == 0
    table = capfd.readouterr().out
    assert all(name in table for name in preset_names())


def test_a_printed_preset_is_a_file_that_preset_file_reads(capfd: Captured, photo: Path, tmp_path: Path) -> None:
    assert main(["presets", "onealign"]) == 0
    text = capfd.readouterr().out
    assert tomllib.loads(text)["questions"]["aesthetics"]
    (tmp_path / "mine.toml").write_text(text)
    code, record, _ = score(capfd, photo, "--preset-file", str(tmp_path / "mine.toml"))
    assert (code, record["method"], record["scale"]) == (0, "levels", [1, 5])
    assert list(record["levels"]) == ["excellent", "good", "fair", "poor", "bad"]


def test_words_can_have_values_of_ones_own(capfd: Captured, photo: Path) -> None:
    code, record, err = score(capfd, photo, "--levels", "great=10,so-so=4,awful=0", "--prompt", "Is this image good?")
    assert (code, record["scale"]) == (0, [0, 10])
    assert record["score"] == pytest.approx(14 / 3)  # the echo backend gives words equal probabilities
    assert "assuming" not in err


def test_words_without_values_are_spread_over_the_scale(capfd: Captured, photo: Path) -> None:
    code, record, _ = score(capfd, photo, "--levels", "yes,no", "--scale", "0-1", "--distribution")
    assert code == 0
    assert [value for value, _ in record["distribution"]] == [0, 1]


def test_the_start_of_the_answer_is_in_the_text(capfd: Captured, photo: Path) -> None:
    code, record, _ = score(capfd, photo, "--prefix", "Rating: ", "--digits", "1")
    assert (code, record["text"]) == (0, f"Rating: {record['mode']:g}.")


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--preset", "alien"], "unknown preset 'alien'"),
        (["--preset", "deqa", "--preset-file", "x.toml"], "mutually exclusive"),
        (["--preset-file", "missing.toml"], "cannot be read as TOML"),
        (["--preset", "deqa", "--method", "direct"], "the preset is read by --method levels"),
        (["--preset", "q-insight", "--digits", "2"], "the preset decides how numbers are written"),
        (["--method", "think"], "needs a preset"),
        (["--samples", "3"], "applies to --method think"),
        (["--method", "cot", "--prompt", "How?"], "applies to --method direct"),
        (["--method", "direct", "--levels", "good,bad"], "applies to --method levels"),
        (["--prompt", " "], "is empty"),
        (["--preset", "q-align", "--levels", "good=9,bad=1"], "is not on the scale"),
        (["--levels", "good"], "at least two different words"),
        (["--levels", "good=5,bad"], "values for some words only"),
        (["--levels", "good=x,bad=1"], "not a number"),
    ],
)
def test_options_that_contradict_each_other_are_usage_errors(
    capfd: Captured, photo: Path, options: list[str], said: str
) -> None:
    code, _, err = score(capfd, photo, *options)
    assert code == 2
    assert said in err
    assert "Traceback" not in err


def test_a_model_of_an_architecture_that_is_not_in_transformers_says_how_to_run_it(
    capfd: Captured, photo: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "one-align"
    folder.mkdir()
    (folder / "config.json").write_text(json.dumps({"model_type": "mplug_owl2"}))
    (folder / "pytorch_model.bin").write_bytes(b"x")
    assert main(["score", str(photo), "--model", str(folder)]) == 2
    assert "run it by its authors' package" in capfd.readouterr().err


def test_explain_takes_no_question_of_another_author(capfd: Captured, photo: Path) -> None:
    assert main(["explain", str(photo), "--preset", "q-align"]) == 2
    assert "only realqa's own question can be explained" in capfd.readouterr().err
