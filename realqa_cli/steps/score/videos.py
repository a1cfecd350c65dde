"""How scoring looks at videos: which frames, in which size, and each by itself where that is asked for."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from PIL.Image import Image, Resampling

from realqa_cli.backends.base import PhotoTransform
from realqa_cli.errors import ItemError
from realqa_cli.inference.inputs import OpenOptions, VideoReader, video_reader
from realqa_cli.inference.readout import Readout
from realqa_cli.io.records import ScoreRecord
from realqa_cli.media.photo import DecodeOptions
from realqa_cli.media.resize import shrink_to_area
from realqa_cli.media.video import Clip, FrameTransform, Sampling, VisualInput
from realqa_cli.steps.score.method import Method, Prediction

FRAME_PIXELS = 2**20
"""Area of a frame, at most, for models without pixel bounds, which resize it themselves."""


@dataclass(frozen=True)
class InputScorer:
    """How scoring looks at photos and videos.

    per_frame: whether each frame of a video is scored too, as a photo; where the model takes no videos, a
    video's score is then the mean of its frames', and what else a record tells of a score is null.
    batch_size: frames in one forward pass.  photo_fit: what the backend makes of a photo, if it tells.
    decode_options: how photos are decoded.
    """

    method: Method
    readout: Readout
    sampling: Sampling
    backend_fit: FrameTransform | None
    per_frame: bool
    batch_size: int
    photo_transform: PhotoTransform | None = None
    decode_options: DecodeOptions = field(default_factory=DecodeOptions)

    def opening(self) -> OpenOptions:
        """How photos and videos are opened: in the size in which they are seen."""
        return OpenOptions(self.watcher(), self.prepared, self.decode_options)

    def prepared(self, photo: Image) -> Image:
        """The photo as the backend is asked about it."""
        photo = self.readout.prepare(photo)
        return photo if self.photo_transform is None else self.photo_transform(photo)

    def watcher(self) -> VideoReader:
        """Reads videos, as far as the model or the method knows what to do with them."""
        fit, remedy = self.backend_fit, "use a model of the Qwen-VL families, or --per-frame"
        if fit is None and self.per_frame:
            remedy = "use --method direct: only such scores of frames have a mean"
            if self.method.record is ScoreRecord:
                fit = _small
        return video_reader(self.sampling, fit and self._prepared(fit), remedy=remedy)

    def read(self, visual_inputs: Sequence[VisualInput]) -> list[Prediction]:
        """As `Method.read`, of what `opening` made; with `per_frame` the fields of a video have `frames`."""
        whole = [visual_input for visual_input in visual_inputs if self.backend_fit or not isinstance(visual_input, Clip)]
        waiting = iter(self.method.read(whole) if whole else ())
        return [
            self._film(visual_input, waiting) if isinstance(visual_input, Clip) and self.per_frame else next(waiting)
            for visual_input in visual_inputs
        ]

    def settings(self) -> dict[str, Any]:
        """For the manifest."""
        return {**self.sampling.settings(), "per_frame": self.per_frame}

    def _prepared(self, fit: FrameTransform) -> FrameTransform:
        return lambda frame, frames: fit(self.readout.prepare_frame(frame), frames)

    def _film(self, clip: Clip, waiting: Iterator[Prediction]) -> Prediction:
        own: Prediction = next(waiting) if self.backend_fit else {}
        if isinstance(own, ItemError):
            return own
        found: list[Prediction] = []
        for start in range(0, len(clip.frames), self.batch_size):
            found += self.method.read(clip.frames[start : start + self.batch_size])
        frames = [_frame(*each) for each in zip(clip.times, found, strict=True)]
        return {**own, "frames": frames} if own else _pooled(frames)


def _small(frame: Image, frames: int) -> Image:
    return shrink_to_area(frame, FRAME_PIXELS, Resampling.BICUBIC)


def _frame(time: float, found: Prediction) -> dict[str, Any]:
    if isinstance(found, ItemError):
        return {"time": time, "error": found.as_field()}
    return {"time": time, "score": found["score"]}


def _pooled(frames: list[dict[str, Any]]) -> Prediction:
    """The fields of a video of which only the frames were seen."""
    if failed := [frame["error"]["message"] for frame in frames if "error" in frame]:
        return ItemError(f"{len(failed)} of {len(frames)} frames have no score: {failed[0]}", type="unparsed")
    unknown: dict[str, Any] = dict.fromkeys(("mode", "std", "interval", "mass", "text"))
    return {"score": sum(frame["score"] for frame in frames) / len(frames), **unknown, "frames": frames}
