"""Converts questions, photos and videos to the tensors of a model: chat template, pixels, padding, positions.

qwen.py does so for the Qwen-VL families, `GenericProcessor` for others by the processor of the model folder.
"""

import inspect
from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from realqa_cli.backends.base import LoadOptions, PhotoTransform
from realqa_cli.backends.chat_templates import render_question, require_template, templated, turn
from realqa_cli.decoding.tree import PromptBatch
from realqa_cli.domain.prompts import PLAIN_CHAT, ChatLayout
from realqa_cli.errors import ModelError, one_line
from realqa_cli.media.video import Clip, FrameTransform, VisualInput
from realqa_cli.models import ModelSource

_QWEN = {"qwen2_vl", "qwen2_5_vl", "qwen3_vl", "qwen3_vl_moe", "qwen3_5", "qwen3_5_moe"}


class Processor(Protocol):
    """The preprocessing of a model family for the `hf` backend."""

    tokenizer: Any

    def render(self, question: str, images: int, videos: int = 0, layout: ChatLayout = PLAIN_CHAT) -> str:
        """The rendered chat template up to the answer, with one placeholder for each image and video."""
        ...

    def render_turns(self, turns: Sequence[tuple[str, str]], *, answer_next: bool) -> str:
        """The rendered chat template of (role, text) turns, whose marks (chat_templates.py) are photos.

        answer_next: whether the text ends where the next answer of the assistant begins.
        """
        ...

    def encode(self, texts: list[str]) -> list[list[int]]:
        """Token ids of rendered texts; a placeholder is one token, however large the image."""
        ...

    def batch(self, texts: Sequence[str], images: Sequence[Sequence[VisualInput]], drop: int = 0) -> PromptBatch:
        """Tensors of rendered texts and their images, without the last `drop` tokens of each text."""
        ...

    def frame_transform(self) -> FrameTransform | None:
        """See `Backend.frame_transform`."""
        ...

    def photo_transform(self) -> PhotoTransform | None:
        """See `Backend.photo_transform`."""
        ...

    def settings(self) -> Mapping[str, Any]:
        """The settings that determine answers: the pixel bounds, if the family has them."""
        ...


def load_processor(source: ModelSource, options: LoadOptions, model: Any) -> Processor:
    """Loads the processor of the model's family. Raises ModelError if a part cannot be loaded."""
    from realqa_cli.backends.hf.qwen import QwenProcessor

    family = QwenProcessor if model.config.model_type in _QWEN else GenericProcessor
    try:
        return family(source, options, model)
    except (OSError, ValueError, ImportError, KeyError, TypeError) as error:
        kind = model.config.model_type
        remedy = "check that the model folder is complete"
        if isinstance(error, ImportError):
            remedy = f"install what {kind} models need, or serve the model and use --server"
        what = f"its tokenizer or image processor cannot be loaded: {one_line(error)}"
        raise ModelError(what, where=str(source.base), remedy=remedy) from error


def _photo_processor(name: str, source: ModelSource) -> Any:
    """The processor of that class for photos, without the part for videos."""
    import transformers
    from transformers import AutoImageProcessor, AutoTokenizer

    base: Any = getattr(transformers, name)

    class PhotoProcessor(base):  # type: ignore[misc]
        """The signature names the parts, of which there are two."""

        def __init__(self, image_processor: Any, tokenizer: Any, **more: Any) -> None:
            super().__init__(image_processor, tokenizer, None, **more)

    settings, _ = base.get_processor_dict(source.base)
    parts = {"self", "kwargs", "image_processor", "tokenizer", "video_processor", "chat_template"}
    known = inspect.signature(base.__init__).parameters.keys() - parts
    tokenizer: Any = AutoTokenizer.from_pretrained(source.base)
    template = settings.get("chat_template") or tokenizer.chat_template
    images: Any = AutoImageProcessor.from_pretrained(source.base, backend="pil")
    more = {key: value for key, value in settings.items() if key in known}
    return PhotoProcessor(images, tokenizer, chat_template=template, **more)


_PHOTOS_ONLY = {"internvl": "InternVLProcessor", "llava_onevision": "LlavaOnevisionProcessor"}
"""Families whose processor class needs torchvision for videos alone: it is built here from its other parts."""


class GenericProcessor:
    """Implements `Processor` for any other family, by the processor of transformers for it."""

    def __init__(self, source: ModelSource, options: LoadOptions, model: Any) -> None:
        from transformers import AutoProcessor

        self.kind = model.config.model_type
        if options.min_pixels or options.max_pixels:
            raise ModelError(
                f"{model.config.model_type} models have no pixel bounds",
                where="--min-pixels/--max-pixels",
                remedy="leave them out",
            )
        kind, remote = model.config.model_type, options.trust_remote_code
        if kind in _PHOTOS_ONLY and not remote:
            self._processor: Any = _photo_processor(_PHOTOS_ONLY[kind], source)
        else:
            self._processor = AutoProcessor.from_pretrained(source.base, trust_remote_code=remote)
        if getattr(self._processor, "image_processor", None) is None:
            raise ModelError("has no image processor", where=str(source.base), remedy="use a model that takes photos")
        self.tokenizer = getattr(self._processor, "tokenizer", self._processor)
        self.tokenizer.padding_side = "left"
        if self.tokenizer.pad_token is None:
            self.tokenizer.pad_token = self.tokenizer.eos_token
        require_template(self._processor, source)
        self._model = model

    def render(self, question: str, images: int, videos: int = 0, layout: ChatLayout = PLAIN_CHAT) -> str:
        """See `Processor`."""
        if videos:
            raise ValueError(f"{self._model.config.model_type} models are supported with photos only")

        def render(messages: list[dict[str, Any]], arguments: Mapping[str, Any]) -> str:
            return templated(self._processor, messages, True, **arguments)

        return render_question(render, question, images, 0, layout)

    def render_turns(self, turns: Sequence[tuple[str, str]], *, answer_next: bool) -> str:
        """See `Processor`."""
        return templated(self._processor, [turn(*each) for each in turns], answer_next)

    def encode(self, texts: list[str]) -> list[list[int]]:
        """See `Processor`."""
        return list(self.tokenizer(texts, add_special_tokens=False)["input_ids"])

    def batch(self, texts: Sequence[str], images: Sequence[Sequence[VisualInput]], drop: int = 0) -> PromptBatch:
        """See `Processor`."""
        if any(isinstance(visual_input, Clip) for group in images for visual_input in group):
            raise ValueError(f"{self._model.config.model_type} models are supported with photos only")
        # Templates that write the BOS token themselves must not get a second one.
        bos = self.tokenizer.bos_token
        padding = {
            "padding": True,
            "return_tensors": "pt",
            "add_special_tokens": not (bos and texts[0].startswith(bos)),
        }
        flat = [list(group) for group in images]
        made = self._processor(text=list(texts), images=flat if any(flat) else None, **padding)
        made = made.to(self._model.device)
        keep = made["input_ids"].shape[1] - drop
        ids_B_T, mask_B_T = made["input_ids"][:, :keep], made["attention_mask"][:, :keep].bool()
        types = made.get("mm_token_type_ids")
        inputs = {
            name: value.to(self._model.dtype) if value.is_floating_point() else value
            for name, value in made.items()
            if name not in {"input_ids", "attention_mask", "mm_token_type_ids", "token_type_ids"}
        }
        if self.kind == "gemma3":  # the tokens of a photo attend to each other
            inputs["token_type_ids"] = made["token_type_ids"][:, :keep]
        positions_B_T = (mask_B_T.long().cumsum(dim=1) - 1).clamp(min=0)
        return PromptBatch(ids_B_T, mask_B_T, positions_B_T, inputs, None if types is None else types[:, :keep])

    def frame_transform(self) -> FrameTransform | None:
        """None: videos are not supported for these families."""
        return None

    def photo_transform(self) -> PhotoTransform | None:
        """None: the processors of these families resize by other rules."""
        return None

    def settings(self) -> Mapping[str, Any]:
        """Nothing: the size rules of the processor are part of the digest of the model folder."""
        return {}
