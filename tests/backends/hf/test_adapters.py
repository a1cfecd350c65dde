"""Adapters as the common fine-tuning framework writes them: every weight counts, or there is an error."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import small_models
import torch
from PIL import Image
from safetensors.torch import load_file, save_file
from transformers import AutoModelForImageTextToText

from realqa_cli import models
from realqa_cli.backends import base as backends
from realqa_cli.backends.base import LoadOptions
from realqa_cli.backends.hf.adapters import attach, deprecation_warnings_hidden
from realqa_cli.errors import ModelError
from realqa_cli.steps.score.score import Scorer
from realqa_cli.steps.train import tuning

RANK, ALPHA = 4, 8
PHOTO = Image.fromarray(np.random.default_rng(0).integers(0, 255, (90, 120, 3), dtype=np.uint8))


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return small_models.write(tmp_path_factory.mktemp("base") / "qwen2-vl")


def load(folder: Path) -> Any:
    return AutoModelForImageTextToText.from_pretrained(folder)


def linear_layers(model: Any) -> dict[str, torch.nn.Linear]:
    """Those that the framework adapts with `lora_target: all`: not the head, and not the merger."""
    layers = {name: module for name, module in model.named_modules() if isinstance(module, torch.nn.Linear)}
    return {name: layer for name, layer in layers.items() if name != "lm_head" and "merger" not in name}


def old_name(name: str) -> str:
    """The layer's name under the transformers that the paper's adapters were trained with."""
    return name.replace("model.language_model.", "model.").replace("model.visual.", "visual.")


def short_names(model: Any) -> list[str]:
    return sorted({name.rpartition(".")[2] for name in linear_layers(model)})


def write_adapter(folder: Path, model: Any, targets: Any, *, old: bool = True, **config: Any) -> dict[str, Any]:
    """An official-style adapter of random weights; returns them by key."""
    draw = torch.Generator().manual_seed(1)
    weights = {}
    for name, layer in linear_layers(model).items():
        key = f"base_model.model.{old_name(name) if old else name}"
        rank = config.get("rank_pattern", {}).get(old_name(name), RANK)
        weights[f"{key}.lora_A.weight"] = torch.randn(rank, layer.in_features, generator=draw) / 4
        weights[f"{key}.lora_B.weight"] = torch.randn(layer.out_features, rank, generator=draw) / 4
    folder.mkdir()
    save_file(weights, folder / "adapter_model.safetensors", metadata={"format": "pt"})
    reported = {
        "peft_type": "LORA",
        "task_type": "CAUSAL_LM",
        "base_model_name_or_path": "Qwen/Qwen2-VL-7B-Instruct",
        "r": RANK,
        "lora_alpha": ALPHA,
        "lora_dropout": 0.15,
        "bias": "none",
        "inference_mode": True,
        "modules_to_save": None,
        "target_modules": targets,
        **config,
    }
    (folder / "adapter_config.json").write_text(json.dumps(reported))
    return weights


def write_merged(folder: Path, base: Path, weights: dict[str, Any]) -> Path:
    """The base with alpha / rank * B A added to each layer by hand."""
    model = load(base)
    with torch.no_grad():
        for name, layer in linear_layers(model).items():
            key = f"base_model.model.{old_name(name)}"
            a, b = weights[f"{key}.lora_A.weight"], weights[f"{key}.lora_B.weight"]
            layer.weight += ALPHA / len(a) * (b @ a)
    model.save_pretrained(folder)
    for file in base.iterdir():
        if not (folder / file.name).exists():
            (folder / file.name).write_bytes(file.read_bytes())
    return folder


def score(model: Path, adapter: Path | None = None) -> dict[str, Any]:
    given = None if adapter is None else str(adapter)
    scorer = Scorer(str(model), adapter=given, scale=(1.0, 5.0), digits=3, device="cpu", distribution=True)
    (record,) = scorer.score([PHOTO])
    return record


def test_the_papers_adapters_change_scores_as_merging_them_by_hand_does(base: Path, tmp_path: Path) -> None:
    model = load(base)
    regex = rf"^(?!.*patch_embed).*(?:{'|'.join(short_names(model))}).*"
    weights = write_adapter(tmp_path / "official", model, regex)
    merged = write_merged(tmp_path / "merged", base, weights)
    plain, adapted, by_hand = score(base), score(base, tmp_path / "official"), score(merged)
    assert adapted["score"] == pytest.approx(by_hand["score"], abs=1e-4)
    assert adapted["mass"] == pytest.approx(by_hand["mass"], rel=1e-3)
    assert abs(adapted["score"] - plain["score"]) > 0.02


@pytest.mark.parametrize("old", [True, False])
@pytest.mark.parametrize("form", ["names", "regex", "all-linear", "old paths", "new paths"])
def test_every_weight_is_used_whatever_the_configuration_calls_its_layers(
    base: Path, tmp_path: Path, form: str, old: bool
) -> None:
    model = load(base)
    targets = {
        "names": short_names(model),
        "regex": rf"^(?!.*patch_embed).*(?:{'|'.join(short_names(model))}).*",
        "all-linear": "all-linear",
        "old paths": [old_name(name) for name in linear_layers(model)],
        "new paths": list(linear_layers(model)),
    }[form]
    weights = write_adapter(tmp_path / "a", model, targets, old=old)
    adapted = attach(model, tmp_path / "a")
    held = {name: value for name, value in adapted.named_parameters() if ".lora_" in name}
    by_old_key = {
        old_name(name.replace(".default", "")).replace("base_model.model.", "", 1): v for name, v in held.items()
    }
    assert len(held) == len(weights)
    for key, weight in weights.items():
        plain = old_name(key.removeprefix("base_model.model."))
        assert torch.equal(by_old_key[plain], weight), key
    assert not any(value.requires_grad for value in adapted.parameters())
    assert all(
        v.requires_grad for n, v in attach(load(base), tmp_path / "a", trainable=True).named_parameters() if "lora" in n
    )


def test_the_papers_adapters_can_be_trained_on(base: Path, tmp_path: Path) -> None:
    weights = write_adapter(tmp_path / "official", load(base), "all-linear")
    source = models.find(str(base), adapter=str(tmp_path / "official"))
    model, _ = tuning.prepare_model(source, tuning.Tuning("lora", dropout=0.05), "float32")
    held = {name: value for name, value in model.named_parameters() if value.requires_grad}
    assert len(held) == len(weights)
    assert sum(float(v.detach().abs().sum()) for v in held.values()) == pytest.approx(
        sum(float(w.abs().sum()) for w in weights.values())
    )
    tuning.save(model, source, tmp_path / "again")
    assert len(load_file(tmp_path / "again" / "adapter_model.safetensors")) == len(weights)
    assert score(base, tmp_path / "again")["score"] == pytest.approx(
        score(base, tmp_path / "official")["score"], abs=1e-6
    )


def test_patterns_by_layer_are_carried_over(base: Path, tmp_path: Path) -> None:
    model = load(base)
    odd = "model.layers.1.mlp.up_proj"
    patterns: dict[str, Any] = {"rank_pattern": {odd: 2}, "alpha_pattern": {odd: 6}}
    write_adapter(tmp_path / "a", model, short_names(model), **patterns)
    layer = attach(model, tmp_path / "a").get_submodule(
        f"base_model.model.{odd.replace('model.', 'model.language_model.', 1)}"
    )
    assert (layer.r["default"], layer.scaling["default"]) == (2, 3)


def test_an_adapter_in_a_subfolder_is_found_and_in_half_precision_left_unmerged(base: Path, tmp_path: Path) -> None:
    (tmp_path / "release").mkdir()
    write_adapter(tmp_path / "release" / "direct", load(base), "all-linear")
    source = models.find(str(base), adapter=f"{tmp_path / 'release'}:direct")
    backend: Any = backends.load("hf", source, LoadOptions(device="cpu", dtype="bfloat16"))
    assert hasattr(backend.model, "peft_config")


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (
            "another architecture",
            "weights fit no layer of the base model, the first of them base_model.model.foo.",
        ),
        ("half a layer", "lacks 1 weight, the first of them"),
        ("another size", "the adapter does not fit its base model: .*size mismatch"),
        ("nothing", "contains no weights"),
        ("another kind", "unsupported adapter type .*IA3.*; only LoRA is supported"),
    ],
)
def test_an_adapter_that_does_not_fit_is_refused_in_one_line(
    base: Path, tmp_path: Path, change: str, words: str
) -> None:
    model, folder = load(base), tmp_path / "a"
    weights = write_adapter(folder, model, short_names(model))
    first = next(iter(weights))
    if change == "another architecture":
        weights["base_model.model.foo.q_proj.lora_A.weight"] = weights[first].clone()
    elif change == "half a layer":
        del weights[first]
    elif change == "another size":
        weights[first] = torch.zeros(RANK, 5)
    elif change == "nothing":
        weights = {}
    else:
        (folder / "adapter_config.json").write_text(
            '{"peft_type": "IA3", "target_modules": ["q_proj"], "feedforward_modules": []}'
        )
    save_file(weights, folder / "adapter_model.safetensors", metadata={"format": "pt"})
    with pytest.raises(ModelError, match=words) as caught:
        attach(model, folder)
    assert str(folder) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_an_adapter_of_ours_is_loaded_as_it_was_saved(base: Path, tmp_path: Path) -> None:
    from peft import LoraConfig, get_peft_model

    model = load(base)
    with deprecation_warnings_hidden():
        ours: Any = get_peft_model(
            model, LoraConfig(r=2, target_modules=list(linear_layers(model)), task_type="CAUSAL_LM")
        )
    with torch.no_grad():
        for name, value in ours.named_parameters():
            if "lora_B" in name:
                value.normal_()
    ours.save_pretrained(tmp_path / "ours", save_embedding_layers=False)
    saved = load_file(tmp_path / "ours" / "adapter_model.safetensors")
    again = attach(load(base), tmp_path / "ours")
    held = dict(again.named_parameters())
    assert len(saved) == sum(".lora_" in name for name in held)
    for name, value in ours.named_parameters():
        assert torch.equal(held[name], value), name
