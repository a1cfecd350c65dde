"""A trained Qwen2-VL as a Qwen2.5-VL whose vision part attends within windows: less work, the same judgement.

Attention over a whole photo grows with the square of its pixels, and is most of the work at 401,408 of them.
Qwen2.5-VL's vision part has windows, but also another norm and another MLP. All else is carried over exactly:

- RMSNorm is LayerNorm for inputs of mean zero, and everything that is written to the residual stream can be
  centred, as no reader of it sees the mean; a LayerNorm's bias moves into the linear layer behind it.
- The gated MLP is the plain one when the gate's activation is the old one and the other branch always 1.

With all blocks in `full` the two models say the same; windows change what is said a little. Which blocks of
realqa-tiny can do with windows, and how large they have to be, is in EXPERIMENTS.md.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from transformers import AutoModelForImageTextToText, Qwen2_5_VLConfig, Qwen2_5_VLForConditionalGeneration

WINDOW = 336  # pixels; a window of it holds 24 x 24 patches
FULL = (1, 2)  # blocks that go on seeing the whole photo
VISUAL = "model.visual."

Weights = dict[str, torch.Tensor]


def windowed(folder: Path, *, full: tuple[int, ...] = FULL, window: int = WINDOW) -> Any:
    """The float32 model of `folder`, a Qwen2-VL, as a Qwen2.5-VL.

    full: the blocks that go on seeing the whole photo.  window: the side of the others' windows in pixels.
    """
    old = AutoModelForImageTextToText.from_pretrained(folder, dtype=torch.float32)
    new = Qwen2_5_VLForConditionalGeneration(configuration(old.config, full, window))
    weights = old.state_dict()
    carried = {name: value for name, value in weights.items() if not name.startswith(VISUAL)}
    new.load_state_dict(carried | _visual(weights, old.config.vision_config.depth))
    new.generation_config = old.generation_config
    return new.eval()


def configuration(old: Any, full: tuple[int, ...], window: int) -> Qwen2_5_VLConfig:
    """Of the same shape and token ids."""
    vision, text = old.vision_config, old.text_config.to_dict()
    return Qwen2_5_VLConfig(
        text_config={**text, "model_type": "qwen2_5_vl_text", "dtype": None},
        vision_config={
            "depth": vision.depth,
            "hidden_size": vision.embed_dim,
            "intermediate_size": vision.embed_dim * vision.mlp_ratio,
            "num_heads": vision.num_heads,
            "hidden_act": vision.hidden_act,
            "out_hidden_size": vision.hidden_size,
            "patch_size": vision.patch_size,
            "spatial_merge_size": vision.spatial_merge_size,
            "temporal_patch_size": vision.temporal_patch_size,
            "window_size": window,
            "fullatt_block_indexes": list(full),
            "tokens_per_second": 2,
        },
        image_token_id=old.image_token_id,
        video_token_id=old.video_token_id,
        vision_start_token_id=old.vision_start_token_id,
        vision_end_token_id=old.vision_end_token_id,
        tie_word_embeddings=False,
    )


def _visual(old: Weights, depth: int) -> Weights:
    found = {f"{VISUAL}patch_embed.proj.weight": _centred(old[f"{VISUAL}patch_embed.proj.weight"])}
    for block in (f"{VISUAL}blocks.{index}." for index in range(depth)):
        found |= _norm(old, f"{block}norm1", f"{block}attn.qkv")
        found |= _writer(old, f"{block}attn.proj")
        found |= _renamed(_norm(old, f"{block}norm2", f"{block}mlp.fc1"), "fc1", "gate_proj")
        found |= _renamed(_writer(old, f"{block}mlp.fc2"), "fc2", "down_proj")
        gate = found[f"{block}mlp.gate_proj.weight"]
        found[f"{block}mlp.up_proj.weight"] = torch.zeros_like(gate)
        found[f"{block}mlp.up_proj.bias"] = torch.ones(len(gate))
    merger = f"{VISUAL}merger."
    found |= _norm(old, f"{merger}ln_q", f"{merger}mlp.0")
    found |= {name: value for name, value in old.items() if name.startswith(f"{merger}mlp.2.")}
    return found


def _norm(old: Weights, norm: str, reader: str) -> Weights:
    """A norm's scale, and the linear layer behind it, whose bias takes over the norm's."""
    weight, bias = old[f"{reader}.weight"], old[f"{norm}.bias"]
    shift = weight @ bias.repeat(weight.shape[1] // len(bias))  # the merger reads four patches at once
    return {
        f"{norm}.weight": old[f"{norm}.weight"],
        f"{reader}.weight": weight,
        f"{reader}.bias": old[f"{reader}.bias"] + shift,
    }


def _writer(old: Weights, name: str) -> Weights:
    """A linear layer that writes to the residual stream."""
    return {f"{name}.{part}": _centred(old[f"{name}.{part}"]) for part in ("weight", "bias")}


def _centred(written: torch.Tensor) -> torch.Tensor:
    """With mean zero over the channels written to, which come first."""
    return written - written.mean(0, keepdim=True)


def _renamed(weights: Weights, old: str, new: str) -> Weights:
    return {name.replace(f".{old}.", f".{new}."): value for name, value in weights.items()}
