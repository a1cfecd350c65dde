"""Containers of video files: recognizes them, and checks that a file is as long as its own headers say.

Decoders conceal a missing end; the headers do not. Sizes are in bytes. Nothing here decodes, and only a few
bytes of each part are read.
"""

import re
from collections.abc import Iterator
from typing import BinaryIO

_SIGNATURES = re.compile(
    rb"""(?P<mov>.{4}(?:ftyp|moov|mdat|wide|free|skip)) | (?P<matroska>\x1a\x45\xdf\xa3)
    | (?P<avi>RIFF.{4}AVI[ ]) | (?P<mpegts>\x47.{187}\x47.{187}\x47 | .{4}\x47.{191}\x47)""",
    re.DOTALL | re.VERBOSE,
)
_BOXES = {
    b"ftyp", b"styp", b"moov", b"moof", b"mdat", b"sidx", b"mfra", b"meta", b"uuid", b"free", b"skip", b"wide",
}  # fmt: skip
"""Boxes whose missing end matters; other names may be what some cameras append."""
_MAX_BOXES = 100_000
"""Boxes of an MP4; a recording in fragments of one second has two a second."""
_PARENTS = {b"moov", b"trak", b"mdia", b"minf", b"stbl"}
_ENTRY_BYTES = {b"stts": 8, b"ctts": 8, b"stss": 4, b"stsc": 12, b"stco": 4, b"co64": 8}
_SEGMENT = b"\x18\x53\x80\x67"  # the Matroska element that holds everything but the header


def container_format(file: BinaryIO) -> str | None:
    """PyAV's name of the container, by the file's first bytes: mov (also MP4), matroska (also WebM), avi or mpegts."""
    file.seek(0)
    match = _SIGNATURES.match(file.read(400))
    return match.lastgroup if match else None


def expected_size(file: BinaryIO, container: str, size: int) -> int:
    """Where the file ends according to its headers; at most `size`, its real length, if nothing is missing.

    Raises OverflowError for a file of too many parts.
    """
    part_ends = {
        "mov": _mp4_box_ends,
        "matroska": _matroska_element_ends,
        "avi": _avi_chunk_ends,
        "mpegts": _packet_ends,
    }
    return max(part_ends[container](file, size), default=0)


def check_tables(file: BinaryIO, container: str, size: int) -> None:
    """Checks that the sample tables of an MP4 fit their boxes, and its samples the file.

    Decoders allocate what the tables declare. Raises ValueError with what is wrong.
    """
    if container == "mov":
        _check_boxes(file, 0, size, size, 0)


def _check_boxes(file: BinaryIO, start: int, end: int, size: int, count: int) -> int:
    """Checks the boxes of a part of the file; `count` boxes came before. Returns how many there are now."""
    position = start
    while position + 8 <= end and count < _MAX_BOXES:
        file.seek(position)
        head = file.read(20)
        length, kind = int.from_bytes(head[:4]), head[4:8]
        length = int.from_bytes(head[8:16]) if length == 1 else length or end - position
        count += 1
        if length < 8:
            break
        if kind in _PARENTS:
            count = _check_boxes(file, position + 8, min(position + length, end), size, count)
        elif kind in _ENTRY_BYTES and int.from_bytes(head[12:16]) * _ENTRY_BYTES[kind] > length - 16:
            raise ValueError(f"its table {kind.decode()} declares more entries than it has")
        elif kind == b"stsz":
            sample, samples = int.from_bytes(head[12:16]), int.from_bytes(head[16:20])
            if samples * (sample or 4) > (size if sample else length - 20):
                raise ValueError("it declares more samples than it has")
        position += length
    return count


def _mp4_box_ends(file: BinaryIO, size: int) -> Iterator[int]:
    """Ends of an MP4's outermost boxes; what is not a box ends the walk, as in players. Raises OverflowError."""
    position = boxes = 0
    while position + 8 <= size:
        file.seek(position)
        head = file.read(16)
        length, kind = int.from_bytes(head[:4]), head[4:8]
        if length == 1:  # the length needs 64 bits
            length = int.from_bytes(head[8:16])
        if length < 8 or (position + length > size and kind not in _BOXES):  # 0: up to the end of the file
            return
        boxes += 1
        if boxes > _MAX_BOXES:
            raise OverflowError(f"it has over {_MAX_BOXES:,} boxes")
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


def _packet_ends(file: BinaryIO, size: int) -> Iterator[int]:
    """End of the last packet of a transport stream: 188 bytes each, or 192 with time codes (M2TS)."""
    file.seek(0)
    length = 188 if file.read(1) == b"\x47" else 192
    yield -(-size // length) * length
