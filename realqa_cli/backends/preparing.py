"""From questions and photos to the tensors of a model: chat template, pixels, padding, positions."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Protocol

import torch
from PIL.Image import Image
from torch import Tensor

from realqa_cli.backends import Loading
from realqa_cli.decoding.tree import PromptBatch
from realqa_cli.errors import ModelError
from realqa_cli.models import ModelSource

_QWEN = {"qwen2_vl", "qwen2_5_vl", "qwen3_vl", "qwen3_vl_moe"}

IMAGE_MARK = "<image>"
"""Where a photo stands in a turn's text, as conversations for fine-tuning have it."""


class Prepares(Protocol):
    """What the `hf` backend needs to know of a model family."""

    tokenizer: Any

    def render(self, question: str, images: int) -> str:
        """The chat template's text up to where the answer begins, one placeholder an image."""
        ...

    def render_turns(self, turns: Sequence[tuple[str, str]], *, answer_next: bool) -> str:
        """The chat template's text of whole (role, text) turns; `IMAGE_MARK` in a user's text is a photo.

        `answer_next`: up to where the assistant's next answer begins.
        """
        ...

    def encode(self, texts: list[str]) -> list[list[int]]:
        """Token ids of rendered texts; placeholders stay single."""
        ...

    def batch(self, texts: Sequence[str], images: Sequence[Sequence[Image]], drop: int = 0) -> PromptBatch:
        """Tensors of rendered texts and their images, without the last `drop` tokens of each text."""
        ...

    def settings(self) -> Mapping[str, Any]:
        """What of this decides answers: the pixel bounds, where the family has them."""
        ...


def preparer(source: ModelSource, loading: Loading, model: Any) -> Prepares:
    """The preparer for the model's family. Raises ModelError where a part cannot be loaded."""
    family = Qwen if model.config.model_type in _QWEN else Processor
    try:
        return family(source, loading, model)
    except (OSError, ValueError, ImportError, KeyError, TypeError) as error:
        reason = " ".join(str(error).split())[:300]
        raise ModelError(
            f"its tokenizer or image processor cannot be loaded: {reason}",
            where=str(source.base),
            remedy="check that the folder is whole",
        ) from error


class Qwen:
    """The Qwen-VL families: tokenizer and image processor are loaded and joined here.

    Their own processor wants torchvision even for photos alone; this one needs Pillow only.
    """

    def __init__(self, source: ModelSource, loading: Loading, model: Any) -> None:
        from transformers import AutoImageProcessor, AutoTokenizer

        # The adapter's folder may hold the tokenizer it was trained with; the base's is the same.
        self.tokenizer: Any = AutoTokenizer.from_pretrained(
            source.base, trust_remote_code=loading.trust_remote_code
        )
        self.images: Any = AutoImageProcessor.from_pretrained(source.base, backend="pil")
        _require_template(self.tokenizer, source)
        self._size = _pixel_bounds(self.images, loading)
        self._base = model.get_base_model() if hasattr(model, "get_base_model") else model
        self._kept: tuple[Sequence[Image], dict[str, Tensor]] = ((), {})
        self._image_token = int(model.config.image_token_id)
        self._pad_token = self.tokenizer.pad_token_id if self.tokenizer.pad_token_id is not None else 0

    def render(self, question: str, images: int) -> str:
        """See `Prepares`."""
        return _templated(self.tokenizer, [_message("user", [None] * images + [question])], True)

    def render_turns(self, turns: Sequence[tuple[str, str]], *, answer_next: bool) -> str:
        """See `Prepares`."""
        return _templated(self.tokenizer, [_turn(*turn) for turn in turns], answer_next)

    def encode(self, texts: list[str]) -> list[list[int]]:
        """See `Prepares`."""
        return list(self.tokenizer(texts, add_special_tokens=False)["input_ids"])

    def batch(self, texts: Sequence[str], images: Sequence[Sequence[Image]], drop: int = 0) -> PromptBatch:
        """See `Prepares`."""
        flat = [image for group in images for image in group]
        inputs = self._pixels(flat)
        counts: list[int] = []
        if flat:
            counts = (inputs["image_grid_thw"].prod(dim=1) // self.images.merge_size**2).tolist()
        waiting = iter(counts)
        rows = [self._expand(ids[: len(ids) - drop], waiting) for ids in self.encode(list(texts))]
        width = max(map(len, rows))
        ids_B_T = torch.tensor([[self._pad_token] * (width - len(row)) + row for row in rows])
        mask_B_T = torch.tensor([[False] * (width - len(row)) + [True] * len(row) for row in rows])
        ids_B_T, mask_B_T = ids_B_T.to(self._base.device), mask_B_T.to(self._base.device)
        types_B_T = (ids_B_T == self._image_token).int() * mask_B_T
        positions, _ = self._base.model.get_rope_index(
            ids_B_T, types_B_T, image_grid_thw=inputs.get("image_grid_thw"), attention_mask=mask_B_T.long()
        )
        return PromptBatch(ids_B_T, mask_B_T, positions, inputs, types_B_T)

    def settings(self) -> Mapping[str, Any]:
        """The bounds of a photo's area in pixels."""
        return {"min_pixels": self._size["shortest_edge"], "max_pixels": self._size["longest_edge"]}

    def _pixels(self, images: Sequence[Image]) -> dict[str, Tensor]:
        """Patches of the images; the last ones are kept, because slots ask many times of one batch."""
        if not images:
            return {}
        kept, inputs = self._kept
        if len(kept) != len(images) or any(a is not b for a, b in zip(kept, images, strict=True)):
            made = self.images(images=list(images), size=self._size, return_tensors="pt")
            inputs = {
                "pixel_values": made["pixel_values"].to(self._base.device, self._base.dtype),
                "image_grid_thw": made["image_grid_thw"].to(self._base.device),
            }
            self._kept = images, inputs
        return inputs

    def _expand(self, ids: Sequence[int], counts: Iterator[int]) -> list[int]:
        """Repeats each image placeholder as often as its photo has visual tokens."""
        return [
            token for one in ids for token in ([one] * next(counts) if one == self._image_token else [one])
        ]


class Processor:
    """Any other family, through the processor that comes with the model."""

    def __init__(self, source: ModelSource, loading: Loading, model: Any) -> None:
        from transformers import AutoProcessor

        if loading.min_pixels or loading.max_pixels:
            raise ModelError(
                f"{model.config.model_type} models have no pixel bounds",
                where="--min-pixels/--max-pixels",
                remedy="leave them out",
            )
        self._processor: Any = AutoProcessor.from_pretrained(
            source.base, trust_remote_code=loading.trust_remote_code
        )
        self.tokenizer = getattr(self._processor, "tokenizer", self._processor)
        self.tokenizer.padding_side = "left"
        if self.tokenizer.pad_token is None:
            self.tokenizer.pad_token = self.tokenizer.eos_token
        _require_template(self._processor, source)
        self._model = model

    def render(self, question: str, images: int) -> str:
        """See `Prepares`."""
        return _templated(self._processor, [_message("user", [None] * images + [question])], True)

    def render_turns(self, turns: Sequence[tuple[str, str]], *, answer_next: bool) -> str:
        """See `Prepares`."""
        return _templated(self._processor, [_turn(*turn) for turn in turns], answer_next)

    def encode(self, texts: list[str]) -> list[list[int]]:
        """See `Prepares`."""
        return list(self.tokenizer(texts, add_special_tokens=False)["input_ids"])

    def batch(self, texts: Sequence[str], images: Sequence[Sequence[Image]], drop: int = 0) -> PromptBatch:
        """See `Prepares`."""
        # Templates that write the BOS token themselves must not get a second one.
        bos = self.tokenizer.bos_token
        options = {
            "padding": True,
            "return_tensors": "pt",
            "add_special_tokens": not (bos and texts[0].startswith(bos)),
        }
        flat = [list(group) for group in images]
        made = self._processor(text=list(texts), images=flat if any(flat) else None, **options)
        made = made.to(self._model.device)
        keep = made["input_ids"].shape[1] - drop
        ids_B_T, mask_B_T = made["input_ids"][:, :keep], made["attention_mask"][:, :keep].bool()
        types = made.get("mm_token_type_ids")
        inputs = {
            name: value.to(self._model.dtype) if value.is_floating_point() else value
            for name, value in made.items()
            if name not in {"input_ids", "attention_mask", "mm_token_type_ids", "token_type_ids"}
        }
        positions_B_T = (mask_B_T.long().cumsum(dim=1) - 1).clamp(min=0)
        return PromptBatch(
            ids_B_T, mask_B_T, positions_B_T, inputs, None if types is None else types[:, :keep]
        )

    def settings(self) -> Mapping[str, Any]:
        """The processor's own size rules hold; they are part of the model's digest."""
        return {}


def _turn(role: str, text: str) -> dict[str, Any]:
    """A turn as chat templates take it; the line break that some data has beside a mark is dropped."""
    if role != "user":
        return _message(role, [text])
    first, *others = text.split(IMAGE_MARK)
    parts: list[str | None] = [first.removesuffix("\n") if others else first]
    for other in others:
        parts += [None, other.removeprefix("\n")]
    return _message(role, [part for part in parts if part != ""])


def _message(role: str, parts: Sequence[str | None]) -> dict[str, Any]:
    """A message of texts and photos (None)."""
    content = [{"type": "image"} if part is None else {"type": "text", "text": part} for part in parts]
    return {"role": role, "content": content}


def _templated(holder: Any, messages: list[dict[str, Any]], answer_next: bool) -> str:
    """The chat template's text, by a tokenizer or processor."""
    return str(holder.apply_chat_template(messages, tokenize=False, add_generation_prompt=answer_next))


def _require_template(holder: Any, source: ModelSource) -> None:
    if not getattr(holder, "chat_template", None):
        raise ModelError(
            "has no chat template",
            where=str(source.base),
            remedy="use the instruction-tuned version of the model",
        )


def _pixel_bounds(images: Any, loading: Loading) -> dict[str, int]:
    """The bounds that were asked for, each completed by the folder's own."""
    low = int(loading.min_pixels or images.size["shortest_edge"])
    high = int(loading.max_pixels or images.size["longest_edge"])
    if loading.max_pixels and not loading.min_pixels:
        low = min(low, high)
    if loading.min_pixels and not loading.max_pixels:
        high = max(low, high)
    if low > high:
        raise ModelError(
            f"the lower pixel bound {low} exceeds the upper one {high}",
            where="--min-pixels",
            remedy="give a smaller one",
        )
    return {"shortest_edge": low, "longest_edge": high}
