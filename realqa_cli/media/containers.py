"""Containers of video files: recognizes them, and checks that a file is as long as its own headers say.

Decoders conceal a missing end; the headers do not. Sizes are in bytes. Nothing here decodes, and only a few
bytes of each part are read.
"""

import re
from collections.abc import Iterator
from typing import BinaryIO

_SIGNATURES = re.compile(
    rb"""(?P<mov>.{4}(?:ftyp|moov|mdat|wide|free|skip)) | (?P<matroska>\x1a\x45\xdf\xa3)
    | (?P<avi>RIFF.{4}AVI[ ])""",
    re.DOTALL | re.VERBOSE,
)
_BOXES = {
    b"ftyp", b"styp", b"moov", b"moof", b"mdat", b"sidx", b"mfra", b"meta", b"uuid", b"free", b"skip", b"wide",
}  # fmt: skip
"""Boxes whose missing end matters; other names may be what some cameras append."""
_SEGMENT = b"\x18\x53\x80\x67"  # the Matroska element that holds everything but the header


def container_format(file: BinaryIO) -> str | None:
    """PyAV's name of the container, by the file's first bytes: mov (MP4 too), matroska (WebM too) or avi."""
    file.seek(0)
    match = _SIGNATURES.match(file.read(12))
    return match.lastgroup if match else None


def expected_size(file: BinaryIO, container: str, size: int) -> int:
    """Where the file ends according to its headers; at most `size`, its real length, if nothing is missing."""
    part_ends = {"mov": _mp4_box_ends, "matroska": _matroska_element_ends, "avi": _avi_chunk_ends}[container]
    return max(part_ends(file, size), default=0)


def _mp4_box_ends(file: BinaryIO, size: int) -> Iterator[int]:
    """Ends of an MP4's outermost boxes; what is not a box ends the walk, as in players."""
    position = 0
    while position + 8 <= size:
        file.seek(position)
        head = file.read(16)
        length, kind = int.from_bytes(head[:4]), head[4:8]
        if length == 1:  # the length needs 64 bits
            length = int.from_bytes(head[8:16])
        if length < 8 or (position + length > size and kind not in _BOXES):  # 0: up to the end of the file
            return
        position += length
        yield position


def _matroska_element_ends(file: BinaryIO, size: int) -> Iterator[int]:
    """Ends of a Matroska file's header and segment; a live recording does not know its length."""
    file.seek(4)
    length, used = _ebml_number(file.read(8))
    if length is None:
        return
    position = 4 + used + length
    yield position
    file.seek(position)
    head = file.read(12)
    if head[:4] == _SEGMENT:
        length, used = _ebml_number(head[4:])
        if length is not None:
            yield position + 4 + used + length


def _ebml_number(head: bytes) -> tuple[int | None, int]:
    """(value, bytes used) of an EBML number of variable length; None for "unknown", all bits one."""
    used = 9 - head[0].bit_length() if head and head[0] else 0
    if not used or len(head) < used:
        return None, 0
    value = int.from_bytes(head[:used]) & ((1 << 7 * used) - 1)
    return (None if value == (1 << 7 * used) - 1 else value), used


def _avi_chunk_ends(file: BinaryIO, size: int) -> Iterator[int]:
    """End of an AVI's first chunk; in files over 1 GB more chunks follow."""
    file.seek(4)
    yield 8 + int.from_bytes(file.read(4), "little")
