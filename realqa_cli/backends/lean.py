"""Faster forms of what transformers computes, with the same results up to rounding."""

from types import MethodType
from typing import Any

from torch import Tensor, is_grad_enabled, nn


def lean(model: Any) -> Any:
    """The model without some detours. Modules and weights stay as they are.

    - The Qwen-VL families' embedding of patches is a matrix product: its convolution's stride is its kernel,
      and the patches come one a row, so nothing overlaps; the general algorithm runs at a fraction of the
      product's speed.
    - A gated MLP whose other branch is always 1 needs no other branch: so it is in the vision part of a
      Qwen2.5-VL that was made of a Qwen2-VL.
    - The quick GELU is a scaled SiLU, for which there is an operator that needs no memory of its own.
    """
    for module in model.modules():
        if type(module).__name__.endswith("PatchEmbed") and _does_not_overlap(getattr(module, "proj", None)):
            module.forward = MethodType(_flat, module)
        elif type(module).__name__ == "QuickGELUActivation":
            module.forward = MethodType(_quick_gelu, module)
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
