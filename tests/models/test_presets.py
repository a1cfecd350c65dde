"""Presets: each is a valid file with its source, known models find theirs, and a broken file is one clear line."""

import json
from pathlib import Path

import pytest

from realqa_cli.errors import UsageError
from realqa_cli.models.presets import Preset, all_presets, preset_for, preset_names, read_preset, read_preset_file

WORDS = {"excellent": 5, "good": 4, "fair": 3, "poor": 2, "bad": 1}


@pytest.mark.parametrize("preset", all_presets(), ids=lambda preset: preset.name)
def test_every_preset_says_what_it_is_where_it_is_from_and_whether_that_was_checked(preset: Preset) -> None:
    assert preset.summary.endswith(".")
    assert preset.source
    assert preset.verified


def test_the_presets_are_the_files_of_the_package() -> None:
    assert preset_names() == [preset.name for preset in all_presets()]
    assert {"q-align", "q-realign", "deqa", "q-insight", "visualquality-r1", "unipercept"} <= {*preset_names()}


def test_an_alias_finds_the_preset() -> None:
    assert read_preset("OneAlign") is read_preset("q-align")
    with pytest.raises(UsageError, match="unknown preset 'alien'; use one of: deqa, q-align"):
        read_preset("alien")


def test_the_words_of_q_align_are_weighted_five_to_one() -> None:
    assert read_preset("q-align").words == read_preset("deqa").words == WORDS


def test_the_codes_of_unipercept_are_pairs_of_letters_in_four_rows() -> None:
    words = read_preset("unipercept").words
    rows = {"a": range(26), "c": range(26, 51), "d": range(51, 76), "e": range(76, 101)}
    assert words == {first + chr(ord("a") + value - row.start): value for first, row in rows.items() for value in row}


@pytest.mark.parametrize(
    ("model", "name"),
    [
        ("q-future/Q-ReAlign-Mini-0.8B", "q-realign"),
        ("models/one-align/", "q-align"),
        ("zhiyuanyou/DeQA-Score-Mix3", "deqa"),
        ("ByteDance/Q-Insight", "q-insight"),
        ("TianheWu/VisualQuality-R1-7B", "visualquality-r1"),
        ("Thunderbolt215215/UniPercept", "unipercept"),
    ],
)
def test_a_known_model_finds_its_preset(model: str, name: str) -> None:
    found = preset_for(model)
    assert found is not None
    assert found.name == name


@pytest.mark.parametrize("model", ["realqa-tiny", "Qwen/Qwen2-VL-7B-Instruct", "ByteDance/VQ-Insight", "", "q"])
def test_other_models_find_none(model: str) -> None:
    assert preset_for(model) is None


def test_a_renamed_folder_finds_its_preset_by_the_name_in_its_config(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(json.dumps({"_name_or_path": "q-future/Q-ReAlign-Pro-9B"}))
    found = preset_for("my-copy", tmp_path)
    assert found is not None
    assert found.name == "q-realign"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("scale = [1", "cannot be read as TOML"),
        ("colour = 1", "is not a valid preset: colour: Extra inputs"),
        ("scale = [5, 1]", "scale must ascend"),
        ("method = 'levels'", "words belong to the method levels"),
        ("method = 'think'\n[questions.quality]\nprompt = 'How?'", "tag belongs to the method think"),
        ("[words]\ngood = 1\nbad = 1", "words belong to the method levels"),
        (
            "method = 'levels'\n[words]\ngood = 9\nbad = 1\n[questions.q]\nprompt = 'How?'",
            "different values on the scale",
        ),
        ("method = 'direct'", "a preset with a method needs questions"),
        ("[questions.quality]\nprompt = ''", "questions.quality.prompt"),
        ("max_tokens = 0", "max_tokens"),
    ],
)
def test_a_broken_file_is_a_usage_error_with_the_place(text: str, said: str, tmp_path: Path) -> None:
    file = tmp_path / "mine.toml"
    file.write_text(text)
    with pytest.raises(UsageError, match=said) as raised:
        read_preset_file(file)
    assert str(file) in str(raised.value)


def test_a_missing_file_and_bytes_that_are_not_text_are_usage_errors(tmp_path: Path) -> None:
    (tmp_path / "bytes.toml").write_bytes(b"\xff\xfe\x00")
    for name in ("missing.toml", "bytes.toml"):
        with pytest.raises(UsageError, match="cannot be read as TOML"):
            read_preset_file(tmp_path / name)
