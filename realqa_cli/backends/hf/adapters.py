"""Attaches a LoRA adapter to its base model: each weight is loaded into its layer, or an error is raised.

Versions of transformers nest the same layers differently: `model.layers.0` and `visual.blocks.0` of older
ones are `model.language_model.layers.0` and `model.visual.blocks.0` today. Adapters keep the names of the
version that trained them, and PEFT skips a weight without a layer almost silently. This module matches layers
by their names without the nesting and raises an error if a weight is left over.
"""

import re
import warnings
from collections import defaultdict
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from realqa_cli.domain.wording import plural
from realqa_cli.errors import ModelError, one_line

_PREFIX = "base_model.model."
_NESTING = frozenset({"model", "language_model", "vision_model"})
"""Parts of a layer name that depend on the version of transformers, not on the layer."""


def attach(model: Any, folder: Path, *, config: Any = None, trainable: bool = False) -> Any:
    """Returns the PEFT model of `model` with the adapter in `folder`.

    config: replaces the folder's `adapter_config.json`.  trainable: whether training continues the adapter.
    Raises `ModelError` if a weight fits no layer of the model, or a layer gets no weight.
    """
    from peft import PeftConfig
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        with deprecation_warnings_hidden():
            config = config or PeftConfig.from_pretrained(str(folder))
            weights = load_file(folder / "adapter_model.safetensors")
            return _attach(model, folder, weights, config, trainable)
    except (OSError, ValueError, RuntimeError, KeyError, TypeError, AttributeError, SafetensorError) as error:
        raise _misfit(f"the adapter does not fit its base model: {one_line(error)}", folder) from error


@contextmanager
def deprecation_warnings_hidden() -> Iterator[None]:
    """PEFT calls deprecated functions of transformers; users of realqa cannot act on the warnings."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)
        yield


def _attach(model: Any, folder: Path, weights: Mapping[str, Any], config: Any, trainable: bool) -> Any:
    from peft import MODEL_TYPE_TO_PEFT_MODEL_MAPPING, PeftModel, set_peft_model_state_dict

    if str(getattr(config.peft_type, "value", config.peft_type)) != "LORA":
        raise _misfit(f"unsupported adapter type {config.peft_type}; only LoRA is supported", folder)
    layers = _layers_of(model, weights, folder)
    config.target_modules = sorted({layer_name for key, layer_name in layers.items() if ".lora_" in key})
    now = {_layer(key): layer_name for key, layer_name in layers.items()}
    for name in ("rank_pattern", "alpha_pattern"):  # keys that are whole layer names; suffix patterns stay
        pattern = getattr(config, name, None) or {}
        setattr(config, name, {now.get(layer, layer): value for layer, value in pattern.items()})
    config.inference_mode = not trainable
    kind = MODEL_TYPE_TO_PEFT_MODEL_MAPPING.get(config.task_type, PeftModel)
    adapted = kind(model, config)
    renamed = {
        _PREFIX + layers[key] + key.removeprefix(_PREFIX).removeprefix(_layer(key)): weight
        for key, weight in weights.items()
    }
    report: Any = set_peft_model_state_dict(adapted, renamed)
    lost = sorted(report.unexpected_keys)
    empty = sorted(key for key in report.missing_keys if ".lora_" in key)
    if lost or empty:
        what = f"no layer for {plural(len(lost), 'weight')}" if lost else f"lacks {plural(len(empty), 'weight')}"
        raise _misfit(f"{what}, the first of them {(lost or empty)[0]}", folder)
    return adapted


def _layers_of(model: Any, weights: Mapping[str, Any], folder: Path) -> dict[str, str]:
    """The name of the model's layer for each weight. Raises `ModelError`."""
    there = {name for name, _ in model.named_modules() if name}
    alike: dict[str, list[str]] = defaultdict(list)
    for name in sorted(there):
        alike[_without_nesting(name)].append(name)
    layers, unmatched = {}, []
    for key in weights:
        layer = _layer(key)
        found = [layer] if layer in there else alike[_without_nesting(layer)]
        if len(found) == 1:
            layers[key] = found[0]
        else:
            unmatched.append(key)
    if unmatched or not layers:
        what = f"{len(unmatched)} of {plural(len(weights), 'weight')} fit no layer of the base model"
        raise _misfit(f"{what}, the first of them {unmatched[0]}" if unmatched else "contains no weights", folder)
    return layers


def _layer(key: str) -> str:
    """The layer part of a weight name: ``visual.blocks.0.attn.qkv`` of ``...qkv.lora_A.weight``."""
    name = key.removeprefix(_PREFIX)
    layer, found, _ = name.partition(".lora_")
    layer = layer if found else name.rpartition(".")[0]
    return re.sub(r"\.base_layer$", "", layer)


def _without_nesting(name: str) -> str:
    return ".".join(part for part in name.split(".") if part not in _NESTING)


def _misfit(what: str, folder: Path) -> ModelError:
    return ModelError(what, where=str(folder), remedy="check that it was trained on this base model")
