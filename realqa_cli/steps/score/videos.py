"""Videos in `realqa score`: which frames a prompt shows, in which size, and the scores of single frames."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from PIL.Image import Image, Resampling

from realqa_cli.errors import ItemError
from realqa_cli.inference.inputs import VideoReader, video_reader
from realqa_cli.inference.readout import Readout
from realqa_cli.io.records import ScoreRecord
from realqa_cli.media.decode import DecodeOptions
from realqa_cli.media.resize import shrink_to_area
from realqa_cli.media.video import Clip, FrameTransform, Sampling, VisualInput
from realqa_cli.steps.score.method import Method, Prediction

FRAME_PIXELS = 2**20
"""Largest area of a frame in pixels for models without pixel bounds, which resize it themselves."""


@dataclass(frozen=True)
class VideoScorer:
    """Scores videos, and photos in the same batch.

    transform: `Backend.frame_transform`; None if the model does not support videos.
    per_frame: whether each frame is also scored as a photo. If the model does not support videos, the score of
    a video is the mean of its frames, and its other fields are null.
    batch_size: number of frames in a forward pass.
    """

    method: Method
    readout: Readout
    sampling: Sampling
    transform: FrameTransform | None
    per_frame: bool
    batch_size: int

    def reader(self, options: DecodeOptions) -> VideoReader:
        """Reads the frames of a video; refuses videos that neither model nor method supports."""
        transform, remedy = self.transform, "use a model of the Qwen-VL families, or --per-frame"
        if transform is None and self.per_frame:
            remedy = "use --method direct: only scores of frames have a mean"
            if self.method.record is ScoreRecord:
                transform = _shrink
        prepared = transform and self._after_preset(transform)
        return video_reader(self.sampling, prepared, remedy=remedy, options=options)

    def predict(self, visual_inputs: Sequence[VisualInput]) -> list[Prediction]:
        """As `Method.predict`; with `per_frame`, the fields of a video include `frames`."""
        whole = [each for each in visual_inputs if self.transform or not isinstance(each, Clip)]
        predictions = iter(self.method.predict(whole) if whole else ())
        return [
            self._clip(each, predictions) if isinstance(each, Clip) and self.per_frame else next(predictions)
            for each in visual_inputs
        ]

    def settings(self) -> dict[str, Any]:
        """The settings for the manifest."""
        return {**self.sampling.settings(), "per_frame": self.per_frame}

    def _after_preset(self, transform: FrameTransform) -> FrameTransform:
        return lambda frame, frames: transform(self.readout.prepare_frame(frame), frames)

    def _clip(self, clip: Clip, predictions: Iterator[Prediction]) -> Prediction:
        whole: Prediction = next(predictions) if self.transform else {}
        if isinstance(whole, ItemError):
            return whole
        scores: list[Prediction] = []
        for start in range(0, len(clip.frames), self.batch_size):
            scores += self.method.predict(clip.frames[start : start + self.batch_size])
        frames = [_frame_fields(*each) for each in zip(clip.times, scores, strict=True)]
        return {**whole, "frames": frames} if whole else _mean_of_frames(frames)


def _shrink(frame: Image, frames: int) -> Image:
    return shrink_to_area(frame, FRAME_PIXELS, Resampling.BICUBIC)


def _frame_fields(time: float, prediction: Prediction) -> dict[str, Any]:
    if isinstance(prediction, ItemError):
        return {"time": time, "error": prediction.as_field()}
    return {"time": time, "score": prediction["score"]}


def _mean_of_frames(frames: list[dict[str, Any]]) -> Prediction:
    """The fields of a video from the scores of its frames alone."""
    if failed := [frame["error"]["message"] for frame in frames if "error" in frame]:
        return ItemError(f"{len(failed)} of {len(frames)} frames have no score: {failed[0]}", type="unparsed")
    unknown: dict[str, Any] = dict.fromkeys(("mode", "std", "interval", "mass", "text"))
    return {"score": sum(frame["score"] for frame in frames) / len(frames), **unknown, "frames": frames}
