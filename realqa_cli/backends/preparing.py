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


class Prepares(Protocol):
    """What the `hf` backend needs to know of a model family."""

    tokenizer: Any

    def render(self, question: str, images: int) -> str:
        """The chat template's text up to where the answer begins, one placeholder an image."""
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
        self._image_token = int(model.config.image_token_id)
        self._pad_token = self.tokenizer.pad_token_id if self.tokenizer.pad_token_id is not None else 0

    def render(self, question: str, images: int) -> str:
        """See `Prepares`."""
        content = [{"type": "image"}] * images + [{"type": "text", "text": question}]
        return str(
            self.tokenizer.apply_chat_template(
                [{"role": "user", "content": content}], tokenize=False, add_generation_prompt=True
            )
        )

    def encode(self, texts: list[str]) -> list[list[int]]:
        """See `Prepares`."""
        return list(self.tokenizer(texts, add_special_tokens=False)["input_ids"])

    def batch(self, texts: Sequence[str], images: Sequence[Sequence[Image]], drop: int = 0) -> PromptBatch:
        """See `Prepares`."""
        inputs: dict[str, Tensor] = {}
        flat = [image for group in images for image in group]
        counts: list[int] = []
        if flat:
            pixels = self.images(images=flat, size=self._size, return_tensors="pt")
            inputs = {
                "pixel_values": pixels["pixel_values"].to(self._base.device, self._base.dtype),
                "image_grid_thw": pixels["image_grid_thw"].to(self._base.device),
            }
            counts = (pixels["image_grid_thw"].prod(dim=1) // self.images.merge_size**2).tolist()
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
        content = [{"type": "image"}] * images + [{"type": "text", "text": question}]
        return str(
            self._processor.apply_chat_template(
                [{"role": "user", "content": content}], tokenize=False, add_generation_prompt=True
            )
        )

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
