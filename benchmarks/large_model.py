"""Qwen2-VL-2B's real dimensions with random weights, bfloat16 on a GPU: speed does not depend on the weights.

The model is made from its configuration, nothing is downloaded; tokenizer and image processor are the bundled
model's, whose special tokens lie within the large vocabulary.
"""

import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import torch
from PIL import Image

from benchmarks import machine, operations, samples
from benchmarks.plain import Plain
from benchmarks.timing import Timed, side_by_side, table
from realqa_cli import models
from realqa_cli.backends.base import LoadOptions, Prompt
from realqa_cli.backends.hf.fused_ops import fuse_operations
from realqa_cli.backends.hf.model import HFBackend
from realqa_cli.backends.hf.processor import load_processor
from realqa_cli.domain import prompts
from realqa_cli.domain.numerals import numerals
from realqa_cli.media.resize import resize_within_bounds

BOUND = 401_408
ANSWER = 13
"""Tokens of the direct answer: "The score of this image is 3.98." and its end."""
TEXT = {
    "vocab_size": 151_936,
    "hidden_size": 1536,
    "intermediate_size": 8960,
    "num_hidden_layers": 28,
    "num_attention_heads": 12,
    "num_key_value_heads": 2,
    "tie_word_embeddings": True,
    "rope_parameters": {"rope_type": "default", "rope_theta": 1e6, "mrope_section": [16, 24, 24]},
}
VISION = {"depth": 32, "embed_dim": 1280, "hidden_size": 1536, "num_heads": 16, "mlp_ratio": 4}


def made(device: str, text: dict[str, Any], vision: dict[str, Any]) -> tuple[HFBackend, Any]:
    """The backend with the model in it, and the model as transformers made it, without our changes."""
    from transformers import AutoConfig, AutoModelForImageTextToText

    source = models.find("realqa-tiny")
    tiny: Any = AutoConfig.from_pretrained(source.base)
    ids = ("image_token_id", "video_token_id", "vision_start_token_id", "vision_end_token_id")
    ends = {name: getattr(tiny.text_config, name) for name in ("eos_token_id", "pad_token_id")}
    config = AutoConfig.for_model(
        "qwen2_vl",
        text_config={**text, **ends, "bos_token_id": None},
        vision_config=vision,
        tie_word_embeddings=True,
        **{name: getattr(tiny, name) for name in ids},
    )
    dtype = torch.bfloat16 if device == "cuda" else torch.float32
    with torch.device(device):
        model: Any = AutoModelForImageTextToText.from_config(config, dtype=dtype).eval()
    model.generation_config.pad_token_id = ends["pad_token_id"]
    model.generation_config.eos_token_id = None  # random weights never end an answer
    loading = LoadOptions(device=device, min_pixels=12_544, max_pixels=BOUND)
    return HFBackend(model, load_processor(source, loading, model), source), model


def measure(rounds: int, batches: list[int], device: str, text: dict[str, Any], vision: dict[str, Any]) -> str:
    """The section as Markdown: `text` and `vision` are the dimensions, `TEXT` and `VISION` the real ones."""
    backend, model = made(device, text, vision)
    plain = Plain.__new__(Plain)  # with the parts at hand
    parts: Any = backend.processor
    plain.model, plain.tokenizer, plain.images = model, parts.tokenizer, parts.images
    plain.tokenizer.padding_side = "left"
    embed = model.model.visual.patch_embed
    shown = _photos(max(batches))

    def generated(batch: int) -> None:
        vars(embed).pop("forward", None)  # as transformers has it
        plain.generate(shown, max_pixels=BOUND, tokens=ANSWER, batch=batch)
        machine.wait(device)

    def scored(batch: int) -> None:
        fuse_operations(model)
        _score(backend, shown, batch)
        machine.wait(device)

    contestants: dict[str, Callable[[], object]] = {}
    for batch in batches:
        contestants[f"generate {batch}"] = partial(generated, batch)
        contestants[f"tree {batch}"] = partial(scored, batch)
    contestants["product"] = machine.product(device, model.dtype)
    timed = side_by_side(contestants, rounds, f"large model on {device}")
    return _told(timed, model.config, batches, shown)


def _photos(count: int) -> list[Image.Image]:
    """1080p photos in the size in which they are seen."""
    with tempfile.TemporaryDirectory() as folder:
        files = sorted(samples.large(Path(folder) / "photos", count).glob("*.jpg"))
        opened = [Image.open(file).convert("RGB") for file in files]
    return [resize_within_bounds(photo, factor=28, min_pixels=12_544, max_pixels=BOUND) for photo in opened]


def _score(backend: HFBackend, shown: list[Image.Image], batch: int) -> None:
    texts = numerals(3, 1, 5)
    for start in range(0, len(shown), batch):
        part = shown[start : start + batch]
        inputs = [Prompt.about(photo, prompts.DIRECT_QUESTION, prompts.DIRECT_PREFIX) for photo in part]
        backend.log_probs(inputs, texts, prompts.DIRECT_END)


def _told(timed: Timed, config: Any, batches: list[int], shown: list[Image.Image]) -> str:
    patches = shown[0].width * shown[0].height // config.vision_config.patch_size**2
    cost = operations.vision(config, patches) + operations.language(config, patches // 4 + 80, 61)
    scale = len(shown) * cost / machine.PRODUCT
    best = min(batches, key=lambda batch: timed.median(f"generate {batch}"))
    rows = []
    for batch in batches:
        against = [timed.ratio(f"generate {other}", f"tree {batch}") for other in (1, batch, best)]
        share = timed.ratio("product", f"tree {batch}", scale)
        rows.append([str(batch), *(f"{ratio:.2f}" for ratio in against), f"{share:.0%}"])
    heads = [
        "batch",
        "`generate`, one by one",
        "`generate`, the same batch",
        f"`generate`, its best ({best})",
    ]
    intro = (
        f"Random weights, {ANSWER} tokens an answer, {cost / 1e12:.2f} · 10¹² operations a photo. Photos a"
        " second by the tree as multiples of each way to generate, and as a share of a product's speed:"
    )
    return f"{intro}\n\n" + table([*heads, "share of the product's speed"], rows)
