"""Faster forms of a model's parts: the same results, gradients and all."""

from pathlib import Path
from typing import Any

import pytest
import torch
from peft import LoraConfig, inject_adapter_in_model
from process import ROOT
from small_models import write
from transformers import AutoModelForImageTextToText
from transformers.activations import QuickGELUActivation

from realqa_cli.backends.hf.fused_ops import fuse_operations, skipped_branches
from realqa_cli.models import find
from realqa_cli.steps.train.tuning import Tuning, prepare_model

GRID = torch.tensor([[1, 18, 22], [1, 8, 12]])
"""Two photos; the first has windows of several sizes."""


@pytest.fixture(params=["qwen2_vl", "qwen2_5_vl", "qwen3_vl", "ungated"])
def model(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    if request.param == "ungated":
        monkeypatch.syspath_prepend(ROOT / "examples" / "realqa-tiny")
        from window_attention import windowed

        return windowed(write(tmp_path / "model", "qwen2_vl"))
    folder = write(tmp_path / "model", request.param)
    return AutoModelForImageTextToText.from_pretrained(folder, dtype=torch.float32)


def features(model: Any, dtype: torch.dtype = torch.float32) -> torch.Tensor:
    torch.manual_seed(1)
    side = model.config.vision_config.patch_size
    patches = torch.randn(int(GRID.prod(dim=1).sum()), 3 * 2 * side * side)
    found: torch.Tensor = model.to(dtype).model.visual(patches.to(dtype), grid_thw=GRID).pooler_output
    return found.float()


def test_a_model_sees_the_same(model: Any) -> None:
    with torch.inference_mode():
        before = features(model)
        torch.testing.assert_close(features(fuse_operations(model)), before, rtol=1e-5, atol=1e-5)


def test_it_sees_the_same_in_half_precision(model: Any) -> None:
    with torch.inference_mode():
        before, half = features(model), features(model, torch.bfloat16)
        error = (half - before).abs().max()
        assert (features(fuse_operations(model), torch.bfloat16) - before).abs().max() < 2 * error


def test_gradients_are_the_same(model: Any) -> None:
    features(model).square().sum().backward()
    before = {name: p.grad for name, p in model.named_parameters() if p.grad is not None}
    model.zero_grad(set_to_none=True)
    features(fuse_operations(model)).square().sum().backward()
    after = {name: p.grad for name, p in model.named_parameters() if p.grad is not None}
    assert all(not after[name].any() for name in after.keys() - before.keys())
    for name, gradient in after.items():
        torch.testing.assert_close(gradient, before[name], rtol=1e-3, atol=1e-3)


def test_the_other_branch_of_a_gated_mlp_is_left_out_where_it_is_always_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(ROOT / "examples" / "realqa-tiny")
    from window_attention import windowed

    ungated, asked = windowed(write(tmp_path / "model", "qwen2_vl")), []
    for block in ungated.model.visual.blocks:
        block.mlp.up_proj.register_forward_hook(lambda *_: asked.append("other branch"))
    features(fuse_operations(ungated))
    assert asked == []


def test_an_adapter_on_that_branch_is_heard(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(ROOT / "examples" / "realqa-tiny")
    from window_attention import windowed

    plain = windowed(write(tmp_path / "model", "qwen2_vl"))
    adapted: Any = inject_adapter_in_model(LoraConfig(target_modules=["up_proj"]), plain)
    with torch.no_grad():
        for name, weight in adapted.named_parameters():
            if "lora_B" in name and "visual" in name:
                weight.normal_()
        before = features(adapted)
        torch.testing.assert_close(features(fuse_operations(adapted)), before, rtol=1e-5, atol=1e-5)


def test_an_adapter_that_comes_later_is_heard_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(ROOT / "examples" / "realqa-tiny")
    from window_attention import windowed

    fused = fuse_operations(windowed(write(tmp_path / "model", "qwen2_vl")))
    assert len(skipped_branches(fused)) == len(fused.model.visual.blocks)
    with torch.no_grad():
        before = features(fused)
        adapted: Any = inject_adapter_in_model(LoraConfig(target_modules=["up_proj"]), fused)
        torch.testing.assert_close(features(adapted), before, rtol=1e-5, atol=1e-5)
        for name, weight in adapted.named_parameters():
            if "lora_B" in name and "visual" in name:
                weight.normal_()
        assert (features(adapted) - before).abs().max() > 1e-3


@pytest.mark.parametrize("kind", ["full", "lora"])
def test_every_weight_of_the_bundled_vision_tower_that_is_trained_gets_a_gradient(kind: str) -> None:
    """Several processes wait for the gradient of each weight that is trained."""
    model, backend = prepare_model(find("realqa-tiny"), Tuning(kind), "float32")
    features(backend.model).square().sum().backward()
    tower = [(name, weight) for name, weight in model.named_parameters() if ".visual." in name]
    trained = {name for name, weight in tower if weight.requires_grad}
    assert {name for name, weight in tower if weight.grad is not None} == trained != set()
    assert not [name for name in trained if "up_proj" in name]


def test_the_quick_gelu_keeps_its_input() -> None:
    activation = fuse_operations(torch.nn.Sequential(QuickGELUActivation()))
    values = torch.linspace(-6, 6, 101)
    with torch.inference_mode():
        found = activation(values)
    assert torch.equal(values, torch.linspace(-6, 6, 101))
    torch.testing.assert_close(found, values * torch.sigmoid(1.702 * values))
