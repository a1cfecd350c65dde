"""Containers: recognized by their first bytes, and as long as their own headers say."""

import io

import pytest

from realqa_cli.media.containers import container_format, expected_size


def box(kind: bytes, body: bytes = b"", *, length: int | None = None) -> bytes:
    return (8 + len(body) if length is None else length).to_bytes(4, "big") + kind + body


def expected(data: bytes, container: str) -> int:
    return expected_size(io.BytesIO(data), container, len(data))


@pytest.mark.parametrize(
    ("data", "container"),
    [
        (box(b"ftyp", b"isom0000"), "mov"),
        (box(b"moov", b"00000000"), "mov"),
        (b"\x1a\x45\xdf\xa3\x84webm0000", "matroska"),
        (b"RIFF\x10\0\0\0AVI LIST", "avi"),
        (b"RIFF\x10\0\0\0WEBPVP8 ", None),
        (b"#EXTM3U\n#EXTINF", None),
        (b"", None),
        (b"\0", None),
    ],
)
def test_a_container_is_recognized_by_its_content(data: bytes, container: str | None) -> None:
    assert container_format(io.BytesIO(data)) == container


def test_the_boxes_of_an_mp4_add_up() -> None:
    data = box(b"ftyp", b"isom") + box(b"mdat", b"x" * 50)
    assert expected(data, "mov") == len(data)
    assert expected(data[:-1], "mov") == len(data)
    assert expected(data + b"junk that players ignore", "mov") == len(data)
    large = box(b"ftyp", b"isom") + box(b"mdat", (16 + 50).to_bytes(8, "big") + b"x" * 50, length=1)
    assert expected(large[:-9], "mov") == len(large)
    open_end = box(b"ftyp", b"isom") + box(b"mdat", b"x" * 50, length=0)
    assert expected(open_end, "mov") <= len(open_end)


def test_a_matroska_file_says_how_long_its_segment_is() -> None:
    head = b"\x1a\x45\xdf\xa3\x84abcd"
    known = head + b"\x18\x53\x80\x67" + b"\x01\0\0\0\0\0\0\x40" + b"x" * 64
    assert expected(known, "matroska") == len(known)
    assert expected(known[:-30], "matroska") == len(known)
    live = head + b"\x18\x53\x80\x67" + b"\x01" + b"\xff" * 7 + b"x" * 64
    assert expected(live, "matroska") <= len(live)
    assert expected(b"\x1a\x45\xdf\xa3\0", "matroska") == 0


def test_an_avi_says_how_long_its_first_chunk_is() -> None:
    data = b"RIFF" + (54).to_bytes(4, "little") + b"AVI " + b"x" * 50
    assert expected(data, "avi") == len(data)
    assert expected(data[:20], "avi") == len(data)
