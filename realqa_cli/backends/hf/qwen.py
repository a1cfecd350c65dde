"""Preprocessing of the Qwen-VL families, from their tokenizer and their image processor.

Their own processor requires torchvision even for photos; this one needs only Pillow. The frames of a video go
through the image processor and are then joined in pairs, as the video processor of the families does it.

Time in videos: Qwen2-VL numbers the pairs of frames; Qwen2.5-VL positions them in proportion to the seconds
between them; Qwen3-VL writes the seconds before each pair.
"""

import inspect
import threading
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import groupby
from typing import Any

import numpy as np
import torch
from PIL.Image import Image
from torch import Tensor

from realqa_cli.backends.base import LoadOptions, PhotoTransform
from realqa_cli.backends.chat_templates import render_question, require_template, templated, turn
from realqa_cli.backends.patches import Patcher
from realqa_cli.decoding.tree import PromptBatch
from realqa_cli.domain.prompts import PLAIN_CHAT, ChatLayout
from realqa_cli.media.resize import frame_bounds, resize_within_bounds
from realqa_cli.media.video import Clip, FrameTransform, VisualInput
from realqa_cli.models import ModelSource

_WRITES_SECONDS = {"qwen3_vl", "qwen3_vl_moe", "qwen3_5", "qwen3_5_moe"}


class QwenProcessor:
    """Implements `Processor` for the Qwen-VL families."""

    def __init__(self, source: ModelSource, options: LoadOptions, model: Any) -> None:
        from transformers import AutoImageProcessor, AutoTokenizer

        # An adapter folder may also contain a tokenizer; it equals that of the base model.
        self.tokenizer: Any = AutoTokenizer.from_pretrained(source.base, trust_remote_code=options.trust_remote_code)
        self.images: Any = AutoImageProcessor.from_pretrained(source.base, backend="pil")
        require_template(self.tokenizer, source)
        low, high = options.bounds(self.images.size["shortest_edge"], self.images.size["longest_edge"])
        self._size = {"shortest_edge": low, "longest_edge": high}
        self._base = model.get_base_model() if hasattr(model, "get_base_model") else model
        self._patches_cache = threading.local()  # several threads may call at once
        bounds = {"min_pixels": low, "max_pixels": high}
        self._patcher = Patcher(self.images, **bounds) if Patcher.serves(self.images) else None
        self._image_token = int(model.config.image_token_id)
        self._video_token = int(model.config.video_token_id)
        self._writes_seconds = model.config.model_type in _WRITES_SECONDS
        self._pad_token = self.tokenizer.pad_token_id if self.tokenizer.pad_token_id is not None else 0

    def render(self, question: str, images: int, videos: int = 0, layout: ChatLayout = PLAIN_CHAT) -> str:
        """See `Processor`."""

        def render(messages: list[dict[str, Any]], arguments: Mapping[str, Any]) -> str:
            return templated(self.tokenizer, messages, True, **arguments)

        return render_question(render, question, images, videos, layout)

    def render_turns(self, turns: Sequence[tuple[str, str]], *, answer_next: bool) -> str:
        """See `Processor`."""
        return templated(self.tokenizer, [turn(*each) for each in turns], answer_next)

    def encode(self, texts: list[str]) -> list[list[int]]:
        """See `Processor`."""
        return list(self.tokenizer(texts, add_special_tokens=False)["input_ids"])

    def batch(self, texts: Sequence[str], images: Sequence[Sequence[VisualInput]], drop: int = 0) -> PromptBatch:
        """See `Processor`."""
        flat = [visual_input for group in images for visual_input in group]
        clips = [visual_input for visual_input in flat if isinstance(visual_input, Clip)]
        inputs = self._pixels(flat)
        counts = {
            self._image_token: self._tokens(inputs, "image"),
            self._video_token: self._tokens(inputs, "video"),
        }
        ids = self.encode(self._with_seconds(texts, clips) if clips and self._writes_seconds else list(texts))
        rows = [_expand(row[: len(row) - drop], counts) for row in ids]
        width = max(map(len, rows))
        ids_B_T = torch.tensor([[self._pad_token] * (width - len(row)) + row for row in rows])
        mask_B_T = torch.tensor([[False] * (width - len(row)) + [True] * len(row) for row in rows])
        ids_B_T, mask_B_T = ids_B_T.to(self._base.device), mask_B_T.to(self._base.device)
        shown_B_T = (ids_B_T == self._image_token).int() + 2 * (ids_B_T == self._video_token).int()
        encoded = PromptBatch(ids_B_T, mask_B_T, ids_B_T, inputs, shown_B_T * mask_B_T)
        return replace(encoded, positions=self._positions(encoded, clips))

    def frame_transform(self) -> FrameTransform | None:
        """See `Processor`; None if the chat template does not render videos."""
        if self.tokenizer.convert_ids_to_tokens(self._video_token) not in self.render("", 0, 1):
            return None
        return self._fit

    def photo_transform(self) -> PhotoTransform | None:
        """See `Processor`."""
        return None if self._patcher is None else self._patcher.fit

    def settings(self) -> Mapping[str, Any]:
        """The bounds of the area of a photo, in pixels."""
        return {"min_pixels": self._size["shortest_edge"], "max_pixels": self._size["longest_edge"]}

    def _fit(self, frame: Image, frames: int) -> Image:
        """The frame, resized to the bounds for a video of so many frames."""
        factor = self.images.patch_size * self.images.merge_size
        bounds = frame_bounds(frames, factor=factor, temporal=self.images.temporal_patch_size, **self.settings())
        return resize_within_bounds(frame, factor=factor, **bounds)

    def _pixels(self, visual_inputs: Sequence[VisualInput]) -> dict[str, Tensor]:
        """Patches of the inputs; the last ones are cached, because slots reuse a batch."""
        cached: tuple[Sequence[VisualInput], dict[str, Tensor]] = getattr(self._patches_cache, "last", ((), {}))
        if [*map(id, cached[0])] != [*map(id, visual_inputs)]:
            cached = self._patches_cache.last = visual_inputs, self._patches(visual_inputs)
        return cached[1]

    def _patches(self, visual_inputs: Sequence[VisualInput]) -> dict[str, Tensor]:
        photos = [visual_input for visual_input in visual_inputs if not isinstance(visual_input, Clip)]
        clips = [visual_input for visual_input in visual_inputs if isinstance(visual_input, Clip)]
        inputs: dict[str, Tensor] = {}
        if photos and self._patcher is not None:
            patches, grids = zip(*map(self._patcher, photos), strict=True)
            values = torch.from_numpy(np.concatenate(patches))
            inputs |= {"pixel_values": values, "image_grid_thw": torch.tensor(grids)}
        elif photos:
            made = self.images(images=photos, size=self._size, return_tensors="pt")
            inputs |= {"pixel_values": made["pixel_values"], "image_grid_thw": made["image_grid_thw"]}
        if clips:
            films, sizes = zip(*(self._clip_patches(clip) for clip in clips), strict=True)
            inputs |= {"pixel_values_videos": torch.cat(films), "video_grid_thw": torch.stack(sizes)}
        device, dtype = self._base.device, self._base.dtype
        return {
            name: value.to(device, dtype) if value.is_floating_point() else value.to(device)
            for name, value in inputs.items()
        }

    def _clip_patches(self, clip: Clip) -> tuple[Tensor, Tensor]:
        """Patches (T * H * W, channels * pair * patch * patch) and grid (T, H, W).

        The last frame is repeated if the number of frames is odd.
        """
        pair, patch = self.images.temporal_patch_size, self.images.patch_size
        frames = [self._fit(frame, len(clip.frames)) for frame in clip.frames]
        frames += frames[-1:] * (-len(frames) % pair)
        made = self.images(images=frames, do_resize=False, return_tensors="pt")
        _, rows, columns = made["image_grid_thw"][0].tolist()
        # The image processor repeats each frame in time: take one copy, followed by the next frame's.
        each = made["pixel_values"].view(len(frames) // pair, pair, rows * columns, -1, pair, patch, patch)
        joined = each[:, :, :, :, 0].permute(0, 2, 3, 1, 4, 5)
        grid = torch.tensor([len(frames) // pair, rows, columns])
        return joined.reshape(grid.prod(), -1), grid

    def _tokens(self, inputs: Mapping[str, Tensor], kind: str) -> Iterator[int]:
        """The number of visual tokens of each placeholder, in order."""
        for t, h, w in inputs[f"{kind}_grid_thw"].tolist() if f"{kind}_grid_thw" in inputs else []:
            each = h * w // self.images.merge_size**2
            yield from [each] * t if kind == "video" and self._writes_seconds else [t * each]

    def _with_seconds(self, texts: Sequence[str], clips: Sequence[Clip]) -> list[str]:
        """Repeats the placeholder of each video, with its marks, for each pair of frames, after their time.

        This is the format of the family's processor at publication; later versions keep outer marks.
        """
        config = self._base.config
        names = (config.vision_start_token_id, self._video_token, config.vision_end_token_id)
        start, pad, end = (self.tokenizer.convert_ids_to_tokens(token) for token in names)
        waiting = iter(clips)
        found = []
        for text in texts:
            first, *others = text.split(f"{start}{pad}{end}")
            for other in others:
                times = self._pair_times(next(waiting))
                first += "".join(f"<{time:.1f} seconds>{start}{pad}{end}" for time in times) + other
            found.append(first)
        return found

    def _pair_times(self, clip: Clip) -> list[float]:
        """The time of each pair of frames in seconds: the middle between its first and its last."""
        pair = self.images.temporal_patch_size
        times = [*clip.times, *clip.times[-1:] * (-len(clip.times) % pair)]
        return [(times[i] + times[i + pair - 1]) / 2 for i in range(0, len(times), pair)]

    def _positions(self, encoded: PromptBatch, clips: Sequence[Clip]) -> Tensor:
        """(3, B, T) by the model's own rule, corrected for videos."""
        index = self._base.model.get_rope_index
        more: dict[str, Any] = {}
        if clips and "second_per_grid_ts" in inspect.signature(index).parameters:
            pair = self.images.temporal_patch_size
            more["second_per_grid_ts"] = [round(clip.pace * pair, 6) for clip in clips]
        grids = {name: encoded.inputs.get(name) for name in ("image_grid_thw", "video_grid_thw")}
        types_B_T = encoded.token_types_B_T
        positions, _ = index(encoded.ids_B_T, types_B_T, **grids, attention_mask=encoded.mask_B_T.long(), **more)
        return _after_videos(positions, types_B_T) if clips and types_B_T is not None else positions


def _after_videos(positions: Tensor, types_B_T: Tensor) -> Tensor:
    """(3, B, T) positions in which the text after a video follows the video on every axis.

    The models were trained so: text begins one after the highest position before it, on whichever axis that
    is (Qwen2-VL report, Sec. 2.1). Since version 5.3, transformers counts height and width only, so text after
    many small frames would overlap with their time positions.
    """
    moved = positions.clone()
    for row, types in enumerate(types_B_T.tolist()):
        start = 0
        for kind, run in groupby(types):
            end = start + len([*run])
            if kind == 2 and end < len(types):
                behind = moved[:, row, start:end].max() + 1 - moved[0, row, end]
                moved[:, row, end:] += behind.clamp(min=0)
            start = end
    return moved


def _expand(ids: Sequence[int], counts: Mapping[int, Iterator[int]]) -> list[int]:
    """Repeats each placeholder by its number of visual tokens."""
    return [token for one in ids for token in ([one] * next(counts[one]) if one in counts else [one])]
