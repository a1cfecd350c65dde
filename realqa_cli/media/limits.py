"""What the header of a photo says, before any decoder runs: its size, and whether decoding could be expensive.

A photo is plain if its header bounds the time and the memory that a decoder can take to what an ordinary photo
takes. Plain photos are decoded in this process; all others in a worker process with a budget.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass, replace

from realqa_cli.errors import MediaError

MAX_PIXELS = 250_000_000  # phones reach 200 megapixels, single shots of medium-format cameras 151
PLAIN_PIXELS = 64_000_000
PLAIN_BYTES = 2**27
MAX_SCANS = 1_000
"""Scans of a JPEG. Encoders write up to about 20; the time to decode grows with scans times pixels."""
PLAIN_SCANS = 32
PLAIN_SCANNED_PIXELS = 8 * PLAIN_PIXELS
WEBP_BYTES_PER_PIXEL = 12
"""Memory of the WebP decoder, beyond the picture."""

_HEADER_BYTES = 2**20  # pixel data of plain files begins within these
_MAX_SEGMENTS = 4_096  # of a JPEG before its frame header


@dataclass(frozen=True)
class PhotoHeader:
    """width, height: as stored.  plain: see the module.  scans: of a JPEG, each of which takes time for every pixel."""

    width: int
    height: int
    plain: bool
    scans: int = 1


def read_header(data: bytes, image_format: str, memory: int, name: str | None) -> PhotoHeader | None:
    """The header of a photo; None if this module cannot read it.

    memory: bytes that decoding may take beyond the picture. Raises `MediaError`: too-large or too-slow.
    """
    parse = _PARSERS.get(image_format)
    header = parse(data) if parse else None
    if header is None:
        return None
    area = header.width * header.height
    check_area(header.width, header.height, name)
    if image_format == "WEBP" and area * WEBP_BYTES_PER_PIXEL > memory:
        what = f"{header.width} x {header.height} pixels need over {memory // 10**6:,} MB to decode as WebP"
        raise MediaError(what, type="too-large", where=name, remedy="raise --decode-memory or scale it down")
    if header.scans > MAX_SCANS:
        what = f"this JPEG has {header.scans:,} scans, over the limit of {MAX_SCANS:,}"
        raise MediaError(what, type="too-slow", where=name, remedy="save it again as an ordinary JPEG")
    cheap = area <= PLAIN_PIXELS and len(data) <= PLAIN_BYTES and header.scans * area <= PLAIN_SCANNED_PIXELS
    return replace(header, plain=header.plain and cheap)


def check_area(width: int, height: int, name: str | None) -> None:
    """Raises `MediaError` (too-large) beyond `MAX_PIXELS`."""
    if width * height > MAX_PIXELS:
        what = f"{width} x {height} pixels are over the limit of {MAX_PIXELS:,}"
        raise MediaError(what, type="too-large", where=name, remedy="scale it down")


def _jpeg(data: bytes) -> PhotoHeader | None:
    position, frame = 2, b""
    for _ in range(_MAX_SEGMENTS):
        head = data[position : position + 10]
        if len(head) < 10 or head[0] != 0xFF or position > _HEADER_BYTES:
            return None
        marker = head[1]
        if marker == 0xDA:
            if not frame:
                return None
            height, width = int.from_bytes(frame[5:7]), int.from_bytes(frame[7:9])
            complete = frame[1] in (0xC0, 0xC1) and head[4] == frame[9]  # one scan has all components
            # The marker of a scan cannot occur in pixel data, but in previews, which count as one scan each.
            scans = 1 if complete else data.count(b"\xff\xda", position)
            return PhotoHeader(width, height, frame[1] < 0xC8 and scans <= PLAIN_SCANS, scans)
        if 0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC):
            frame = head
        position += 1 if marker == 0xFF else 2 + int.from_bytes(head[2:4])  # 0xFF: a fill byte
    return None


def _png(data: bytes) -> PhotoHeader | None:
    if data[12:16] != b"IHDR":
        return None
    width, height = int.from_bytes(data[16:20]), int.from_bytes(data[20:24])
    position = data.find(b"IDAT", 0, _HEADER_BYTES) - 4
    if position < 0:
        return PhotoHeader(width, height, plain=False)
    most = 1_000 + len(data) // 1_024  # tiny chunks cost time, each one
    while data[position + 4 : position + 8] == b"IDAT" and most:
        position += 12 + int.from_bytes(data[position : position + 4])
        most -= 1
    return PhotoHeader(width, height, plain=most > 0)


def _gif(data: bytes) -> PhotoHeader | None:
    if len(data) < 13:
        return None
    size = int.from_bytes(data[6:8], "little"), int.from_bytes(data[8:10], "little")
    return PhotoHeader(*size, plain=len(data) <= 2**24)


def _bmp(data: bytes) -> PhotoHeader | None:
    if len(data) < 54 or int.from_bytes(data[14:18], "little") < 40:
        return None
    width = int.from_bytes(data[18:22], "little")
    height = abs(int.from_bytes(data[22:26], "little", signed=True))
    compression = int.from_bytes(data[30:34], "little")
    return PhotoHeader(width, height, plain=compression in (0, 3))  # Pillow decodes run lengths in Python: slowly


def _webp(data: bytes) -> PhotoHeader | None:
    if match := re.match(rb"RIFF.{4}WEBPVP8X.{4}.{4}(.{3})(.{3})", data[:30], re.DOTALL):
        width, height = (1 + int.from_bytes(side, "little") for side in match.groups())
    elif match := re.match(rb"RIFF.{4}WEBPVP8L.{4}\x2f(.{4})", data[:25], re.DOTALL):
        bits = int.from_bytes(match[1], "little")
        width, height = 1 + (bits & 0x3FFF), 1 + (bits >> 14 & 0x3FFF)
    elif match := re.match(rb"RIFF.{4}WEBPVP8 .{4}.{3}\x9d\x01\x2a(.{2})(.{2})", data[:30], re.DOTALL):
        width, height = (int.from_bytes(side, "little") & 0x3FFF for side in match.groups())
    else:
        return None
    return PhotoHeader(width, height, plain=width * height <= PLAIN_PIXELS // 4)


_PARSERS: dict[str, Callable[[bytes], PhotoHeader | None]] = {
    "JPEG": _jpeg,
    "PNG": _png,
    "GIF": _gif,
    "BMP": _bmp,
    "WEBP": _webp,
}
