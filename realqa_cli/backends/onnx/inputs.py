"""Converts questions, photos and videos to the inputs of the ONNX graphs, without transformers.

Text, pixels and positions equal those of the `hf` backend (qwen.py): tokenizers and NumPy read the tokenizer
and the image processor settings of the model folder, templates.py its chat template.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
from PIL.Image import Image, Resampling

from realqa_cli.backends.base import LoadOptions, Prompt, UnsupportedModel
from realqa_cli.backends.chat_templates import render_question
from realqa_cli.backends.onnx.graphs import Ids
from realqa_cli.backends.onnx.runtimes import Array
from realqa_cli.backends.onnx.templates import ChatTemplate
from realqa_cli.backends.patches import Patcher
from realqa_cli.domain.prompts import PLAIN_CHAT, ChatLayout
from realqa_cli.errors import one_line
from realqa_cli.media.resize import frame_bounds, resize_within_bounds
from realqa_cli.media.video import Clip, FrameTransform, VisualInput
from realqa_cli.models import ModelSource

_ONE = np.zeros((3, 1), np.int64)
"""The position offset of a text token on the three axes."""

ImagePatches = tuple[Array, tuple[int, int, int]]
"""(P, C) patches of an image and their grid (1, rows, columns)."""

_REQUIRED = {"do_resize": True, "do_rescale": True, "do_normalize": True, "resample": Resampling.BICUBIC}
"""Settings of the image processor that this module requires."""

_DEFAULTS = _REQUIRED | {"rescale_factor": 1 / 255, "patch_size": 14, "temporal_patch_size": 2, "merge_size": 2}
"""Defaults of the settings that a preprocessor_config.json may omit."""


@dataclass(frozen=True)
class VisualGrid:
    """The grid of the visual tokens of a photo or video: pairs of frames (one for a photo), rows, columns.

    pace: distance of consecutive pairs on the time axis.
    """

    pairs: int
    rows: int
    columns: int
    pace: float = 1

    def positions(self) -> Ids:
        """(3, F) positions in time, height and width, each from 0."""
        places = np.indices((self.pairs, self.rows, self.columns)).reshape(3, -1)
        places[0] = places[0].astype(np.float32) * self.pace
        return places


@dataclass(frozen=True)
class PromptLayout:
    """The tokens of a prompt with their positions.

    ids_T: token ids, placeholders repeated for each visual token.  positions_3_T: positions in time, height
    and width.  places_F: indices in T of the visual tokens.  next: the position of the next token.
    """

    ids_T: Ids
    positions_3_T: Ids
    places_F: Ids
    next: int


class OnnxProcessor:
    """Preprocessing with the settings of one model folder."""

    def __init__(self, source: ModelSource, options: LoadOptions, config: Mapping[str, Any]) -> None:
        """Raises UnsupportedModel for an unsupported folder, ModelError for invalid pixel bounds."""
        self._template = ChatTemplate(source.base)
        self._tokenizer = _tokenizer(source.base)
        self._marks = _marks(self._tokenizer)
        images = _processor(source.base)
        low, high = options.bounds(images.size["shortest_edge"], images.size["longest_edge"])
        self._bounds = {"min_pixels": low, "max_pixels": high}
        self._patcher = Patcher(images, **self._bounds)
        self.fit = self._patcher.fit
        """Resizes a photo to the pixel bounds."""
        self._factor, self._merge = images.patch_size * images.merge_size, images.merge_size
        self._pair = images.temporal_patch_size
        self._placeholders = [config["image_token_id"], config["video_token_id"]]
        self._tokens_a_second = config["vision_config"].get("tokens_per_second")

    def text(self, prompt: Prompt) -> str:
        """The rendered prompt, with its prefix."""
        shown = len(prompt.images), int(prompt.video is not None)
        return self._render(prompt.question, *shown, prompt.layout) + prompt.prefix

    def encode(self, texts: list[str]) -> list[list[int]]:
        """Token ids of rendered texts; a placeholder is one token.

        The text before the last special token is tokenised once for all texts that share it: no token spans a
        special token.
        """
        cuts = [max((text.rfind(mark) for mark in self._marks), default=0) for text in texts]
        parts = [(text[: max(cut, 0)], text[max(cut, 0) :]) for text, cut in zip(texts, cuts, strict=True)]
        heads = {head: self._encode([head])[0] for head in {head for head, _ in parts}}
        tails = self._encode([tail for _, tail in parts])
        return [heads[head] + tail for (head, _), tail in zip(parts, tails, strict=True)]

    def _encode(self, texts: list[str]) -> list[list[int]]:
        return [each.ids for each in self._tokenizer.encode_batch_fast(texts, add_special_tokens=False)]

    def decode(self, ids: Sequence[int]) -> str:
        """The text of the tokens, without special ones."""
        return str(self._tokenizer.decode(list(ids), skip_special_tokens=True))

    def lay_out(self, ids: Sequence[int], grids: Sequence[VisualGrid]) -> PromptLayout:
        """Expands placeholders to the visual tokens of the grids; text after an image follows all of it."""
        waiting = iter(grids)
        tokens: list[int] = []
        positions: list[Ids] = []
        start = 0
        for token in ids:
            offsets = next(waiting).positions() if token in self._placeholders else _ONE
            tokens += [token] * offsets.shape[1]
            positions.append(start + offsets)
            start += int(offsets.max()) + 1
        places = np.flatnonzero(np.isin(tokens, self._placeholders))
        return PromptLayout(np.array(tokens), np.concatenate(positions, axis=1), places, start)

    def patches(self, visual_input: VisualInput) -> list[ImagePatches]:
        """The patches of a photo, or of each pair of frames of a video; an odd last frame is its own pair."""
        if not isinstance(visual_input, Clip):
            return [self._patcher.once(visual_input)]
        frames = [np.asarray(self._fit(frame, len(visual_input.frames))) for frame in visual_input.frames]
        pairs = (frames[first : first + self._pair] for first in range(0, len(frames), self._pair))
        return [self._patcher.together(pair, self._pair) for pair in pairs]

    def grid(self, visual_input: VisualInput, patched: Sequence[ImagePatches]) -> VisualGrid:
        """The grid of the visual tokens of an input with these patches."""
        _, (_, rows, columns) = patched[0]
        timed = self._tokens_a_second if isinstance(visual_input, Clip) else None
        pace = timed * round(visual_input.pace * self._pair, 6) if timed and isinstance(visual_input, Clip) else 1
        return VisualGrid(len(patched), rows // self._merge, columns // self._merge, pace)

    def frame_transform(self) -> FrameTransform | None:
        """See `Backend.frame_transform`; None if the chat template does not render videos."""
        shown = self.encode([self._render("", 0, 1)])[0]
        return self._fit if self._placeholders[1] in shown else None

    def settings(self) -> Mapping[str, Any]:
        """The bounds of the area of a photo, in pixels."""
        return self._bounds

    def _render(self, question: str, images: int, videos: int, layout: ChatLayout = PLAIN_CHAT) -> str:
        return render_question(self._template.render, question, images, videos, layout)

    def _fit(self, frame: Image, frames: int) -> Image:
        """The frame, resized to the bounds for a video of so many frames."""
        bounds = frame_bounds(frames, factor=self._factor, temporal=self._pair, **self._bounds)
        return resize_within_bounds(frame, factor=self._factor, **bounds)


def _tokenizer(folder: Path) -> Any:
    from tokenizers import Tokenizer

    try:
        return Tokenizer.from_str((folder / "tokenizer.json").read_text(encoding="utf-8"))
    except Exception as error:  # the library has no narrower class
        raise UnsupportedModel(
            f"its tokenizer cannot be read: {one_line(error)}", where=str(folder / "tokenizer.json")
        ) from error


def _marks(tokenizer: Any) -> list[str]:
    """The special tokens that are split off a text verbatim before it is normalised."""
    added = tokenizer.get_added_tokens_decoder().values()
    verbatim = [each for each in added if not (each.lstrip or each.rstrip or each.normalized)]
    return [each.content for each in verbatim if each.special]


def _processor(folder: Path) -> SimpleNamespace:
    """The settings of the image processor. Raises UnsupportedModel for another one than Qwen2-VL's."""
    file = folder / "preprocessor_config.json"
    settings = _DEFAULTS | _json(file)
    alike = all(settings[name] == value for name, value in _REQUIRED.items())
    alike = alike and str(settings.get("image_processor_type")).startswith("Qwen2VLImageProcessor")
    if not alike or {"size", "image_mean", "image_std"} - set(settings):
        raise UnsupportedModel("its image processor is not Qwen2-VL's", where=str(file))
    return SimpleNamespace(**settings)


def _json(file: Path) -> dict[str, Any]:
    try:
        return dict(json.loads(file.read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError) as error:
        raise UnsupportedModel(f"cannot be read: {one_line(error)}", where=str(file)) from error
