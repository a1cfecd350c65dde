"""Loads the weights of a model with transformers: device, dtype and quantization."""

import json
from typing import Any

import torch

from realqa_cli.backends.base import LoadOptions
from realqa_cli.domain.wording import plural
from realqa_cli.errors import ModelError, UsageError, one_line
from realqa_cli.models import ModelSource

_DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}


def quiet() -> None:
    """Disables the progress bars and notices of transformers; realqa raises or logs what matters."""
    from transformers.utils import logging

    logging.set_verbosity_error()
    logging.disable_progress_bar()


def device_named(name: str) -> torch.device:
    """The device of that name; "auto" is CUDA, then MPS, then the CPU. Raises UsageError."""
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "mps" if torch.backends.mps.is_available() else "cpu"
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise UsageError(
            f"unknown device {name!r}", where="--device", remedy="use auto, cpu, cuda, cuda:N or mps"
        ) from error
    present = {"cpu": True, "cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}
    if not present.get(device.type, False):
        raise UsageError(
            f"this machine does not have a {device.type} device", where="--device", remedy="use --device auto"
        )
    return device


def _dtype(name: str, device: torch.device) -> torch.dtype:
    if name == "auto":
        name = {"cpu": "float32", "cuda": "bfloat16", "mps": "float16"}[device.type]
    if name not in _DTYPES:
        raise UsageError(f"unknown dtype {name!r}", where="--dtype", remedy=f"use auto, {', '.join(_DTYPES)}")
    return _DTYPES[name]


def load_model(
    source: ModelSource, options: LoadOptions, device: torch.device, kind: str = "AutoModelForImageTextToText"
) -> Any:
    """Loads the model on the device with the auto class `kind` of transformers. Raises ModelError."""
    import transformers
    from safetensors import SafetensorError

    _require_architecture(source, options)
    arguments: dict[str, Any] = {
        "dtype": _dtype(options.dtype, device),
        "use_safetensors": True,
        "trust_remote_code": options.trust_remote_code,
        "output_loading_info": True,
    }
    if options.attention != "auto":
        arguments["attn_implementation"] = options.attention
    if options.quantize:
        arguments |= {
            "quantization_config": _quantization(options.quantize, device),
            "device_map": {"": device},
        }
    try:
        loaded: Any = getattr(transformers, kind).from_pretrained(source.base, **arguments)
    except (OSError, ValueError, RuntimeError, ImportError, KeyError, SafetensorError) as error:
        raise ModelError(
            f"cannot be loaded: {one_line(error)}",
            where=str(source.base),
            remedy="check that the model folder is complete and its architecture supported",
        ) from error
    model, report = loaded
    if missing := sorted(report["missing_keys"]):
        raise ModelError(
            f"lacks {plural(len(missing), 'weight')}, the first of them {missing[0]}",
            where=str(source.base),
            remedy="copy the complete model folder again",
        )
    return model if options.quantize else model.to(device)


def _require_architecture(source: ModelSource, options: LoadOptions) -> None:
    """Raises ModelError for an architecture that the installed transformers does not have."""
    import transformers
    from transformers.models.auto.configuration_auto import CONFIG_MAPPING

    try:
        kind = json.loads((source.base / "config.json").read_text(encoding="utf-8")).get("model_type")
    except (OSError, ValueError, AttributeError):
        return  # loading reports it
    if isinstance(kind, str) and kind not in CONFIG_MAPPING and not options.trust_remote_code:
        raise ModelError(
            f"transformers {transformers.__version__} does not have the architecture {kind!r}",
            where=str(source.base),
            remedy="serve it and use --server, or run its own code by --trust-remote-code --revision COMMIT",
        )


def _quantization(name: str, device: torch.device) -> Any:
    from transformers import BitsAndBytesConfig

    if device.type != "cuda":
        raise UsageError("needs a CUDA device", where="--quantize", remedy="leave it out")
    if name not in {"4bit", "8bit"}:
        raise UsageError(f"unknown quantization {name!r}", where="--quantize", remedy="use 4bit or 8bit")
    return BitsAndBytesConfig(
        load_in_4bit=name == "4bit", load_in_8bit=name == "8bit", bnb_4bit_compute_dtype=torch.bfloat16
    )
