"""From questions, photos and videos to the tensors of a model: chat template, pixels, padding, positions.

The Qwen-VL families are prepared by qwen.py; others by the processor that comes with the model, here.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from realqa_cli.backends.base import LoadOptions, PhotoTransform
from realqa_cli.backends.chat_templates import message, require_template, templated, turn
from realqa_cli.decoding.tree import PromptBatch
from realqa_cli.errors import ModelError
from realqa_cli.media.video import Clip, FrameTransform, VisualInput
from realqa_cli.models import ModelSource

_QWEN = {"qwen2_vl", "qwen2_5_vl", "qwen3_vl", "qwen3_vl_moe"}


class Processor(Protocol):
    """What the `hf` backend needs to know of a model family."""

    tokenizer: Any

    def render(self, question: str, images: int, videos: int = 0) -> str:
        """The chat template's text up to where the answer begins, one placeholder an image or video."""
        ...

    def render_turns(self, turns: Sequence[tuple[str, str]], *, answer_next: bool) -> str:
        """The chat template's text of whole (role, text) turns; marks (templates.py) show photos.

        `answer_next`: up to where the assistant's next answer begins.
        """
        ...

    def encode(self, texts: list[str]) -> list[list[int]]:
        """Token ids of rendered texts; placeholders stay single."""
        ...

    def batch(self, texts: Sequence[str], images: Sequence[Sequence[VisualInput]], drop: int = 0) -> PromptBatch:
        """Tensors of rendered texts and what they show, without the last `drop` tokens of each text."""
        ...

    def frame_transform(self) -> FrameTransform | None:
        """What becomes of a video's frames before they are asked about; None where videos are not taken."""
        ...

    def photo_transform(self) -> PhotoTransform | None:
        """What may become of a photo before it is asked about, without a change in what the model sees."""
        ...

    def settings(self) -> Mapping[str, Any]:
        """What of this decides answers: the pixel bounds, where the family has them."""
        ...


def load_processor(source: ModelSource, loading: LoadOptions, model: Any) -> Processor:
    """The preparer for the model's family. Raises ModelError where a part cannot be loaded."""
    from realqa_cli.backends.hf.qwen import QwenProcessor

    family = QwenProcessor if model.config.model_type in _QWEN else GenericProcessor
    try:
        return family(source, loading, model)
    except (OSError, ValueError, ImportError, KeyError, TypeError) as error:
        reason = " ".join(str(error).split())[:300]
        raise ModelError(
            f"its tokenizer or image processor cannot be loaded: {reason}",
            where=str(source.base),
            remedy="check that the folder is whole",
        ) from error


class GenericProcessor:
    """Any other family, through the processor that comes with the model."""

    def __init__(self, source: ModelSource, loading: LoadOptions, model: Any) -> None:
        from transformers import AutoProcessor

        if loading.min_pixels or loading.max_pixels:
            raise ModelError(
                f"{model.config.model_type} models have no pixel bounds",
                where="--min-pixels/--max-pixels",
                remedy="leave them out",
            )
        self._processor: Any = AutoProcessor.from_pretrained(source.base, trust_remote_code=loading.trust_remote_code)
        self.tokenizer = getattr(self._processor, "tokenizer", self._processor)
        self.tokenizer.padding_side = "left"
        if self.tokenizer.pad_token is None:
            self.tokenizer.pad_token = self.tokenizer.eos_token
        require_template(self._processor, source)
        self._model = model

    def render(self, question: str, images: int, videos: int = 0) -> str:
        """See `GenericProcessor`."""
        if videos:
            raise ValueError("these models are asked about photos only")
        return templated(self._processor, [message("user", question, images=images)], True)

    def render_turns(self, turns: Sequence[tuple[str, str]], *, answer_next: bool) -> str:
        """See `GenericProcessor`."""
        return templated(self._processor, [turn(*each) for each in turns], answer_next)

    def encode(self, texts: list[str]) -> list[list[int]]:
        """See `GenericProcessor`."""
        return list(self.tokenizer(texts, add_special_tokens=False)["input_ids"])

    def batch(self, texts: Sequence[str], images: Sequence[Sequence[VisualInput]], drop: int = 0) -> PromptBatch:
        """See `GenericProcessor`."""
        if any(isinstance(sight, Clip) for group in images for sight in group):
            raise ValueError("these models are asked about photos only")
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
        return PromptBatch(ids_B_T, mask_B_T, positions_B_T, inputs, None if types is None else types[:, :keep])

    def frame_transform(self) -> FrameTransform | None:
        """See `GenericProcessor`: of these families none was tried with videos."""
        return None

    def photo_transform(self) -> PhotoTransform | None:
        """See `GenericProcessor`: their processors resize by rules of their own."""
        return None

    def settings(self) -> Mapping[str, Any]:
        """The processor's own size rules hold; they are part of the model's digest."""
        return {}
