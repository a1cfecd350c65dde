"""Worker processes: files that take too much time or memory are errors, and the next file is decoded as ever."""

import io
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest
from made_hostile import many_chunks, many_samples, progressive_jpeg, tiny_boxes, transparent_png, webp_header
from made_videos import pan, write
from PIL import Image

from realqa_cli.errors import MediaError
from realqa_cli.media import worker_pool
from realqa_cli.media.decode import DEFAULT_DECODING, DecodeOptions, decode_photo
from realqa_cli.media.limits import read_header
from realqa_cli.media.photo import open_photo
from realqa_cli.media.video import Sampling, read_video
from realqa_cli.media.worker_pool import decode_in_worker, stop_workers

SHORT = DecodeOptions(timeout=0.3)


def refusal(data: bytes, options: DecodeOptions = DEFAULT_DECODING) -> str:
    with pytest.raises(MediaError) as caught:
        open_photo(data, name="a", options=options)
    assert str(caught.value).startswith("a: ")
    return caught.value.type


def video_refusal(path: Path, data: bytes, options: DecodeOptions = DEFAULT_DECODING) -> str:
    path.write_bytes(data)
    with pytest.raises(MediaError) as caught:
        read_video(path, Sampling(2), lambda frame, frames: frame, name="a", options=options)
    assert str(caught.value).startswith("a: ")
    return caught.value.type


def works() -> bool:
    """Whether a worker decodes an ordinary photo."""
    return decode_in_worker(transparent_png(20, 30), "PNG", None, DecodeOptions()).size == (20, 30)


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "L", "P", "CMYK"])
def test_a_worker_returns_the_pixels_of_this_process(mode: str) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (600, 70, 4 if mode in ("RGBA", "CMYK") else 3), np.uint8)
    image = Image.fromarray(noise, mode if mode in ("RGBA", "CMYK") else None).convert(mode)
    packed = io.BytesIO()
    image.save(packed, "TIFF" if mode == "CMYK" else "PNG")
    image_format = "TIFF" if mode == "CMYK" else "PNG"
    here = decode_photo(packed.getvalue(), image_format, None, DecodeOptions())
    there = decode_in_worker(packed.getvalue(), image_format, None, DecodeOptions())
    assert (there.mode, there.size, there.info) == (here.mode, here.size, here.info)
    assert there.tobytes() == here.tobytes()


def test_a_jpeg_of_ten_thousand_scans_is_refused_by_its_header() -> None:
    assert refusal(progressive_jpeg(10_000, 64)) == "too-slow"


def test_a_jpeg_of_hundreds_of_scans_is_stopped_when_its_time_is_over() -> None:
    data = progressive_jpeg(900, 4000)
    header = read_header(data, "JPEG", 10**9, None)
    assert header is not None
    assert not header.plain
    assert refusal(data, SHORT) == "too-slow"
    assert works()


def test_an_ordinary_progressive_jpeg_is_decoded_in_this_process() -> None:
    header = read_header(progressive_jpeg(1, 2000), "JPEG", 10**9, None)
    assert header is not None
    assert (header.width, header.height, header.plain) == (2000, 2000, True)


def test_a_webp_of_a_few_bytes_that_needs_gigabytes_is_refused_by_its_header() -> None:
    data = webp_header(15_800, 15_800)
    assert len(data) < 200
    assert refusal(data) == "too-large"
    assert open_photo(webp_header(3000, 3000)).size == (3000, 3000)


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="the memory of a process is limited on Linux only")
def test_a_decoder_that_needs_too_much_memory_is_stopped(tmp_path: Path) -> None:
    path = tmp_path / "a.tif"
    Image.new("RGBA", (8_000, 4_000)).save(path, compression="tiff_deflate")
    stop_workers()  # a worker that has decoded a large photo may keep its memory, and needs no more for this one
    assert refusal(path.read_bytes(), DecodeOptions(memory=0)) == "too-large"
    assert works()
    assert open_photo(path).size == (8_000, 4_000)


@pytest.mark.parametrize(
    "message", ["decoder error -9", "out of memory error when reading image file", "Cannot allocate memory"]
)
def test_a_decoder_that_reports_a_lack_of_memory_by_a_message_is_too_large(
    message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def load(self: Image.Image) -> None:
        raise OSError(message)

    monkeypatch.setattr("PIL.ImageFile.ImageFile.load", load)
    data = io.BytesIO()
    Image.new("RGB", (8, 8)).save(data, "TIFF")
    with pytest.raises(MediaError) as caught:
        decode_photo(data.getvalue(), "TIFF", "a", DEFAULT_DECODING)
    assert caught.value.type == "too-large"


@pytest.mark.parametrize("count", [40_000_000, 2**32 - 1])
def test_an_mp4_whose_tables_declare_too_much_is_refused(tmp_path: Path, count: int) -> None:
    data = write(tmp_path / "ok.mp4", pan(3)).read_bytes()
    assert video_refusal(tmp_path / "a.mp4", many_samples(data, count)) == "broken"
    assert video_refusal(tmp_path / "a.mp4", many_chunks(data, count)) == "broken"


def test_an_mp4_of_tiny_boxes_is_refused(tmp_path: Path) -> None:
    assert video_refusal(tmp_path / "a.mp4", tiny_boxes(200_000)) == "too-slow"


def test_a_video_that_takes_too_long_is_stopped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(worker_pool, "VIDEO_BYTES_A_SECOND", 1e15)  # no extra time for the size of the file
    path = write(tmp_path / "a.mp4", pan(4) * 400, gop=10_000)
    assert video_refusal(tmp_path / "b.mp4", path.read_bytes(), DecodeOptions(timeout=0.0001)) == "too-slow"
    monkeypatch.undo()
    assert len(read_video(path, Sampling(2), lambda frame, frames: frame).frames) == 2


def test_a_worker_that_is_killed_is_an_error_of_its_file_only() -> None:
    assert works()
    (worker,) = worker_pool._idle[-1:]
    worker.process.send_signal(signal.SIGSEGV)
    worker.process.wait()
    with pytest.raises(MediaError, match="crashed"):
        works()
    assert works()


def test_stopping_the_workers_ends_a_long_decode_at_once() -> None:
    data, errors = progressive_jpeg(900, 6000), list[str]()
    thread = threading.Thread(target=lambda: errors.append(refusal(data, DecodeOptions(timeout=600))))
    thread.start()
    while not worker_pool._busy:
        time.sleep(0.01)
    stop_workers()
    thread.join(60)
    assert len(errors) == 1
    assert works()


def test_a_forked_process_does_not_use_the_workers_of_its_parent() -> None:
    assert works()
    script = (
        "import os, sys; sys.path.insert(0, 'tests/support');"
        "from made_hostile import transparent_png; from realqa_cli.media.worker_pool import decode_in_worker;"
        "from realqa_cli.media.decode import DecodeOptions;"
        "decode = lambda: decode_in_worker(transparent_png(20, 30), 'PNG', None, DecodeOptions()).size;"
        "decode(); child = os.fork();\n"
        "if child: print(decode(), os.waitpid(child, 0)[1])\n"
        "else: decode()"
    )
    root = Path(__file__).resolve().parents[2]
    ran = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, cwd=root, env=os.environ)
    assert (ran.stdout, ran.stderr) == ("(20, 30) 0\n", "")
