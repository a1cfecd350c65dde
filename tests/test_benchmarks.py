"""What the benchmarks are made of: operations counted from shapes, turns that are fair, and they run at all."""

import sys
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from process import ROOT
from small_models import write
from torch.utils.flop_counter import FlopCounterMode

sys.path.insert(0, str(ROOT))

from benchmarks import large_model, operations, timing
from benchmarks.previous import with_previous


@pytest.mark.parametrize("family", ["qwen2_vl", "qwen2_5_vl"])
def test_the_operations_of_a_vision_tower_are_those_that_torch_counts(family: str, tmp_path: Path) -> None:
    model = eager(write(tmp_path / "model", family))
    grid = torch.tensor([[1, 8, 8]])  # whole windows
    patches = torch.randn(64, 3 * 2 * 14 * 14)
    with FlopCounterMode(display=False) as counter, torch.inference_mode():
        model.model.get_image_features(patches, grid, return_dict=True)
    counted = counter.get_total_flops() - embedding(model, patches)
    reported = operations.vision(model.config, 64) - 2 * patches.numel() * 32
    assert counted == pytest.approx(reported, rel=1e-6)


def embedding(model: Any, patches: torch.Tensor) -> int:
    """What torch counts for the convolution, for which it has a rule of its own."""
    with FlopCounterMode(display=False) as counter, torch.inference_mode():
        model.model.visual.patch_embed(patches)
    return int(counter.get_total_flops())


def test_the_operations_of_a_language_part_are_those_that_torch_counts(tmp_path: Path) -> None:
    model = eager(write(tmp_path / "model"))
    text = model.config.text_config
    with FlopCounterMode(display=False) as counter, torch.inference_mode():
        model(input_ids=torch.ones(1, 50, dtype=torch.long), logits_to_keep=7)
    masked = 2 * text.num_hidden_layers * 50 * 50 * text.hidden_size  # eager attention computes that half too
    assert counter.get_total_flops() == pytest.approx(operations.language(model.config, 50, 7) + masked, rel=0.01)


def eager(folder: Path) -> Any:
    from transformers import AutoModelForImageTextToText

    return AutoModelForImageTextToText.from_pretrained(folder, attn_implementation="eager")


def test_contestants_take_turns_in_both_directions() -> None:
    ran: list[str] = []
    timed = timing.side_by_side({name: partial(ran.append, name) for name in "ab"}, 3, "a test")
    assert "".join(ran) == "ab" + "ab" + "ba" + "ab"
    assert {name: len(seconds) for name, seconds in timed.seconds.items()} == {"a": 3, "b": 3}


def test_a_ratio_is_the_median_of_the_rounds() -> None:
    timed = timing.Timed({"slow": [2.0, 9.0, 4.0], "fast": [1.0, 1.0, 1.0]})
    assert (timed.ratio("slow", "fast"), timed.spread("slow", "fast")) == (4.0, (2.0, 9.0))


def test_the_large_model_is_measured_at_any_dimensions(monkeypatch: pytest.MonkeyPatch) -> None:
    rope = {"rope_type": "default", "rope_theta": 1e6, "mrope_section": [2, 3, 3]}
    text = large_model.TEXT | {"vocab_size": 1100, "hidden_size": 32, "intermediate_size": 32}
    text |= {
        "num_hidden_layers": 1,
        "num_attention_heads": 2,
        "num_key_value_heads": 1,
        "rope_parameters": rope,
    }
    vision = large_model.VISION | {"depth": 1, "embed_dim": 32, "hidden_size": 32, "num_heads": 2}
    monkeypatch.setattr(large_model, "BOUND", 50_176)
    section = large_model.measure(1, [1, 2], "cpu", text, vision)
    assert section.count("\n| 1 |") == section.count("\n| 2 |") == 1


OLD = """# Results

## Cold start

| process | seconds | times as fast |
| --- | --- | --- |
| a script | 5.49 (was 5.40) | 1.0 |
| `realqa score` | 0.99 | 6.0 (was 5.8) |

## Scaling

| backend | photos | time a photo |
| --- | --- | --- |
| onnx | 100 | 1.75 |
| onnx | 1,000 | 1.08 |
"""


def test_a_figure_that_has_changed_has_the_last_published_one_behind_it() -> None:
    new = """## Cold start

In words: 0.5 s.

| process | seconds | times as fast |
| --- | --- | --- |
| a script | 5.49 | 1.0 |
| `realqa score` | 0.70 | 7.8 |
| something new | 0.10 | 9.9 |
"""
    lines = with_previous(new, OLD).splitlines()
    assert lines[6:] == [
        "| a script | 5.49 | 1.0 |",
        "| `realqa score` | 0.70 (was 0.99) | 7.8 (was 6.0) |",
        "| something new | 0.10 | 9.9 |",
    ]
    assert lines[:6] == new.splitlines()[:6]


def test_the_names_of_a_row_may_be_numbers() -> None:
    new = "## Scaling\n\n| backend | photos | time a photo |\n| --- | --- | --- |\n| onnx | 100 | 1.50 |\n"
    assert with_previous(new, OLD).splitlines()[-1] == "| onnx | 100 | 1.50 (was 1.75) |"


@pytest.mark.parametrize("published", ["", "# Results", "## Scaling", OLD.replace("process", "what")])
def test_results_without_such_a_table_change_nothing(published: str) -> None:
    new = "## Cold start\n\n| process | seconds |\n| --- | --- |\n| a script | 5.00 |\n"
    assert with_previous(new, published) == new
