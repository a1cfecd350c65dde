"""The machine: what it is, and how fast it multiplies matrices, which nothing here can exceed."""

import os
import platform
from collections.abc import Callable
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import torch

SIDE = 2048
PRODUCT = 2 * SIDE**3
"""Floating-point operations of one product of square matrices."""


def described(device: str) -> str:
    """One paragraph."""
    names = ("torch", "transformers", "onnxruntime", "openvino", "numpy", "pillow")
    made = ", ".join(f"{name} {found}" for name in names if (found := _version(name)))
    load = f"load {os.getloadavg()[0]:.1f} at the start" if hasattr(os, "getloadavg") else ""
    chip = _processor()
    if device == "cuda":
        chip = f"{torch.cuda.get_device_name()} and {chip}"
    cores = f"{torch.get_num_threads()} threads of {os.cpu_count()} processors"
    return f"{chip}; {cores}; {platform.system()}; Python {platform.python_version()}, {made}; {load}."


def product(device: str, dtype: torch.dtype) -> Callable[[], object]:
    """Multiplies two matrices of `SIDE`: the reference for shares of the peak."""
    left, right = (torch.randn(SIDE, SIDE, device=device, dtype=dtype) for _ in range(2))

    def work() -> None:
        torch.mm(left, right)
        wait(device)

    return work


def wait(device: str) -> None:
    """Waits until the device has finished its queue."""
    if device == "cuda":
        torch.cuda.synchronize()


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
        return next(line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()
