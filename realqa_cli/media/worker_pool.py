"""Decodes in worker processes, whose time and memory are limited, and which are replaced if they exceed either.

A worker is started when it is first needed, and reused. It gets requests and sends replies as lines of JSON; the
bytes of files and of pixels go through memory that both processes share. `media.decode_worker` is the other side.
"""

import atexit
import json
import os
import select
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from math import ceil
from pathlib import Path
from typing import Any

from PIL import Image

from realqa_cli.errors import MediaError
from realqa_cli.media.decode import DecodeOptions, log, out_of_memory

AVAILABLE = os.name == "posix"
"""Elsewhere, files are decoded in this process and without limits on time and memory."""

VIDEO_BYTES_A_SECOND = 10_000_000
"""A video may take one second more for so many bytes: the whole file is read to find its frames."""
_START_SECONDS = 60.0
_BAND_BYTES = 2**24
"""Bytes of a decoded image that are copied at a time."""
_COMMAND = "from realqa_cli.media.decode_worker import main; main()"


def decode_in_worker(data: bytes, image_format: str, name: str | None, options: DecodeOptions) -> Image.Image:
    """The photo as `open_photo` returns it. Raises `MediaError`."""
    with _borrowed(name, options.timeout) as call:
        reply = call("photo", data, format=image_format, name=name, options=asdict(options))
        return call.worker.image(reply)


@dataclass
class WorkerFrameReader:
    """A `FrameReader` in a worker process: times and seconds as there; `decoded` is updated with each frame."""

    times: Sequence[float]
    seconds: float
    decoded: int
    _call: "_Call"

    def frame(self, index: int) -> Image.Image:
        """See `FrameReader.frame`."""
        reply = self._call("frame", index=index)
        self.decoded = reply["decoded"]
        return self._call.worker.image(reply)


@contextmanager
def open_video_in_worker(path: Path, name: str, options: DecodeOptions) -> Iterator[WorkerFrameReader]:
    """A reader of the video's frames. Raises `MediaError`, also inside the `with` block."""
    try:
        size = path.stat().st_size
    except (OSError, ValueError):
        size = 0  # the worker reports what is wrong
    with _borrowed(name, options.timeout + size / VIDEO_BYTES_A_SECOND) as call:
        reply = call("video", path=os.path.abspath(path), name=name, options=asdict(options))
        yield WorkerFrameReader(reply["times"], reply["seconds"], 0, call)
        call("close")


def stop_workers() -> None:
    """Kills all workers, so that nothing waits for them, as after an interrupt. New ones start when needed."""
    with _lock:
        idle, busy = [*_idle], [*_busy]
        _idle.clear()
    for worker in busy:  # the threads that wait for them close them
        worker.kill()
    for worker in idle:
        worker.end()


class _WorkerLostError(Exception):
    """The worker ended, or its time did."""


class _Worker:
    """One worker process, with the memory that it shares with this process: one file for input, one for output."""

    def __init__(self) -> None:
        self.input, self.output = _shared_file(), _shared_file()
        paths = os.pathsep.join(path for path in sys.path if path)
        limits = {"MALLOC_ARENA_MAX": "2", "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
        self.process = subprocess.Popen(
            [sys.executable, "-c", _COMMAND, str(self.input), str(self.output)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            pass_fds=(self.input, self.output),
            start_new_session=True,  # Ctrl-C in a terminal is for this process, which then stops its workers
            env={**os.environ, "PYTHONPATH": paths, **limits},
        )
        self._received = b""
        self.read(_START_SECONDS)

    def write(self, message: Mapping[str, Any], data: bytes | None = None) -> None:
        """Sends a request. Raises `_WorkerLostError`."""
        assert self.process.stdin is not None
        try:
            if data is not None:
                os.ftruncate(self.input, 0)
                _write_all(self.input, data)
            self.process.stdin.write(json.dumps(message).encode() + b"\n")
            self.process.stdin.flush()
        except OSError as error:
            raise _WorkerLostError from error

    def read(self, seconds: float) -> dict[str, Any]:
        """Its next reply. Raises TimeoutError and `_WorkerLostError`."""
        assert self.process.stdout is not None
        fd, end = self.process.stdout.fileno(), time.monotonic() + seconds
        poll = select.poll()
        poll.register(fd, select.POLLIN | select.POLLHUP)
        while b"\n" not in self._received[-1:]:
            left = end - time.monotonic()
            if left <= 0 or not poll.poll(ceil(left * 1000)):
                raise TimeoutError
            try:
                part = os.read(fd, 2**20)
            except OSError as error:
                raise _WorkerLostError from error
            if not part:
                raise _WorkerLostError
            self._received += part
        line, self._received = self._received, b""
        reply: dict[str, Any] = json.loads(line)
        return reply

    def image(self, reply: Mapping[str, Any]) -> Image.Image:
        """The RGB image in the shared memory, whose size the reply states.

        It is copied in bands: a mapping of all of it would count as memory of this process, next to the image.
        """
        width, height = reply["width"], reply["height"]
        image = Image.new("RGB", (width, height), None)  # not filled: all is written below
        rows = max(1, _BAND_BYTES // (3 * width))
        for top in range(0, height, rows):
            size = width, min(rows, height - top)
            image.paste(
                Image.frombytes("RGB", size, self._output_bytes(3 * width * top, 3 * width * size[1])), (0, top)
            )
        os.ftruncate(self.output, 0)
        return image

    def _output_bytes(self, position: int, count: int) -> bytes:
        parts = []
        while count and (part := os.pread(self.output, count, position)):
            parts.append(part)
            position, count = position + len(part), count - len(part)
        return b"".join(parts)

    def reset(self) -> None:
        """Releases the shared memory."""
        os.ftruncate(self.input, 0)
        os.ftruncate(self.output, 0)

    def kill(self) -> None:
        """Ends the process; safe to call twice, and from another thread."""
        self.process.kill()

    def end(self) -> int:
        """Kills the process if it still runs, and returns its exit status, negative for a signal."""
        self.process.kill()
        status = self.process.wait()
        for stream in (self.process.stdin, self.process.stdout):
            if stream is not None:
                with suppress(OSError):  # unsent data of a process that is gone
                    stream.close()
        os.close(self.input)
        os.close(self.output)
        return status


class _Call:
    """Requests to one worker about one file, with a budget of seconds for all of them."""

    def __init__(self, worker: _Worker, name: str | None, seconds: float) -> None:
        self.worker, self._name, self._budget, self._left = worker, name, seconds, seconds

    def __call__(self, request: str, data: bytes | None = None, **fields: Any) -> dict[str, Any]:
        start = time.monotonic()
        left = max(self._left, 0.05)
        self.worker.write({"request": request, "seconds": left, **fields}, data)
        reply = self.worker.read(left)
        self._left -= time.monotonic() - start
        for note in reply.get("notes", ()):
            log.warning("%s", note)
        if "error" in reply:
            raise MediaError(**reply["error"])
        return reply

    def too_slow(self) -> MediaError:
        what = f"decoding takes over {self._budget:.3g} s"
        remedy = "raise --decode-timeout, or convert the file"
        return MediaError(what, type="too-slow", where=self._name, remedy=remedy)

    def lost(self, status: int) -> MediaError:
        """The error for a worker that ended with this status."""
        if status == -signal.SIGALRM:
            return self.too_slow()
        if status == -signal.SIGKILL:  # the system ran out of memory, or an interrupt stopped the workers
            return out_of_memory(self._name)
        what = f"its decoder crashed (exit status {status})"
        return MediaError(what, type="broken", where=self._name, remedy="replace it by an intact copy")


_lock = threading.Lock()
_idle: list[_Worker] = []
_busy: list[_Worker] = []


@contextmanager
def _borrowed(name: str | None, seconds: float) -> Iterator[_Call]:
    """A worker for one file. What the worker does wrong becomes a `MediaError`, and the worker is replaced."""
    worker = _take(name)
    call, healthy = _Call(worker, name, seconds), False
    try:
        yield call
        healthy = True
    except MediaError as error:
        healthy = error.type not in ("too-large", "too-slow")  # memory may be fragmented after a failure
        raise
    except TimeoutError as error:
        raise call.too_slow() from error
    except _WorkerLostError as error:
        try:
            status = worker.process.wait(5)
        except subprocess.TimeoutExpired:
            status = -signal.SIGKILL
        raise call.lost(status) from error
    finally:
        _give_back(worker, healthy=healthy)


def _take(name: str | None) -> _Worker:
    with _lock:
        if _idle:
            _busy.append(_idle.pop())
            return _busy[-1]
    try:
        worker = _Worker()
    except (OSError, _WorkerLostError, TimeoutError) as error:
        what = f"cannot be decoded: no decode process could be started ({error or type(error).__name__})"
        raise MediaError(what, type="unreadable", where=name, remedy="free some memory and try again") from error
    with _lock:
        _busy.append(worker)
    return worker


def _give_back(worker: _Worker, *, healthy: bool) -> None:
    with _lock:
        if worker in _busy:
            _busy.remove(worker)
        keep = healthy and worker.process.poll() is None
        if keep:
            worker.reset()
            _idle.append(worker)
    if not keep:
        worker.end()


def _shared_file() -> int:
    """A file descriptor of memory without a name."""
    if hasattr(os, "memfd_create"):
        return os.memfd_create("realqa-decode")
    with tempfile.TemporaryFile() as file:
        return os.dup(file.fileno())


def _write_all(fd: int, data: bytes) -> None:
    view, position = memoryview(data), 0
    while position < len(view):
        position += os.pwrite(fd, view[position : position + 2**30], position)


def _forget_workers() -> None:
    """In a forked process: the workers belong to the parent. They stay referenced, so that none is ended here."""
    global _lock, _idle, _busy
    _forgotten.extend([*_idle, *_busy])
    _lock, _idle, _busy = threading.Lock(), [], []


_forgotten: list[_Worker] = []
atexit.register(stop_workers)
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_workers)
