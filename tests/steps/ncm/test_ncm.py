"""The numerical continuity metric: the paper's formula, its extension to tries of merged digits, and logs."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from made_conversations import load, write_direct
from scipy.stats import norm
from small_models import write

from realqa_cli.backends.hf.model import HFBackend
from realqa_cli.cli import main
from realqa_cli.decoding.continuity import NcmValue, all_numerals, ncm_of
from realqa_cli.domain.scales import Scale
from realqa_cli.domain.score_target import numeral_of
from realqa_cli.errors import UsageError
from realqa_cli.inference.teacher_forcing import conversations
from realqa_cli.inference.teacher_forcing.answer_logits import answer_logits
from realqa_cli.inference.teacher_forcing.collator import Collator
from realqa_cli.io.summary_records import NcmLogRecord, NcmRecord
from realqa_cli.media.photo import open_photo
from realqa_cli.steps.ncm.ncm import NcmSettings, measure_ncm
from realqa_cli.steps.ncm.run_log import RunLog, plot_logs

WEIGHTS = np.array([1, 0.1, 0.01])


def softmax(x: np.ndarray) -> np.ndarray:
    shifted: np.ndarray = np.exp(x - x.max(axis=-1, keepdims=True))
    shifted /= shifted.sum(axis=-1, keepdims=True)
    return shifted


def by_formula(text: str, p_M_10: np.ndarray) -> NcmValue:
    """An independent implementation of the paper's equations."""
    digits = [int(c) for c in text if c != "."]
    score = sum(w * d for w, d in zip(WEIGHTS, digits, strict=False))
    plain = sum(w * sum(j * p[j] for j in range(10)) for w, p in zip(WEIGHTS, p_M_10, strict=False))
    release = starred = 0.0
    for w, p, d in zip(WEIGHTS, p_M_10, digits, strict=False):
        others = sum(j * p[j] for j in range(10) if j != d)
        release += w * others
        starred += w * others / (1 - p[d])
    return NcmValue((plain - score) ** 2, (starred - score) ** 2, (release - score) ** 2)


def logits_after(backend: HFBackend, prompt: str, image: Any, tokens: tuple[int, ...] = ()) -> np.ndarray:
    """The next token's logits from one plain forward pass over the prompt and the given tokens."""
    batch = backend.processor.batch([prompt], [[image]])
    more = torch.tensor([tokens], dtype=torch.long)
    inputs = dict(batch.inputs)
    if batch.token_types_B_T is not None:
        inputs["mm_token_type_ids"] = torch.nn.functional.pad(batch.token_types_B_T, (0, len(tokens)))
    ids = torch.cat([batch.ids_B_T, more], dim=1)
    with torch.inference_mode():
        found = backend.model(input_ids=ids, attention_mask=torch.ones_like(ids), **inputs).logits
    return np.asarray(found[0, -1].double())


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_direct(tmp_path_factory.mktemp("data"), 4)


def measured(backend: HFBackend, data: Path) -> tuple[list[conversations.Conversation], list[NcmValue]]:
    read = conversations.read_conversations([data])
    collator = Collator(backend.processor, digits=3, max_length=2048, takes_mask=True)
    batch = collator(read)
    with torch.inference_mode():
        return read, answer_logits(backend.model, batch).ncm_values(batch["spans"])


def as_numbers(found: NcmValue) -> list[float]:
    return [found.ncm, found.star, found.star_release]


@pytest.mark.parametrize("family", ["qwen2_vl", "llava"])
def test_with_one_token_a_digit_it_is_the_softmax_over_ten_logits(family: str, data: Path, tmp_path: Path) -> None:
    backend = load(write(tmp_path / "model", family))
    read, found = measured(backend, data)
    for conversation, one in zip(read, found, strict=True):
        text, image = conversation.numeral, conversation_photo(conversation)
        assert text is not None
        tokens = {c: backend.processor.encode([c])[0][0] for c in "0123456789."}
        prompt = backend.processor.render_turns(conversation.turns[:1], answer_next=True)
        prompt += "The score of this image is "
        rows = []
        for n in (0, 2, 3):
            before = tuple(tokens[c] for c in text[:n])
            rows.append(softmax(logits_after(backend, prompt, image, before)[[tokens[c] for c in "0123456789"]]))
        assert np.allclose(as_numbers(one), as_numbers(by_formula(text, np.array(rows))), rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("family", ["qwen2_vl", "llava"])
def test_with_merged_digits_it_sums_over_all_ways_to_write_a_number(family: str, data: Path, tmp_path: Path) -> None:
    backend = load(write(tmp_path / "model", family, merges_digits=True))
    read, found = measured(backend, data)
    for conversation, one in [*zip(read, found, strict=True)][1:2]:
        text, image = conversation.numeral, conversation_photo(conversation)
        assert text is not None
        prompt = backend.processor.render_turns(conversation.turns[:1], answer_next=True)
        prompt += "The score of this image is"  # the blank after it belongs to the number's first token
        bare = backend.processor.encode([prompt])[0]
        words = [" " + numeral + "." for numeral in all_numerals(3)]
        paths = [tuple(ids[len(bare) :]) for ids in backend.processor.encode([prompt + w for w in words])]
        joint = np.exp(restricted_to(backend, prompt, image, paths))
        rows = []
        for i, start in enumerate((0, 2, 3)):
            p = np.array([joint[[w[1:].startswith(text[:start] + str(j)) for w in words]].sum() for j in range(10)])
            rows.append(p / p.sum())
            assert i == 0 or 0 < p.sum() < 1
        assert np.allclose(as_numbers(one), as_numbers(by_formula(text, np.array(rows))), rtol=1e-3, atol=1e-4)


def restricted_to(backend: HFBackend, prompt: str, image: Any, paths: list[tuple[int, ...]]) -> np.ndarray:
    """Log-probability of each path, renormalised at every step over the tokens that continue some path."""
    logs: dict[tuple[int, ...], dict[int, float]] = {}
    for prefix in {path[:n] for path in paths for n in range(len(path))}:
        options = sorted({path[len(prefix)] for path in paths if path[: len(prefix)] == prefix})
        if len(options) == 1:
            logs[prefix] = {options[0]: 0.0}
            continue
        p = softmax(logits_after(backend, prompt, image, prefix)[options])
        logs[prefix] = dict(zip(options, np.log(p), strict=True))
    return np.array([sum(logs[path[:n]][path[n]] for n in range(len(path))) for path in paths])


def conversation_photo(conversation: conversations.Conversation) -> Any:
    return open_photo(conversation.images[0])


def test_a_uniform_predictor_expects_the_middle_of_the_digits() -> None:
    found = ncm_of("3.51", np.full((3, 10), np.log(0.1)))
    assert found.ncm == pytest.approx((4.995 - 3.51) ** 2)
    others = (45 - 3) / 9 + 0.1 * (45 - 5) / 9 + 0.01 * (45 - 1) / 9
    assert found.star == pytest.approx((others - 3.51) ** 2)
    assert found.star_release == pytest.approx((0.9 * others - 3.51) ** 2)


@pytest.mark.parametrize(("scale", "near_the_paper"), [(Scale(0, 10), True), (Scale(1, 5), False)])
def test_a_model_that_knows_only_the_frequencies_of_digits_starts_where_the_paper_does(
    scale: Scale, near_the_paper: bool
) -> None:
    """Tab. 6 starts from scratch at NCM 2.16 and NCM* 3.19: labels on 0-10, and NCM* renormalised."""
    mos = np.clip(norm.ppf((np.arange(200) + 0.5) / 200, 58.73, 15.43), 0, 100)  # the moments of KonIQ-10k
    texts = [numeral_of(value, (0, 100), scale, 3) for value in mos.tolist()]
    digits = np.array([[int(digit) for digit in text.replace(".", "")] for text in texts])
    shares = np.array([[(digits[:, i] == digit).mean() for digit in range(10)] for i in range(3)])
    found = [ncm_of(text, np.log(np.maximum(shares, 1e-9))) for text in texts]
    ncm, star = (np.mean([getattr(one, name) for one in found]) for name in ("ncm", "star"))
    assert (ncm == pytest.approx(2.16, rel=0.25)) == near_the_paper
    assert (star == pytest.approx(3.19, rel=0.25)) == near_the_paper


def test_a_certain_model_has_zero_ncm_and_a_finite_ncm_star() -> None:
    logs = np.full((3, 10), -900.0)  # a probability that no float holds
    for i, digit in enumerate((3, 9, 8)):
        logs[i, digit] = 0.0
    logs[0, 4] = -850.0
    found = ncm_of("3.98", logs)
    assert found.ncm == pytest.approx(0, abs=1e-12)
    assert found.star == pytest.approx((4 + 0.1 * 4 + 0.01 * 37 / 9 - 3.98) ** 2)
    assert found.star_release == pytest.approx(3.98**2)


def test_the_step_measures_a_model_on_conversations(data: Path, tmp_path: Path) -> None:
    model = write(tmp_path / "model", "qwen2_vl")
    found = measure_ncm(conversations.read_conversations([data]), NcmSettings(model=str(model), batch_size=3))
    assert set(found) == set(NcmRecord.model_fields)
    _, singles = measured(load(model), data)
    assert found["n"] == 4
    assert found["ncm"] == pytest.approx(np.mean([one.ncm for one in singles]), rel=1e-4)
    assert found["ncm_star"] == pytest.approx(np.mean([one.star for one in singles]), rel=1e-4)
    assert found["loss"] > 0


@pytest.mark.slow
def test_two_processes_give_the_numbers_of_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    read = conversations.read_conversations([write_direct(tmp_path / "data", 5)])
    settings = NcmSettings(model=str(write(tmp_path / "model")), batch_size=2)
    alone = measure_ncm(read, settings)
    advanced: list[int] = []
    monkeypatch.setenv("REALQA_WORKERS", "2")
    caplog.set_level("WARNING", "realqa")
    assert measure_ncm(read, settings, advance=lambda: advanced.append(1)) == pytest.approx(alone, rel=1e-6)
    assert "using 2 processes: cpu, cpu" in caplog.text
    assert len(advanced) == 5


def test_conversations_without_direct_answers_are_refused(data: Path, tmp_path: Path) -> None:
    lines = [json.loads(text) for text in data.read_text().splitlines()]
    for one in lines:
        one["messages"][1]["content"] = "It is fine."
    file = data.with_name("other.jsonl")
    file.write_text("".join(json.dumps(one) + "\n" for one in lines))
    with pytest.raises(UsageError, match="no conversation has a direct answer"):
        measure_ncm(conversations.read_conversations([file]), NcmSettings(model=str(write(tmp_path / "model"))))


def log_file(folder: Path, count: int, *, gaps: bool = False) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    lines = []
    for step in range(1, count + 1):
        value = None if gaps and step % 2 else 2.0 if step <= count // 2 else 0.5
        lines.append({"step": step, "loss": 4 / step, "ncm": value, "ncm_star": value, "ncm_star_release": value})
    (folder / "log.jsonl").write_text("".join(json.dumps(one) + "\n" for one in lines))
    return folder / "log.jsonl"


def test_a_long_log_compares_its_first_and_last_hundred_steps(tmp_path: Path) -> None:
    first, last, ratio = RunLog.read(log_file(tmp_path / "lora", 240, gaps=True)).rows()
    assert (first["steps"], last["steps"], ratio["steps"]) == ([1, 100], [141, 240], None)
    assert (first["run"], first["ncm"], last["ncm"]) == ("lora", 2.0, 0.5)
    assert ratio["ncm"] == pytest.approx(-0.75)
    assert first["loss"] == pytest.approx(np.mean([4 / step for step in range(1, 101)]))


def test_a_short_log_is_cut_into_halves(tmp_path: Path) -> None:
    log = RunLog.read(log_file(tmp_path, 20).parent)
    assert log.window == 10
    assert [row["steps"] for row in log.rows()] == [[1, 10], [11, 20], None]


def test_a_log_without_direct_answers_has_nulls(tmp_path: Path) -> None:
    file = tmp_path / "log.jsonl"
    file.write_text("".join(json.dumps({"step": s, "loss": 1.0, "ncm": None}) + "\n" for s in (1, 2)))
    rows = [*RunLog.read(file).rows()]
    assert [row["ncm"] for row in rows] == [None] * 3
    assert all(set(row) == set(NcmLogRecord.model_fields) for row in rows)
    assert rows[2]["loss"] == 0


def test_a_file_that_is_not_a_log_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "log.jsonl"
    file.write_text('{"step": 1, "loss": 2}\n{"loss": 2}\n')
    with pytest.raises(UsageError, match=r"log\.jsonl: the file is not the log of a training run"):
        RunLog.read(file)


def test_the_plot_has_one_panel_per_run(tmp_path: Path) -> None:
    from PIL import Image

    logs = [RunLog.read(log_file(tmp_path / name, 60, gaps=True)) for name in ("lora", "scratch")]
    plot_logs(logs[:1], tmp_path / "one.png")
    plot_logs(logs, tmp_path / "two.png")
    with Image.open(tmp_path / "one.png") as one, Image.open(tmp_path / "two.png") as two:
        assert two.width > 1.5 * one.width
        assert len(np.unique(np.asarray(two.convert("RGB")).reshape(-1, 3), axis=0)) > 50


class TestCommand:
    def test_a_model_is_measured(self, data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        assert main(["ncm", str(data), "--model", str(write(tmp_path / "model")), "--batch-size", "2"]) == 0
        (found,) = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
        assert found.keys() == {"ncm", "ncm_star", "ncm_star_release", "loss", "n"}

    def test_a_log_is_summarised_and_plotted(self, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        log, picture = log_file(tmp_path / "lora", 20), tmp_path / "ncm.png"
        assert main(["ncm", "--log", str(log), "--plot", str(picture)]) == 0
        captured = capsys.readouterr()
        assert [json.loads(line)["part"] for line in captured.out.splitlines()] == ["first", "last", "ratio"]
        assert "lora: the log has 20 steps, so its two halves are compared" in captured.err
        assert picture.read_bytes().startswith(b"\x89PNG")

    @pytest.mark.parametrize("arguments", [[], ["c.jsonl", "--log", "log.jsonl"], ["c.jsonl", "--plot", "a.png"]])
    def test_it_needs_conversations_or_a_log(self, arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
        assert main(["ncm", *arguments]) == 2
        assert len(capsys.readouterr().err.splitlines()) == 1
