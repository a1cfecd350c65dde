"""Scoring videos: the same records as for photos, exact, deterministic, and clear where a model takes none."""

import json
from pathlib import Path
from typing import Any

import pytest
from made_videos import pan, write, write_sound
from PIL import Image, ImageFilter
from process import PHOTOS, Realqa
from small_models import write as write_model

from realqa_cli import Scorer
from realqa_cli.io.records import ScoreRecord
from realqa_cli.media.video import first_frame

FEW_PIXELS: dict[str, Any] = {
    "min_pixels": 50_176,
    "max_pixels": 100_352,
}  # a quarter of the bundled model's, to be fast
WORDS = {"scale": (1, 5), "digits": 2}


@pytest.fixture(scope="module")
def clips(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of a sharp and a blurred pan over a photo, and a photo."""
    folder = tmp_path_factory.mktemp("clips")
    bee = Image.open(PHOTOS / "bee.jpg").convert("RGB")
    write(folder / "sharp.mp4", pan(50, bee, (560, 440)))
    write(folder / "blurred.mp4", pan(50, bee.filter(ImageFilter.GaussianBlur(4)), (560, 440)))
    bee.save(folder / "photo.jpg")
    return folder


@pytest.fixture(scope="module")
def scorer() -> Scorer:
    return Scorer(frames=4, per_frame=True, **FEW_PIXELS)


@pytest.fixture(scope="module")
def records(scorer: Scorer, clips: Path) -> list[dict[str, Any]]:
    """Of the sharp clip, the photo and the blurred clip, in one batch."""
    return list(scorer.score([clips / "sharp.mp4", clips / "photo.jpg", clips / "blurred.mp4"]))


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(write_model(tmp_path_factory.mktemp("models") / "qwen"))


@pytest.fixture(scope="module")
def llava(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A model that takes photos only."""
    return str(write_model(tmp_path_factory.mktemp("models") / "llava", "llava"))


def test_a_video_has_the_record_of_a_photo_under_its_own_field(records: list[dict[str, Any]]) -> None:
    video, photo, _ = records
    assert [*video][1:11] == [*photo][1:11]
    assert (video["video"].endswith("sharp.mp4"), "image" in video, photo["frames"]) == (True, False, None)
    assert video["text"] == f"The score of this video is {video['mode']:.2f}."
    assert video["interval"][0] <= video["score"] <= video["interval"][1]
    for record in records:
        ScoreRecord.model_validate(json.loads(json.dumps(record)))


def test_the_model_of_photos_distinguishes_a_sharp_video_from_a_blurred_one(records: list[dict[str, Any]]) -> None:
    sharp, _, blurred = records
    assert sharp["score"] - blurred["score"] > 0.5
    assert min(f["score"] for f in sharp["frames"]) > max(f["score"] for f in blurred["frames"])


def test_each_frame_is_scored_as_the_photo_that_it_is(
    scorer: Scorer, records: list[dict[str, Any]], clips: Path
) -> None:
    frames = records[0]["frames"]
    assert [frame["time"] for frame in frames] == pytest.approx([0, 0.64, 1.32, 1.96], abs=0.05)
    (as_photo,) = scorer.score([first_frame(clips / "sharp.mp4")])
    assert frames[0]["score"] == pytest.approx(as_photo["score"], abs=1e-4)


def test_the_same_video_gets_the_same_number_in_any_batch(records: list[dict[str, Any]], clips: Path) -> None:
    alone = Scorer(frames=4, batch_size=1, **FEW_PIXELS)
    for record in records:
        (again,) = alone.score([record.get("video") or record["image"]])
        assert again["score"] == pytest.approx(record["score"], abs=1e-4)
        assert again["mode"] == record["mode"]


CHOICES: tuple[dict[str, Any], ...] = ({}, {"frames": 4}, {"fps": 2})


def test_more_frames_are_another_run(clips: Path) -> None:
    runs = {Scorer(backend="echo", **options).manifest.run for options in CHOICES}
    assert len(runs) == 3


def test_bad_videos_are_error_records_in_their_place(clips: Path, tmp_path: Path) -> None:
    whole = (clips / "sharp.mp4").read_bytes()
    (tmp_path / "cut.mp4").write_bytes(whole[: len(whole) // 2])
    (tmp_path / "empty.webm").write_bytes(b"")
    write_sound(tmp_path / "song.mp4")
    names = ["cut.mp4", "empty.webm", "song.mp4", "missing.mkv"]
    sources = [clips / "sharp.mp4", *(tmp_path / name for name in names), clips / "photo.jpg"]
    found = Scorer(backend="echo").score(sources)
    types = [(record.get("error") or {}).get("type") for record in found]
    assert types == [None, "broken", "empty", "unsupported", "missing", None]
    assert [next(iter(record)) for record in found] == ["video"] * 5 + ["image"]


@pytest.mark.parametrize("method", ["direct", "cot", "levels"])
def test_every_method_reads_videos(small: str, clips: Path, method: str) -> None:
    options: dict[str, Any] = {"method": method, "frames": 2, **WORDS}
    video, photo = Scorer(small, **options).score([clips / "sharp.mp4", clips / "photo.jpg"])
    assert {*video} ^ {*photo} == {"video", "image"}
    assert "of this image" not in video["text"]
    (alone,) = Scorer(small, batch_size=1, **options).score([clips / "sharp.mp4"])
    assert alone["score"] == pytest.approx(video["score"], abs=1e-4)


def test_greedy_answers_about_videos_are_read(clips: Path) -> None:
    (video,) = Scorer(decode="greedy", frames=2, **FEW_PIXELS).score([clips / "sharp.mp4"])
    assert f"is {video['score']:.2f}." in video["text"]  # it writes "image": it was trained on photos only
    assert video["std"] is None


def test_a_video_without_an_answer_is_an_error(clips: Path) -> None:
    greedy = Scorer(backend="echo", decode="greedy", frames=3, per_frame=True, scale=(1, 2), digits=2)
    (video,) = greedy.score([clips / "sharp.mp4"])
    assert video["error"]["type"] == "unparsed"  # the belief of the fake is above 2


def test_a_model_of_photos_says_so_and_goes_on(llava: str, clips: Path) -> None:
    video, photo = Scorer(llava, **WORDS).score([clips / "sharp.mp4", clips / "photo.jpg"])
    assert video["error"]["type"] == "video"
    assert "the model takes no videos" in video["error"]["message"]
    assert "--per-frame" in video["error"]["message"]
    assert "score" in photo


def test_frame_by_frame_a_model_of_photos_scores_videos_too(llava: str, clips: Path) -> None:
    sources = [clips / "photo.jpg", clips / "sharp.mp4"]
    photo, video = Scorer(llava, frames=3, per_frame=True, **WORDS).score(sources)
    scores = [frame["score"] for frame in video["frames"]]
    assert video["score"] == pytest.approx(sum(scores) / 3)
    assert video["std"] is video["mode"] is video["text"] is None
    assert photo["mode"] is not None
    ScoreRecord.model_validate(video)


def test_what_has_no_mean_is_refused_frame_by_frame(llava: str, clips: Path) -> None:
    (video,) = Scorer(llava, method="levels", per_frame=True, scale=(1, 5)).score([clips / "sharp.mp4"])
    assert "use --method direct" in video["error"]["message"]


def test_the_preset_looks_at_two_small_frames_a_second(clips: Path) -> None:
    scorer = Scorer(backend="echo", preset="realqa-release", per_frame=True)
    (video,) = scorer.score([clips / "sharp.mp4"])
    assert [frame["time"] for frame in video["frames"]] == pytest.approx([0, 0.5, 1, 1.5], abs=0.03)
    assert scorer.manifest.settings["video"] == {"frames": 64, "fps": 2, "per_frame": True}
    frame = first_frame(clips / "sharp.mp4")
    small = scorer.readout.prepare_frame(frame)
    assert 127 * 127 < small.width * small.height <= 128 * 128
    assert Scorer(backend="echo", preset="realqa-release", frames=3).manifest.settings["video"]["fps"] is None


# The command


def test_the_command_finds_videos_in_folders_and_lines(realqa: Realqa, clips: Path, tmp_path: Path) -> None:
    lines = tmp_path / "in.jsonl"
    lines.write_text(json.dumps({"video": str(clips / "blurred.mp4"), "mos": 2.5}) + "\n")
    ran = realqa("score", clips, lines, "--backend", "echo", "--frames", 3, "--per-frame")
    assert ran.code == 0, ran.err
    kinds = ["video" if "video" in record else "image" for record in ran.records]
    assert kinds == ["video", "image", "video", "video"]
    assert all(len(record["frames"]) == 3 for record in ran.records if "video" in record)
    assert ran.records[-1]["mos"] == 2.5


def test_a_run_with_a_broken_video_goes_on_and_ends_with_1(realqa: Realqa, clips: Path, tmp_path: Path) -> None:
    (tmp_path / "broken.mp4").write_bytes((clips / "sharp.mp4").read_bytes()[:5000])
    output = tmp_path / "scores.jsonl"
    arguments = ("score", tmp_path / "broken.mp4", clips / "sharp.mp4", "--backend", "echo", "-o", output)
    ran = realqa(*arguments, "--report", tmp_path / "page.html")
    assert (ran.code, ran.said[-1]) == (1, "realqa: 2 items: 1 scored, 1 failed")
    assert "Traceback" not in ran.err
    page = (tmp_path / "page.html").read_text(encoding="utf-8")
    assert "data:image/jpeg;base64," in page
    assert page.count('"v":true') + page.count('"v": true') == 1
    again = realqa(*arguments)
    assert again.said[-1] == "realqa: 2 items: 1 done before, 1 failed"


@pytest.mark.parametrize("wrong", [("--frames", "0"), ("--frames", "769"), ("--fps", "0"), ("--fps", "nan")])
def test_numbers_that_make_no_sense_end_with_2(realqa: Realqa, clips: Path, wrong: tuple[str, str]) -> None:
    ran = realqa("score", clips, "--backend", "echo", *wrong)
    assert ran.code == 2
    assert wrong[0] in ran.err
    assert "Traceback" not in ran.err
    assert ran.out == ""
