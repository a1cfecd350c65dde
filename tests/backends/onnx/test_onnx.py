"""The `onnx` backend says what the `hf` backend says, of every photo and model that it takes, and says it alone."""

import hashlib
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import small_models
from hypothesis import given
from hypothesis import strategies as st
from onnx_pairs import (  # noqa: F401  (pytest finds the fixture random_both by its name)
    NUMERALS,
    TINY,
    Both,
    Weights,
    copied,
    crops,
    direct_prompts,
    export,
    film,
    load,
    random_both,
)
from PIL import Image
from process import PHOTOS, environment

from realqa_cli import Scorer, models
from realqa_cli.backends import base as backends
from realqa_cli.backends.base import LoadOptions, Prompt, UnsupportedModel
from realqa_cli.backends.hf.model import HFBackend
from realqa_cli.backends.onnx.graphs import LANGUAGE, UNGATED, VISION, window_attention
from realqa_cli.backends.onnx.model import OnnxBackend
from realqa_cli.backends.onnx.runtimes import threads
from realqa_cli.domain import prompts
from realqa_cli.errors import ModelError, UsageError
from realqa_cli.steps.self_label.self_label import LabelSettings, SelfLabeler


@pytest.fixture(scope="module")
def both() -> Both:
    return load("realqa-tiny")


def test_the_bundled_model_is_run_by_it_unless_another_is_named() -> None:
    assert isinstance(Scorer()._backend, OnnxBackend)
    assert isinstance(Scorer(backend="hf")._backend, HFBackend)


def test_scores_agree_on_twenty_photos() -> None:
    images = crops()
    ours, theirs = ([record["score"] for record in Scorer(backend=name).score(images)] for name in ("onnx", "hf"))
    assert len(images) == 20
    assert np.abs(np.subtract(ours, theirs)).max() < 1e-4
    assert np.ptp(ours) > 0.5


def test_a_whole_record_agrees(both: Both) -> None:
    (ours,), (theirs,) = (
        Scorer(backend=name, distribution=True).score([PHOTOS / "bee.jpg"]) for name in ("onnx", "hf")
    )
    same = [
        name for name in theirs if name not in ("run", "score", "std", "mass", "distribution", "percentile_reference")
    ]
    assert [ours[name] for name in same] == [theirs[name] for name in same]
    assert [value for value, _ in ours["distribution"]] == [value for value, _ in theirs["distribution"]]
    shares, expected = (np.array([share for _, share in record["distribution"]]) for record in (ours, theirs))
    assert np.abs(shares - expected).max() < 1e-5


def test_photos_become_the_same_patches_to_the_bit_but_once_instead_of_twice(both: Both) -> None:
    onnx, hf = both
    for image in (crops(1)[0], Image.open(PHOTOS / "bee.jpg").convert("RGB")):
        ((patches, grid),) = onnx.processor.patches(image)
        made = hf.processor.images(images=[image], size=hf.processor._size, return_tensors="np")  # type: ignore[attr-defined]
        twice = made["pixel_values"].reshape(len(patches), 3, 2, 14 * 14)
        for frame in (0, 1):
            assert np.array_equal(patches.reshape(len(patches), 3, -1), twice[:, :, frame])
        assert grid == tuple(made["image_grid_thw"][0])


def test_a_photo_may_be_brought_to_its_size_before(both: Both) -> None:
    onnx, _ = both
    fit = onnx.photo_transform()
    assert fit is not None
    image = crops(1)[0]
    assert np.array_equal(onnx.processor.patches(image)[0][0], onnx.processor.patches(fit(image))[0][0])


def test_prompts_are_the_same_words_and_tokens(both: Both) -> None:
    onnx, hf = both
    image = crops(1)[0]
    for question in (prompts.DIRECT_QUESTION, prompts.COT_REGULAR_QUESTION, prompts.MIX_QUESTION, "Why? {}é"):
        for prompt in (
            Prompt.about(image, question, prompts.DIRECT_PREFIX),
            Prompt(question),
            Prompt(question, (image, image)),
        ):
            text = onnx.processor.text(prompt)
            assert text == hf.text(prompt)
            assert onnx.processor.encode([text, text + "3.9"]) == hf.tokens([text, text + "3.9"])


def test_every_numeral_and_word_has_the_probability_that_hf_gives_it(random_both: Both) -> None:
    onnx, hf = random_both
    few = direct_prompts(crops(3))
    for texts, end in ((NUMERALS, "."), (["low", "low-key", "high", "medium saturation"], "\n")):
        ours, theirs = onnx.log_probs(few, texts, end), hf.log_probs(few, texts, end)
        assert np.ptp(theirs) > 1
        assert np.abs(ours - theirs).max() < 1e-4


@pytest.mark.parametrize("frames", [1, 3, 4])
def test_videos_agree(random_both: Both, frames: int) -> None:
    onnx, hf = random_both
    clip = film(frames)
    few = [Prompt.about(clip, prompts.DIRECT_QUESTION, prompts.DIRECT_PREFIX), *direct_prompts(crops(1))]
    assert np.abs(onnx.log_probs(few, NUMERALS, ".") - hf.log_probs(few, NUMERALS, ".")).max() < 1e-4


@given(rows=st.integers(1, 12), columns=st.integers(1, 12), side=st.integers(1, 6))
def test_patches_see_those_of_their_window_and_no_others(rows: int, columns: int, side: int) -> None:
    tiles_2_P = np.indices((rows, columns)).reshape(2, -1) // side
    inputs = window_attention(tiles_2_P)
    whole, edges, held, back = (inputs[name] for name in ("whole", "edges", "held", "back"))
    assert np.array_equal(np.concatenate([whole, edges], axis=None)[back], np.arange(rows * columns))
    assert held.any(axis=-1).all(), "a softmax over nothing is not a number"
    same = (tiles_2_P[:, :, None] == tiles_2_P[:, None]).all(axis=0)
    for patch, place in enumerate(back):
        if place < whole.size:
            seen = whole[place // whole.shape[1]]
        else:
            row, column = divmod(place - whole.size, edges.shape[1])
            seen = edges[row, held[row, 0, column]]
        assert sorted(seen) == np.flatnonzero(same[patch]).tolist()


def test_small_windows_share_a_row() -> None:
    tiles_2_P = np.indices((32, 60)).reshape(2, -1) // 24  # of a 1080p photo at the bundled model's own bounds
    inputs = window_attention(tiles_2_P)
    assert inputs["whole"].shape == (2, 24 * 24)
    assert inputs["edges"].shape == (3, 24 * 12), "288, 192 + 96, 192"


def test_graphs_of_another_form_are_not_taken(tmp_path: Path) -> None:
    folder = small_models.write(tmp_path / "model", "qwen2_vl")
    file = export(folder) / "onnx" / "architecture.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | {"form": 1}))
    with pytest.raises(UnsupportedModel, match="no ONNX graphs exist for its architecture"):
        backends.load("onnx", models.find(str(folder)), LoadOptions())


def test_a_vision_tower_without_a_kernel_is_refused(tmp_path: Path) -> None:
    kernel = "visual.patch_embed.proj.weight"
    changes: list[dict[str, Any]] = [{kernel: np.zeros((192, 5), np.float16)}, {kernel: None}]
    for index, change in enumerate(changes):
        copied(tmp_path / str(index), partial(_changed, change=change))
        with pytest.raises(UnsupportedModel, match="does not start with a patch embedding"):
            backends.load("onnx", models.find(str(tmp_path / str(index))), LoadOptions())


def _changed(weights: Weights, change: Mapping[str, Any]) -> Weights:
    return {name: value for name, value in {**weights, **change}.items() if value is not None}


def test_asks_with_several_photos_or_none_agree(random_both: Both) -> None:
    onnx, hf = random_both
    few = [Prompt("Which is better?", tuple(crops(2)), "Number "), Prompt("Is 3.9 a number?", (), "It is ")]
    for prompt in few:
        ours, theirs = (backend.log_probs([prompt], NUMERALS, ".") for backend in (onnx, hf))
        assert np.abs(ours - theirs).max() < 1e-4


def test_written_answers_agree(both: Both, random_both: Both) -> None:
    for onnx, hf in (both, random_both):
        few = [Prompt.about(image, prompts.DIRECT_QUESTION) for image in crops(2)]
        assert onnx.generate(few, 20) == hf.generate(few, 20)
    onnx, _ = both
    (stopped,) = onnx.generate(few[:1], 20, stop="score")
    assert stopped == "The score"


def test_an_answer_is_the_same_in_any_company_and_on_every_run(both: Both) -> None:
    onnx, _ = both
    many = direct_prompts(crops(4))
    together = onnx.log_probs(many, NUMERALS, ".")
    for _ in range(3):
        assert np.array_equal(onnx.log_probs(many, NUMERALS, "."), together)
    alone = np.concatenate([onnx.log_probs([prompt], NUMERALS, ".") for prompt in reversed(many)])[::-1]
    assert np.array_equal(alone, together)


def test_a_memory_changes_nothing_but_the_work(both: Both) -> None:
    onnx, _ = both
    memory = onnx.prefix_cache()
    read: list[int] = []
    run = onnx.graphs.forward

    def counted(**inputs: Any) -> Any:
        read.append(len(inputs["ids_T"]))
        return run(**inputs)

    onnx.graphs.forward = counted  # type: ignore[method-assign, assignment]
    image = crops(1)[0]
    try:
        for question, prefix in (
            (prompts.DIRECT_QUESTION, prompts.DIRECT_PREFIX),
            (prompts.COT_REGULAR_QUESTION, "1.2 Composition Score: "),
            (prompts.COT_REGULAR_QUESTION, "1.2 Composition Score: 4, 1.4 Eye-Catching Score: "),
            (prompts.COT_REGULAR_QUESTION, "1.2 Composition Score: "),
        ):
            few = [Prompt.about(image, question, prefix)]
            kept, fresh = (backend.log_probs(few, NUMERALS, ".") for backend in (memory, onnx))
            assert np.abs(kept - fresh).max() < 1e-5
    finally:
        del onnx.graphs.forward
    with_memory, without = read[::2], read[1::2]
    assert all(few < many for few, many in zip(with_memory[1:], without[1:], strict=True))


def test_chains_of_thought_agree() -> None:
    images = crops(3)
    ours, theirs = (Scorer(backend=name, method="cot").score(images) for name in ("onnx", "hf"))
    for our, their in zip(ours, theirs, strict=True):
        assert our["attributes"] == their["attributes"]
        assert our["score"] == pytest.approx(their["score"], abs=1e-4)
        assert our["score_direct"] == pytest.approx(their["score_direct"], abs=1e-4)


def test_labels_agree(tmp_path: Path) -> None:
    from realqa_cli.io.sources import read_sources

    for index, image in enumerate(crops(2)):
        image.save(tmp_path / f"{index}.png")
    ours, theirs = (
        list(SelfLabeler(LabelSettings(backend=name)).records(read_sources([str(tmp_path)]))) for name in ("onnx", "hf")
    )
    for our, their in zip(ours, theirs, strict=True):
        assert our["attributes"] == their["attributes"]
        assert our["confidence"] == pytest.approx(their["confidence"], abs=1e-4)


def test_a_model_that_was_trained_on_uses_the_bundled_graphs(tmp_path: Path) -> None:
    copied(tmp_path, lambda weights: {name: value * np.float16(1.01) for name, value in weights.items()})
    onnx, hf = load(tmp_path)
    few = direct_prompts(crops(2))
    ours = onnx.log_probs(few, NUMERALS, ".")
    assert np.abs(ours - hf.log_probs(few, NUMERALS, ".")).max() < 1e-4
    assert np.abs(ours - load("realqa-tiny")[0].log_probs(few, NUMERALS, ".")).max() > 0.01


def test_gates_are_left_out_only_where_they_do_nothing(tmp_path: Path) -> None:
    copied(tmp_path, lambda weights: {name: value * np.float16(1.01) for name, value in weights.items()})
    files = {name: (TINY / "onnx" / name).read_bytes() for name in (UNGATED, VISION, LANGUAGE)}
    for model, vision in (("realqa-tiny", UNGATED), (tmp_path, VISION)):
        digest = hashlib.sha256(files[vision] + files[LANGUAGE]).hexdigest()
        assert load(model)[0].settings()["graphs"] == f"sha256:{digest}"


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_weights_of_any_width_are_read(tmp_path: Path, dtype: str) -> None:
    import torch
    from safetensors.torch import load_file, save_file

    copied(tmp_path)
    file = tmp_path / "model.safetensors"
    wide = {name: value.to(getattr(torch, dtype)) for name, value in load_file(file).items()}
    save_file(wide, file, metadata={"format": "pt"})
    onnx, hf = load(tmp_path)
    few = direct_prompts(crops(1))
    assert np.abs(onnx.log_probs(few, NUMERALS, ".") - hf.log_probs(few, NUMERALS, ".")).max() < 1e-4


def test_the_bundled_graphs_are_those_that_the_script_draws(tmp_path: Path) -> None:
    for name in ("config.json", "tokenizer_config.json", "chat_template.jinja", "realqa.json"):
        shutil.copy(TINY / name, tmp_path)
    made = export(tmp_path) / "onnx"
    names = sorted(file.name for file in made.iterdir())
    assert names == sorted(file.name for file in (TINY / "onnx").iterdir())
    for name in names:
        assert (made / name).read_bytes() == (TINY / "onnx" / name).read_bytes(), name


def test_the_script_refuses_what_it_cannot_draw(tmp_path: Path) -> None:
    config = json.loads((TINY / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps(config | {"model_type": "qwen3_vl"}))
    with pytest.raises(subprocess.CalledProcessError) as caught:
        export(tmp_path)
    assert caught.value.returncode == 2
    assert "model_type is 'qwen3_vl'; graphs are drawn for 'qwen2_vl'" in caught.value.stderr


@pytest.mark.parametrize(
    ("loading", "named"),
    [
        ({"dtype": "bfloat16"}, "--dtype"),
        ({"device": "cuda"}, "--device"),
        ({"quantize": "4bit"}, "--quantize"),
        ({"attention": "eager"}, "attention"),
    ],
)
def test_what_it_cannot_do_is_reported_in_one_line(loading: dict[str, str], named: str) -> None:
    with pytest.raises(UsageError) as caught:
        backends.load("onnx", models.find("realqa-tiny"), LoadOptions(**loading))  # type: ignore[arg-type]
    assert str(caught.value).startswith(named)
    assert "--backend hf" in str(caught.value)


def test_auto_takes_hf_for_what_it_cannot_do(tmp_path: Path) -> None:
    other = small_models.write(tmp_path / "other")
    assert isinstance(backends.load("auto", models.find(str(other)), LoadOptions()), HFBackend)
    assert isinstance(backends.load("auto", models.find("realqa-tiny"), LoadOptions(dtype="bfloat16")), HFBackend)


@pytest.mark.parametrize(
    "change",
    [
        lambda weights: {name: value for name, value in weights.items() if name != "model.norm.weight"},
        lambda weights: weights | {"model.norm.weight": weights["model.norm.weight"][:100]},
    ],
    ids=["missing", "another shape"],
)
def test_weights_that_do_not_fit_are_refused(tmp_path: Path, change: Callable[[Weights], Weights]) -> None:
    copied(tmp_path, change)
    with pytest.raises(UnsupportedModel, match="do not fit the graph"):
        backends.load("onnx", models.find(str(tmp_path)), LoadOptions())
    with pytest.raises(ModelError):
        backends.load("auto", models.find(str(tmp_path)), LoadOptions())


def test_folders_that_lack_a_part_are_refused(tmp_path: Path) -> None:
    for name in ("tokenizer.json", "preprocessor_config.json", "chat_template.jinja", "config.json"):
        folder = tmp_path / name
        copied(folder)
        source = models.find(str(folder))
        (folder / name).unlink()
        with pytest.raises(UnsupportedModel):
            backends.load("onnx", source, LoadOptions())


def test_a_damaged_weight_file_is_refused(tmp_path: Path) -> None:
    copied(tmp_path)
    file = tmp_path / "model.safetensors"
    file.write_bytes(file.read_bytes()[:-1000])
    with pytest.raises(UnsupportedModel, match="cannot be read"):
        backends.load("onnx", models.find(str(tmp_path)), LoadOptions())


def test_threads_are_those_that_the_process_may_use(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    assert threads() == 1
    plain = {name: value for name, value in environment().items() if name != "OMP_NUM_THREADS"}
    code = "import os; os.sched_setaffinity(0, {min(os.sched_getaffinity(0))});"
    code += "from realqa_cli.backends.onnx.runtimes import threads; print(threads())"
    if hasattr(os, "sched_setaffinity"):
        ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=plain)
        assert ran.stdout == "1\n"


def test_the_manifest_names_what_computes(both: Both) -> None:
    onnx, hf = both
    assert onnx.settings() == dict(hf.settings()) | {"backend": "onnx", "graphs": onnx.graphs.digest()}
    reported = onnx.environment()
    assert reported["threads"] == threads()
    assert {"onnxruntime", "tokenizers", "numpy", "pillow"} <= set(reported["versions"])
    assert not {"torch", "transformers"} & set(reported["versions"])


@pytest.mark.parametrize("method", ["direct", "cot"])
def test_the_command_scores_without_torch_and_transformers(method: str) -> None:
    code = (
        "import json, sys; from realqa_cli.cli import main; code = main(sys.argv[1:]);"
        "print(json.dumps(sorted({name.split('.')[0] for name in sys.modules}))); sys.exit(code)"
    )
    photo = PHOTOS / "bee.jpg"
    ran = subprocess.run(
        [sys.executable, "-c", code, "score", photo, "--method", method, "--max-pixels", "50000", "-q"],
        capture_output=True,
        text=True,
        check=True,
        env=environment(),
    )
    record, loaded = map(json.loads, ran.stdout.splitlines())
    assert 1 <= record["score"] <= 5
    assert "onnxruntime" in loaded
    heavy = {
        "torch",
        "transformers",
        "scipy",
        "matplotlib",
        "huggingface_hub",
        "av",
        "httpx2",
        "peft",
        "onnx",
    }
    assert not heavy & set(loaded)
