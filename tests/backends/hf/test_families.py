"""Families of models: each is read exactly, without torchvision, and one that was never checked says so."""

import json
import logging
from pathlib import Path

import numpy as np
import pytest
from brute_force import brute_force, direct_prompts, load, photos
from PIL import Image
from plain_asking import PlainModel
from small_models import write

from realqa_cli.backends.hf import model as hf_model
from realqa_cli.backends.hf.model import HFBackend
from realqa_cli.cli import main
from realqa_cli.decoding import tree
from realqa_cli.domain.numerals import numerals
from realqa_cli.domain.prompts import DIRECT_END

WAYS = {
    "qwen3_5": "cache",
    "qwen3_5_moe": "cache",
    "gemma3": "cache",
    "llava_onevision": "cache",
    "internvl": "one pass",
    "llava": "one pass",
}
TEXTS = numerals(2, 1, 5)


@pytest.fixture(scope="module", params=WAYS)
def backend(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> HFBackend:
    return load(write(tmp_path_factory.mktemp("models") / request.param, request.param))


def test_every_numeral_has_the_probability_of_plain_forward_passes(backend: HFBackend) -> None:
    assert backend.way == WAYS[backend.model.config.model_type]
    prompt = direct_prompts(photos())[1]
    expected = brute_force(backend, prompt, TEXTS[::8])
    assert np.ptp(expected) > 1, "the model is to have preferences"
    assert backend.log_probs([prompt], TEXTS, DIRECT_END)[0][::8] == pytest.approx(expected, abs=1e-3)


def test_eight_photos_in_a_batch_get_what_each_gets_alone(backend: HFBackend) -> None:
    prompts = direct_prompts(photos())
    together = backend.log_probs(prompts, TEXTS, DIRECT_END)
    alone = np.concatenate([backend.log_probs([prompt], TEXTS, DIRECT_END) for prompt in prompts])
    assert together == pytest.approx(alone, abs=1e-4)
    assert np.ptp(together, axis=0).max() > 1e-3, "different photos are to get different answers"


def test_a_pass_for_each_branch_gives_the_same(backend: HFBackend) -> None:
    prompt = direct_prompts(photos())[2]
    text = backend.text(prompt)
    dropped, trie = backend.trie(text, TEXTS, DIRECT_END)
    found = tree.plain(backend.model, backend.encode([text], [prompt], dropped), trie)
    assert found.numpy() == pytest.approx(backend.log_probs([prompt], TEXTS, DIRECT_END), abs=1e-3)


def test_a_family_that_was_never_checked_is_read_by_plain_passes_and_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    folder = write(tmp_path / "llava", "llava")
    prompts = direct_prompts(photos()[:2])
    expected = load(folder).log_probs(prompts, TEXTS, DIRECT_END)
    assert not caplog.records
    monkeypatch.setattr(hf_model, "_MASKED_TREE", set())
    with caplog.at_level(logging.WARNING):
        unknown = load(folder)
    assert "llava models were never checked" in caplog.text
    assert unknown.way == "plain"
    assert unknown.log_probs(prompts, TEXTS, DIRECT_END) == pytest.approx(expected, abs=1e-3)


def test_a_hybrid_model_writes_what_plain_generation_writes(tmp_path: Path) -> None:
    folder = write(tmp_path / "model", "qwen3_5")
    prompt = direct_prompts(photos())[3]
    messages = [{"role": "user", "content": [{"type": "image"}, {"type": "text", "text": prompt.question}]}]
    plain, bare = PlainModel(folder), type(prompt)(prompt.question, prompt.images)
    assert load(folder).generate([bare], 12) == [plain.answer(messages, prompt.images[0], 12)]


def test_the_command_scores_with_a_hybrid_model(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    folder, photo = write(tmp_path / "model", "qwen3_5"), tmp_path / "photo.png"
    photos()[0].save(photo)
    assert main(["score", str(photo), "--model", str(folder), "--json", "--digits", "2"]) == 0
    record = json.loads(capfd.readouterr().out)
    assert record["decode"] == "exact"
    assert 1 <= record["score"] <= 5


def test_an_architecture_that_transformers_lacks_is_one_line_with_a_remedy_that_exists(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    photo = tmp_path / "photo.png"
    Image.new("RGB", (100, 100)).save(photo)
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "mplug_owl9"}))
    (tmp_path / "model.safetensors").write_bytes(b"")
    assert main(["score", str(photo), "--model", str(tmp_path)]) == 2
    (line,) = [line for line in capfd.readouterr().err.splitlines() if "mplug_owl9" in line]
    assert "does not have the architecture" in line
    assert "--server" in line
