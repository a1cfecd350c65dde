"""Over a thousand hostile or odd files through the decoder: each is a photo or an error, and nothing is printed.

The files are not part of the repository; the tests are skipped without them. One separate process decodes all of
them (in seconds; a bitmap of 100 megapixels takes a third of the time), so that a crash, a hang or output of a C
library on stderr is noticed.
"""

import json
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import get_args

import pytest

from realqa_cli.media.decode import ErrorType

CORPUS = Path(__file__).resolve().parents[2] / "shared" / "bad_inputs"

pytestmark = pytest.mark.skipif(not CORPUS.is_dir(), reason="the corpus of bad inputs is not available")

SCRIPT = """
    import json, sys
    from pathlib import Path

    from realqa_cli.errors import MediaError
    from realqa_cli.media.photo import open_photo

    corpus = Path(sys.argv[1])
    for path in sorted(corpus.rglob("*")):
        if path.is_file():
            try:
                photo = open_photo(path)
                outcome = [photo.mode, *photo.size, round(sum(photo.resize((1, 1)).getpixel((0, 0))) / 3)]
            except MediaError as error:
                outcome = [error.type, str(error)]
            print(json.dumps([str(path.relative_to(corpus)), outcome]), flush=True)
"""


@pytest.fixture(scope="module")
def outcomes() -> dict[str, list[str | int]]:
    """For each file [mode, width, height, mean grey] or [error type, message]."""
    command = [sys.executable, "-W", "error", "-c", textwrap.dedent(SCRIPT), str(CORPUS)]
    ran = subprocess.run(command, capture_output=True, text=True, timeout=300)
    lines = ran.stdout.splitlines()
    assert ran.returncode == 0, f"after {lines[-1:]}: {ran.stderr}"
    assert ran.stderr == ""
    return dict(json.loads(line) for line in lines)


def test_every_file_is_an_rgb_photo_or_an_error_of_a_known_type(outcomes: dict[str, list[str | int]]) -> None:
    assert len(outcomes) > 1_000
    known = {"RGB", *get_args(ErrorType)} - {"missing", "unreadable"}
    assert {name: outcome for name, outcome in outcomes.items() if outcome[0] not in known} == {}


def test_every_message_is_one_line_that_names_the_file(outcomes: dict[str, list[str | int]]) -> None:
    for name, (kind, message, *_) in outcomes.items():
        if kind != "RGB":
            assert Path(name).name in str(message)
            assert len(str(message).splitlines()) == 1


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("ok.jpg", "RGB"),
        ("UPPER.JPG", "RGB"),
        ("noext", "RGB"),
        ("png_named.jpg", "RGB"),
        ("video_jpeg_named.mp4", "RGB"),
        ("exif_garbage.jpg", "RGB"),
        ("icc_garbage.jpg", "RGB"),
        ("trailing_garbage.jpg", "RGB"),
        ("anim500.gif", "RGB"),
        ("bomb_warn_100MP_1bit.png", "RGB"),
        ("bomb_err_400MP_1bit.png", "too-large"),
        ("ztxt_bomb.png", "broken"),
        ("dim_0x0.png", "broken"),
        ("dim_1x65535.png", "unsupported"),
        ("empty.jpg", "empty"),
        ("eps_loop.eps", "unsupported"),
        ("svg_external_entity.svg", "unsupported"),
        ("html_saved_as.jpg", "unsupported"),
        ("lfs_pointer.jpg", "unsupported"),
        ("header_only.jpg", "broken"),
        ("nan.tif", "broken"),
        ("ok.mp4", "video"),
        ("ok.mkv", "video"),
        ("ok.webm", "video"),
    ],
)
def test_well_known_cases_have_the_expected_outcome(
    outcomes: dict[str, list[str | int]], name: str, expected: str
) -> None:
    assert outcomes[f"synthetic/{name}"][0] == expected


def test_no_truncated_photo_passes(outcomes: dict[str, list[str | int]]) -> None:
    cut = {name: outcome for name, outcome in outcomes.items() if name.startswith("synthetic/trunc")}
    assert len(cut) == 25
    assert {outcome[0] for outcome in cut.values()} == {"broken"}


@pytest.mark.parametrize("name", ["gray16.png", "float32.tif", "la.png", "lab.tif", "cmyk.jpg", "1bit.png"])
def test_odd_modes_are_not_washed_out(outcomes: dict[str, list[str | int]], name: str) -> None:
    mode, _, _, grey = outcomes[f"synthetic/{name}"]
    assert mode == "RGB"
    assert 110 < int(grey) < 145  # all of them are about mid grey on average


@pytest.mark.parametrize("orientation", range(1, 9))
def test_orientation_swaps_the_sides_where_it_should(outcomes: dict[str, list[str | int]], orientation: int) -> None:
    _, width, height, _ = outcomes[f"synthetic/exif_orient{orientation}.jpg"]
    assert (width, height) == ((320, 240) if orientation < 5 else (240, 320))
