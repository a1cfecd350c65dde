"""Short clips of frames, without a video file."""

from made_videos import pan, picture

from realqa_cli.media.video import Clip


def clip(count: int, pace: float = 0.25, size: tuple[int, int] = (96, 64), seed: int = 0) -> Clip:
    frames = pan(count, picture(seed), size)
    return Clip(tuple(frames), tuple(i * pace for i in range(count)), count * pace, count)
