"""Prepares the model that is trained (with an adapter, in full, or from scratch), and saves and restores it.

Linear layers, the output head and the vision part are found by inspecting the model, not by a list of names, so
that this works for every family.
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
from realqa_cli.backends.hf.adapters import attach, deprecation_warnings_hidden
from realqa_cli.backends.hf.fused_ops import skipped_branches
from realqa_cli.backends.hf.model import HFBackend
from realqa_cli.backends.hf.regression_head import RegressionHead, save_head
from realqa_cli.errors import ModelError, UsageError
from realqa_cli.models import ModelSource

TUNINGS = ("lora", "full", "scratch")

_COPIED_SUFFIXES = {".json", ".jinja", ".txt", ".model", ".tiktoken"}
"""Files of a model folder other than the weights: tokenizer, chat template, processors."""
_NOT_COPIED = {
    "config.json",
    "generation_config.json",
    "realqa.json",
    "adapter_config.json",
    "train.run.json",
}


@dataclass(frozen=True)
class Tuning:
    """How the model is tuned. rank: None is 128, or the rank of the adapter that training continues from."""

    kind: str = "lora"
    rank: int | None = None
    dropout: float = 0.15
    freeze_vision: bool = False


RANK = 128
"""The rank of the paper's adapters; alpha is twice the rank, as in the release."""


def prepare_model(source: ModelSource, tuning: Tuning, dtype: str, attention: str = "auto") -> tuple[Any, HFBackend]:
    """The model to train, on the CPU, and the loaded backend that it belongs to.

    dtype: of the frozen weights under an adapter; trained weights are float32. Raises ModelError or UsageError.
    """
    continued = tuning.kind == "lora" and source.adapter is not None
    weights_dtype = dtype if tuning.kind == "lora" else "float32"
    loaded = replace(source, adapter=None if continued else source.adapter, config=None)
    backend = HFBackend.load(loaded, LoadOptions("cpu", weights_dtype, attention=attention))
    model = backend.model
    if tuning.kind == "lora":
        model = _continue(model, source, tuning) if continued else _add_adapter(model, source, tuning)
    elif tuning.kind == "scratch":
        generation, model = model.generation_config, type(model)(model.config).float()
        model.generation_config, backend.model = generation, model
    if tuning.kind != "lora":
        model.requires_grad_(True)
        for branch in skipped_branches(model):  # several processes would wait for their gradients
            branch.requires_grad_(False)
    if tuning.freeze_vision:
        for part in vision_parts(model):
            part.requires_grad_(False)
    return model, backend


def vision_parts(model: Any) -> list[torch.nn.Module]:
    """The vision tower of the model, including the projector if that is part of it. Raises UsageError for none."""
    config = getattr(model.config, "vision_config", None)
    modules = [m for m in model.modules() if m is not model and getattr(m, "config", None) is not None]
    towers = [m for m in modules if config is not None and type(m.config) is type(config)]
    if not towers:
        raise UsageError("the model has no separate vision tower", where="--freeze-vision", remedy="leave it out")
    return towers


def base_name(source: ModelSource) -> str:
    """The name by which an adapter records its base model: bundled name, hub id or absolute folder."""
    name = source.name
    if source.adapter is not None and Path(name).expanduser().resolve() == source.adapter.resolve():
        config = json.loads((source.adapter / "adapter_config.json").read_text(encoding="utf-8"))
        recorded = source.config.base_model if source.config is not None else None
        name = str(recorded or config.get("base_model_name_or_path") or "")
    bundled = next((one for one in models.BUNDLED if models.path(one) == source.base), None)
    is_folder = not name or Path(name).expanduser().is_dir() or Path(name).is_absolute()
    return bundled or (str(source.base.resolve()) if is_folder else models.SHORT_NAMES.get(name, name))


def save(
    model: Any,
    source: ModelSource,
    folder: Path,
    state: dict[str, Any] | None = None,
    *,
    bounds: tuple[int, int] | None = None,
) -> None:
    """Write the adapter or the full weights, a regression head if there is one, and the files that loading needs.

    The tokenizer, the chat template and the image processor are those of the base model.

    state: the weights, if they were gathered from several devices, else None.
    bounds: pixels of a photo in training, at least and at most, for the image processor; None for families without.
    """
    folder.mkdir(parents=True, exist_ok=True)
    if isinstance(model, RegressionHead):
        head, state = model.parts(state)
        save_head(head, folder)
        model = model.model
    if hasattr(model, "peft_config"):
        model.save_pretrained(folder, state_dict=state, save_embedding_layers=False)
        (folder / "README.md").unlink(missing_ok=True)  # a template that PEFT does not fill in
    else:
        model.save_pretrained(folder, state_dict=state)
    for file in sorted(source.base.iterdir()):
        weights = file.name.endswith(".index.json")
        if file.is_file() and file.suffix in _COPIED_SUFFIXES and file.name not in _NOT_COPIED and not weights:
            shutil.copyfile(file, folder / file.name)
    if bounds is not None:
        _write_bounds(folder, *bounds)


def _write_bounds(folder: Path, low: int, high: int) -> None:
    """State the pixel bounds of training in the image processor's configuration, so that every reader uses them."""
    for name in ("preprocessor_config.json", "processor_config.json"):
        if not (folder / name).is_file():
            continue
        content = json.loads((folder / name).read_text(encoding="utf-8"))
        images = content.get("image_processor", content)
        images["size"] = {"shortest_edge": low, "longest_edge": high}
        images |= {key: value for key, value in (("min_pixels", low), ("max_pixels", high)) if key in images}
        (folder / name).write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")


def restore(model: Any, folder: Path, restore_adapter: Callable[[str, Any], None]) -> None:
    """Load weights that `save` wrote. restore_adapter: the library's method for adapters."""
    if isinstance(model, RegressionHead):
        model.load_head(folder)
        model = model.model
    if hasattr(model, "peft_config"):
        restore_adapter(str(folder), model)
        return
    # By `from_pretrained`: saved weights have the names of the hub, and the library's own method of resuming looks
    # for the names of modules and ignores those that differ.
    model.load_state_dict(type(model).from_pretrained(str(folder), dtype=model.dtype).state_dict())


def _add_adapter(model: Any, source: ModelSource, tuning: Tuning) -> Any:
    from peft import LoraConfig, get_peft_model

    rank = tuning.rank or RANK
    frozen = {id(m) for part in vision_parts(model) for m in part.modules()} if tuning.freeze_vision else set()
    frozen |= {id(branch) for branch in skipped_branches(model)}
    head = model.get_output_embeddings()
    names = [
        name
        for name, module in model.named_modules()
        if isinstance(module, torch.nn.Linear) and module is not head and id(module) not in frozen
    ]
    if not names:
        raise ModelError("the model has no linear layers for an adapter", where=source.name)
    config = LoraConfig(
        r=rank,
        lora_alpha=2 * rank,
        lora_dropout=tuning.dropout,
        target_modules=names,
        task_type="CAUSAL_LM",
    )
    with deprecation_warnings_hidden():
        model = get_peft_model(model, config)
    config.base_model_name_or_path = base_name(source)
    return model


def _continue(model: Any, source: ModelSource, tuning: Tuning) -> Any:
    """The model with the adapter of its folder, trainable."""
    from peft import PeftConfig

    config = PeftConfig.from_pretrained(str(source.adapter))
    if tuning.rank not in (None, config.r):
        raise UsageError(
            f"the adapter that training continues from has rank {config.r}",
            where="--lora-rank",
            remedy="leave it out, or train on the base model",
        )
    config.lora_dropout = tuning.dropout
    config.base_model_name_or_path = base_name(source)
    assert source.adapter is not None
    return attach(model, source.adapter, config=config, trainable=True)
