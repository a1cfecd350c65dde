"""Videos: sample frames, decode those frames only, and reduce each at once, whatever the video's length.

Each frame is reduced as soon as it is decoded, so that one frame of full size is in memory at a time. A file
that is shorter than its headers say, or a sampled frame that is damaged, is an error; decoders would conceal
it. HLG, PQ and wide-gamut frames are converted to sRGB (`color_spaces`); other frames keep their stored numbers.
Interlaced frames are used as they are, and pixels are taken to be square.
"""

import math
from bisect import bisect_left
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from PIL import Image

from realqa_cli.errors import UsageError
from realqa_cli.media.decode import DEFAULT_DECODING, DecodeOptions
from realqa_cli.media.frames import FrameReader, open_video
from realqa_cli.media.worker_pool import AVAILABLE, WorkerFrameReader, open_video_in_worker

FRAMES = 8
"""Frames that are sampled by default."""
FRAMES_AT_A_RATE = 64
"""Most frames that are sampled at a rate by default; more would leave each frame fewer pixels than a photo."""
MAX_FRAMES = 768
"""Qwen2-VL's own limit."""

FrameTransform = Callable[[Image.Image, int], Image.Image]
"""`transform(frame, frames)`: applied to each frame, upright and RGB, as soon as it is decoded; `frames` is the
number of frames in the clip."""


@dataclass(frozen=True)
class Clip:
    """The sampled frames of a video, all of one size.

    times: of each frame, in seconds from the first frame of the video.  seconds: the video's duration.
    decoded: how many frames had to be decoded for these.
    """

    frames: tuple[Image.Image, ...]
    times: tuple[float, ...]
    seconds: float
    decoded: int

    @property
    def pace(self) -> float:
        """Mean seconds from one frame to the next; the whole duration for a single frame."""
        count = len(self.times)
        return (self.times[-1] - self.times[0]) / (count - 1) if count > 1 else self.seconds


VisualInput = Image.Image | Clip
"""What a model looks at: a photo or a video."""


@dataclass(frozen=True)
class Sampling:
    """How frames are sampled: evenly over the time from the first frame to the last, as Qwen2-VL does.

    frames: how many; with a rate, the most.  fps: frames per second of the video, from its start.
    There are never more than the video has.
    """

    frames: int | None = None
    fps: float | None = None

    def check(self) -> None:
        """Raises UsageError for numbers out of range."""
        if self.frames is not None and not 1 <= self.frames <= MAX_FRAMES:
            raise UsageError(f"must be from 1 to {MAX_FRAMES}, not {self.frames}", where="--frames")
        if self.fps is not None and not 0 < self.fps < math.inf:
            raise UsageError(f"must be above 0, not {self.fps:g}", where="--fps")

    def settings(self) -> dict[str, Any]:
        """For a manifest: what decides which frames are sampled."""
        return {"frames": self.frames or (FRAMES_AT_A_RATE if self.fps else FRAMES), "fps": self.fps}

    def choose(self, times: Sequence[float]) -> list[int]:
        """Indices of the sampled frames, given the ascending times of all frames in seconds.

        A frame that is shown for long may occur twice.
        """
        first, span = times[0], times[-1] - times[0]
        most = min(self.settings()["frames"], len(times))
        if self.fps and (count := int(span * self.fps + 1e-6) + 1) <= most:
            instants = [first + i / self.fps for i in range(count)]
        elif most == len(times):
            return [*range(most)]
        elif most == 1:
            instants = [first + span / 2]
        else:
            instants = [first + span * i / (most - 1) for i in range(most)]
        return [_nearest(times, instant) for instant in instants]


def read_video(
    path: Path,
    sampling: Sampling,
    transform: FrameTransform,
    *,
    name: str | None = None,
    options: DecodeOptions = DEFAULT_DECODING,
) -> Clip:
    """The sampled frames of a video, each as `transform` returns it.

    `name` is used in error messages (default: the path). Raises `MediaError`; UsageError for `sampling`.
    """
    sampling.check()
    kept: dict[int, Image.Image] = {}
    with _open_video(path, str(path) if name is None else name, options) as reader:
        chosen = sampling.choose(reader.times)
        for index in sorted(set(chosen)):
            image = transform(reader.frame(index), len(chosen))
            size = next(iter(kept.values()), image).size
            kept[index] = image if image.size == size else image.resize(size)  # some videos change their size
        times = tuple(reader.times[index] for index in chosen)
        return Clip(tuple(kept[index] for index in chosen), times, reader.seconds, reader.decoded)


def first_frame(path: Path, options: DecodeOptions = DEFAULT_DECODING) -> Image.Image:
    """A video's first frame, at its full size. Raises `MediaError`."""
    with _open_video(path, str(path), options) as reader:
        return reader.frame(0)


def _open_video(
    path: Path, name: str, options: DecodeOptions
) -> AbstractContextManager[FrameReader | WorkerFrameReader]:
    if AVAILABLE:
        return open_video_in_worker(path, name, options)
    return open_video(path, name, options)


def _nearest(times: Sequence[float], instant: float) -> int:
    """Index of the frame whose time is closest to the instant; the earlier of two."""
    after = min(bisect_left(times, instant), len(times) - 1)
    return after - 1 if after and instant - times[after - 1] <= times[after] - instant else after
