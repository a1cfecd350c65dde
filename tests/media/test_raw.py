"""Camera RAW files: the embedded preview is the photo."""

import sys
from pathlib import Path

import numpy as np
import pytest
from made_raw import dng
from PIL import Image
from process import PHOTOS, Realqa

from realqa_cli.errors import MediaError
from realqa_cli.io import folders
from realqa_cli.io.folders import SkippedFiles, walk_folder
from realqa_cli.media.capture_time import capture_time
from realqa_cli.media.photo import open_photo

pytest.importorskip("rawpy")


@pytest.fixture
def preview() -> Image.Image:
    with Image.open(PHOTOS / "bee.jpg") as photo:
        return photo.convert("RGB").resize((320, 200))


def difference(photo: Image.Image, other: Image.Image) -> float:
    assert photo.size == other.size
    return float(np.abs(np.asarray(photo, dtype=float) - np.asarray(other, dtype=float)).mean())


def test_the_photo_of_a_raw_file_is_its_preview(preview: Image.Image) -> None:
    assert difference(open_photo(dng(preview), name="IMG_1.DNG"), preview) < 3


@pytest.mark.parametrize(
    ("orientation", "turned"),
    [(3, Image.Transpose.ROTATE_180), (6, Image.Transpose.ROTATE_270), (8, Image.Transpose.ROTATE_90)],
)
def test_a_preview_is_turned_as_the_raw_file_says(
    preview: Image.Image, orientation: int, turned: Image.Transpose
) -> None:
    photo = open_photo(dng(preview, orientation=orientation), name="a.dng")
    assert difference(photo, preview.transpose(turned)) < 3


def test_a_raw_file_without_a_preview_is_an_error_with_a_remedy() -> None:
    with pytest.raises(MediaError, match=r"b.dng: this RAW file has no preview.*export it as JPEG") as raised:
        open_photo(dng(), name="b.dng")
    assert raised.value.type == "unsupported"


@pytest.mark.parametrize("data", [b"II*\0nothing", b"\0" * 5000, b"FUJIFILMCCD-RAW 0201"])
def test_a_damaged_raw_file_is_one_broken_item(data: bytes) -> None:
    with pytest.raises(MediaError, match="this RAW file is truncated, corrupt or of an unknown camera") as raised:
        open_photo(data, name="c.nef")
    assert raised.value.type == "broken"


def test_a_truncated_raw_file_is_one_broken_item(preview: Image.Image) -> None:
    data = dng(preview)
    with pytest.raises(MediaError) as raised:
        open_photo(data[:2000], name="c.dng")
    assert raised.value.type in ("broken", "unsupported")


def test_a_jpeg_with_the_suffix_of_a_raw_file_is_a_jpeg() -> None:
    assert open_photo((PHOTOS / "bee.jpg").read_bytes(), name="odd.raw").size == (800, 632)


def test_the_time_of_a_raw_file_is_read_from_its_own_fields(preview: Image.Image) -> None:
    assert capture_time(dng(preview, taken="2026:05:01 12:00:07"), "a.dng") == "2026-05-01T12:00:07.000000"


def test_without_rawpy_a_named_raw_file_gives_a_record_with_the_remedy(
    preview: Image.Image, tmp_path: Path, realqa_here: Realqa, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "a.dng").write_bytes(dng(preview))
    monkeypatch.setitem(sys.modules, "rawpy", None)
    monkeypatch.setattr("realqa_cli.media.worker_pool.AVAILABLE", False)
    ran = realqa_here("score", tmp_path / "a.dng", "--backend", "echo")
    assert ran.code == 1
    assert "pip install 'realqa[raw]'" in ran.records[0]["error"]["message"]


def test_a_folder_gives_raw_files_unless_the_camera_wrote_a_jpeg_of_them(
    preview: Image.Image, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("a.CR2", "b.dng", "c.NEF"):
        (tmp_path / name).write_bytes(dng(preview))
    (tmp_path / "a.JPG").write_bytes((PHOTOS / "bee.jpg").read_bytes())
    found = SkippedFiles()
    assert [Path(name).name for name, _ in walk_folder(str(tmp_path), found)] == ["a.JPG", "b.dng", "c.NEF"]
    assert found.summary() == "not taken: 1 camera RAW file with a JPEG or HEIF of the same name (.cr2)"
    monkeypatch.setattr(folders, "can_read_raw", lambda: False)
    found = SkippedFiles()
    assert [Path(name).name for name, _ in walk_folder(str(tmp_path), found)] == ["a.JPG"]
    assert found.counts == {"raw-pair": 1, "raw": 2}
    assert "pip install 'realqa[raw]'" in str(found.summary())
