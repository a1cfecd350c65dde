"""The `hf` backend: a model of transformers, with or without a PEFT adapter, in this process.

Qwen2-VL, Qwen2.5-VL and Qwen3-VL are preprocessed without torchvision (qwen.py) and support videos; other
families use their own processor. Probabilities come from the tree pass (decoding/tree.py).
"""

import logging
import threading
from collections.abc import Mapping, Sequence
from copy import copy
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from PIL.Image import Image

from realqa_cli.backends.base import (
    SINGLE_THREAD,
    Backend,
    LoadOptions,
    PhotoTransform,
    Prompt,
    TextSampling,
    ThreadPlan,
)
from realqa_cli.backends.hf.adapters import attach
from realqa_cli.backends.hf.fused_ops import attention_of, fuse_operations
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

log = logging.getLogger("realqa")

_CACHED_TREE = {"qwen3_5", "qwen3_5_moe", "gemma3", "llava_onevision"}
"""Model types whose cache is tested with the cached pass: recurrent states, sliding windows, and the rest."""

_MASKED_TREE = {"qwen2_vl", "qwen2_5_vl", "qwen3_vl", "qwen3_vl_moe", "llava", "internvl"}
"""Model types whose attention is tested with the mask of the tree pass.

All others are read by plain forward passes, since nothing is known of their positions and caches."""

_KEEPS_VISION = {"qwen2_vl", "qwen2_5_vl", "qwen3_vl", "qwen3_vl_moe", "qwen3_5", "qwen3_5_moe"}
"""Model types whose forward pass accepts the features of images and videos."""

_TAKES_PAIRS = _KEEPS_VISION | {"internvl", "llava_onevision", "gemma3"}
"""Model types that were trained on prompts with several images, and are tested with two."""

HIDDEN_ROWS = 16
"""Variants of a prompt in one forward pass of `HFBackend.log_probs_hiding`."""

_MAX_THREADS = 4
"""Most threads that call a model on a CPU: each needs memory for its own batch."""


class HFBackend(Backend):
    """Implements `Backend` with one loaded model."""

    def __init__(self, model: Any, processor: Processor, source: ModelSource) -> None:
        self.model, self.processor, self.source = model, processor, source
        self._regressor = RegressionHead.of(model, source)
        self._features = threading.local()  # several threads may call at once
        self._writing = threading.Lock()  # but one may generate: generation keeps state in the model
        self._tries = TrieCache(processor.encode)
        kind = model.config.model_type
        known = kind in _MASKED_TREE | _CACHED_TREE
        self.way = "one pass" if self.takes_mask() else "cache" if known else "plain"
        """How the tree of continuations is run (decoding/tree.py): "one pass", "cache" or "plain"."""
        if not known:
            log.warning("%s models were never checked: one plain forward pass for each branch, exact but slow", kind)

    @classmethod
    def load(cls, source: ModelSource, options: LoadOptions) -> "HFBackend":
        """Loads model, adapter, tokenizer and image processor. Raises ModelError or UsageError."""
        quiet()
        device = device_named(options.device)
        model = load_model(source, options, device)
        if source.adapter is not None:
            model = attach(model, source.adapter)
            if model.dtype == torch.float32:  # merging in a lower precision would change the scores
                model = model.merge_and_unload()
        return cls(fuse_operations(model.eval()), load_processor(source, options, model), source)

    def log_probs(self, batch: Sequence[Prompt], continuations: Sequence[str], end: str) -> Floats:
        """(B, V) exact log-probabilities; see `Backend`."""
        texts = [self.text(prompt) for prompt in batch]
        groups: dict[tuple[int, TokenTrie], list[int]] = {}
        for row, text in enumerate(texts):  # different texts nearly always have the same trie
            groups.setdefault(self.trie(text, continuations, end), []).append(row)
        log_probs_B_V = np.empty((len(batch), len(continuations)))
        for (dropped, trie), rows in groups.items():
            run = {"one pass": tree.one_pass, "cache": tree.cached, "plain": tree.plain}[self.way]
            together = [rows] if self.way != "plain" else [[row] for row in rows]
            for some in together:
                encoded = self.encode([texts[r] for r in some], [batch[r] for r in some], dropped)
                log_probs_B_V[some] = run(self.model, encoded, trie).cpu()
        return log_probs_B_V

    def visual_grid(self, photo: Image) -> tuple[int, int]:
        """See `Backend`. Raises ModelError for families other than Qwen-VL."""
        self._require_visual_tokens()
        encoded = self.processor.batch([self.text(Prompt("", (photo,)))], [(photo,)])
        _, rows, columns = encoded.inputs["image_grid_thw"][0].tolist()
        merge = self.model.config.vision_config.spatial_merge_size
        return rows // merge, columns // merge

    def log_probs_hiding(
        self, prompt: Prompt, hidden: Sequence[Sequence[int]], continuations: Sequence[str], end: str
    ) -> Floats:
        """See `Backend`. Raises ModelError for families other than Qwen-VL."""
        self._require_visual_tokens()
        text = self.text(prompt)
        dropped, trie = self.trie(text, continuations, end)
        encoded = self.encode([text], [prompt], dropped)
        columns = (encoded.ids_B_T[0] == self.model.config.image_token_id).nonzero()[:, 0]
        found = []
        for start in range(0, len(hidden), HIDDEN_ROWS):
            rows = [columns[[*group]] for group in hidden[start : start + HIDDEN_ROWS]]
            found.append(tree.one_pass(self.model, repeat_hiding(encoded, rows), trie).cpu())
        return np.asarray(torch.cat(found))

    def _require_visual_tokens(self) -> None:
        if not (self.takes_mask() and self.model.config.model_type in _KEEPS_VISION):
            kind = self.model.config.model_type
            raise ModelError(
                f"cannot hide visual tokens of {kind} models", remedy="use a model of the Qwen-VL families"
            )

    @torch.inference_mode()
    def generate(self, batch: Sequence[Prompt], max_new_tokens: int, stop: str | None = None) -> list[str]:
        """The greedy answer to each prompt; see `Backend`."""
        inputs = self._generation_inputs(batch)
        with self._writing:
            written = greedy(self.model, self.processor.tokenizer, inputs, max_new_tokens, stop)
        return [prompt.prefix + text for prompt, text in zip(batch, written, strict=True)]

    @torch.inference_mode()
    def sample(self, batch: Sequence[Prompt], max_new_tokens: int, sampling: TextSampling) -> list[str]:
        """A random answer to each prompt; see `Backend`. Prompts are run one by one, so that none affects another."""
        answers = []
        devices = [self.model.device] if self.model.device.type == "cuda" else []
        for prompt in batch:
            inputs = self._generation_inputs([prompt])
            with self._writing, torch.random.fork_rng(devices):
                torch.manual_seed(sampling.seed)
                (text,) = sampled(self.model, self.processor.tokenizer, inputs, max_new_tokens, sampling)
            answers.append(prompt.prefix + text)
        return answers

    def _generation_inputs(self, batch: Sequence[Prompt]) -> dict[str, Any]:
        texts = [self.text(prompt) for prompt in batch]
        encoded = self.processor.batch(texts, [prompt.visual_inputs for prompt in batch])
        inputs = dict(encoded.inputs)
        if encoded.token_types_B_T is not None:
            inputs["mm_token_type_ids"] = encoded.token_types_B_T
        if encoded.positions.ndim == 3:  # the model's own rule ignores the length of videos (qwen.py)
            inputs["position_ids"] = encoded.positions
        return inputs | {"input_ids": encoded.ids_B_T, "attention_mask": encoded.mask_B_T.long()}

    @torch.inference_mode()
    def regression_values(self, batch: Sequence[Prompt]) -> Floats:
        """(B,) the output of the regression head; see `Backend`. Raises ModelError if the model has none."""
        if self._regressor is None:
            raise ModelError("has no regression head", where=self.source.name)
        texts = [self.text(prompt) for prompt in batch]
        encoded = self.processor.batch(texts, [prompt.visual_inputs for prompt in batch])
        return np.asarray(self._regressor(**encoded.forward_inputs()).double().cpu())

    def settings(self) -> Mapping[str, Any]:
        """Digests of the weights, dtype and pixel bounds."""
        settings: dict[str, Any] = {
            "backend": "hf",
            "model": folder_digest(self.source.base),
            "adapter": folder_digest(self.source.adapter) if self.source.adapter else None,
            "dtype": str(self.model.dtype).removeprefix("torch."),
        }
        return settings | dict(self.processor.settings())

    def environment(self) -> Mapping[str, Any]:
        """Device, attention implementation and versions of the libraries used."""
        return {
            "device": str(self.model.device),
            "attention": attention_of(self.model),
            "versions": versions("torch", "transformers", "peft", "tokenizers", "numpy", "pillow", "av"),
        }

    def takes_photo_pairs(self) -> bool:
        """See `Backend`."""
        return self.model.config.model_type in _TAKES_PAIRS

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
        """See `Backend`: on a CPU, several batches in parallel use the cores better than one with all threads."""
        cores = torch.get_num_threads()
        if self.model.device.type != "cpu" or self.model.config.model_type not in _KEEPS_VISION:
            return SINGLE_THREAD
        size = min(cores, _MAX_THREADS)
        return ThreadPlan(
            size,
            share=lambda shares: torch.set_num_threads(max(1, cores // shares)),
            end=lambda: torch.set_num_threads(cores),
        )

    def text(self, prompt: Prompt) -> str:
        """The rendered prompt, with its prefix."""
        shown = len(prompt.images), int(prompt.video is not None)
        return self.processor.render(prompt.question, *shown, prompt.layout) + prompt.prefix

    def tokens(self, texts: list[str]) -> list[list[int]]:
        """Token ids of rendered texts; a placeholder is one token, however large the image."""
        return self.processor.encode(texts)

    def encode(self, texts: Sequence[str], batch: Sequence[Prompt], drop: int) -> PromptBatch:
        """The tensors of the texts without the last `drop` tokens of each, with the features of the photos."""
        return self._with_features(self.processor.batch(texts, [prompt.visual_inputs for prompt in batch], drop=drop))

    @torch.inference_mode()
    def _with_features(self, encoded: PromptBatch) -> PromptBatch:
        """The prompts with the features of their images; the last ones are cached, as slots reuse a batch."""
        inputs = dict(encoded.inputs)
        pixels = [inputs.pop(name, None) for name in ("pixel_values", "pixel_values_videos")]
        if self.model.config.model_type not in _KEEPS_VISION or pixels == [None, None]:
            return encoded
        last: tuple[list[torch.Tensor | None], dict[str, Any]] | None = getattr(self._features, "last", None)
        if last is None or any(a is not b for a, b in zip(last[0], pixels, strict=True)):
            own = self.model.get_base_model() if hasattr(self.model, "get_base_model") else self.model
            features, (photos, frames) = {}, pixels
            if photos is not None:
                features["image"] = own.model.get_image_features(photos, inputs["image_grid_thw"], return_dict=True)
            if frames is not None:
                features["video"] = own.model.get_video_features(frames, inputs["video_grid_thw"], return_dict=True)
            last = self._features.last = pixels, features
        return replace(encoded, inputs=inputs | {"mm_encoder_outputs": dict(last[1])})

    def takes_mask(self) -> bool:
        """Whether the model's attention accepts a custom mask, as the tree pass needs."""
        return self.model.config.model_type in _MASKED_TREE and attention_of(self.model) in {"sdpa", "eager"}

    def trie(self, text: str, continuations: Sequence[str], end: str) -> tuple[int, TokenTrie]:
        """How many of the last tokens of the text merge into the continuations, and their trie."""
        cached = self._tries(text, continuations, end)
        return cached.merging, cached.trie


def repeat_hiding(prompt: PromptBatch, hidden: Sequence[torch.Tensor]) -> PromptBatch:
    """A batch of one prompt with a photo, once for each tensor of columns that nothing else may attend to."""
    count = len(hidden)
    mask_G_T = prompt.mask_B_T.repeat(count, 1)
    for row, columns in enumerate(hidden):
        mask_G_T[row, columns] = False
    features = copy(prompt.inputs["mm_encoder_outputs"]["image"])
    features["pooler_output"] = tuple(features["pooler_output"]) * count
    inputs = {"image_grid_thw": prompt.inputs["image_grid_thw"].repeat(count, 1)}
    types = prompt.token_types_B_T
    return replace(
        prompt,
        ids_B_T=prompt.ids_B_T.repeat(count, 1),
        mask_B_T=mask_G_T,
        positions=prompt.positions.repeat_interleave(count, dim=-2),
        inputs={**inputs, "mm_encoder_outputs": {"image": features}},
        token_types_B_T=None if types is None else types.repeat(count, 1),
    )


def greedy(model: Any, tokenizer: Any, inputs: Mapping[str, Any], max_new_tokens: int, stop: str | None) -> list[str]:
    """The greedy answer to each prompt; sampling settings of the model folder are overridden."""
    if stop is not None:
        inputs = {**inputs, "stop_strings": [stop], "tokenizer": tokenizer}
    plain = {"do_sample": False, "num_beams": 1, "temperature": None, "top_p": None, "top_k": None}
    return _written(model, tokenizer, {**inputs, **plain, "max_new_tokens": max_new_tokens})


def sampled(
    model: Any, tokenizer: Any, inputs: Mapping[str, Any], max_new_tokens: int, sampling: TextSampling
) -> list[str]:
    """A random answer to each prompt, by the state of torch's generator."""
    chosen = {"temperature": sampling.temperature, "top_k": sampling.top_k or None, "top_p": sampling.top_p}
    options = {"do_sample": True, "num_beams": 1, "max_new_tokens": max_new_tokens, **chosen}
    return _written(model, tokenizer, {**inputs, **options})


def _written(model: Any, tokenizer: Any, inputs: Mapping[str, Any]) -> list[str]:
    ids_B_T = model.generate(**inputs)
    new_B_T = ids_B_T[:, inputs["input_ids"].shape[1] :]
    written: list[str] = tokenizer.batch_decode(new_B_T, skip_special_tokens=True)
    return written
