"""Checks of the installation: versions, devices, folders and disk space, fonts, decoders."""

import io
import os
import platform
import re
import shutil
import tempfile
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, requires, version
from pathlib import Path
from typing import Any

from packaging.requirements import Requirement
from PIL import Image

from realqa_cli import __version__
from realqa_cli.errors import MediaError
from realqa_cli.media.photo import open_photo
from realqa_cli.steps.doctor.findings import Finding

LEAST_FREE_GB = 1.0
"""Free space in GB below which a folder is worth a warning."""

_FORMATS = {"JPEG": 12, "PNG": 0, "WEBP": 12, "TIFF": 0, "GIF": 40, "BMP": 0, "AVIF": 12, "HEIF": 12}
"""Formats that are written and read, and by how many levels of 255 the mean color may differ."""


def check_installation() -> Iterator[Finding]:
    """All checks that need no model."""
    yield check_versions()
    yield check_devices()
    yield from check_folders()
    yield check_fonts()
    yield check_decoders()


def check_versions() -> Finding:
    """The versions of Python, realqa and its dependencies, and whether they are those that realqa needs."""
    found, wrong = {"python": platform.python_version(), "realqa": __version__}, []
    try:
        needed = [Requirement(line) for line in requires("realqa") or ()]
    except PackageNotFoundError:
        return Finding("versions", "skipped", "realqa runs from a folder and is not installed", values=found)
    for need in needed:
        if need.marker is not None and not need.marker.evaluate({"extra": ""}):
            continue
        try:
            found[need.name] = version(need.name)
        except PackageNotFoundError:
            wrong.append(f"{need.name} is missing")
            continue
        if not need.specifier.contains(found[need.name], prereleases=True):
            wrong.append(f"{need.name} {found[need.name]} is not {need.specifier}")
    if wrong:
        remedy = "pip install --upgrade realqa, in an environment of its own"
        return Finding("versions", "failed", "; ".join(wrong), remedy, found)
    shown = ", ".join(f"{name} {found[name]}" for name in ("realqa", "python", "torch", "transformers"))
    return Finding("versions", "ok", shown, values=found)


def check_devices() -> Finding:
    """Processor cores, memory and GPUs; a GPU of this machine that torch cannot use is a warning."""
    import torch

    values: dict[str, Any] = {"cores": os.cpu_count(), "threads": torch.get_num_threads(), "gpus": []}
    memory = _memory_gb()
    text = f"{values['cores']} cores" + (f", {memory:.0f} GB of memory" if memory else "")
    gpus = [torch.cuda.get_device_properties(index) for index in range(torch.cuda.device_count())]
    values |= {"memory_gb": memory, "gpus": [f"{gpu.name}, {gpu.total_memory / 1e9:.0f} GB" for gpu in gpus]}
    if torch.backends.mps.is_available():
        values["gpus"] = ["Apple GPU (mps)"]
    if values["gpus"]:
        return Finding("devices", "ok", f"{text}; {'; '.join(values['gpus'])}", values=values)
    present = any(re.fullmatch(r"nvidia\d+", file.name) for file in Path("/dev").glob("nvidia*"))
    if present and os.environ.get("CUDA_VISIBLE_DEVICES") is None:
        remedy = "install the build of torch for CUDA, and check the driver with nvidia-smi"
        return Finding("devices", "warning", f"{text}; there is an NVIDIA GPU that torch cannot use", remedy, values)
    return Finding("devices", "ok", f"{text}; no GPU", values=values)


def _memory_gb() -> float | None:
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e9
    except (ValueError, OSError, AttributeError):  # not on Windows
        return None


def check_folders() -> Iterator[Finding]:
    """Whether the folders that realqa writes to can be written, and how much space they have."""
    from huggingface_hub.constants import HF_HUB_CACHE
    from platformdirs import user_cache_path, user_data_path

    for check, folder, use in (
        ("models folder", Path(HF_HUB_CACHE), "models from the hub"),
        ("cache folder", user_cache_path("realqa"), "digests of models"),
        ("data folder", user_data_path("realqa", appauthor=False), "ledgers of annotate"),
        ("temporary folder", Path(tempfile.gettempdir()), "temporary files"),
        ("current folder", Path.cwd(), "outputs"),
    ):
        yield check_folder(check, folder, use)


def check_folder(check: str, folder: Path, use: str) -> Finding:
    """Whether the folder, or the nearest one above that exists, can be written, and its free space."""
    existing = next(place for place in (folder, *folder.absolute().parents) if place.is_dir())
    free = shutil.disk_usage(existing).free / 1e9
    values = {"path": str(folder), "free_gb": free}
    text = f"{folder}: {free:.1f} GB free, for {use}"
    if not os.access(existing, os.W_OK):
        return Finding(check, "warning", f"{text}; it cannot be written", "change its permissions", values)
    if free < LEAST_FREE_GB:
        return Finding(check, "warning", text, "free some space", values)
    return Finding(check, "ok", text, values=values)


def check_fonts() -> Finding:
    """Whether plots find the font that they use."""
    from matplotlib import font_manager, rcParams

    name = rcParams["font.sans-serif"][0]
    try:
        path = font_manager.findfont(name, fallback_to_default=False)
    except ValueError:
        return Finding("fonts", "warning", f"plots lack their font {name}", "pip install --force-reinstall matplotlib")
    return Finding("fonts", "ok", f"plots use {name}", values={"path": str(path)})


def check_decoders() -> Finding:
    """Whether photos of each format come back from a file with their colors."""
    wrong = [f"{name}: {flaw}" for name in _FORMATS if (flaw := _flaw_of(name))]
    values = {"formats": [*_FORMATS], "failed": wrong}
    if wrong:
        remedy = "pip install --force-reinstall pillow pillow-heif"
        return Finding("decoders", "failed", "; ".join(wrong), remedy, values)
    return Finding("decoders", "ok", f"photos are read: {', '.join(_FORMATS).lower()}", values=values)


def _flaw_of(name: str) -> str | None:
    from pillow_heif import register_heif_opener

    register_heif_opener()
    color = (200, 120, 40)
    buffer = io.BytesIO()
    try:
        Image.new("RGB", (96, 64), color).save(buffer, name)
        read = open_photo(buffer.getvalue(), name=f"sample.{name.lower()}").resize((1, 1)).getpixel((0, 0))
    except (MediaError, OSError, KeyError, ValueError) as error:
        return str(error)
    assert isinstance(read, tuple)
    differs = max(abs(a - b) for a, b in zip(read, color, strict=True)) > _FORMATS[name]
    return f"its colors are wrong: {read} instead of {color}" if differs else None
