"""Writes the small hostile files of tests/data/hostile, each named after its expected outcome: OUTCOME-what.suffix.

The outcome is "photo", "video" or an error type; tests/test_hostile_files.py compares. Run it as
`python tests/data/make_hostile.py` with tests/support on the path of modules. The files are our own.
"""

import io
import struct
import sys
import zlib
from pathlib import Path

import numpy as np
from PIL import Image

FOLDER = Path(__file__).parent / "hostile"
sys.path.insert(0, str(FOLDER.parents[1] / "support"))

from made_hostile import many_chunks, many_samples, progressive_jpeg, webp_header  # noqa: E402
from made_profiles import SPACES, rgb_profile  # noqa: E402
from made_videos import pan, write  # noqa: E402


def photo() -> Image.Image:
    """A small noisy picture, so that the end of the file holds pixels."""
    return Image.fromarray(np.random.default_rng(0).integers(0, 256, (24, 32, 3), np.uint8))


def pack(image_format: str, image: Image.Image | None = None, **options: object) -> bytes:
    """The picture as a file."""
    packed = io.BytesIO()
    (image or photo()).save(packed, image_format, **options)
    return packed.getvalue()


def chunk(kind: bytes, body: bytes) -> bytes:
    """A chunk of a PNG."""
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def with_chunk(kind: bytes, body: bytes) -> bytes:
    """A PNG with one more chunk after its header."""
    data = pack("PNG")
    return data[:33] + chunk(kind, body) + data[33:]


def png_of_size(width: int, height: int) -> bytes:
    """A PNG that states a size and has hardly any pixels."""
    head = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    pixels = chunk(b"IDAT", zlib.compress(bytes(8)))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + pixels + chunk(b"IEND", b"")


def exif(orientation: int) -> bytes:
    """EXIF with an orientation."""
    tags = Image.Exif()
    tags[0x0112] = orientation
    return tags.tobytes()


def tiff_loop() -> bytes:
    """A TIFF whose directory follows itself."""
    return b"II*\0\x08\0\0\0" + struct.pack("<HHHII", 1, 256, 3, 1, 9) + struct.pack("<I", 8)


def files() -> dict[str, bytes]:
    """All files by name."""
    jpeg, png = pack("JPEG"), pack("PNG")
    made = {f"broken-truncated.{f.lower()}": pack(f)[:-200] for f in ("JPEG", "PNG", "WEBP", "BMP", "TIFF", "GIF")}
    made |= {
        "broken-avif-truncated.avif": pack("AVIF")[:-100],
        "broken-header-only.jpg": jpeg[:20],
        "broken-no-pixels.png": png[:33],
        "broken-zero-size.png": png_of_size(0, 5),
        "broken-wrong-checksum.png": png[:40] + bytes([png[40] ^ 255]) + png[41:],
        "broken-directory-loop.tif": tiff_loop(),
        "broken-text-bomb.png": with_chunk(b"zTXt", b"a\0\0" + zlib.compress(bytes(2**25), 9)),
        "photo-huge-chunk-length.png": png[:33] + b"\x7f\xff\xff\xffIDAT" + png[41:],
        "broken-nan.tif": pack("TIFF", Image.fromarray(np.full((4, 4), np.nan, np.float32))),
        "photo-exif-garbage.jpg": pack("JPEG", exif=b"Exif\0\0MM\0*\xff\xff\xff\xff"),
        "photo-exif-turned.jpg": pack("JPEG", exif=exif(6)),
        "photo-exif-impossible.jpg": pack("JPEG", exif=exif(99)),
        "photo-profile-garbage.jpg": pack("JPEG", icc_profile=b"garbage"),
        "photo-profile-truncated.png": pack("PNG", icc_profile=rgb_profile(*SPACES["Display P3"])[:150]),
        "photo-profile-large.png": pack("PNG", icc_profile=bytes(2**21)),
        "photo-trailing-garbage.jpg": jpeg + b"garbage" * 10,
        "photo-named-wrongly.jpg": png,
        "photo-without-suffix": jpeg,
        "photo-text-large.png": with_chunk(b"zTXt", b"a\0\0" + zlib.compress(bytes(2**21), 9)),
        "photo-interlaced-16-bit.png": pack("PNG", Image.fromarray(np.full((9, 7), 30_000, np.uint16))),
        "photo-cmyk.jpg": pack("JPEG", photo().convert("CMYK")),
        "photo-animated.gif": pack("GIF", save_all=True, append_images=[photo()] * 3),
        "too-large-header.png": png_of_size(30_000, 30_000),
        "too-large-header.webp": webp_header(15_000, 15_000),
        "too-large-2-to-the-31.png": png_of_size(2**31 - 1, 2**31 - 1),
        "too-slow-1100-scans.jpg": progressive_jpeg(1_100, 16),
        "unsupported-strip.png": png_of_size(1, 65_535),
        "unsupported-loop.eps": b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n{ } loop\n",
        "unsupported-entity.svg": b'<!DOCTYPE s [<!ENTITY x SYSTEM "file:///etc/passwd">]><svg>&x;</svg>',
        "unsupported-page.jpg": b"<!DOCTYPE html><title>404</title>",
        "unsupported-pointer.jpg": b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 9\n",
        "unsupported-playlist.mp4": b"#EXTM3U\nfile:///etc/passwd\n",
        "empty.jpg": b"",
    }
    path = FOLDER / "video-ok.mp4"
    video = write(path, [frame.resize((64, 48)) for frame in pan(3)]).read_bytes()
    made |= {
        "video-ok.mp4": video,
        "broken-truncated.mp4": video[:-50],
        "broken-40-million-samples.mp4": many_samples(video, 40_000_000),
        "broken-4-billion-chunks.mp4": many_chunks(video, 2**32 - 1),
        "broken-no-frames.mp4": video[:32],
    }
    return made


def main() -> None:
    """Writes the files."""
    FOLDER.mkdir(exist_ok=True)
    made = files()
    for name, data in made.items():
        (FOLDER / name).write_bytes(data)


if __name__ == "__main__":
    main()
