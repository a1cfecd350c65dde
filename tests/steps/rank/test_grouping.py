"""Groups: frames of a burst by their times, and what is not a burst."""

from datetime import datetime, timedelta

import pytest
from PIL import Image
from process import PHOTOS

from realqa_cli.media.measurements import measure_photo
from realqa_cli.steps.rank.candidates import Candidate, candidate_of
from realqa_cli.steps.rank.grouping import group_photos
from realqa_cli.steps.rank.rank import rank_photos


def taken(photo: Image.Image, seconds: float | None, name: str = "a.jpg") -> Candidate:
    """A photo with a score of 3, taken so many seconds after noon."""
    measured = dict(measure_photo(photo))
    if seconds is not None:
        measured["taken"] = (datetime(2026, 5, 1, 12) + timedelta(seconds=seconds)).isoformat()
    return candidate_of({"image": name, "score": 3.0, "std": 0.5, "measured": measured})


def scene(name: str) -> Image.Image:
    with Image.open(PHOTOS / f"{name}.jpg") as photo:
        return photo.convert("RGB")


@pytest.fixture(scope="module")
def frames() -> list[Image.Image]:
    """A scene, and the same after the camera moved too far for a near-duplicate."""
    photo = scene("mountain")
    width, height = photo.size
    shift = width // 22
    return [photo.crop((0, 0, width - shift, height)), photo.crop((shift, 0, width, height))]


@pytest.mark.parametrize(
    ("seconds", "kinds"),
    [
        ((0.0, 0.2), ["burst"]),
        ((0.0, 2.0), ["burst"]),
        ((0.0, 2.5), ["single", "single"]),
        ((None, None), ["single", "single"]),
        ((0.0, None), ["single", "single"]),
    ],
)
def test_frames_within_two_seconds_are_a_burst_although_the_camera_moved(
    frames: list[Image.Image], seconds: tuple[float | None, float | None], kinds: list[str]
) -> None:
    candidates = [taken(frame, second) for frame, second in zip(frames, seconds, strict=True)]
    assert [group.kind for group in group_photos(candidates)] == kinds


def test_different_scenes_at_the_same_time_are_not_a_burst() -> None:
    names = ("bee", "brushes", "dandelion", "dogs", "mountain")
    groups = group_photos([taken(scene(name), index / 10) for index, name in enumerate(names)])
    assert [group.members for group in groups] == [(0,), (1,), (2,), (3,), (4,)]


def test_a_burst_lasts_as_long_as_frames_follow_each_other(frames: list[Image.Image]) -> None:
    candidates = [taken(frames[0], 1.5 * index) for index in range(5)]
    assert [group.members for group in group_photos(candidates)] == [(0, 1, 2, 3, 4)]


def test_photos_without_measurements_are_groups_of_their_own() -> None:
    candidates = [candidate_of({"image": f"{index}.jpg", "score": 3.0, "std": 0.5}) for index in range(3)]
    assert [group.kind for group in group_photos(candidates)] == ["single"] * 3


def test_the_larger_of_two_copies_is_ahead() -> None:
    photo = scene("bee")
    small = photo.resize((photo.width // 2, photo.height // 2), Image.Resampling.LANCZOS)
    places = rank_photos([taken(small, None, "small.jpg"), taken(photo, None, "large.jpg")], keep=1)
    assert [place.keep for place in places] == [False, True]


def test_a_photo_of_one_color_is_ranked_like_any_other() -> None:
    black = Image.new("RGB", (64, 64))
    places = rank_photos([taken(black, 0), taken(black, 0.1), taken(scene("bee"), 0.2)], keep=1)
    assert sorted(place.rank for place in places) == [1, 2, 3]
