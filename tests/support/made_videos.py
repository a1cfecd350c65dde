"""Small videos for the tests, made by PyAV: a pan over a picture, in any container, codec and mishap."""

from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
from PIL import Image

SIZE = (96, 64)


def picture(seed: int = 0, size: tuple[int, int] = (240, 160)) -> Image.Image:
    """Soft blobs of colour: compresses well, and no two places look alike."""
    rng = np.random.default_rng(seed)
    small = Image.fromarray(rng.integers(0, 256, (6, 9, 3), dtype=np.uint8))
    return small.resize(size, Image.Resampling.BICUBIC)


def pan(count: int, image: Image.Image | None = None, size: tuple[int, int] = SIZE) -> list[Image.Image]:
    """A camera that moves over the picture from one corner to the other."""
    image = picture() if image is None else image
    wide, high = image.width - size[0], image.height - size[1]
    places = [i / max(count - 1, 1) for i in range(count)]
    return [
        image.crop((round(p * wide), round(p * high), round(p * wide) + size[0], round(p * high) + size[1]))
        for p in places
    ]


def write(
    path: Path,
    frames: Sequence[Image.Image] | None = None,
    *,
    codec: str = "libx264",
    fps: float = 25,
    times: Sequence[int] | None = None,
    gop: int = 10,
    rotation: tuple[float, bool, bool] | None = None,
    sound: bool = False,
    **muxer: str,
) -> Path:
    """Writes the frames (default: 2 s of a pan) and returns the path.

    times: of each frame in ms, for a varying rate.  gop: frames from one keyframe to the next.
    rotation: (degrees counter-clockwise, flipped left to right, flipped top to bottom) in the metadata.
    """
    frames = pan(round(2 * fps)) if frames is None else frames
    base = Fraction(1, 1000) if times else 1 / Fraction(fps).limit_denominator(1000)
    with av.open(str(path), "w", options=muxer) as container:
        stream: Any = container.add_stream(codec, rate=Fraction(fps).limit_denominator(1000))
        stream.width, stream.height = frames[0].size
        stream.pix_fmt = "yuv420p"
        stream.codec_context.gop_size = gop
        stream.codec_context.time_base = base
        if codec == "libx264":
            stream.options = {"preset": "ultrafast", "crf": "12", "bf": "2", "sc_threshold": "0"}
        if rotation:
            stream.set_display_rotation(rotation[0], hflip=rotation[1], vflip=rotation[2])
        song: Any = container.add_stream("aac", rate=8000) if sound else None
        for i, image in enumerate(frames):
            frame = av.VideoFrame.from_image(image)  # type: ignore[no-untyped-call]
            frame.pts, frame.time_base = times[i] if times else i, base
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
        if sound:
            _sing(container, song)
    return path


def write_sound(path: Path) -> Path:
    """A song: sound only."""
    with av.open(str(path), "w") as container:
        _sing(container, container.add_stream("aac", rate=8000))
    return path


def _sing(container: Any, song: Any) -> None:
    for i in range(10):
        frame = av.AudioFrame(format="fltp", layout="mono", samples=1024)
        frame.planes[0].update(bytes(frame.planes[0].buffer_size))
        frame.sample_rate, frame.pts, frame.time_base = 8000, i * 1024, Fraction(1, 8000)
        container.mux(song.encode(frame))
    container.mux(song.encode())


def all_frames(path: Path) -> list[Image.Image]:
    """Every frame, decoded from the start as a player does it, not turned."""
    with av.open(str(path)) as container:
        return [frame.to_image() for frame in container.decode(container.streams.video[0])]  # type: ignore[no-untyped-call]
