"""Finding models: names, folders, adapters, and what is said when something is missing."""

import json
from pathlib import Path

import pytest

from realqa_cli import models
from realqa_cli.errors import ModelError
from realqa_cli.models import realqa_json


def folder(place: Path, *files: str, **contents: object) -> Path:
    place.mkdir(parents=True, exist_ok=True)
    for name in files:
        (place / name).write_bytes(b"")
    for name, content in contents.items():
        (place / f"{name}.json").write_text(json.dumps(content))
    return place


def test_the_bundled_model_is_found_by_its_name() -> None:
    found = models.find("realqa-tiny")
    assert found.base == models.path("realqa-tiny")
    assert (found.base / "config.json").is_file()
    assert found.config is not None
    assert found.config.scale == (1.0, 5.0)


def test_a_folder_with_weights_is_found_by_its_path(tmp_path: Path) -> None:
    place = folder(tmp_path / "scorer", "model.safetensors", config={}, realqa={"format": 1, "digits": 2})
    found = models.find(str(place))
    assert (found.base, found.adapter) == (place, None)
    assert found.config is not None
    assert found.config.digits == 2


def test_an_adapter_folder_finds_its_base_by_what_it_says(tmp_path: Path) -> None:
    place = folder(tmp_path, "adapter_model.safetensors", adapter_config={"base_model_name_or_path": "realqa-tiny"})
    found = models.find(str(place))
    assert (found.base, found.adapter) == (models.path("realqa-tiny"), place)


def test_an_adapter_is_found_in_a_subfolder_behind_a_colon(tmp_path: Path) -> None:
    place = folder(tmp_path / "adapters" / "koniq", "adapter_model.safetensors", adapter_config={})
    found = models.find("realqa-tiny", adapter=f"{tmp_path / 'adapters'}:koniq")
    assert found.adapter == place


def test_an_adapters_own_realqa_json_wins_over_that_of_its_base(tmp_path: Path) -> None:
    place = folder(tmp_path, "adapter_model.safetensors", adapter_config={}, realqa={"scale": [0, 9]})
    found = models.find("realqa-tiny", adapter=str(place))
    assert found.config is not None
    assert found.config.scale == (0, 9)


@pytest.mark.parametrize(
    ("name", "said"),
    [("no-such-model", "realqa-tiny, qwen2-vl-2b, qwen2-vl-7b, internvl2"), ("a/b/c", "unknown model")],
)
def test_an_unknown_name_lists_the_known_ones(name: str, said: str) -> None:
    with pytest.raises(ModelError, match=said):
        models.find(name)


def test_a_folder_without_configuration_or_weights_says_which(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"has no config\.json"):
        models.find(str(tmp_path))
    folder(tmp_path, config={})
    with pytest.raises(ModelError, match="has no weights"):
        models.find(str(tmp_path))


def test_pickled_weights_are_named_and_refused(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"pytorch_model\.bin is a pickle"):
        models.find(str(folder(tmp_path, "pytorch_model.bin", config={})))


def test_an_adapter_that_does_not_say_its_base_asks_for_it(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="does not say its base model"):
        models.find(str(folder(tmp_path, "adapter_model.safetensors", adapter_config={})))


def test_remote_code_needs_a_pinned_revision() -> None:
    with pytest.raises(ModelError, match="pinned revision"):
        models.find("realqa-tiny", trust_remote_code=True)


@pytest.mark.parametrize(
    "content",
    [
        '{"format": 2}',
        '{"scale": [5, 1]}',
        '{"digits": 7}',
        '{"min_pixels": 9, "max_pixels": 3}',
        "[]",
        "{",
        "\xff",
    ],
)
def test_a_broken_realqa_json_is_named(tmp_path: Path, content: str) -> None:
    (tmp_path / "realqa.json").write_bytes(content.encode("latin-1"))
    with pytest.raises(ModelError, match=r"realqa\.json"):
        realqa_json.read_config(tmp_path)
