"""The worker process of `media.worker_pool`: decodes one file at a time within a budget of time and memory.

A request that takes too long ends the process by SIGALRM, so that it cannot outlive the process that started it
by more than its budget. The memory is limited where the system counts the address space (Linux).
"""

import io
import json
import logging
import os
import resource
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any, BinaryIO

from PIL import AvifImagePlugin, Image

from realqa_cli.errors import MediaError
from realqa_cli.media.decode import DecodeOptions, decoded, mute_decoder_warnings
from realqa_cli.media.formats import prepare_decoder
from realqa_cli.media.frames import FrameReader, open_video

_GRACE_SECONDS = 2.0  # the other process ends the wait first, and knows why
_PICTURE_BYTES = 4  # a pixel of a decoded photo
_VIDEO_PICTURE_BYTES = 32  # a pixel of a video: decoders keep up to 16 frames for reference
_THREADS = 2  # of a decoder: each takes address space
_STATM = Path("/proc/self/statm")


class _Notes(logging.Handler):
    """Collects the warnings of a request, which the other process shows."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.messages: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.messages.append(record.getMessage())


class _Session:
    """Answers requests, one after the other."""

    def __init__(self, input_fd: int, output_fd: int) -> None:
        self._input, self._output = input_fd, output_fd
        self._video = ExitStack()
        self._reader: FrameReader | None = None
        self._notes = _Notes()
        logging.getLogger("realqa").addHandler(self._notes)
        self._requests: dict[str, Callable[..., dict[str, Any]]] = {
            "photo": self._photo,
            "video": self._open,
            "frame": self._frame,
            "close": self._close,
        }

    def answer(self, request: str, seconds: float, **fields: Any) -> dict[str, Any]:
        self._notes.messages.clear()
        signal.setitimer(signal.ITIMER_REAL, seconds + _GRACE_SECONDS)
        try:
            reply = self._requests[request](**fields)
        except MediaError as error:
            self._video.close()
            error_fields = {"what": error.what, "type": error.type, "where": error.where, "remedy": error.remedy}
            reply = {"error": error_fields}
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)
            _limit_memory(None)
        return {**reply, "notes": [*self._notes.messages]}

    def _photo(self, format: str, name: str | None, options: dict[str, Any]) -> dict[str, Any]:
        data = os.pread(self._input, os.fstat(self._input).st_size, 0)
        settings = DecodeOptions(**options)
        prepare_decoder(format)
        _limit_memory(settings.memory * 10**6 + _PICTURE_BYTES * _area(data, format))
        with decoded(data, format, name, settings) as photo:
            self._write(photo.bands())
            width, height = photo.image.size
        return {"width": width, "height": height}

    def _open(self, path: str, name: str, options: dict[str, Any]) -> dict[str, Any]:
        import av  # noqa: F401 - before the memory is measured

        self._close()
        self._memory = DecodeOptions(**options).memory * 10**6
        _limit_memory(self._memory)
        opened = open_video(Path(path), name, DecodeOptions(**options), threads=_THREADS)
        self._reader = self._video.enter_context(opened)
        return {"times": [*self._reader.times], "seconds": self._reader.seconds}

    def _frame(self, index: int) -> dict[str, Any]:
        assert self._reader is not None
        area = self._reader.stream.codec_context.width * self._reader.stream.codec_context.height
        _limit_memory(self._memory + _VIDEO_PICTURE_BYTES * area)
        with self._video.pop_all() as video:  # makes a `MediaError` of the decoder's error
            frame = self._reader.frame(index)
            self._video = video.pop_all()
        self._write([frame.tobytes()])
        return {"width": frame.width, "height": frame.height, "decoded": self._reader.decoded}

    def _close(self) -> dict[str, Any]:
        self._video.close()
        self._reader = None
        return {}

    def _write(self, parts: "Iterator[bytes] | list[bytes]") -> None:
        os.ftruncate(self._output, 0)
        position = 0
        for part in parts:
            view = memoryview(part)
            while view:
                written = os.pwrite(self._output, view, position)
                position, view = position + written, view[written:]


def _area(data: bytes, image_format: str) -> int:
    """The pixels of a photo by its header; 0 if it has no header that Pillow knows."""
    mute_decoder_warnings()
    try:
        with Image.open(io.BytesIO(data), formats=(image_format,)) as image:
            return image.width * image.height
    except Exception:  # noqa: BLE001 - decoding reports what is wrong
        return 0


def _limit_memory(more: int | None) -> None:
    """Limits the address space to what is in use now and `more` bytes; None lifts the limit."""
    if not _STATM.exists():
        return
    _, hard = resource.getrlimit(resource.RLIMIT_AS)
    if more is None:
        resource.setrlimit(resource.RLIMIT_AS, (hard, hard))
        return
    in_use = int(_STATM.read_text().split()[0]) * resource.getpagesize()
    limit = in_use + more
    resource.setrlimit(resource.RLIMIT_AS, (limit if hard == resource.RLIM_INFINITY else min(limit, hard), hard))


def _take_stdout() -> BinaryIO:
    """The stream for replies. Whatever libraries print goes nowhere."""
    replies = os.fdopen(os.dup(1), "wb", buffering=0)
    null = os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, 1)
    os.close(null)
    return replies


def main() -> None:
    """Answers requests until stdin ends. Arguments: the descriptors of the shared input and output memory."""
    replies = _take_stdout()
    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    AvifImagePlugin.DEFAULT_MAX_THREADS = _THREADS
    session = _Session(*map(int, sys.argv[1:]))
    replies.write(b'{"ready": true}\n')
    for line in sys.stdin.buffer:
        reply = json.dumps(session.answer(**json.loads(line))).encode() + b"\n"
        view = memoryview(reply)
        while view:
            view = view[replies.write(view) or 0 :]
