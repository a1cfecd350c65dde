"""The run manifest: equal settings give equal ids, and digests see every change of a model."""

from pathlib import Path

import pytest

from realqa_cli.io import manifest
from realqa_cli.io.manifest import Manifest


def test_the_id_depends_on_the_content_and_on_nothing_else() -> None:
    one = Manifest("score", {"a": 1, "b": [1, 5]}, {"device": "cpu"})
    assert one.run == Manifest("score", {"b": [1, 5], "a": 1}, {"device": "cpu"}).run
    others = [Manifest("ncm", one.settings, one.environment), Manifest("score", {"a": 2}, one.environment)]
    assert len({one.run, *(other.run for other in others)}) == 3


def test_versions_tell_of_what_is_installed_and_leave_out_what_is_not() -> None:
    found = manifest.versions("numpy", "no-such-package")
    assert set(found) == {"python", "numpy"}


def test_a_folders_digest_changes_with_weights_and_settings_but_not_with_notes(tmp_path: Path) -> None:
    (tmp_path / "model.safetensors").write_bytes(b"one")
    (tmp_path / "config.json").write_text("{}")
    before = manifest.folder_digest(tmp_path)
    (tmp_path / "README.md").write_text("notes")
    assert manifest.folder_digest(tmp_path) == before
    (tmp_path / "model.safetensors").write_bytes(b"two")
    assert manifest.folder_digest(tmp_path) != before


def test_a_large_files_digest_is_remembered_until_the_file_changes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(manifest, "_CACHE_ABOVE", 2)
    file = tmp_path / "model.safetensors"
    file.write_bytes(b"first")
    first = manifest.file_digest(file)
    notes = list((tmp_path / "cache").rglob("*"))
    assert any(note.is_file() and note.read_text() == first for note in notes)
    assert manifest.file_digest(file) == first
    file.write_bytes(b"second")
    assert manifest.file_digest(file) != first


def test_large_files_that_are_hashed_at_the_same_time_give_the_digest_of_one_after_the_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    model = tmp_path / "model"
    model.mkdir()
    for part in range(5):
        (model / f"model-{part}.safetensors").write_bytes(bytes([part]) * (100_000 - part))
    before = manifest.folder_digest(model)
    monkeypatch.setattr(manifest, "_CACHE_ABOVE", 2)
    assert manifest.folder_digest(model) == before
    assert manifest.folder_digest(model) == before  # from the cache
