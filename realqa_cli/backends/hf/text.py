"""Text answers to questions without photos, by any language or vision-language model of transformers.

Only the tokenizer and its chat template are used, so no image processor has to be installed. remote_code.py
is for models that come with their own code.
"""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import torch

from realqa_cli.backends.base import Backend, LoadOptions, Prompt
from realqa_cli.backends.chat_templates import require_template
from realqa_cli.backends.hf.adapters import attach
from realqa_cli.backends.hf.model import greedy
from realqa_cli.backends.hf.weights import device_named, load_model, quiet
from realqa_cli.errors import ModelError, one_line
from realqa_cli.io.manifest import folder_digest, versions
from realqa_cli.models import ModelSource

ModelKind = Literal["AutoModelForImageTextToText", "AutoModelForCausalLM"]

_BROKEN = "{'type': 'text'"  # how a template for plain texts renders a message in parts


def model_kind(config: Mapping[str, Any]) -> ModelKind | None:
    """The auto class of transformers for a config.json; None if transformers lacks the architecture."""
    from transformers.models.auto import modeling_auto as mappings

    name = config.get("model_type")
    if name in mappings.MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING_NAMES:
        return "AutoModelForImageTextToText"
    return "AutoModelForCausalLM" if name in mappings.MODEL_FOR_CAUSAL_LM_MAPPING_NAMES else None


class TextBackend(Backend):
    """Implements `Backend` for prompts without photos."""

    def __init__(self, model: Any, tokenizer: Any, source: ModelSource) -> None:
        self.model, self.tokenizer, self.source = model, tokenizer, source

    @classmethod
    def load(cls, source: ModelSource, options: LoadOptions) -> "TextBackend":
        """Loads model, adapter and tokenizer. Raises ModelError or UsageError."""
        quiet()
        config = json.loads((source.base / "config.json").read_text(encoding="utf-8"))
        device = device_named(options.device)
        model = load_model(source, options, device, model_kind(config) or "AutoModelForCausalLM")
        if source.adapter is not None:
            model = attach(model, source.adapter)
        return cls(model.eval(), _tokenizer(source), source)

    @torch.inference_mode()
    def generate(self, batch: Sequence[Prompt], max_new_tokens: int, stop: str | None = None) -> list[str]:
        """The greedy answer to each prompt; see `Backend`. Raises ModelError for photos."""
        if any(prompt.images for prompt in batch):
            raise ModelError("the text backend does not accept photos", where=self.source.name)
        texts = [self._render(prompt.question) + prompt.prefix for prompt in batch]
        bos = self.tokenizer.bos_token  # some templates already write it; a second one would change the answers
        made = self.tokenizer(
            texts,
            padding=True,
            return_tensors="pt",
            add_special_tokens=not (bos and texts[0].startswith(bos)),
        ).to(self.model.device)
        inputs = {name: made[name] for name in ("input_ids", "attention_mask")}
        inputs["pad_token_id"] = self.tokenizer.pad_token_id
        written = greedy(self.model, self.tokenizer, inputs, max_new_tokens, stop)
        return [prompt.prefix + text for prompt, text in zip(batch, written, strict=True)]

    def settings(self) -> Mapping[str, Any]:
        """Digests of the weights, and the dtype."""
        return {
            "backend": "text",
            "model": folder_digest(self.source.base),
            "adapter": folder_digest(self.source.adapter) if self.source.adapter else None,
            "dtype": str(self.model.dtype).removeprefix("torch."),
        }

    def environment(self) -> Mapping[str, Any]:
        """Device and versions of the libraries used."""
        names = ("torch", "transformers", "peft", "tokenizers")
        return {"device": str(self.model.device), "versions": versions(*names)}

    def _render(self, question: str) -> str:
        """The rendered chat template up to the answer; templates expect either parts or plain text."""
        parts: list[Any] = [[{"type": "text", "text": question}], question]
        for content in parts:
            try:
                text = self.tokenizer.apply_chat_template(
                    [{"role": "user", "content": content}], tokenize=False, add_generation_prompt=True
                )
            except (TypeError, ValueError, LookupError, AttributeError) as error:
                failure: Exception = error
                continue
            if question in text and _BROKEN not in text:
                return str(text)
            failure = ValueError("its output lacks the question")
        raise ModelError(f"its chat template does not work: {failure}", where=self.source.name) from failure


def _tokenizer(source: ModelSource) -> Any:
    from transformers import AutoTokenizer

    try:
        tokenizer: Any = AutoTokenizer.from_pretrained(source.base)
    except (OSError, ValueError, ImportError, KeyError, TypeError) as error:
        raise ModelError(
            f"its tokenizer cannot be loaded: {one_line(error)}",
            where=str(source.base),
            remedy="check that the model folder is complete",
        ) from error
    if not tokenizer.chat_template:
        tokenizer.chat_template = _processors_template(source.base)
    require_template(tokenizer, source)
    tokenizer.padding_side = "left"
    if tokenizer.pad_token is None:
        tokenizer.pad_token = tokenizer.eos_token
    return tokenizer


def _processors_template(folder: Path) -> str | None:
    """The template of the model's processor, which older folders store in its own file."""
    file = folder / "chat_template.json"
    try:
        return str(json.loads(file.read_text(encoding="utf-8"))["chat_template"])
    except (OSError, ValueError, KeyError, TypeError):
        return None
