"""An adapter on its base model: every weight of the file on the layer it was trained for, or an error.

Versions of transformers nest the same layers differently: what older ones call `model.layers.0` and
`visual.blocks.0` is `model.language_model.layers.0` and `model.visual.blocks.0` today. Adapters keep the
names of the version that trained them, and PEFT leaves a weight without a layer out and says little. Here
layers are told by their names without the nesting, and nothing is left out.
"""

import re
import warnings
from collections import defaultdict
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from realqa_cli.errors import ModelError

_PREFIX = "base_model.model."
_NESTING = frozenset({"model", "language_model", "vision_model"})
"""Parts of a layer's name that tell the version of transformers and not the layer."""


def attach(model: Any, folder: Path, *, config: Any = None, trainable: bool = False) -> Any:
    """The model with the adapter of `folder`, as PEFT has it.

    config: instead of the folder's own `adapter_config.json`.  trainable: whether it is to be trained on.
    Raises `ModelError` where a weight fits no layer of the model, or a layer gets none.
    """
    from peft import PeftConfig
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        with unasked_advice_left_out():
            config = config or PeftConfig.from_pretrained(str(folder))
            weights = load_file(folder / "adapter_model.safetensors")
            return _attach(model, folder, weights, config, trainable)
    except (OSError, ValueError, RuntimeError, KeyError, TypeError, AttributeError, SafetensorError) as error:
        reason = " ".join(str(error).split())[:300]
        raise _misfit(f"the adapter does not fit its base model: {reason}", folder) from error


@contextmanager
def unasked_advice_left_out() -> Iterator[None]:
    """PEFT calls what transformers has deprecated, and says so to our users."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)
        yield


def _attach(model: Any, folder: Path, weights: Mapping[str, Any], config: Any, trainable: bool) -> Any:
    from peft import MODEL_TYPE_TO_PEFT_MODEL_MAPPING, PeftModel, set_peft_model_state_dict

    if str(getattr(config.peft_type, "value", config.peft_type)) != "LORA":
        raise _misfit(f"is an adapter of the kind {config.peft_type}, and realqa loads LoRA only", folder)
    homes = _homes(model, weights, folder)
    config.target_modules = sorted({home for key, home in homes.items() if ".lora_" in key})
    now = {_layer(key): home for key, home in homes.items()}
    for name in ("rank_pattern", "alpha_pattern"):  # by layer; what is by the end of its name stays
        pattern = getattr(config, name, None) or {}
        setattr(config, name, {now.get(layer, layer): value for layer, value in pattern.items()})
    config.inference_mode = not trainable
    kind = MODEL_TYPE_TO_PEFT_MODEL_MAPPING.get(config.task_type, PeftModel)
    adapted = kind(model, config)
    renamed = {
        _PREFIX + homes[key] + key.removeprefix(_PREFIX).removeprefix(_layer(key)): weight
        for key, weight in weights.items()
    }
    report: Any = set_peft_model_state_dict(adapted, renamed)
    lost = sorted(report.unexpected_keys)
    empty = sorted(key for key in report.missing_keys if ".lora_" in key)
    if lost or empty:
        what = f"has no layer for {len(lost)} of its weights" if lost else f"lacks {len(empty)} of its weights"
        raise _misfit(f"{what}, the first of them {(lost or empty)[0]}", folder)
    return adapted


def _homes(model: Any, weights: Mapping[str, Any], folder: Path) -> dict[str, str]:
    """The name of the model's layer that each weight belongs to. Raises `ModelError`."""
    there = {name for name, _ in model.named_modules() if name}
    alike: dict[str, list[str]] = defaultdict(list)
    for name in sorted(there):
        alike[_without_nesting(name)].append(name)
    homes, homeless = {}, []
    for key in weights:
        layer = _layer(key)
        found = [layer] if layer in there else alike[_without_nesting(layer)]
        if len(found) == 1:
            homes[key] = found[0]
        else:
            homeless.append(key)
    if homeless or not homes:
        what = f"{len(homeless)} of its {len(weights)} weights fit no layer of the base model"
        raise _misfit(f"{what}, the first of them {homeless[0]}" if homeless else "holds no weights", folder)
    return homes


def _layer(key: str) -> str:
    """The layer's name in a weight's: ``visual.blocks.0.attn.qkv`` of ``...qkv.lora_A.weight``."""
    name = key.removeprefix(_PREFIX)
    layer, found, _ = name.partition(".lora_")
    layer = layer if found else name.rpartition(".")[0]
    return re.sub(r"\.base_layer$", "", layer)


def _without_nesting(name: str) -> str:
    return ".".join(part for part in name.split(".") if part not in _NESTING)


def _misfit(what: str, folder: Path) -> ModelError:
    return ModelError(what, where=str(folder), remedy="check that it was trained on this base model")
