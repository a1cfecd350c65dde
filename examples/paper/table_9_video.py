"""Tab. 9 of the paper: video, by models that have seen nothing but photos, on KoNViD-1k.

The model as it is before training, and one that was trained on a set of photos (the paper's: KonIQ-10k, with
chains of thought), read from whole videos with "video" for "image" in the prompt; and frame by frame, which
the paper does not do: the mean of the scores that the frames get as photos.

    python examples/paper/table_9_video.py --tiny
    python examples/paper/table_9_video.py --konvid KoNViD-1k/ --trained koniq-cot --method cot --work video

With --tiny there is a KoNViD-1k of a few clips, made of photos by a moving camera, blurred, noisy or encoded
at few bits; its MOS is made up from how bad the damage is. The bundled model never saw a video. It has no
state before training, so the first row is left out.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from statistics import fmean
from typing import TYPE_CHECKING

from tables import Row, Study, Table, parser, read, realqa, say, write
from tiny import SAMPLES, split

if TYPE_CHECKING:
    from PIL.Image import Image

TABLE = Table(
    "Tab. 9",
    "video, zero-shot on KoNViD-1k",
    ("SRCC", "PLCC", "n"),
    (
        Row("Qwen2-VL-7B, untrained", (0.305, None, None)),
        Row("Qwen2-VL-7B, trained on KonIQ-10k with CoT", (0.669, None, None)),
    ),
)
MOS = {"none": 4.5, "light": 3.0, "heavy": 1.5}
"""Made up; its order is what counts."""
RATE, SECONDS = 12, 2
CRF = 18  # of clips whose damage is another


def main() -> None:
    """Scores the videos by each model and prints."""
    options = parser(__doc__)
    options.add_argument("--konvid", type=Path, metavar="FOLDER", help="KoNViD-1k as published")
    options.add_argument("--trained", metavar="MODEL", help="a model that was trained on photos")
    options.add_argument("--method", default="direct", help="how the trained model is read (direct)")
    options.add_argument("--frames", type=int, help="frames of each video (8; with --tiny 4)")
    given = options.parse_args()
    study = Study(given)
    if not study.tiny and not (given.konvid and given.trained):
        sys.exit("give --konvid and --trained, or --tiny")
    folder = given.konvid or make(given.work / "konvid", given.photos or SAMPLES, given.scenes)
    looks = ["--frames", given.frames or (4 if study.tiny else 8)]
    rows: list[Row] = []
    if not study.tiny:
        rows += measured(study, folder, "untrained", study.model, *looks, "--scale", "1-5", "--digits", 3)
    model, looks = given.trained or study.model, [*looks, "--method", given.method, "--per-frame"]
    rows += measured(study, folder, "trained on photos", model, *looks)
    where = f"{len(read(study.work / 'trained-on-photos.preds.jsonl'))} videos of {folder}"
    print(TABLE.markdown(rows, note=f"Measured from {model} on {where}; 95 % intervals of the bootstrap."))


def measured(study: Study, folder: Path, name: str, model: str, *options: object) -> Iterator[Row]:
    """The rows of one model: whole videos, and the mean of their frames where these were scored too."""
    output = study.work / f"{name.replace(' ', '-')}.preds.jsonl"
    realqa("score", folder, "--dataset", "konvid1k", "--model", model, *study.scoring, *options, "-o", output)
    yield _row(study, name, output)
    records = [record for record in read(output) if "frames" in record]
    if records:
        means = [{**record, "score": fmean(f["score"] for f in record["frames"])} for record in records]
        yield _row(study, f"{name}, mean of its frames", write(output.with_suffix(".frames.jsonl"), means))


def _row(study: Study, name: str, predictions: Path) -> Row:
    figures = study.measure(predictions)
    return Row(name, (figures["srcc"], figures["plcc"], str(len(read(predictions)))))


def make(folder: Path, photos: Path, most: int) -> Path:
    """A KoNViD-1k of at most so many clips, in the layout of the real one; what is there is kept."""
    table, videos = folder / "KoNViD_1k_attributes.csv", folder / "KoNViD_1k_videos"
    if table.exists():
        return folder
    from PIL import Image

    videos.mkdir(parents=True, exist_ok=True)
    originals = [Image.open(path).convert("RGB") for paths in split(photos) for path in paths]
    say(f"making clips of {len(originals)} photos")
    lines = ["flickr_id,file_name,MOS"]
    for number, (photo, severity, damage, crf) in enumerate(_plans(originals)):
        if number == most:
            break
        name = f"{1000 + number}.mp4"
        film(videos / name, photo, damage, crf)
        lines.append(f"{1000 + number},{name},{MOS[severity]}")
    table.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return folder


Damage = Callable[["Image", int], "Image"]
"""What happens to a frame; the number is the frame's."""


def _plans(photos: list[Image]) -> Iterator[tuple[Image, str, Damage, int]]:
    """(photo, severity, damage, CRF of the encoder) of each clip."""
    from PIL import ImageFilter

    def blur(radius: float) -> Damage:
        return lambda frame, _: frame.filter(ImageFilter.GaussianBlur(radius))

    def noise(sigma: float) -> Damage:
        return lambda frame, number: _noisy(frame, sigma, number)

    for photo in photos:
        yield photo, "none", lambda frame, _: frame, CRF
        for severity, radius, sigma, crf in (("light", 1.5, 15, 36), ("heavy", 4, 45, 48)):
            yield photo, severity, blur(radius), CRF
            yield photo, severity, noise(sigma), CRF
            yield photo, severity, lambda frame, _: frame, crf


def _noisy(frame: Image, sigma: float, number: int) -> Image:
    import numpy as np
    from PIL import Image

    pixels = np.asarray(frame, dtype=np.float32)
    grain = np.random.default_rng(number).normal(0, sigma, pixels.shape)
    return Image.fromarray((pixels + grain).clip(0, 255).round().astype(np.uint8))


def film(path: Path, photo: Image, damage: Damage, crf: int) -> None:
    """A camera moves over the photo from one corner to the other; H.264 at a constant rate factor."""
    import av

    size = tuple(side * 3 // 8 * 2 for side in photo.size)  # three quarters, even
    count = RATE * SECONDS
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=RATE, options={"crf": str(crf), "preset": "veryfast"})
        stream.width, stream.height, stream.pix_fmt = *size, "yuv420p"
        for number in range(count):
            left, top = (
                round(number / (count - 1) * (whole - part)) for whole, part in zip(photo.size, size, strict=True)
            )
            window = photo.crop((left, top, left + size[0], top + size[1]))
            frame = av.VideoFrame.from_image(damage(window, number))  # type: ignore[no-untyped-call]
            container.mux(stream.encode(frame))
        container.mux(stream.encode())


if __name__ == "__main__":
    main()
