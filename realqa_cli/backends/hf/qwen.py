"""The Qwen-VL families: tokenizer and image processor are loaded and joined here.

Their own processor wants torchvision even for photos alone; this one needs Pillow only. The frames of a video
go through the image processor and are then joined in pairs, as the families' video processor does it.

Tokens of time: Qwen2-VL numbers a video's pairs of frames; Qwen2.5-VL gives them positions in proportion to
the seconds between them; Qwen3-VL writes the seconds before each pair.
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
from realqa_cli.backends.chat_templates import message, require_template, templated, turn
from realqa_cli.backends.patches import Patcher
from realqa_cli.decoding.tree import PromptBatch
from realqa_cli.media.resize import frame_bounds, resize_within_bounds
from realqa_cli.media.video import Clip, FrameTransform, VisualInput
from realqa_cli.models import ModelSource

_WRITES_SECONDS = {"qwen3_vl", "qwen3_vl_moe"}


class QwenProcessor:
    """Implements `Prepares`; see preparing.py."""

    def __init__(self, source: ModelSource, loading: LoadOptions, model: Any) -> None:
        from transformers import AutoImageProcessor, AutoTokenizer

        # The adapter's folder may hold the tokenizer it was trained with; the base's is the same.
        self.tokenizer: Any = AutoTokenizer.from_pretrained(source.base, trust_remote_code=loading.trust_remote_code)
        self.images: Any = AutoImageProcessor.from_pretrained(source.base, backend="pil")
        require_template(self.tokenizer, source)
        low, high = loading.bounds(self.images.size["shortest_edge"], self.images.size["longest_edge"])
        self._size = {"shortest_edge": low, "longest_edge": high}
        self._base = model.get_base_model() if hasattr(model, "get_base_model") else model
        self._kept = threading.local()  # several threads may prepare at once
        bounds = {"min_pixels": low, "max_pixels": high}
        self._patcher = Patcher(self.images, **bounds) if Patcher.serves(self.images) else None
        self._image_token = int(model.config.image_token_id)
        self._video_token = int(model.config.video_token_id)
        self._writes_seconds = model.config.model_type in _WRITES_SECONDS
        self._pad_token = self.tokenizer.pad_token_id if self.tokenizer.pad_token_id is not None else 0

    def render(self, question: str, images: int, videos: int = 0) -> str:
        """See `Prepares`."""
        return templated(self.tokenizer, [message("user", question, images=images, videos=videos)], True)

    def render_turns(self, turns: Sequence[tuple[str, str]], *, answer_next: bool) -> str:
        """See `Prepares`."""
        return templated(self.tokenizer, [turn(*each) for each in turns], answer_next)

    def encode(self, texts: list[str]) -> list[list[int]]:
        """See `Prepares`."""
        return list(self.tokenizer(texts, add_special_tokens=False)["input_ids"])

    def batch(self, texts: Sequence[str], images: Sequence[Sequence[VisualInput]], drop: int = 0) -> PromptBatch:
        """See `Prepares`."""
        flat = [sight for group in images for sight in group]
        clips = [sight for sight in flat if isinstance(sight, Clip)]
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
        prompt = PromptBatch(ids_B_T, mask_B_T, ids_B_T, inputs, shown_B_T * mask_B_T)
        return replace(prompt, positions=self._positions(prompt, clips))

    def frame_transform(self) -> FrameTransform | None:
        """See `Prepares`; None where the chat template has no place for a video."""
        if self.tokenizer.convert_ids_to_tokens(self._video_token) not in self.render("", 0, 1):
            return None
        return self._fit

    def photo_transform(self) -> PhotoTransform | None:
        """See `Prepares`."""
        return None if self._patcher is None else self._patcher.fit

    def settings(self) -> Mapping[str, Any]:
        """The bounds of a photo's area in pixels."""
        return {"min_pixels": self._size["shortest_edge"], "max_pixels": self._size["longest_edge"]}

    def _fit(self, frame: Image, frames: int) -> Image:
        """The frame in its size among so many."""
        factor = self.images.patch_size * self.images.merge_size
        bounds = frame_bounds(frames, factor=factor, temporal=self.images.temporal_patch_size, **self.settings())
        return resize_within_bounds(frame, factor=factor, **bounds)

    def _pixels(self, shown: Sequence[VisualInput]) -> dict[str, Tensor]:
        """Patches of what is shown; the last are kept, because slots ask many times of one batch."""
        kept: tuple[Sequence[VisualInput], dict[str, Tensor]] = getattr(self._kept, "last", ((), {}))
        if [*map(id, kept[0])] != [*map(id, shown)]:
            kept = self._kept.last = shown, self._patches(shown)
        return kept[1]

    def _patches(self, shown: Sequence[VisualInput]) -> dict[str, Tensor]:
        photos = [sight for sight in shown if not isinstance(sight, Clip)]
        clips = [sight for sight in shown if isinstance(sight, Clip)]
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
        """((T * H * W, channels * pair * patch * patch), (T, H, W)): an odd last frame is its own pair."""
        pair, patch = self.images.temporal_patch_size, self.images.patch_size
        frames = [self._fit(frame, len(clip.frames)) for frame in clip.frames]
        frames += frames[-1:] * (-len(frames) % pair)
        made = self.images(images=frames, do_resize=False, return_tensors="pt")
        _, rows, columns = made["image_grid_thw"][0].tolist()
        # The image processor repeats each frame in time: one of its copies, beside the next frame's.
        each = made["pixel_values"].view(len(frames) // pair, pair, rows * columns, -1, pair, patch, patch)
        joined = each[:, :, :, :, 0].permute(0, 2, 3, 1, 4, 5)
        grid = torch.tensor([len(frames) // pair, rows, columns])
        return joined.reshape(grid.prod(), -1), grid

    def _tokens(self, inputs: Mapping[str, Tensor], kind: str) -> Iterator[int]:
        """How many visual tokens each placeholder stands for, in order."""
        for t, h, w in inputs[f"{kind}_grid_thw"].tolist() if f"{kind}_grid_thw" in inputs else []:
            each = h * w // self.images.merge_size**2
            yield from [each] * t if kind == "video" and self._writes_seconds else [t * each]

    def _with_seconds(self, texts: Sequence[str], clips: Sequence[Clip]) -> list[str]:
        """Each video's placeholder, with its marks, once for each pair of frames, after the pair's time.

        As the families' own processor did when they were published; later ones leave the outer marks.
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
        """Seconds of each pair of frames: the middle between its first and its last."""
        pair = self.images.temporal_patch_size
        times = [*clip.times, *clip.times[-1:] * (-len(clip.times) % pair)]
        return [(times[i] + times[i + pair - 1]) / 2 for i in range(0, len(times), pair)]

    def _positions(self, prompt: PromptBatch, clips: Sequence[Clip]) -> Tensor:
        """(3, B, T) by the model's own rule, mended for videos."""
        index = self._base.model.get_rope_index
        more: dict[str, Any] = {}
        if clips and "second_per_grid_ts" in inspect.signature(index).parameters:
            pair = self.images.temporal_patch_size
            more["second_per_grid_ts"] = [round(clip.pace * pair, 6) for clip in clips]
        grids = {name: prompt.inputs.get(name) for name in ("image_grid_thw", "video_grid_thw")}
        types_B_T = prompt.token_types_B_T
        positions, _ = index(prompt.ids_B_T, types_B_T, **grids, attention_mask=prompt.mask_B_T.long(), **more)
        return _after_videos(positions, types_B_T) if clips and types_B_T is not None else positions


def _after_videos(positions: Tensor, types_B_T: Tensor) -> Tensor:
    """(3, B, T) with the text after a video behind all of it, in time as in space.

    So the models were trained: what follows begins one after the highest position before it, on whichever
    axis (Qwen2-VL's report, Sec. 2.1). From 5.3 on transformers counts height and width alone, and text after
    many small frames would begin among them.
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
    """Repeats each placeholder as often as what it stands for has visual tokens."""
    return [token for one in ids for token in ([one] * next(counts[one]) if one in counts else [one])]
