"""The model that is trained: with an adapter, in full, or from scratch; and how it is saved.

Which layers are linear, which is the head and which part sees is asked of the model, not of a list of names,
so that every family works alike. Knows models and folders; knows no data.
"""

import json
import shutil
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch

from realqa_cli import models
from realqa_cli.backends.base import LoadOptions
from realqa_cli.backends.hf.adapters import attach, unasked_advice_left_out
from realqa_cli.backends.hf.model import HFBackend
from realqa_cli.backends.hf.regression_head import RegressionHead, save_head
from realqa_cli.errors import ModelError, UsageError
from realqa_cli.models import ModelSource

TUNINGS = ("lora", "full", "scratch")

_BESIDE = {".json", ".jinja", ".txt", ".model", ".tiktoken"}
"""What stands in a model folder beside the weights: tokenizer, template, processors."""
_NOT_COPIED = {
    "config.json",
    "generation_config.json",
    "realqa.json",
    "adapter_config.json",
    "train.run.json",
}


@dataclass(frozen=True)
class Tuning:
    """How the model is tuned. rank: None is 128, or that of an adapter that is trained on."""

    kind: str = "lora"
    rank: int | None = None
    dropout: float = 0.15
    freeze_vision: bool = False


RANK = 128
"""Of the paper's adapters; alpha is twice the rank, as in the release."""


def prepare_model(source: ModelSource, tuning: Tuning, dtype: str) -> tuple[Any, HFBackend]:
    """The model to be trained, on the CPU, and the loaded backend that it is part of.

    dtype: "float32", or what the frozen weights under an adapter are held in; trained weights are float32.
    Raises ModelError or UsageError.
    """
    continued = tuning.kind == "lora" and source.adapter is not None
    held = dtype if tuning.kind == "lora" else "float32"
    loaded = replace(source, adapter=None if continued else source.adapter, config=None)
    backend = HFBackend.load(loaded, LoadOptions("cpu", held))
    model = backend.model
    if tuning.kind == "lora":
        model = _continue(model, source, tuning) if continued else _add_adapter(model, source, tuning)
    elif tuning.kind == "scratch":
        generation, model = model.generation_config, type(model)(model.config).float()
        model.generation_config, backend.model = generation, model
    if tuning.kind != "lora":
        model.requires_grad_(True)
    if tuning.freeze_vision:
        for part in vision_parts(model):
            part.requires_grad_(False)
    return model, backend


def vision_parts(model: Any) -> list[torch.nn.Module]:
    """The model's part that sees, with what joins it to the language part where that is inside it."""
    config = getattr(model.config, "vision_config", None)
    parts = [m for m in model.modules() if m is not model and getattr(m, "config", None) is not None]
    found = [m for m in parts if config is not None and type(m.config) is type(config)]
    if not found:
        raise UsageError("this model has no vision part of its own", where="--freeze-vision")
    return found


def base_name(source: ModelSource) -> str:
    """What an adapter calls its base, so that it finds it again: bundled name, hub id or absolute folder."""
    name = source.name
    if source.adapter is not None and Path(name).expanduser().resolve() == source.adapter.resolve():
        config = json.loads((source.adapter / "adapter_config.json").read_text(encoding="utf-8"))
        told = source.config.base_model if source.config is not None else None
        name = str(told or config.get("base_model_name_or_path") or "")
    bundled = next((one for one in models.BUNDLED if models.path(one) == source.base), None)
    is_folder = not name or Path(name).expanduser().is_dir() or Path(name).is_absolute()
    return bundled or (str(source.base.resolve()) if is_folder else models.SHORT_NAMES.get(name, name))


def save(model: Any, source: ModelSource, folder: Path, state: dict[str, Any] | None = None) -> None:
    """Writes the adapter, or the weights with all that belongs to them, so that the folder can be loaded.

    A regression head goes beside them.  state: the weights, where they were gathered from several devices.
    """
    folder.mkdir(parents=True, exist_ok=True)
    if isinstance(model, RegressionHead):
        head, state = model.parts(state)
        save_head(head, folder)
        model = model.model
    if hasattr(model, "peft_config"):
        model.save_pretrained(folder, state_dict=state, save_embedding_layers=False)
        (folder / "README.md").unlink(missing_ok=True)  # PEFT's form, not filled in
        return
    model.save_pretrained(folder, state_dict=state)
    for file in sorted(source.base.iterdir()):
        weights = file.name.endswith(".index.json")
        if file.is_file() and file.suffix in _BESIDE and file.name not in _NOT_COPIED and not weights:
            shutil.copyfile(file, folder / file.name)


def restore(model: Any, folder: Path, restore_adapter: Callable[[str, Any], None]) -> None:
    """Takes the weights over that `save` wrote; `restore_adapter` is the library's way for adapters."""
    if isinstance(model, RegressionHead):
        model.load_head(folder)
        model = model.model
    if hasattr(model, "peft_config"):
        restore_adapter(str(folder), model)
        return
    # As `from_pretrained` does it: saved weights have the hub's names, and the library's own way of resuming,
    # which looks for the module's names, passes over those that differ without a word.
    model.load_state_dict(type(model).from_pretrained(str(folder), dtype=model.dtype).state_dict())


def _add_adapter(model: Any, source: ModelSource, tuning: Tuning) -> Any:
    from peft import LoraConfig, get_peft_model

    rank = tuning.rank or RANK
    frozen = {id(m) for part in vision_parts(model) for m in part.modules()} if tuning.freeze_vision else set()
    head = model.get_output_embeddings()
    names = [
        name
        for name, module in model.named_modules()
        if isinstance(module, torch.nn.Linear) and module is not head and id(module) not in frozen
    ]
    if not names:
        raise ModelError("has no linear layers that an adapter could change", where=source.name)
    config = LoraConfig(
        r=rank,
        lora_alpha=2 * rank,
        lora_dropout=tuning.dropout,
        target_modules=names,
        task_type="CAUSAL_LM",
    )
    with unasked_advice_left_out():
        model = get_peft_model(model, config)
    config.base_model_name_or_path = base_name(source)
    return model


def _continue(model: Any, source: ModelSource, tuning: Tuning) -> Any:
    """Goes on with the adapter that the model folder is."""
    from peft import PeftConfig

    config = PeftConfig.from_pretrained(str(source.adapter))
    if tuning.rank not in (None, config.r):
        raise UsageError(
            f"the adapter that is trained on has the rank {config.r}",
            where="--lora-rank",
            remedy="leave it out, or train on the base model",
        )
    config.lora_dropout = tuning.dropout
    config.base_model_name_or_path = base_name(source)
    assert source.adapter is not None
    return attach(model, source.adapter, config=config, trainable=True)
