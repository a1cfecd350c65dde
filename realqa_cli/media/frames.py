"""Single frames of a video file, found by seeking with PyAV.

One pass over the packets, without decoding, finds the frames that really exist (headers may state another
number). A frame is then decoded from the keyframe before it. AVI files have no times for their frames and are
decoded from the start.

Knows nothing of how frames are sampled, or of models.
"""

import math
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

from PIL import Image

from realqa_cli.errors import MediaError, RealqaError
from realqa_cli.media.color_spaces import ColorSpace
from realqa_cli.media.containers import check_tables, container_format, expected_size
from realqa_cli.media.decode import DEFAULT_DECODING, DecodeOptions, out_of_memory
from realqa_cli.media.files import open_file
from realqa_cli.media.limits import MAX_PIXELS
from realqa_cli.media.resize import check_ratio

if TYPE_CHECKING:
    from av.container import InputContainer
    from av.video.frame import VideoFrame
    from av.video.stream import VideoStream

# By the first four numbers of the display matrix, which are (x to x, x to y, y to x, y to y).
_TRANSPOSES = {
    (-1, 0, 0, 1): Image.Transpose.FLIP_LEFT_RIGHT,
    (-1, 0, 0, -1): Image.Transpose.ROTATE_180,
    (1, 0, 0, -1): Image.Transpose.FLIP_TOP_BOTTOM,
    (0, 1, 1, 0): Image.Transpose.TRANSPOSE,
    (0, -1, 1, 0): Image.Transpose.ROTATE_90,
    (0, -1, -1, 0): Image.Transpose.TRANSVERSE,
    (0, 1, -1, 0): Image.Transpose.ROTATE_270,
}


@contextmanager
def open_video(
    path: Path, name: str, options: DecodeOptions = DEFAULT_DECODING, threads: int = 0
) -> "Iterator[FrameReader]":
    """A reader of the file's frames, in this process and without limits on time; threads: of the decoder.

    Raises `MediaError`, also inside the `with` block: missing, empty, unreadable, unsupported, broken or too-large.
    """
    with open_file(path) as (file, size):
        try:
            with _open(file, size, name) as container:
                stream = _video_stream(container, name)
                stream.codec_context.thread_count = threads
                reader = _frame_reader(container, stream, name)
                reader.color_management = options.color_management
                yield reader
        except RealqaError:
            raise
        except MemoryError as error:
            raise out_of_memory(name) from error
        except Exception as error:
            # As with photos: hostile bytes make decoders raise nearly anything, and each is one failed item.
            reason = getattr(error, "strerror", None) or error
            raise _broken(f"it cannot be decoded ({reason})", name) from error


@dataclass
class FrameReader:
    """Decodes single frames, in ascending order; going back needs a new reader.

    times: of all frames, in seconds from the first.  seconds: the video's duration.
    decoded: how many frames were decoded so far.
    stamps: the times in units of the stream.  keys: the stamps of the keyframes.
    color_management: whether HLG, PQ and wide-gamut frames are converted to sRGB (`color_spaces`).
    """

    container: "InputContainer"
    stream: "VideoStream"
    name: str
    times: Sequence[float]
    seconds: float
    stamps: Sequence[int]
    keys: Sequence[int]
    decoded: int = 0
    color_management: bool = True
    _decoding: "Iterator[VideoFrame] | None" = None
    _current: "VideoFrame | None" = None  # the last frame at or before the requested stamp
    _next: "VideoFrame | None" = None  # the frame after it, if it had to be decoded
    _reached: float = field(default=-math.inf)  # the stamp of the last request

    def frame(self, index: int) -> Image.Image:
        """The frame that is shown at the time of the index-th frame, upright and RGB.

        Raises `MediaError` (broken) if it is missing or damaged.
        """
        stamp = self.stamps[index]
        key = self.keys[max(bisect_right(self.keys, stamp) - 1, 0)] if self.keys else self.stamps[0]
        if self._decoding is None or key > self._reached:
            self._seek(key)
        frame = self._decode_until(stamp)
        if frame is None and key > self.stamps[0]:  # the file's index led past the frame
            self._seek(self.stamps[0])
            frame = self._decode_until(stamp)
        if frame is None or frame.is_corrupt:
            state = "missing" if frame is None else "damaged"
            raise _broken(f"the frame at {self.times[index]:.2f} s is {state}", self.name)
        return _upright(frame, self.name, color_management=self.color_management)

    def _seek(self, stamp: int) -> None:
        self.container.seek(stamp, stream=self.stream)
        self._decoding, self._current, self._next = self._decode(), None, None

    def _decode(self) -> "Iterator[VideoFrame]":
        for frame in self.container.decode(self.stream):
            self.decoded += 1
            yield frame

    def _decode_until(self, stamp: int) -> "VideoFrame | None":
        assert self._decoding is not None
        self._reached = stamp
        while self._current is None or self._stamp(self._current) < stamp:
            self._next = self._next or next(self._decoding, None)
            if self._next is None:
                return None  # the file ended before
            if self._stamp(self._next) > stamp:
                return self._current
            self._current, self._next = self._next, None
        return self._current

    def _stamp(self, frame: "VideoFrame") -> int:
        if frame.pts is None:
            raise _broken("its frames have no time stamps", self.name)
        return int(frame.pts)


class _CountingReader(FrameReader):
    """For containers without time stamps: frames are counted from the start, and stamps are those counts."""

    def _seek(self, stamp: int) -> None:
        super()._seek(self.stream.start_time or 0)

    def _decode(self) -> "Iterator[VideoFrame]":
        for count, frame in enumerate(super()._decode()):
            frame.pts = count
            yield frame


class _TransportReader(FrameReader):
    """For MPEG transport streams, which have no index: a seek lands after the time that it is given."""

    _MARGIN = 2 * 90_000  # two seconds of the format's clock

    def _seek(self, stamp: int) -> None:
        super()._seek(stamp - self._MARGIN)


@contextmanager
def _open(file: BinaryIO, size: int, name: str) -> "Iterator[InputContainer]":
    """The file's container, opened by its own demuxer only, so that playlists and the like are never followed."""
    import av

    container = container_format(file)
    if container is None:
        remedy = "realqa reads MP4, MOV, MKV, WebM, AVI and MPEG-TS"
        raise MediaError("not a video of a known format", type="unsupported", where=name, remedy=remedy)
    try:
        if expected_size(file, container, size) > size:
            raise _broken("the end of the file is missing", name)
        check_tables(file, container, size)
    except OverflowError as error:
        raise MediaError(str(error), type="too-slow", where=name, remedy="convert it to an ordinary MP4") from error
    except ValueError as error:
        raise _broken(str(error), name) from error
    file.seek(0)
    with av.open(file, "r", format=container, metadata_errors="replace", buffer_size=2**18) as opened:
        yield opened


def _video_stream(container: "InputContainer", name: str) -> "VideoStream":
    """The first video stream; the cover picture of a song does not count."""
    from av.stream import Disposition

    streams = [s for s in container.streams.video if not s.disposition & Disposition.attached_pic]
    if not streams:
        what = "this file has no video stream" + (", only sound" if container.streams.audio else "")
        raise MediaError(what, type="unsupported", where=name, remedy="give videos or photos")
    codec: Any = streams[0].codec_context
    if codec is None:
        remedy = "convert it to H.264"
        raise MediaError("its codec is unknown", type="unsupported", where=name, remedy=remedy)
    if codec.width * codec.height > MAX_PIXELS:
        what = f"{codec.width} x {codec.height} pixels are over the limit of {MAX_PIXELS:,}"
        raise MediaError(what, type="too-large", where=name, remedy="scale it down")
    return streams[0]


def _frame_reader(container: "InputContainer", stream: "VideoStream", name: str) -> FrameReader:
    """A reader with the times of all frames, from one pass over the packets."""
    stamps: list[int] = []
    keys: list[int] = []
    for packet in container.demux(stream):
        if packet.is_corrupt:
            raise _broken("the file is truncated or damaged", name)
        if packet.pts is None or packet.is_discard:
            continue
        stamps.append(packet.pts)
        if packet.is_keyframe:
            keys.append(packet.pts)
    if not stamps:
        raise _broken("it has no frames", name)
    if container.format.name == "avi":
        rate, counts = float(stream.average_rate or 25), range(len(stamps))
        times = [i / rate for i in counts]
        return _CountingReader(container, stream, name, times, len(times) / rate, counts, [0])
    stamps.sort()
    unit = float(stream.time_base or 1)
    times = [(stamp - stamps[0]) * unit for stamp in stamps]
    pace = times[-1] / (len(times) - 1) if len(times) > 1 else float(stream.duration or 0) * unit
    reader = _TransportReader if container.format.name == "mpegts" else FrameReader
    return reader(container, stream, name, times, times[-1] + pace, stamps, sorted(keys))


def _upright(frame: Any, name: str, *, color_management: bool) -> Image.Image:
    """The frame as an RGB image, with the rotation and mirroring that the container states."""
    check_ratio(frame.width, frame.height, name)
    space = ColorSpace.of_codes(int(frame.color_primaries), int(frame.color_trc)) if color_management else None
    stored: Any = frame.to_image() if space is None else frame.to_ndarray(format="rgb48le")
    image: Image.Image = stored if space is None else Image.fromarray(space.to_srgb(stored))
    matrix = frame.side_data.get("DISPLAYMATRIX")
    if matrix is None:
        return image
    a, b, _, c, d, *_ = (round(n / 65_536) for n in memoryview(matrix).cast("B").cast("i"))
    transpose = _TRANSPOSES.get((a, b, c, d))
    return image if transpose is None else image.transpose(transpose)


def _broken(what: str, name: str) -> MediaError:
    remedy = "replace it by an intact copy"
    return MediaError(f"this video is broken: {what}", type="broken", where=name, remedy=remedy)
