"""Faster forms of what transformers computes, with the same results up to rounding."""

from itertools import groupby
from types import MethodType
from typing import Any

from torch import Tensor, cat, is_grad_enabled, nn

_ATTENTION = {"VisionAttention", "Qwen2_5_VLVisionAttention", "Qwen3VLVisionAttention"}
"""The vision attention of Qwen2-VL, Qwen2.5-VL and Qwen3-VL: alike but for their names."""


def fuse_operations(model: Any) -> Any:
    """The model without some detours. Modules and weights stay as they are.

    - The Qwen-VL families' embedding of patches is a matrix product: its convolution's stride is its kernel,
      and the patches come one a row, so nothing overlaps; the general algorithm runs at a fraction of the
      product's speed.
    - A gated MLP whose other branch is always 1 needs no other branch: so it is in the vision part of a
      Qwen2.5-VL that was made of a Qwen2-VL.
    - The quick GELU is a scaled SiLU, for which there is an operator that needs no memory of its own.
    - The vision towers' attention turns queries and keys in fewer steps, and takes equal windows at once.
    """
    for module in model.modules():
        if type(module).__name__.endswith("PatchEmbed") and _does_not_overlap(getattr(module, "proj", None)):
            module.forward = MethodType(_flat, module)
        elif type(module).__name__ == "QuickGELUActivation":
            module.forward = MethodType(_quick_gelu, module)
        elif type(module).__name__ in _ATTENTION and module.config._attn_implementation == "sdpa":
            module.forward = MethodType(_attention, module)
        elif _is_ungated(module):
            module.forward = MethodType(_ungated, module)
    return model


def _is_ungated(module: nn.Module) -> bool:
    """Whether it is a gated MLP, without adapters, whose gate is multiplied with 1."""
    other = getattr(module, "up_proj", None)
    if type(other) is not nn.Linear or other.bias is None or not hasattr(module, "act_fn"):
        return False
    return not bool(other.weight.any()) and bool((other.bias == 1).all())


def _ungated(mlp: Any, x: Tensor) -> Tensor:
    found: Tensor = mlp.down_proj(mlp.act_fn(mlp.gate_proj(x)))
    return found


def _does_not_overlap(proj: Any) -> bool:
    """Whether it is a convolution, and no adapter around one, whose kernels lie side by side."""
    return type(proj) is nn.Conv3d and proj.stride == proj.kernel_size and not any(proj.padding)


def _flat(embed: Any, patches: Tensor) -> Tensor:
    """(patches, width) from (patches, channels * frames * patch * patch)."""
    proj = embed.proj
    if not _does_not_overlap(proj) or patches.ndim != 2 or patches.shape[1] != proj.weight[0].numel():
        found: Tensor = type(embed).forward(embed, patches)
        return found
    return nn.functional.linear(patches.to(proj.weight.dtype), proj.weight.flatten(1), proj.bias)


def _quick_gelu(_: Any, x: Tensor) -> Tensor:
    scale = 1.702
    return nn.functional.silu(x * scale, inplace=not is_grad_enabled()).div_(scale)


def _attention(
    attention: Any,
    hidden_states: Tensor,
    cu_seqlens: Tensor,
    position_embeddings: tuple[Tensor, Tensor],
    **more: Any,
) -> Tensor:
    """(P, width) from the same; cu_seqlens: where the windows, or photos, begin and end."""
    if is_grad_enabled():
        plain: Tensor = type(attention).forward(
            attention, hidden_states, cu_seqlens, position_embeddings=position_embeddings, **more
        )
        return plain
    joined_P_3_H_D = attention.qkv(hidden_states).unflatten(-1, (3, attention.num_heads, -1))
    turned_P_2_H_D = _turned(joined_P_3_H_D[:, :2], *position_embeddings)
    parts = *turned_P_2_H_D.unbind(1), joined_P_3_H_D[:, 2]
    lengths, seen, start = cu_seqlens.diff().tolist(), [], 0
    for length, run in groupby(lengths):
        end = start + length * len([*run])
        query, key, value = (part_P_H_D[start:end].unflatten(0, (-1, length)).transpose(1, 2) for part_P_H_D in parts)
        found = nn.functional.scaled_dot_product_attention(query, key, value, scale=attention.scaling)
        seen.append(found.transpose(1, 2).flatten(2).flatten(0, 1))
        start = end
    told: Tensor = attention.proj(cat(seen))
    return told


def _turned(parts_P_2_H_D: Tensor, cos_P_D: Tensor, sin_P_D: Tensor) -> Tensor:
    """Rotary positions, computed in float32 as the models do."""
    half = cos_P_D.shape[-1] // 2
    cos, sin = (angles[:, None, None].float() for angles in (cos_P_D, sin_P_D))
    parts = parts_P_2_H_D.float()
    turned = parts * cos
    turned[..., :half].addcmul_(parts[..., half:], sin[..., :half], value=-1)
    turned[..., half:].addcmul_(parts[..., :half], sin[..., half:])
    return turned.to(parts_P_2_H_D.dtype)
