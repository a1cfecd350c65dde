"""On a GPU: the numbers of the CPU. Skipped where there is none."""

from pathlib import Path

import numpy as np
import pytest
import torch
from brute_force import direct_prompts, photos
from small_models import write

from realqa_cli import models
from realqa_cli.backends import base as backends
from realqa_cli.backends.base import LoadOptions, Prompt
from realqa_cli.backends.hf.model import HFBackend
from realqa_cli.decoding.slots import fill_form
from realqa_cli.domain import prompts
from realqa_cli.domain.numerals import numerals
from realqa_cli.domain.prompts import SLOTS, arrange, regular_form

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="this machine has no CUDA device")

FORM = regular_form(arrange(key for key, slot in SLOTS.items() if not slot.free))


def load(folder: Path, device: str) -> HFBackend:
    found = backends.load("hf", models.find(str(folder)), LoadOptions(device=device, dtype="float32"))
    assert isinstance(found, HFBackend)
    return found


@pytest.mark.parametrize("family", ["qwen2_vl", "qwen2_5_vl", "qwen3_vl", "llava", "realqa-tiny"])
def test_a_gpu_gives_the_probabilities_of_the_cpu(family: str, tmp_path: Path) -> None:
    folder = models.path(family) if family == "realqa-tiny" else write(tmp_path / "model", family)
    texts = numerals(3, 1, 5)
    on_cpu, on_gpu = (
        load(folder, device).log_probs(direct_prompts(photos()), texts, ".") for device in ("cpu", "cuda")
    )
    assert np.abs(np.exp(on_cpu) - np.exp(on_gpu)).max() < 1e-3


def test_a_gpu_fills_forms_as_the_cpu_does(tmp_path: Path) -> None:
    folder = write(tmp_path / "model")
    questions = [Prompt.about(photo, prompts.MIX_QUESTION) for photo in photos()]
    on_cpu, on_gpu = (
        fill_form(load(folder, device).prefix_cache(), questions, FORM, prompts.REGULAR_END)
        for device in ("cpu", "cuda")
    )
    assert [answer.text for answer in on_cpu] == [answer.text for answer in on_gpu]
