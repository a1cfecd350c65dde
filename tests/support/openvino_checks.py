"""The `openvino` backend says what the `onnx` backend says, in bfloat16 nearly so, and says it alone."""

import json
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from onnx_pairs import NUMERALS, copied, crops, direct_prompts, film, random_both
from process import PHOTOS, environment

from realqa_cli import Scorer, models
from realqa_cli.backends import base as backends
from realqa_cli.backends.base import LoadOptions, Prompt, UnsupportedModel
from realqa_cli.backends.hf.model import HFBackend
from realqa_cli.backends.onnx.model import OnnxBackend, OpenVinoBackend
from realqa_cli.backends.onnx.runtimes import OpenVino
from realqa_cli.domain import prompts
from realqa_cli.domain.numerals import Floats

HAS_BFLOAT16 = OpenVino().dtype == "bfloat16"
needs_bfloat16 = pytest.mark.skipif(not HAS_BFLOAT16, reason="this processor does not multiply bfloat16")

__all__ = ["random_both"]  # a fixture


def load(folder: Path | str = "realqa-tiny", dtype: str = "auto") -> OpenVinoBackend:
    backend = backends.load("openvino", models.find(str(folder)), LoadOptions(dtype=dtype))
    assert isinstance(backend, OpenVinoBackend)
    return backend


@pytest.fixture(scope="module")
def fast() -> OpenVinoBackend:
    return load()


def test_in_float32_every_numeral_has_the_probability_that_hf_gives_it(
    random_both: tuple[OnnxBackend, HFBackend],
) -> None:
    onnx, hf = random_both
    ours = load(onnx.source.base, "float32")
    few = direct_prompts(crops(3))
    for texts, end in ((NUMERALS, "."), (["low", "low-key", "high", "medium saturation"], "\n")):
        assert np.abs(ours.log_probs(few, texts, end) - hf.log_probs(few, texts, end)).max() < 1e-4
    others = [
        Prompt.about(film(3), prompts.DIRECT_QUESTION, prompts.DIRECT_PREFIX),
        Prompt("Which is better?", tuple(crops(2)), "Number "),
        Prompt("Is 3.9 a number?", (), "It is "),
    ]
    assert np.abs(ours.log_probs(others, NUMERALS, ".") - hf.log_probs(others, NUMERALS, ".")).max() < 1e-4


def test_in_float32_scores_and_chains_of_thought_agree() -> None:
    images = crops(3)
    ours, theirs = (Scorer(backend=name, dtype="float32", method="cot").score(images) for name in ("openvino", "onnx"))
    for our, their in zip(ours, theirs, strict=True):
        assert our["attributes"] == their["attributes"]
        assert our["score"] == pytest.approx(their["score"], abs=1e-4)
        assert our["score_direct"] == pytest.approx(their["score_direct"], abs=1e-4)


@needs_bfloat16
def test_in_bfloat16_scores_are_nearly_the_same() -> None:
    images = crops(20)
    ours, theirs = (
        np.array([record["score"] for record in Scorer(backend=name).score(images)]) for name in ("openvino", "onnx")
    )
    assert np.abs(ours - theirs).max() < 0.1
    assert np.abs(ours - theirs).mean() < 0.02
    assert np.abs(ours - theirs).max() > 0, "it was not computed in bfloat16"


def test_probabilities_are_exact_whatever_it_computes_in(fast: OpenVinoBackend) -> None:
    words = direct_prompts(crops(2))
    mass = np.exp(fast.log_probs(words, NUMERALS, ".")).sum(axis=1)
    assert ((mass > 0.5) & (mass <= 1 + 1e-6)).all()


def test_an_answer_is_the_same_in_any_company_and_on_every_run(fast: OpenVinoBackend) -> None:
    many = direct_prompts(crops(4))
    together: Floats = fast.log_probs(many, NUMERALS, ".")
    for backend in (fast, load()):
        assert np.array_equal(backend.log_probs(many, NUMERALS, "."), together)
    alone = np.concatenate([fast.log_probs([prompt], NUMERALS, ".") for prompt in reversed(many)])[::-1]
    assert np.array_equal(alone, together)


def test_several_threads_may_ask_at_once(fast: OpenVinoBackend) -> None:
    many = direct_prompts(crops(6))
    expected = fast.log_probs(many, NUMERALS, ".")
    with ThreadPoolExecutor(3) as pool:
        found = [*pool.map(lambda prompt: fast.log_probs([prompt], NUMERALS, "."), many)]
    assert np.array_equal(np.concatenate(found), expected)


def test_a_score_does_not_depend_on_the_number_of_threads() -> None:
    found = [
        subprocess.run(
            [sys.executable, "-m", "realqa_cli", "score", PHOTOS / "bee.jpg", "--backend", "openvino", "-q"],
            env=environment() | {"OMP_NUM_THREADS": count},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for count in ("1", str(os.cpu_count() or 1))
    ]
    assert json.loads(found[0])["score"] == json.loads(found[1])["score"]


def test_the_manifest_names_what_computes(fast: OpenVinoBackend) -> None:
    reported = fast.settings()
    assert reported["backend"] == "openvino"
    assert reported["dtype"] == ("bfloat16" if HAS_BFLOAT16 else "float32")
    assert load(dtype="float32").settings()["dtype"] == "float32"
    assert "openvino" in fast.environment()["versions"]


def test_weights_that_do_not_fit_are_refused(tmp_path: Path) -> None:
    name = "model.norm.weight"
    copied(tmp_path / "missing", lambda weights: {n: value for n, value in weights.items() if n != name})
    copied(tmp_path / "shape", lambda weights: weights | {name: weights[name][:100]})
    for folder in ("missing", "shape"):
        with pytest.raises(UnsupportedModel, match=r"do not fit the graph.*model\.norm\.weight"):
            load(tmp_path / folder)


def test_what_it_cannot_do_is_reported_in_one_line() -> None:
    with pytest.raises(UnsupportedModel, match="--dtype: not supported by the backend openvino; use --backend hf"):
        load(dtype="float16")


def test_without_the_package_the_error_has_the_remedy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "openvino", None)
    with pytest.raises(UnsupportedModel, match=r"OpenVINO is not installed; pip install 'realqa\[openvino\]'"):
        load()


def test_nothing_is_reported_to_anyone(tmp_path: Path) -> None:
    """The package openvino-telemetry, which comes along, leaves files in the home folder when it reports."""
    pytest.importorskip("openvino_telemetry", reason="there is nothing that could report")
    subprocess.run(
        [sys.executable, "-m", "realqa_cli", "score", PHOTOS / "bee.jpg", "--backend", "openvino", "-q"],
        env=environment() | {"HOME": str(tmp_path)},
        capture_output=True,
        check=True,
    )
    assert not (tmp_path / "intel").exists()
