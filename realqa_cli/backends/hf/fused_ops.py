"""Faster implementations of some operations of transformers, with the same results up to rounding."""

from itertools import groupby
from types import MethodType
from typing import Any

from torch import Tensor, cat, is_grad_enabled, nn

_ATTENTION = {"VisionAttention", "Qwen2_5_VLVisionAttention", "Qwen3VLVisionAttention"}
"""The vision attention classes of Qwen2-VL, Qwen2.5-VL and Qwen3-VL, which have the same interface."""


def fuse_operations(model: Any) -> Any:
    """Replaces the forward methods of some modules; modules and weights do not change. Returns the model.

    - The patch embedding of the Qwen-VL families becomes a matrix product: the stride of its convolution
      equals its kernel and each patch is one row, so the general convolution is needlessly slow.
    - A gated MLP whose other branch is always 1 skips that branch. The vision tower of a Qwen2.5-VL that was
      converted from a Qwen2-VL has such MLPs.
    - The quick GELU becomes a scaled SiLU, which works in place.
    - The attention of the vision towers applies the rotary embedding in fewer steps, and computes windows of
      equal length in one call.
    """
    for module in model.modules():
        if type(module).__name__.endswith("PatchEmbed") and _does_not_overlap(getattr(module, "proj", None)):
            module.forward = MethodType(_flat, module)
        elif type(module).__name__ == "QuickGELUActivation":
            module.forward = MethodType(_quick_gelu, module)
        elif type(module).__name__ in _ATTENTION and attention_of(module) == "sdpa":
            module.forward = MethodType(_attention, module)
        elif _is_ungated(module):
            module.forward = MethodType(_ungated, module)
    return model


def attention_of(module: Any) -> str:
    """The attention implementation of a model or module of transformers: "sdpa", "eager", ...

    transformers has no public name for it; this is the only place that reads the private one.
    """
    return str(module.config._attn_implementation)


def _is_ungated(module: nn.Module) -> bool:
    """Whether the module is a gated MLP without adapters whose gate is multiplied by 1."""
    other = getattr(module, "up_proj", None)
    if type(other) is not nn.Linear or other.bias is None or not hasattr(module, "act_fn"):
        return False
    return not bool(other.weight.any()) and bool((other.bias == 1).all())


def skipped_branches(model: Any) -> list[nn.Module]:
    """The layers of gated MLPs that `fuse_operations` skips: no gradient reaches their weights."""
    forwards = ((module, getattr(module.forward, "__func__", None)) for module in model.modules())
    return [module.up_proj for module, forward in forwards if forward is _ungated]


def _ungated(mlp: Any, x: Tensor) -> Tensor:
    if type(mlp.up_proj) is not nn.Linear:  # an adapter was added since
        whole: Tensor = type(mlp).forward(mlp, x)
        return whole
    output: Tensor = mlp.down_proj(mlp.act_fn(mlp.gate_proj(x)))
    return output


def _does_not_overlap(proj: Any) -> bool:
    """Whether the module is a convolution, not wrapped by an adapter, whose kernels do not overlap."""
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
    """(P, width) from (P, width). cu_seqlens: the boundaries of the windows or photos."""
    if is_grad_enabled():
        plain: Tensor = type(attention).forward(
            attention, hidden_states, cu_seqlens, position_embeddings=position_embeddings, **more
        )
        return plain
    joined_P_3_H_D = attention.qkv(hidden_states).unflatten(-1, (3, attention.num_heads, -1))
    rotated_P_2_H_D = _rotated(joined_P_3_H_D[:, :2], *position_embeddings)
    parts = *rotated_P_2_H_D.unbind(1), joined_P_3_H_D[:, 2]
    lengths, outputs, start = cu_seqlens.diff().tolist(), [], 0
    for length, run in groupby(lengths):
        end = start + length * len([*run])
        query, key, value = (part_P_H_D[start:end].unflatten(0, (-1, length)).transpose(1, 2) for part_P_H_D in parts)
        attended = nn.functional.scaled_dot_product_attention(query, key, value, scale=attention.scaling)
        outputs.append(attended.transpose(1, 2).flatten(2).flatten(0, 1))
        start = end
    projected: Tensor = attention.proj(cat(outputs))
    return projected


def _rotated(parts_P_2_H_D: Tensor, cos_P_D: Tensor, sin_P_D: Tensor) -> Tensor:
    """Applies the rotary position embedding, in float32 as the models do."""
    half = cos_P_D.shape[-1] // 2
    cos, sin = (angles[:, None, None].float() for angles in (cos_P_D, sin_P_D))
    parts = parts_P_2_H_D.float()
    rotated = parts * cos
    rotated[..., :half].addcmul_(parts[..., half:], sin[..., :half], value=-1)
    rotated[..., half:].addcmul_(parts[..., :half], sin[..., half:])
    return rotated.to(parts_P_2_H_D.dtype)
