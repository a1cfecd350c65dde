"""How many floating-point operations a photo costs a Qwen-VL model, from the shapes of its matrices.

A product of (a, b) and (b, c) counts 2abc. Norms, activations and rotations are left out: under 2 %.
"""

from typing import Any


def vision(config: Any, patches: int, *, gates: bool = True) -> float:
    """Of a photo's patches through the vision tower of a Qwen2-VL or Qwen2.5-VL configuration.

    gates: whether those of a Qwen2.5-VL do anything; see `realqa_cli.backends.onnx.graphs.ungated`.
    """
    seen = config.vision_config
    windowed = hasattr(seen, "window_size")
    width = seen.hidden_size if windowed else seen.embed_dim
    out = seen.out_hidden_size if windowed else seen.hidden_size
    inner = (2 + gates) * seen.intermediate_size if windowed else 2 * int(width * seen.mlp_ratio)
    layer = patches * (4 * width * width + width * inner)
    full = 2 * patches * patches * width
    whole = len(seen.fullatt_block_indexes) if windowed else seen.depth
    each = (seen.window_size // seen.patch_size) ** 2 if windowed else 0
    attention = whole * full + (seen.depth - whole) * 2 * patches * each * width
    merged = width * seen.spatial_merge_size**2
    embed = patches * width * seen.temporal_patch_size * 3 * seen.patch_size**2
    merger = patches // seen.spatial_merge_size**2 * (merged * merged + merged * out)
    total: float = 2.0 * (embed + seen.depth * layer + attention + merger)
    return total


def language(config: Any, tokens: int, kept: int) -> float:
    """Operations of the language part for a prompt of `tokens` tokens, with logits at `kept` of them."""
    text = config.text_config
    head = text.hidden_size // text.num_attention_heads
    cached = text.num_key_value_heads * head
    projections = text.hidden_size * (2 * text.hidden_size + 2 * cached + 3 * text.intermediate_size)
    attention = tokens * tokens * text.hidden_size  # two products, of which the mask leaves half
    layers = text.num_hidden_layers * (tokens * projections + attention)
    total: float = 2.0 * (layers + kept * text.hidden_size * text.vocab_size)
    return total
