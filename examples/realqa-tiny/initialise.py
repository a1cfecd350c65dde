"""The untrained model: a small, standard Qwen2-VL whose first layers start as a bank of band-pass magnitudes.

No-reference quality is mostly a matter of how strong the picture is in each band of spatial frequency. With
the usual small random weights a model of this size does not find that within an hour, so it gets a start:

1. The patch embedding holds cosine patterns (luma of all frequencies, chroma of the low ones), each scaled
   by how strong it is in ordinary photos.
2. The first attention's bias sets a few constant channels, so that the layer norms after it keep a patch's
   contrast; its matrix starts near zero, else it drowns the faint high frequencies.
3. Most of the first MLP computes magnitudes that saturate at three levels, and adds their means over bands
   of frequency to channels left free for them: a coarse histogram of every band's strength.

All other matrices are random with variance 1 / fan-in. This is an initialisation only: everything is trained.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from inputs import MEAN, PATCH, STD, patches
from scipy import fft
from torch import nn
from transformers import Qwen2VLConfig, Qwen2VLForConditionalGeneration

WIDTH = 192
LUMA, CHROMA, CONSTANT = 96, 16, 8  # channels; the rest hold band magnitudes
ORIENTATIONS, RADII = 3, 6
GAINS = (0.6, 2.5, 10.0)  # a magnitude saturates at 1 / gain
SHARPNESS = 4.0  # how abruptly
SOURCES = 60  # patterns whose magnitudes are taken; four hidden units each and gain


def configuration(tokenizer: Any) -> Qwen2VLConfig:
    """About 5 M parameters: vision 4 x 192, language 3 x 256; every token id is asked of the tokenizer."""
    token = tokenizer.convert_tokens_to_ids
    return Qwen2VLConfig(
        vision_config={
            "depth": 4,
            "embed_dim": WIDTH,
            "num_heads": 3,
            "mlp_ratio": 4,
            "hidden_size": 256,
            "patch_size": PATCH,
            "spatial_merge_size": 2,
            "temporal_patch_size": 2,
        },
        text_config={
            "vocab_size": len(tokenizer),
            "hidden_size": 256,
            "intermediate_size": 512,
            "num_hidden_layers": 3,
            "num_attention_heads": 4,
            "num_key_value_heads": 2,
            "max_position_embeddings": 8192,
            "rope_parameters": {"rope_type": "default", "rope_theta": 10000.0, "mrope_section": [8, 12, 12]},
            "bos_token_id": None,
            "eos_token_id": token("<|im_end|>"),
            "pad_token_id": token("<|endoftext|>"),
        },
        image_token_id=token("<|image_pad|>"),
        video_token_id=token("<|video_pad|>"),
        vision_start_token_id=token("<|vision_start|>"),
        vision_end_token_id=token("<|vision_end|>"),
        tie_word_embeddings=False,
    )


def initialise(tokenizer: Any, images: list[npt.NDArray[np.uint8]], seed: int = 0) -> Any:
    """A float32 model. images: ordinary sharp photos (height, width, 3), from which the patterns' strengths
    are measured."""
    torch.manual_seed(seed)
    model = Qwen2VLForConditionalGeneration(configuration(tokenizer)).float()
    vision, text = model.model.visual, model.model.language_model
    with torch.no_grad():
        for module in model.modules():
            if isinstance(module, nn.Linear):
                nn.init.normal_(module.weight, std=module.in_features**-0.5)
                if module.bias is not None:
                    nn.init.zeros_(module.bias)
        for block in vision.blocks:
            block.attn.proj.weight *= 0.5
            block.mlp.fc2.weight *= 0.5
        for layer in text.layers:
            layer.self_attn.o_proj.weight *= 0.4
            layer.mlp.down_proj.weight *= 0.4
        nn.init.normal_(text.embed_tokens.weight, std=0.5)
        model.lm_head.weight *= 0.1
        patterns, bands = _patterns()
        strength = _strength(patterns, images)
        _embed_patterns(vision.patch_embed.proj, patterns / strength[:, None])
        _constant_channels(vision.blocks[0])
        _magnitudes(vision.blocks[0].mlp, bands)
    return model


def _patterns() -> tuple[npt.NDArray[np.float32], list[int]]:
    """Unit-norm patterns (LUMA + CHROMA, 3 * 14 * 14) and the band of each.

    Luma: every frequency (u, v) with u + v < 10, then an even choice of the higher ones. Bands are numbered
    radius * ORIENTATIONS + orientation for luma, and follow after these for chroma (two colours x three
    radii).
    """
    basis = fft.idct(np.eye(PATCH), axis=0, norm="ortho")
    order = sorted(((u, v) for u in range(PATCH) for v in range(PATCH)), key=lambda uv: (sum(uv), uv))
    low = [uv for uv in order if sum(uv) < 10]
    high = [uv for uv in order if sum(uv) >= 10]
    step = len(high) / (LUMA - len(low))
    chosen = low + [high[int(i * step)] for i in range(LUMA - len(low))]
    luma = np.array([0.299, 0.587, 0.114])
    colours = (np.array([-0.169, -0.331, 0.5]), np.array([0.5, -0.419, -0.081]))

    rows, bands = [], []
    for u, v in chosen:
        rows.append(np.einsum("c,y,x->cyx", luma, basis[:, u], basis[:, v]))
        radius = min(RADII - 1, int(np.hypot(u, v) / (PATCH * 1.05) * RADII))
        angle = np.arctan2(u, v) / (np.pi / 2)
        bands.append(radius * ORIENTATIONS + min(ORIENTATIONS - 1, int(angle * ORIENTATIONS)))
    for index, colour in enumerate(colours):
        for position, (u, v) in enumerate(order[: 2 * (CHROMA // 2) : 2]):
            rows.append(np.einsum("c,y,x->cyx", colour, basis[:, u], basis[:, v]))
            bands.append(RADII * ORIENTATIONS + index * 3 + position * 3 // (CHROMA // 2))
    flat = np.stack(rows).reshape(len(rows), -1)
    return (flat / np.linalg.norm(flat, axis=1, keepdims=True)).astype(np.float32), bands


def _strength(patterns: npt.NDArray[np.float32], images: list[npt.NDArray[np.uint8]]) -> npt.NDArray[np.float32]:
    """Root mean square of every pattern's response over the images' patches."""
    power, count = np.zeros(len(patterns)), 0
    for image in images:
        frames = patches(image[None]).numpy().reshape(-1, 3, 2, PATCH, PATCH)
        responses = frames[:, :, 0].reshape(len(frames), -1) @ patterns.T
        power += (responses**2).sum(axis=0)
        count += len(frames)
    return np.sqrt(power / count).astype(np.float32)


def _embed_patterns(convolution: nn.Conv3d, filters: npt.NDArray[np.float32]) -> None:
    """The two frames of a still image are equal, so each carries half. Channels after the filters start at
    zero."""
    weight = torch.from_numpy(filters).reshape(-1, 3, 1, PATCH, PATCH).expand(-1, -1, 2, -1, -1) / 2
    convolution.weight.zero_()
    convolution.weight[: len(filters)] = weight


def _constant_channels(block: Any, level: float = 2.5) -> None:
    block.attn.proj.weight *= 0.02
    signs = torch.tensor([1.0, -1.0]).repeat(CONSTANT // 2)
    block.attn.proj.bias[-CONSTANT:] = level * signs


def _magnitudes(mlp: Any, bands: list[int]) -> None:
    """act(kx) + act(-kx) - act(kx - s) - act(-kx - s), k = s * gain, is about s * min(gain * |x|, 1).

    The mean of it over the patterns of a band goes to that band's channel, one channel for each gain.
    """
    patterns = LUMA + CHROMA
    groups = max(bands) + 1
    chosen = [round(i * (patterns - 1) / (SOURCES - 1)) for i in range(SOURCES)]
    sizes = [max(1, sum(bands[source] == group for source in chosen)) for group in range(groups)]
    unit = 0
    mlp.fc2.weight *= 0.3
    for level, gain in enumerate(GAINS):
        for source in chosen:
            target = patterns + level * groups + bands[source]
            for sign in (1, -1):
                for shift, share in ((0.0, 1.0), (SHARPNESS, -1.0)):
                    mlp.fc1.weight[unit] = 0
                    mlp.fc1.weight[unit, source] = sign * gain * SHARPNESS
                    mlp.fc1.bias[unit] = -shift
                    mlp.fc2.weight[:, unit] = 0
                    mlp.fc2.weight[target, unit] = share * 4 / (SHARPNESS * sizes[bands[source]])
                    unit += 1


def image_processor_settings(min_pixels: int, max_pixels: int) -> dict[str, Any]:
    """preprocessor_config.json: Qwen2-VL's image processor with this model's pixel bounds."""
    return {
        "image_processor_type": "Qwen2VLImageProcessor",
        "do_convert_rgb": True,
        "do_resize": True,
        "resample": 3,
        "size": {"shortest_edge": min_pixels, "longest_edge": max_pixels},
        "do_rescale": True,
        "rescale_factor": 1 / 255,
        "do_normalize": True,
        "image_mean": list(MEAN),
        "image_std": list(STD),
        "patch_size": PATCH,
        "temporal_patch_size": 2,
        "merge_size": 2,
    }
