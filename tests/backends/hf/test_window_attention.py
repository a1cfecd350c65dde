"""A Qwen2-VL that is rewritten as a Qwen2.5-VL says the same, until its vision part is given windows."""

from pathlib import Path
from typing import Any

import pytest
import torch
from process import ROOT
from small_models import write
from transformers import AutoModelForImageTextToText

GRID = torch.tensor([[1, 12, 20]])


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A Qwen2-VL none of whose weights is what a norm or bias starts with."""
    folder = write(tmp_path_factory.mktemp("qwen2") / "model", "qwen2_vl")
    model = AutoModelForImageTextToText.from_pretrained(folder, dtype=torch.float32)
    torch.manual_seed(0)
    with torch.no_grad():
        for weight in model.parameters():
            weight.add_(0.1 * torch.randn_like(weight))
    model.save_pretrained(folder)
    return folder


def features(model: Any) -> torch.Tensor:
    torch.manual_seed(1)
    patches = torch.randn(int(GRID.prod()), 3 * 2 * 14 * 14)
    with torch.inference_mode():
        found: torch.Tensor = model.eval().model.visual(patches, grid_thw=GRID).pooler_output
    return found


def test_a_model_that_sees_the_whole_photo_in_every_block_sees_the_same(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(ROOT / "examples" / "realqa-tiny")
    from window_attention import windowed

    before = features(AutoModelForImageTextToText.from_pretrained(folder, dtype=torch.float32))
    torch.testing.assert_close(features(windowed(folder, full=(0, 1))), before, rtol=1e-4, atol=1e-4)
    within = features(windowed(folder, full=(), window=112))
    assert not torch.allclose(within, before, rtol=1e-2, atol=1e-2)
    torch.testing.assert_close(features(windowed(folder, full=(), window=448)), before, rtol=1e-4, atol=1e-4)
