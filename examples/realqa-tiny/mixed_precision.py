"""Half precision where the processor has instructions for it."""

from __future__ import annotations

import torch


def autocast() -> torch.autocast:
    """bfloat16 for matrix products, on processors that multiply bfloat16 matrices; float32 on others.

    Without such instructions the products are emulated, which took ten times as long as float32 (measured on a
    processor with AVX2 only).
    """
    supported: bool = torch.ops.mkldnn._is_mkldnn_bf16_supported()
    return torch.autocast("cpu", torch.bfloat16, enabled=supported)
