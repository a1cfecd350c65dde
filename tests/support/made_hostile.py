"""Files that are small on disk and expensive to decode, made for the tests."""

import io
import struct
import zlib

from PIL import Image


def progressive_jpeg(scans: int, side: int) -> bytes:
    """A grey progressive JPEG of side x side pixels with so many scans, each of which refines all coefficients."""
    packed = io.BytesIO()
    Image.new("L", (side, side), 128).save(packed, "JPEG", progressive=True)
    data = packed.getvalue()
    first = data.index(b"\xff\xda")
    second = data.index(b"\xff\xda", first + 2)
    # A scan that is repeated refines again: libjpeg warns, and goes through all blocks.
    refining = data[data.rindex(b"\xff\xda") : -2]
    tables = data[second : data.rindex(b"\xff\xda")]
    return data[:second] + tables + refining * scans + b"\xff\xd9"


def webp_header(width: int, height: int) -> bytes:
    """A lossless WebP of a few bytes: all pixels are equal, so that its codes take no bits."""
    packed = io.BytesIO()
    Image.new("RGB", (16, 16), "white").save(packed, "WEBP", lossless=True)
    data = bytearray(packed.getvalue())
    at = data.index(b"VP8L") + 9
    bits = int.from_bytes(data[at : at + 4], "little") & ~0xFFFFFFF
    data[at : at + 4] = (bits | (width - 1) | (height - 1) << 14).to_bytes(4, "little")
    return bytes(data)


def transparent_png(width: int, height: int) -> bytes:
    """An RGBA PNG of zeros: a thousandth of its size in memory."""

    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    packer, row = zlib.compressobj(9), bytes(1 + 4 * width)
    pixels = b"".join(packer.compress(row) for _ in range(height)) + packer.flush()
    head = struct.pack(">IIBBBBB", width, height, 8, 6, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", pixels) + chunk(b"IEND", b"")


def box(kind: bytes, *parts: bytes) -> bytes:
    """An MP4 box."""
    body = b"".join(parts)
    return struct.pack(">I", 8 + len(body)) + kind + body


def tiny_boxes(count: int) -> bytes:
    """An MP4 of so many empty boxes."""
    return box(b"ftyp", b"isom\0\0\0\0isom") + box(b"free") * count


def many_samples(data: bytes, samples: int) -> bytes:
    """The MP4 with a table that declares so many samples of one byte."""
    at = data.index(b"stsz") + 8
    return data[:at] + (1).to_bytes(4, "big") + samples.to_bytes(4, "big") + data[at + 8 :]


def many_chunks(data: bytes, chunks: int) -> bytes:
    """The MP4 with a table that declares so many chunks, and has as many as before."""
    at = data.index(b"stco") + 8
    return data[:at] + chunks.to_bytes(4, "big") + data[at + 4 :]
