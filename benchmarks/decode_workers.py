"""Throughput of decoding through worker processes and header checks, as a ratio to decoding without them.

Photos of a folder are decoded by as many threads as the pipeline has, three ways by turns: without any check or
worker; as `open_photo` does, where plain photos stay in this process; and all of them through workers. A ratio of
1.00 is the throughput without checks.

    python benchmarks/decode_workers.py examples/photos --repeat 5
"""

import argparse
import statistics
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from PIL.Image import Image

from realqa_cli.errors import MediaError
from realqa_cli.inference.pipeline import OPENERS
from realqa_cli.media.decode import DEFAULT_DECODING, decode_photo
from realqa_cli.media.files import read_bytes
from realqa_cli.media.formats import photo_format, prepare_decoder
from realqa_cli.media.photo import open_photo
from realqa_cli.media.worker_pool import decode_in_worker


def unchecked(data: bytes) -> Image:
    """Decodes in this process, whatever the header says."""
    image_format = photo_format(data, None)
    prepare_decoder(image_format)
    return decode_photo(data, image_format, None, DEFAULT_DECODING)


def in_worker(data: bytes) -> Image:
    """Decodes in a worker process, whatever the header says."""
    return decode_in_worker(data, photo_format(data, None), None, DEFAULT_DECODING)


def seconds(decode: Callable[[bytes], Image], files: list[bytes]) -> float:
    """Time to decode all files in `OPENERS` threads."""
    start = time.perf_counter()
    with ThreadPoolExecutor(OPENERS) as threads:
        for _ in threads.map(lambda data: decode(data).size, files):
            pass
    return time.perf_counter() - start


def main() -> None:
    """Prints a line for each way of decoding."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--repeat", type=int, default=5)
    parser.add_argument("--limit", type=int, default=100, help="photos")
    given = parser.parse_args()
    files: list[bytes] = []
    for path in sorted(given.folder.rglob("*")):
        if path.is_file() and len(files) < given.limit:
            data = read_bytes(path)
            try:
                unchecked(data)
            except MediaError:
                continue
            files.append(data)
    if not files:
        parser.error(f"no photos in {given.folder}")
    ways = {"without checks": unchecked, "open_photo": open_photo, "all in workers": in_worker}
    times: dict[str, list[float]] = {name: [] for name in ways}
    for name in ways:
        seconds(ways[name], files[:OPENERS])  # starts the workers, fills the caches
    for _ in range(given.repeat):
        for name, decode in ways.items():
            times[name].append(seconds(decode, files))
    base = times["without checks"]
    for name, taken in times.items():
        ratio = statistics.median(one / other for one, other in zip(base, taken, strict=True))
        print(f"{name}: {len(files) / statistics.median(taken):.1f} photos/s, ratio {ratio:.3f}")


if __name__ == "__main__":
    main()
