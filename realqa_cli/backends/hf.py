"""The `hf` backend: a model of transformers, with a PEFT adapter or without, in this process.

Qwen2-VL, Qwen2.5-VL and Qwen3-VL are prepared without torchvision (qwen.py) and look at videos too; other
families go through their own processor. Probabilities come from the tree pass (decoding/tree.py).
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import lru_cache
from typing import Any

import numpy as np
import torch

from realqa_cli.backends import Ask, Loading
from realqa_cli.backends.adapters import attach
from realqa_cli.backends.preparing import Prepares, preparer
from realqa_cli.backends.regressor import Regressor
from realqa_cli.decoding import tree
from realqa_cli.decoding.tree import PromptBatch
from realqa_cli.errors import ModelError, UsageError
from realqa_cli.manifest import folder_digest, versions
from realqa_cli.models import ModelSource
from realqa_cli.numerals import Floats, TokenTrie, token_trie
from realqa_cli.video import Fit

_MASKED_TREE = {"qwen2_vl", "qwen2_5_vl", "qwen3_vl", "qwen3_vl_moe", "llava", "internvl"}
"""Model types whose attention was checked to take the tree's mask; others use the cache."""

_KEEPS_VISION = {"qwen2_vl", "qwen2_5_vl", "qwen3_vl", "qwen3_vl_moe"}
"""Model types whose forward pass takes images and videos that were encoded before."""

_DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}


class HFBackend:
    """Implements `Backend` with one loaded model."""

    def __init__(self, model: Any, prepares: Prepares, source: ModelSource) -> None:
        self.model, self.prepares, self.source = model, prepares, source
        self._regressor = Regressor.of(model, source)
        self._vision: tuple[list[torch.Tensor | None], dict[str, Any]] | None = None
        self._trie = lru_cache(maxsize=64)(self._build_trie)

    @classmethod
    def load(cls, source: ModelSource, loading: Loading) -> "HFBackend":
        """Loads model, adapter, tokenizer and image processor. Raises ModelError or UsageError."""
        quiet()
        device = device_named(loading.device)
        model = load_model(source, loading, device)
        if source.adapter is not None:
            model = attach(model, source.adapter)
            if model.dtype == torch.float32:  # where merging loses nothing that matters
                model = model.merge_and_unload()
        return cls(model.eval(), preparer(source, loading, model), source)

    def log_probs(self, asks: Sequence[Ask], continuations: Sequence[str], end: str) -> Floats:
        """(B, V) exact log-probabilities; see `Weighs`."""
        texts = [self._text(ask) for ask in asks]
        groups: dict[tuple[int, TokenTrie], list[int]] = {}
        for row, text in enumerate(texts):  # texts that differ nearly always give the same trie
            groups.setdefault(self._trie(text, tuple(continuations), end), []).append(row)
        found_B_V = np.empty((len(asks), len(continuations)))
        for (dropped, trie), rows in groups.items():
            prompt = self.prepares.batch([texts[r] for r in rows], [asks[r].seen for r in rows], drop=dropped)
            run = tree.one_pass if self.takes_mask() else tree.cached
            found_B_V[rows] = run(self.model, self._seen(prompt), trie).cpu()
        return found_B_V

    @torch.inference_mode()
    def answer(self, asks: Sequence[Ask], max_new_tokens: int, stop: str | None = None) -> list[str]:
        """The greedy answer to each ask; see `Answers`."""
        texts = [self._text(ask) for ask in asks]
        prompt = self.prepares.batch(texts, [ask.seen for ask in asks])
        inputs = dict(prompt.inputs)
        if prompt.token_types_B_T is not None:
            inputs["mm_token_type_ids"] = prompt.token_types_B_T
        if prompt.positions.ndim == 3:  # the model's own rule for them forgets how long a video is (qwen.py)
            inputs["position_ids"] = prompt.positions
        inputs |= {"input_ids": prompt.ids_B_T, "attention_mask": prompt.mask_B_T.long()}
        written = greedy(self.model, self.prepares.tokenizer, inputs, max_new_tokens, stop)
        return [ask.prefix + text for ask, text in zip(asks, written, strict=True)]

    @torch.inference_mode()
    def values(self, asks: Sequence[Ask]) -> Floats:
        """(B,) what the regression head says; see `Regresses`. Raises ModelError where there is none."""
        if self._regressor is None:
            raise ModelError("has no regression head", where=self.source.name)
        texts = [self._text(ask) for ask in asks]
        prompt = self.prepares.batch(texts, [ask.seen for ask in asks])
        return np.asarray(self._regressor(**prompt.forward_inputs()).double().cpu())

    def settings(self) -> Mapping[str, Any]:
        """Digest of the weights, dtype, pixel bounds, chat template's rendering."""
        found: dict[str, Any] = {
            "backend": "hf",
            "model": folder_digest(self.source.base),
            "adapter": folder_digest(self.source.adapter) if self.source.adapter else None,
            "dtype": str(self.model.dtype).removeprefix("torch."),
        }
        return found | dict(self.prepares.settings())

    def environment(self) -> Mapping[str, Any]:
        """Device, attention implementation and the versions of the libraries that compute."""
        return {
            "device": str(self.model.device),
            "attention": self.model.config._attn_implementation,
            "versions": versions("torch", "transformers", "peft", "tokenizers", "numpy", "pillow", "av"),
        }

    def frame_fit(self) -> Fit | None:
        """See `Watches`."""
        return self.prepares.frame_fit()

    def _text(self, ask: Ask) -> str:
        """The rendered ask, with its prefix."""
        return self.prepares.render(ask.question, len(ask.images), int(ask.video is not None)) + ask.prefix

    @torch.inference_mode()
    def _seen(self, prompt: PromptBatch) -> PromptBatch:
        """The prompt with its images encoded; the last ones are kept, as slots ask many times of a batch."""
        inputs = dict(prompt.inputs)
        pixels = [inputs.pop(name, None) for name in ("pixel_values", "pixel_values_videos")]
        if self.model.config.model_type not in _KEEPS_VISION or pixels == [None, None]:
            return prompt
        if self._vision is None or any(a is not b for a, b in zip(self._vision[0], pixels, strict=True)):
            own = self.model.get_base_model() if hasattr(self.model, "get_base_model") else self.model
            seen, (photos, frames) = {}, pixels
            if photos is not None:
                seen["image"] = own.model.get_image_features(
                    photos, inputs["image_grid_thw"], return_dict=True
                )
            if frames is not None:
                seen["video"] = own.model.get_video_features(
                    frames, inputs["video_grid_thw"], return_dict=True
                )
            self._vision = pixels, seen
        return replace(prompt, inputs=inputs | {"mm_encoder_outputs": dict(self._vision[1])})

    def takes_mask(self) -> bool:
        """Whether the model's attention takes a mask of our own, so that a trie is weighed in one pass."""
        config = self.model.config
        return config.model_type in _MASKED_TREE and config._attn_implementation in {"sdpa", "eager"}

    def _build_trie(self, text: str, continuations: tuple[str, ...], end: str) -> tuple[int, TokenTrie]:
        """How many of the prompt's last tokens merge into the continuations, and their trie."""
        prompt_ids, trie = token_trie(self.prepares.encode, text, continuations, end)
        return len(self.prepares.encode([text])[0]) - len(prompt_ids), trie


def greedy(
    model: Any, tokenizer: Any, inputs: Mapping[str, Any], max_new_tokens: int, stop: str | None
) -> list[str]:
    """What plain generation writes after each prompt, whatever sampling the model's folder asks for."""
    if stop is not None:
        inputs = {**inputs, "stop_strings": [stop], "tokenizer": tokenizer}
    ids_B_T = model.generate(
        max_new_tokens=max_new_tokens,
        do_sample=False,
        num_beams=1,
        temperature=None,
        top_p=None,
        top_k=None,
        **inputs,
    )
    new_B_T = ids_B_T[:, inputs["input_ids"].shape[1] :]
    written: list[str] = tokenizer.batch_decode(new_B_T, skip_special_tokens=True)
    return written


def quiet() -> None:
    """Keeps the libraries' bars and notices off stderr: what matters is raised or logged by us."""
    from transformers.utils import logging

    logging.set_verbosity_error()
    logging.disable_progress_bar()


def device_named(name: str) -> torch.device:
    """The device of that name, or the best one for "auto". Raises UsageError."""
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "mps" if torch.backends.mps.is_available() else "cpu"
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise UsageError(
            f"no such device {name!r}", where="--device", remedy="use auto, cpu, cuda, cuda:N or mps"
        ) from error
    present = {"cpu": True, "cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}
    if not present.get(device.type, False):
        raise UsageError(
            f"this machine has no {device.type} device", where="--device", remedy="use --device auto"
        )
    return device


def _dtype(name: str, device: torch.device) -> torch.dtype:
    if name == "auto":
        name = {"cpu": "float32", "cuda": "bfloat16", "mps": "float16"}[device.type]
    if name not in _DTYPES:
        raise UsageError(f"unknown dtype {name!r}", where="--dtype", remedy=f"use auto, {', '.join(_DTYPES)}")
    return _DTYPES[name]


def load_model(
    source: ModelSource, loading: Loading, device: torch.device, kind: str = "AutoModelForImageTextToText"
) -> Any:
    """The model's weights on the device, by transformers' auto class `kind`. Raises ModelError."""
    import transformers
    from safetensors import SafetensorError

    options: dict[str, Any] = {
        "dtype": _dtype(loading.dtype, device),
        "use_safetensors": True,
        "trust_remote_code": loading.trust_remote_code,
        "output_loading_info": True,
    }
    if loading.attention != "auto":
        options["attn_implementation"] = loading.attention
    if loading.quantize:
        options |= {
            "quantization_config": _quantization(loading.quantize, device),
            "device_map": {"": device},
        }
    try:
        loaded: Any = getattr(transformers, kind).from_pretrained(source.base, **options)
    except (OSError, ValueError, RuntimeError, ImportError, KeyError, SafetensorError) as error:
        reason = " ".join(str(error).split())[:300]
        raise ModelError(
            f"cannot be loaded: {reason}",
            where=str(source.base),
            remedy="check that the folder is whole and of a supported architecture",
        ) from error
    model, report = loaded
    if missing := sorted(report["missing_keys"]):
        raise ModelError(
            f"lacks {len(missing)} weights, the first of them {missing[0]}",
            where=str(source.base),
            remedy="copy the whole model again",
        )
    return model if loading.quantize else model.to(device)


def _quantization(name: str, device: torch.device) -> Any:
    from transformers import BitsAndBytesConfig

    if device.type != "cuda":
        raise UsageError("needs a CUDA device", where="--quantize", remedy="leave it out on this machine")
    if name not in {"4bit", "8bit"}:
        raise UsageError(f"unknown quantization {name!r}", where="--quantize", remedy="use 4bit or 8bit")
    return BitsAndBytesConfig(
        load_in_4bit=name == "4bit", load_in_8bit=name == "8bit", bnb_4bit_compute_dtype=torch.bfloat16
    )
