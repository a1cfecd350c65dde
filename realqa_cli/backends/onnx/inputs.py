"""From questions, photos and videos to what the graphs of the `onnx` backend take, without transformers.

The same words, pixels and positions as the `hf` backend gives a Qwen2-VL (qwen.py): the folder's own chat
template, tokenizer and image processor settings hold, read by jinja2, tokenizers and NumPy.
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
from realqa_cli.backends.chat_templates import message
from realqa_cli.backends.onnx.graphs import Ids
from realqa_cli.backends.onnx.runtimes import Array
from realqa_cli.backends.patches import Patcher
from realqa_cli.media.resize import frame_bounds, resize_within_bounds
from realqa_cli.media.video import Clip, FrameTransform, VisualInput
from realqa_cli.models import ModelSource

_ONE = np.zeros((3, 1), np.int64)
"""The positions of one token of text."""

Patched = tuple[Array, tuple[int, int, int]]
"""(P, C) patches of an image, and their grid: 1, rows, columns."""

_ALWAYS = {"do_resize": True, "do_rescale": True, "do_normalize": True, "resample": Resampling.BICUBIC}
"""Settings of the image processor that are taken for granted here."""

_UNTOLD = _ALWAYS | {"rescale_factor": 1 / 255, "patch_size": 14, "temporal_patch_size": 2, "merge_size": 2}
"""What a preprocessor_config.json need not say."""


@dataclass(frozen=True)
class VisualGrid:
    """Visual tokens of a photo or video: so many pairs of frames (a photo is one), rows and columns.

    pace: how far apart the pairs are in time.
    """

    pairs: int
    rows: int
    columns: int
    pace: float = 1

    def positions(self) -> Ids:
        """(3, F) in time, height and width, each from 0."""
        places = np.indices((self.pairs, self.rows, self.columns)).reshape(3, -1)
        places[0] = places[0].astype(np.float32) * self.pace
        return places


@dataclass(frozen=True)
class PromptLayout:
    """Tokens as the language model takes them.

    ids_T: token ids, placeholders repeated for each visual token.  positions_3_T: places in time, height and
    width.  places_F: the indices in T of the visual tokens.  next: the position after all of them.
    """

    ids_T: Ids
    positions_3_T: Ids
    places_F: Ids
    next: int


class OnnxProcessor:
    """The words and pixels of one model folder."""

    def __init__(self, source: ModelSource, loading: LoadOptions, config: Mapping[str, Any]) -> None:
        """Raises Unfit where the folder's parts are of another kind, ModelError for bounds that cross."""
        self._template, self._names = _template(source.base)
        self._tokenizer = _tokenizer(source.base)
        self._marks = _marks(self._tokenizer)
        images = _processor(source.base)
        low, high = loading.bounds(images.size["shortest_edge"], images.size["longest_edge"])
        self._bounds = {"min_pixels": low, "max_pixels": high}
        self._patcher = Patcher(images, **self._bounds)
        self.fit = self._patcher.fit
        """The photo in the size in which it is seen."""
        self._factor, self._merge = images.patch_size * images.merge_size, images.merge_size
        self._pair = images.temporal_patch_size
        self._shown = [config["image_token_id"], config["video_token_id"]]
        self._tokens_a_second = config["vision_config"].get("tokens_per_second")

    def text(self, ask: Prompt) -> str:
        """The rendered ask, with its prefix."""
        return self._render(ask.question, len(ask.images), int(ask.video is not None)) + ask.prefix

    def encode(self, texts: list[str]) -> list[list[int]]:
        """Token ids of rendered texts; placeholders stay single.

        What stands before the last special token is the same in all, as no token reaches across it.
        """
        cuts = [max((text.rfind(mark) for mark in self._marks), default=0) for text in texts]
        parts = [(text[: max(cut, 0)], text[max(cut, 0) :]) for text, cut in zip(texts, cuts, strict=True)]
        heads = {head: self._encode([head])[0] for head in {head for head, _ in parts}}
        tails = self._encode([tail for _, tail in parts])
        return [heads[head] + tail for (head, _), tail in zip(parts, tails, strict=True)]

    def _encode(self, texts: list[str]) -> list[list[int]]:
        return [each.ids for each in self._tokenizer.encode_batch_fast(texts, add_special_tokens=False)]

    def decode(self, ids: Sequence[int]) -> str:
        """The text of tokens, without special ones."""
        return str(self._tokenizer.decode(list(ids), skip_special_tokens=True))

    def lay_out(self, ids: Sequence[int], grids: Sequence[VisualGrid]) -> PromptLayout:
        """The tokens, and the visual ones of each grid in order; text goes on behind all of an image."""
        waiting = iter(grids)
        tokens: list[int] = []
        positions: list[Ids] = []
        start = 0
        for token in ids:
            shown = next(waiting).positions() if token in self._shown else _ONE
            tokens += [token] * shown.shape[1]
            positions.append(start + shown)
            start += int(shown.max()) + 1
        places = np.flatnonzero(np.isin(tokens, self._shown))
        return PromptLayout(np.array(tokens), np.concatenate(positions, axis=1), places, start)

    def patches(self, sight: VisualInput) -> list[Patched]:
        """Those of a photo, of one frame, or of each pair of a video's; an odd last one is its own pair."""
        if not isinstance(sight, Clip):
            return [self._patcher.once(sight)]
        frames = [np.asarray(self._fit(frame, len(sight.frames))) for frame in sight.frames]
        pairs = (frames[first : first + self._pair] for first in range(0, len(frames), self._pair))
        return [self._patcher.together(pair, self._pair) for pair in pairs]

    def grid(self, sight: VisualInput, patched: Sequence[Patched]) -> VisualGrid:
        """That of the visual tokens which the sight's patches become."""
        _, (_, rows, columns) = patched[0]
        timed = self._tokens_a_second if isinstance(sight, Clip) else None
        pace = timed * round(sight.pace * self._pair, 6) if timed and isinstance(sight, Clip) else 1
        return VisualGrid(len(patched), rows // self._merge, columns // self._merge, pace)

    def frame_transform(self) -> FrameTransform | None:
        """What becomes of a video's frames; None where the chat template has no place for a video."""
        shown = self.encode([self._render("", 0, 1)])[0]
        return self._fit if self._shown[1] in shown else None

    def settings(self) -> Mapping[str, Any]:
        """The bounds of a photo's area in pixels."""
        return self._bounds

    def _render(self, question: str, images: int, videos: int) -> str:
        messages = [message("user", question, images=images, videos=videos)]
        return str(self._template.render(messages=messages, add_generation_prompt=True, **self._names))

    def _fit(self, frame: Image, frames: int) -> Image:
        """The frame in its size among so many."""
        bounds = frame_bounds(frames, factor=self._factor, temporal=self._pair, **self._bounds)
        return resize_within_bounds(frame, factor=self._factor, **bounds)


def _template(folder: Path) -> tuple[Any, dict[str, str]]:
    """The chat template, and the special tokens that it may ask for. Raises Unfit."""
    from jinja2 import TemplateError
    from jinja2.sandbox import ImmutableSandboxedEnvironment

    try:
        told = _json(folder / "tokenizer_config.json")
        file = folder / "chat_template.jinja"
        text = file.read_text(encoding="utf-8") if file.is_file() else told["chat_template"]
        # As transformers renders templates; what it adds to jinja's language makes a template unfit here.
        environment = ImmutableSandboxedEnvironment(trim_blocks=True, lstrip_blocks=True)
        names = {name: value for name, value in told.items() if name.endswith("_token")}
        return environment.from_string(text), {name: value for name, value in names.items() if isinstance(value, str)}
    except (OSError, KeyError, TypeError, TemplateError) as error:
        raise UnsupportedModel(f"its chat template is not plain jinja: {error}", where=str(folder)) from error


def _tokenizer(folder: Path) -> Any:
    from tokenizers import Tokenizer

    try:
        return Tokenizer.from_str((folder / "tokenizer.json").read_text(encoding="utf-8"))
    except Exception as error:  # the library raises nothing narrower
        raise UnsupportedModel(
            f"its tokenizer cannot be read: {error}", where=str(folder / "tokenizer.json")
        ) from error


def _marks(tokenizer: Any) -> list[str]:
    """The special tokens that are cut out of a text before anything else is done to it, as they stand."""
    added = tokenizer.get_added_tokens_decoder().values()
    firm = [each for each in added if not (each.lstrip or each.rstrip or each.normalized)]
    return [each.content for each in firm if each.special]


def _processor(folder: Path) -> SimpleNamespace:
    """The image processor's settings. Raises Unfit for another processor than Qwen2-VL's."""
    file = folder / "preprocessor_config.json"
    found = _UNTOLD | _json(file)
    alike = all(found[name] == value for name, value in _ALWAYS.items())
    alike = alike and str(found.get("image_processor_type")).startswith("Qwen2VLImageProcessor")
    if not alike or {"size", "image_mean", "image_std"} - set(found):
        raise UnsupportedModel("its image processor is not Qwen2-VL's", where=str(file))
    return SimpleNamespace(**found)


def _json(file: Path) -> dict[str, Any]:
    try:
        return dict(json.loads(file.read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError) as error:
        raise UnsupportedModel(f"cannot be read: {error}", where=str(file)) from error
