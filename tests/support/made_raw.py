"""Small camera RAW files: DNG files with sensor data, and with or without a JPEG preview."""

import io
import struct
from typing import Any

import numpy as np
from PIL import Image

SENSOR = 128  # pixels a side
_SIZES = {"B": 1, "s": 1, "H": 2, "I": 4, "R": 8, "r": 8}
_TYPES = {"B": 1, "s": 2, "H": 3, "I": 4, "R": 5, "r": 10}


def dng(preview: Image.Image | None = None, *, orientation: int = 1, taken: str | None = None) -> bytes:
    """A DNG file with the preview; `orientation` as in EXIF, `taken` as `2026:05:01 12:00:00`."""
    sensor = np.random.default_rng(0).integers(500, 15000, (SENSOR, SENSOR), dtype=np.uint16).tobytes()
    raw: dict[int, tuple[str, Any]] = {
        254: ("I", [0]),
        256: ("I", [SENSOR]),
        257: ("I", [SENSOR]),
        258: ("H", [16]),
        259: ("H", [1]),
        262: ("H", [32803]),  # color filter array
        273: ("I", sensor),
        277: ("H", [1]),
        278: ("I", [SENSOR]),
        279: ("I", [len(sensor)]),
        33421: ("H", [2, 2]),
        33422: ("B", [0, 1, 1, 2]),
    }
    first: dict[int, tuple[str, Any]] = {
        271: ("s", b"realqa\0"),
        272: ("s", b"test camera\0"),
        274: ("H", [orientation]),
        50706: ("B", [1, 4, 0, 0]),  # DNGVersion
        50708: ("s", b"realqa test camera\0"),
        50721: ("r", [(1, 1), (0, 1), (0, 1), (0, 1), (1, 1), (0, 1), (0, 1), (0, 1), (1, 1)]),
        50778: ("H", [21]),
    }
    if taken is not None:
        first[34665] = ("I", {36867: ("s", taken.encode() + b"\0")})
    if preview is None:
        return _tiff(raw | first)
    stream = io.BytesIO()
    preview.save(stream, "JPEG", quality=95)
    return _tiff(
        first
        | {
            254: ("I", [1]),
            256: ("I", [preview.width]),
            257: ("I", [preview.height]),
            258: ("H", [8, 8, 8]),
            259: ("H", [7]),  # JPEG
            262: ("H", [6]),
            273: ("I", stream.getvalue()),
            277: ("H", [3]),
            278: ("I", [preview.height]),
            279: ("I", [len(stream.getvalue())]),
            330: ("I", raw),  # SubIFDs
        }
    )


def _tiff(fields: dict[int, tuple[str, Any]]) -> bytes:
    return b"II*\0" + struct.pack("<I", 8) + _directory(fields, 8)


def _directory(fields: dict[int, tuple[str, Any]], start: int) -> bytes:
    """A directory at `start`; bytes of 4-byte type and nested directories lie behind it, with their offset as value."""
    behind = start + 2 + 12 * len(fields) + 4
    entries, data = b"", b""
    for tag in sorted(fields):
        kind, values = fields[tag]
        if kind == "I" and isinstance(values, dict | bytes):
            position = behind + len(data)
            data += values if isinstance(values, bytes) else _directory(values, position)
            data += b"\0" * (len(data) % 2)
            values = [position]
        packed = _packed(kind, values)
        if len(packed) > 4:
            offset = behind + len(data)
            data += packed + b"\0" * (len(packed) % 2)
            packed = struct.pack("<I", offset)
        entries += struct.pack("<HHI", tag, _TYPES[kind], len(values)) + packed.ljust(4, b"\0")
    return struct.pack("<H", len(fields)) + entries + struct.pack("<I", 0) + data


def _packed(kind: str, values: Any) -> bytes:
    if kind == "s":
        return bytes(values)
    if kind in "Rr":
        return b"".join(struct.pack("<II" if kind == "R" else "<ii", *each) for each in values)
    return struct.pack(f"<{len(values)}{kind}", *values)
