"""Videos: which frames are sampled, that the right ones are decoded, and how bad files are reported."""

import gc
import random
import weakref
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from made_videos import SIZE, all_frames, pan, picture, write, write_sound
from PIL import Image

from realqa_cli.errors import MediaError, UsageError
from realqa_cli.media.files import content_id, content_id_of
from realqa_cli.media.video import FRAMES_AT_A_RATE, Clip, Sampling, first_frame, read_video

CORPUS = Path(__file__).resolve().parents[3] / "shared" / "bad_inputs"


def whole(frame: Image.Image, frames: int) -> Image.Image:
    return frame


def read(path: Path, frames: int | None = None, fps: float | None = None) -> Clip:
    return read_video(path, Sampling(frames, fps), whole)


def refusal(path: Path) -> MediaError:
    with pytest.raises(MediaError) as caught:
        read(path)
    assert str(caught.value).startswith(str(path))
    assert "\n" not in str(caught.value)
    return caught.value


def outcome(path: Path) -> str:
    """Returns "frames" or the type of the error."""
    try:
        return "frames" if read(path, 3).frames else "nothing"
    except MediaError as error:
        return error.type


def assert_same(found: Sequence[Image.Image], expected: Sequence[Image.Image]) -> None:
    assert len(found) == len(expected)
    for one, other in zip(found, expected, strict=True):
        assert one.tobytes() == other.tobytes()


# Which frames


def test_frames_are_spread_evenly_from_the_first_to_the_last() -> None:
    times = [i / 25 for i in range(101)]
    assert Sampling(5).choose(times) == [0, 25, 50, 75, 100]
    assert Sampling(2).choose(times) == [0, 100]
    assert Sampling(1).choose(times) == [50]
    assert len(Sampling().choose(times)) == 8


def test_a_rate_samples_frames_per_second_from_the_start() -> None:
    times = [i / 25 for i in range(101)]
    assert Sampling(fps=1).choose(times) == [0, 25, 50, 75, 100]
    assert Sampling(fps=0.4).choose(times) == [0, 62, 100][:2]
    assert Sampling(fps=0.01).choose(times) == [0]


def test_a_rate_that_gives_too_many_frames_is_thinned_out() -> None:
    film = [float(second) for second in range(7200)]
    chosen = Sampling(fps=1).choose(film)
    assert (len(chosen), chosen[0], chosen[-1]) == (FRAMES_AT_A_RATE, 0, 7199)
    assert len(Sampling(frames=10, fps=1).choose(film)) == 10


def test_frames_are_spread_by_time_and_not_by_number() -> None:
    times = [0.0, 0.1, 0.2, 0.3, 0.4, 10.0, 20.0]  # the rate of phones falls in the dark
    assert Sampling(3).choose(times) == [0, 5, 6]


@given(
    st.lists(st.floats(0, 1e4), min_size=1, max_size=50, unique=True).map(sorted),
    st.integers(1, 768) | st.none(),
    st.floats(0.001, 1000) | st.none(),
)
def test_any_choice_is_in_order_and_never_more_than_the_video_has(
    times: list[float], frames: int | None, fps: float | None
) -> None:
    chosen = Sampling(frames, fps).choose(times)
    assert chosen == sorted(chosen)
    assert 1 <= len(chosen) <= len(times)
    assert {*chosen} <= {*range(len(times))}


@pytest.mark.parametrize("wrong", [{"frames": 0}, {"frames": 769}, {"fps": 0}, {"fps": float("inf")}], ids=str)
def test_numbers_out_of_range_are_wrong_usage(wrong: dict[str, Any]) -> None:
    with pytest.raises(UsageError, match="--f"):
        Sampling(**wrong).check()


# The right ones


@pytest.mark.parametrize("name", ["a.mp4", "a.mov", "a.m4v", "a.mkv", "a.avi", "a.3gp"])
@pytest.mark.parametrize("frames", [1, 4, 50])
def test_frames_found_by_seeking_equal_those_of_sequential_decoding(tmp_path: Path, name: str, frames: int) -> None:
    path = write(tmp_path / name)
    clip = read(path, frames)
    expected = all_frames(path)
    assert len(expected) == 50
    assert clip.seconds == pytest.approx(2, abs=0.01)
    assert clip.times == pytest.approx([i / 25 for i in Sampling(frames).choose(range(50))], abs=0.001)
    assert_same(clip.frames, [expected[i] for i in Sampling(frames).choose(range(50))])


@pytest.mark.parametrize("frames", [4, 50])
def test_transport_streams_without_an_index_give_the_right_frames(tmp_path: Path, frames: int) -> None:
    path = write(tmp_path / "a.ts")
    clip, expected = read(path, frames), all_frames(path)
    chosen = Sampling(frames).choose(range(50))
    assert clip.times == pytest.approx([i / 25 for i in chosen], abs=0.001)
    assert_same(clip.frames, [expected[i] for i in chosen])


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("a.webm", {"codec": "libvpx-vp9"}),
        ("a.avi", {"codec": "mpeg4"}),
        ("a.mkv", {"codec": "mpeg4"}),
        ("fragments.mp4", {"movflags": "frag_keyframe+empty_moov"}),
        ("index_first.mp4", {"movflags": "faststart"}),
        ("with_sound.mp4", {"sound": True}),
        ("one_keyframe.mp4", {"gop": 1000}),
        ("all_keyframes.mp4", {"gop": 1}),
    ],
)
def test_seeking_is_exact_in_every_container(tmp_path: Path, name: str, options: dict[str, Any]) -> None:
    path = write(tmp_path / name, pan(30), **options)
    expected = all_frames(path)
    assert_same(read(path, 7).frames, [expected[i] for i in Sampling(7).choose(range(30))])


def test_a_variable_frame_rate_is_sampled_by_time(tmp_path: Path) -> None:
    times = [*range(0, 1000, 50), *range(1000, 5001, 400)]
    path = write(tmp_path / "a.mp4", pan(len(times)), times=times)
    clip = read(path, 6)
    assert [round(time, 3) for time in clip.times] == [0, 1, 1.8, 3, 3.8, 5]
    expected = all_frames(path)
    assert_same(clip.frames, [expected[times.index(round(1000 * time))] for time in clip.times])


@pytest.mark.parametrize("degrees", [0, 90, 180, -90])
@pytest.mark.parametrize("flips", [(False, False), (True, False), (False, True)])
def test_frames_are_rotated_and_mirrored_as_the_container_states(
    tmp_path: Path, degrees: int, flips: tuple[bool, bool]
) -> None:
    stored = pan(3)
    path = write(tmp_path / "a.mp4", stored, rotation=(degrees, *flips))
    frame = read(path, 1).frames[0]
    expected = stored[1].rotate(degrees, expand=True)  # as in FFmpeg's documentation: rotated, then mirrored
    for flip, way in zip(flips, (Image.Transpose.FLIP_LEFT_RIGHT, Image.Transpose.FLIP_TOP_BOTTOM), strict=True):
        expected = expected.transpose(way) if flip else expected
    assert frame.size == (SIZE if degrees in (0, 180) else SIZE[::-1])
    difference = np.abs(np.asarray(frame).astype(int) - np.asarray(expected)).mean()
    assert difference < 12, "upright, up to compression artefacts"
    assert first_frame(path).size == frame.size


def test_a_video_may_have_one_frame(tmp_path: Path) -> None:
    clip = read(write(tmp_path / "a.mp4", pan(1)))
    assert (len(clip.frames), clip.times, clip.decoded) == (1, (0.0,), 1)
    assert clip.seconds == pytest.approx(0.04)


def test_frames_have_one_size_even_if_the_transform_changes_it(tmp_path: Path) -> None:
    sizes = iter([(60, 40), (30, 20), (60, 40)])
    clip = read_video(write(tmp_path / "a.mp4"), Sampling(3), lambda frame, frames: frame.resize(next(sizes)))
    assert {frame.size for frame in clip.frames} == {(60, 40)}


def test_the_content_id_is_that_of_the_bytes(tmp_path: Path) -> None:
    path = write(tmp_path / "a.mp4", pan(2))
    assert content_id_of(path) == content_id(path.read_bytes())


# The cost of a long video


@pytest.fixture(scope="module")
def film(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two hours, a frame every four seconds, a keyframe every 50 frames."""
    frames = pan(12) * 150
    times = [4000 * i for i in range(1800)]
    return write(tmp_path_factory.mktemp("film") / "film.mp4", frames, times=times, gop=50)


def test_only_frames_after_the_nearest_keyframe_are_decoded_in_a_long_video(film: Path) -> None:
    clip = read(film, 8)
    assert clip.seconds == pytest.approx(7200, abs=4.1)
    assert len(clip.frames) == 8
    assert clip.decoded <= 8 * 52


def test_adjacent_frames_are_decoded_once(film: Path) -> None:
    assert read(film, 768).decoded <= 1800


def test_one_frame_of_full_size_is_in_memory_at_a_time(film: Path) -> None:
    alive: list[Callable[[], Any]] = []
    most = 0

    def small(frame: Image.Image, frames: int) -> Image.Image:
        nonlocal most
        assert frames == 64
        alive.append(weakref.ref(frame))
        most = max(most, sum(ref() is not None for ref in alive))
        return frame.resize((12, 8))

    gc.disable()  # frames must be freed without it
    try:
        clip = read_video(film, Sampling(64), small)
    finally:
        gc.enable()
    assert most <= 2  # the current frame, and the previous one that is about to be freed
    assert {frame.size for frame in clip.frames} == {(12, 8)}


# Bad files


def test_missing_and_empty_files_and_folders_are_reported(tmp_path: Path) -> None:
    (tmp_path / "empty.mp4").write_bytes(b"")
    (tmp_path / "folder.mp4").mkdir()
    names = ("missing.mp4", "empty.mp4", "folder.mp4")
    assert [refusal(tmp_path / name).type for name in names] == ["missing", "empty", "unreadable"]


def test_a_file_with_sound_only_is_unsupported(tmp_path: Path) -> None:
    error = refusal(write_sound(tmp_path / "song.mp4"))
    assert error.type == "unsupported"
    assert "only sound" in str(error)


@pytest.mark.parametrize("data", [b"not a video at all", b"#EXTM3U\nfile:///etc/passwd\n", b"\xff\xd8\xff\xe0photo"])
def test_only_listed_containers_are_opened(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "a.mp4").write_bytes(data)
    assert refusal(tmp_path / "a.mp4").type == "unsupported"


@pytest.mark.parametrize("name", ["a.mp4", "faststart.mp4", "fragments.mp4", "a.mkv", "a.webm", "a.avi"])
def test_a_file_truncated_anywhere_is_broken(tmp_path: Path, name: str) -> None:
    flags = {"faststart.mp4": "faststart", "fragments.mp4": "frag_keyframe+empty_moov"}
    muxer: dict[str, Any] = {"movflags": flags[name]} if name in flags else {}
    codec = "libvpx-vp9" if name == "a.webm" else "libx264"
    data = write(tmp_path / name, pan(25), codec=codec, **muxer).read_bytes()
    for share in (0.1, 0.3, 0.5, 0.7, 0.9, 0.99):
        (tmp_path / name).write_bytes(data[: int(len(data) * share)])
        assert refusal(tmp_path / name).type == "broken", share


def test_a_damaged_frame_that_is_sampled_is_an_error(tmp_path: Path) -> None:
    path = write(tmp_path / "a.mp4", pan(40), gop=10)
    data = bytearray(path.read_bytes())
    middle = len(data) * 2 // 5
    data[middle : middle + 600] = bytes(600)
    path.write_bytes(data)
    assert refusal(path).type == "broken"


def test_damaged_files_are_read_or_refused(tmp_path: Path) -> None:
    chance = random.Random(1)
    for name in ("a.mp4", "a.mkv", "a.avi", "a.ts"):
        data = write(tmp_path / name, pan(10)).read_bytes()
        for _ in range(25):
            garbled = bytearray(data)
            for _ in range(chance.choice([1, 5, 50])):
                garbled[chance.randrange(len(garbled))] = chance.randrange(256)
            (tmp_path / "garbled").write_bytes(garbled)
            assert outcome(tmp_path / "garbled") in {"frames", "broken", "unsupported", "too-large"}


def test_an_error_of_the_transform_is_not_blamed_on_the_file(tmp_path: Path) -> None:
    def wrong(frame: Image.Image, frames: int) -> Image.Image:
        raise UsageError("no such size")

    with pytest.raises(UsageError, match="no such size"):
        read_video(write(tmp_path / "a.mp4", pan(2)), Sampling(), wrong)


@pytest.mark.skipif(not CORPUS.is_dir(), reason="the corpus of bad inputs is not available")
def test_hostile_files_of_others_are_read_or_refused() -> None:
    files = sorted({*CORPUS.rglob("*.mp4"), *CORPUS.rglob("*.avif"), *CORPUS.rglob("*.mkv")})
    outcomes = {path.name: outcome(path) for path in files}
    assert outcomes["video_text.mp4"] == outcomes["video_jpeg_named.mp4"] == "unsupported"
    assert outcomes["video_zeroed_mdat.mp4"] == outcomes["video_no_moov_trunc50.mp4"] == "broken"
    assert outcomes["hevc_white_frame.mp4"] == outcomes["minimal.mp4"] == outcomes["ok.mkv"] == "frames"


def test_the_test_picture_is_not_flat() -> None:
    assert np.asarray(picture()).std() > 20
