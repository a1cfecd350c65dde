"""The `hf` backend: a model of transformers, with a PEFT adapter or without, in this process.

Qwen2-VL, Qwen2.5-VL and Qwen3-VL are prepared without torchvision (qwen.py) and look at videos too; other
families go through their own processor. Probabilities come from the tree pass (decoding/tree.py).
"""

import threading
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch

from realqa_cli.backends.base import SINGLE_THREAD, Backend, LoadOptions, PhotoTransform, Prompt, ThreadPlan
from realqa_cli.backends.hf.adapters import attach
from realqa_cli.backends.hf.fused_ops import fuse_operations
from realqa_cli.backends.hf.processor import Processor, load_processor
from realqa_cli.backends.hf.regression_head import RegressionHead
from realqa_cli.backends.hf.weights import device_named, load_model, quiet
from realqa_cli.decoding import tree
from realqa_cli.decoding.prefix_cache import PrefixCache
from realqa_cli.decoding.tree import PromptBatch
from realqa_cli.decoding.trie_cache import TrieCache
from realqa_cli.domain.numerals import Floats, TokenTrie
from realqa_cli.errors import ModelError
from realqa_cli.io.manifest import folder_digest, versions
from realqa_cli.media.video import FrameTransform
from realqa_cli.models import ModelSource

_MASKED_TREE = {"qwen2_vl", "qwen2_5_vl", "qwen3_vl", "qwen3_vl_moe", "llava", "internvl"}
"""Model types whose attention was checked to take the tree's mask; others use the cache."""

_KEEPS_VISION = {"qwen2_vl", "qwen2_5_vl", "qwen3_vl", "qwen3_vl_moe"}
"""Model types whose forward pass takes images and videos that were encoded before."""

_CREW = 4
"""Threads that ask a model on a CPU, at most: each needs memory for a batch of its own."""


class HFBackend(Backend):
    """Implements `Backend` with one loaded model."""

    def __init__(self, model: Any, prepares: Processor, source: ModelSource) -> None:
        self.model, self.processor, self.source = model, prepares, source
        self._regressor = RegressionHead.of(model, source)
        self._vision = threading.local()  # several threads may ask at once
        self._writing = threading.Lock()  # but one may write: generation keeps notes in the model
        self._tries = TrieCache(prepares.encode)

    @classmethod
    def load(cls, source: ModelSource, loading: LoadOptions) -> "HFBackend":
        """Loads model, adapter, tokenizer and image processor. Raises ModelError or UsageError."""
        quiet()
        device = device_named(loading.device)
        model = load_model(source, loading, device)
        if source.adapter is not None:
            model = attach(model, source.adapter)
            if model.dtype == torch.float32:  # where merging loses nothing that matters
                model = model.merge_and_unload()
        return cls(fuse_operations(model.eval()), load_processor(source, loading, model), source)

    def log_probs(self, asks: Sequence[Prompt], continuations: Sequence[str], end: str) -> Floats:
        """(B, V) exact log-probabilities; see `Backend`."""
        texts = [self.text(ask) for ask in asks]
        groups: dict[tuple[int, TokenTrie], list[int]] = {}
        for row, text in enumerate(texts):  # texts that differ nearly always give the same trie
            groups.setdefault(self.trie(text, continuations, end), []).append(row)
        found_B_V = np.empty((len(asks), len(continuations)))
        for (dropped, trie), rows in groups.items():
            prompt = self.prompt([texts[r] for r in rows], [asks[r] for r in rows], dropped)
            run = tree.one_pass if self.takes_mask() else tree.cached
            found_B_V[rows] = run(self.model, prompt, trie).cpu()
        return found_B_V

    @torch.inference_mode()
    def generate(self, asks: Sequence[Prompt], max_new_tokens: int, stop: str | None = None) -> list[str]:
        """The greedy answer to each ask; see `Backend`."""
        texts = [self.text(ask) for ask in asks]
        prompt = self.processor.batch(texts, [ask.seen for ask in asks])
        inputs = dict(prompt.inputs)
        if prompt.token_types_B_T is not None:
            inputs["mm_token_type_ids"] = prompt.token_types_B_T
        if prompt.positions.ndim == 3:  # the model's own rule for them forgets how long a video is (qwen.py)
            inputs["position_ids"] = prompt.positions
        inputs |= {"input_ids": prompt.ids_B_T, "attention_mask": prompt.mask_B_T.long()}
        with self._writing:
            written = greedy(self.model, self.processor.tokenizer, inputs, max_new_tokens, stop)
        return [ask.prefix + text for ask, text in zip(asks, written, strict=True)]

    @torch.inference_mode()
    def regression_values(self, asks: Sequence[Prompt]) -> Floats:
        """(B,) what the regression head says; see `Backend`. Raises ModelError where there is none."""
        if self._regressor is None:
            raise ModelError("has no regression head", where=self.source.name)
        texts = [self.text(ask) for ask in asks]
        prompt = self.processor.batch(texts, [ask.seen for ask in asks])
        return np.asarray(self._regressor(**prompt.forward_inputs()).double().cpu())

    def settings(self) -> Mapping[str, Any]:
        """Digest of the weights, dtype, pixel bounds, chat template's rendering."""
        found: dict[str, Any] = {
            "backend": "hf",
            "model": folder_digest(self.source.base),
            "adapter": folder_digest(self.source.adapter) if self.source.adapter else None,
            "dtype": str(self.model.dtype).removeprefix("torch."),
        }
        return found | dict(self.processor.settings())

    def environment(self) -> Mapping[str, Any]:
        """Device, attention implementation and the versions of the libraries that compute."""
        return {
            "device": str(self.model.device),
            "attention": self.model.config._attn_implementation,
            "versions": versions("torch", "transformers", "peft", "tokenizers", "numpy", "pillow", "av"),
        }

    def frame_transform(self) -> FrameTransform | None:
        """See `Backend`."""
        return self.processor.frame_transform()

    def prefix_cache(self) -> Backend:
        """See `Backend`."""
        return PrefixCache(self) if self.takes_mask() and hasattr(self.model.config, "image_token_id") else self

    def photo_transform(self) -> PhotoTransform | None:
        """See `Backend`."""
        return self.processor.photo_transform()

    def thread_plan(self) -> ThreadPlan:
        """See `Backend`: on a CPU, photos side by side make better use of the cores than threads in one."""
        cores = torch.get_num_threads()
        if self.model.device.type != "cpu" or self.model.config.model_type not in _KEEPS_VISION:
            return SINGLE_THREAD
        size = min(cores, _CREW)
        return ThreadPlan(
            size,
            share=lambda shares: torch.set_num_threads(max(1, cores // shares)),
            end=lambda: torch.set_num_threads(cores),
        )

    def text(self, ask: Prompt) -> str:
        """The rendered ask, with its prefix."""
        return self.processor.render(ask.question, len(ask.images), int(ask.video is not None)) + ask.prefix

    def tokens(self, texts: list[str]) -> list[list[int]]:
        """Token ids of rendered texts; placeholders stay single."""
        return self.processor.encode(texts)

    def prompt(self, texts: Sequence[str], asks: Sequence[Prompt], drop: int) -> PromptBatch:
        """The tensors of the texts without the last `drop` tokens of each, the photos encoded."""
        return self._seen(self.processor.batch(texts, [ask.seen for ask in asks], drop=drop))

    @torch.inference_mode()
    def _seen(self, prompt: PromptBatch) -> PromptBatch:
        """The prompt with its images encoded; the last ones are kept, as slots ask many times of a batch."""
        inputs = dict(prompt.inputs)
        pixels = [inputs.pop(name, None) for name in ("pixel_values", "pixel_values_videos")]
        if self.model.config.model_type not in _KEEPS_VISION or pixels == [None, None]:
            return prompt
        last: tuple[list[torch.Tensor | None], dict[str, Any]] | None = getattr(self._vision, "last", None)
        if last is None or any(a is not b for a, b in zip(last[0], pixels, strict=True)):
            own = self.model.get_base_model() if hasattr(self.model, "get_base_model") else self.model
            seen, (photos, frames) = {}, pixels
            if photos is not None:
                seen["image"] = own.model.get_image_features(photos, inputs["image_grid_thw"], return_dict=True)
            if frames is not None:
                seen["video"] = own.model.get_video_features(frames, inputs["video_grid_thw"], return_dict=True)
            last = self._vision.last = pixels, seen
        return replace(prompt, inputs=inputs | {"mm_encoder_outputs": dict(last[1])})

    def takes_mask(self) -> bool:
        """Whether the model's attention takes a mask of our own, so that a trie is weighed in one pass."""
        config = self.model.config
        return config.model_type in _MASKED_TREE and config._attn_implementation in {"sdpa", "eager"}

    def trie(self, text: str, continuations: Sequence[str], end: str) -> tuple[int, TokenTrie]:
        """How many of the text's last tokens merge into the continuations, and their trie."""
        found = self._tries(text, continuations, end)
        return found.merging, found.trie


def greedy(model: Any, tokenizer: Any, inputs: Mapping[str, Any], max_new_tokens: int, stop: str | None) -> list[str]:
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
