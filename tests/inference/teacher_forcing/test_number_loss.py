"""The number-aware loss equals a brute-force computation from the exact distribution of the tree pass."""

from pathlib import Path

import numpy as np
import pytest
import torch
from made_conversations import load, write_direct
from small_models import write

from realqa_cli.backends.base import Prompt
from realqa_cli.backends.hf.model import HFBackend
from realqa_cli.domain.numerals import numerals
from realqa_cli.domain.prompts import DIRECT_END, DIRECT_PREFIX, DIRECT_QUESTION
from realqa_cli.domain.scales import Scale
from realqa_cli.inference.teacher_forcing import conversations
from realqa_cli.inference.teacher_forcing.answer_logits import AnswerLogits, NumeralSpan, answer_logits
from realqa_cli.inference.teacher_forcing.collator import Collator
from realqa_cli.inference.teacher_forcing.number_loss import SIGMA, _expected, number_loss
from realqa_cli.media.photo import open_photo

SCALE = Scale(1.0, 5.0)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_direct(tmp_path_factory.mktemp("data"), 5)


def run(backend: HFBackend, data: Path) -> tuple[list[conversations.Conversation], AnswerLogits, list[NumeralSpan]]:
    read = conversations.read_conversations([data])
    collator = Collator(backend.processor, digits=3, max_length=2048, takes_mask=True, scale=SCALE)
    batch = collator(read)
    return read, answer_logits(backend.model, batch), batch["spans"]


def prompt_for(conversation: conversations.Conversation, more: str = "") -> Prompt:
    return Prompt(DIRECT_QUESTION, (open_photo(conversation.images[0]),), DIRECT_PREFIX + more)


def gaussian(label: float) -> dict[str, float]:
    """The target over the scale's numerals."""
    texts = numerals(3, *SCALE)
    weights = np.array([np.exp(-0.5 * ((float(text) - label) / SIGMA) ** 2) for text in texts])
    return dict(zip(texts, weights / weights.sum(), strict=True))


def test_with_one_token_a_digit_it_is_the_cross_entropy_of_first_digits_and_of_the_last_one(
    data: Path, tmp_path: Path
) -> None:
    backend = load(write(tmp_path / "model"))
    read, logits, spans = run(backend, data)
    logs = logits.edge_log_probs(spans)
    for conversation, span, log in zip(read, spans, logs, strict=True):
        text, target = span.digit_branches.text, gaussian(float(span.digit_branches.text))
        firsts = [*numerals(2, 1, 4.9), "5"]  # after the 5 nothing is open: the scale ends
        log_firsts = backend.log_probs([prompt_for(conversation)], firsts[:-1], "")[0].tolist()
        log_firsts += backend.log_probs([prompt_for(conversation)], ["5", "4"], "")[0, :1].tolist()
        masses = [sum(p for t, p in target.items() if t.startswith(first)) for first in firsts]
        expected = -np.dot(masses, log_firsts)
        below = [text[:3] + c for c in "0123456789" if text[:3] + c in target]
        conditional = np.array([target[t] for t in below]) / sum(target[t] for t in below)
        ends = backend.log_probs([prompt_for(conversation, text[:3])], [t[-1] for t in below] + ["x"], "")[0, :-1]
        if text[0] != "5":
            expected -= conditional @ ends
        weights = torch.from_numpy(span.target.weights_E).float() if span.target else None
        assert weights is not None
        assert -(weights * log).sum().item() == pytest.approx(expected, rel=1e-4)


def test_the_expected_number_is_that_of_the_model_held_to_numerals(data: Path, tmp_path: Path) -> None:
    backend = load(write(tmp_path / "model"))
    read, logits, spans = run(backend, data)
    with torch.no_grad():
        flat = torch.cat(logits.edge_log_probs(spans))
        found = _expected(flat, [span.target for span in spans if span.target]).tolist()
    for conversation, value in zip(read, found, strict=True):
        prompt, digits = prompt_for(conversation), "0123456789"
        firsts = softmax(backend.log_probs([prompt], digits[1:6], "")[0])
        expected = 5 * firsts[4]
        for first, p in zip("1234", firsts, strict=False):
            seconds = softmax(backend.log_probs([prompt_for(conversation, f"{first}.")], digits, "")[0])
            for second, q in zip(digits, seconds, strict=True):
                start, middle = f"{first}.{second}", 0.045
                if str(conversation.numeral).startswith(start):
                    thirds = softmax(backend.log_probs([prompt_for(conversation, start)], digits, "")[0])
                    middle = float(thirds @ np.arange(10)) / 100
                expected += p * q * (float(start) + middle)
        assert value == pytest.approx(expected, abs=1e-3)


def softmax(logs: np.ndarray) -> np.ndarray:
    shares: np.ndarray = np.exp(logs - logs.max())
    shares /= shares.sum()
    return shares


def test_with_merged_digits_the_expected_number_is_the_same_sum_over_the_trie(data: Path, tmp_path: Path) -> None:
    backend = load(write(tmp_path / "model", merges_digits=True))
    read, logits, spans = run(backend, data)
    with torch.no_grad():
        logs = logits.edge_log_probs(spans)
        found = _expected(torch.cat(logs), [span.target for span in spans if span.target]).tolist()
    start = backend.processor.render_turns(read[0].turns[:1], answer_next=True) + DIRECT_PREFIX[:-1]
    (bare,), texts = backend.processor.encode([start]), numerals(3, *SCALE)
    whole = backend.processor.encode([f"{start} {text}{DIRECT_END}" for text in texts])
    paths = {text: tuple(ids[len(bare) :]) for text, ids in zip(texts, whole, strict=True)}
    for span, log, value in zip(spans, logs, found, strict=True):
        assert span.target is not None
        branches = span.target.plan.branches
        reached_E = np.exp(branches.joint(branches.conditionals(log.double().numpy())))
        expected = 0.0
        for edge in span.target.plan.cells_C:
            prefix = (*branches.nodes[branches.edge_node_E[edge]], branches.edge_token_E[edge])
            values = [float(text) for text, path in paths.items() if path[: len(prefix)] == prefix]
            assert np.ptp(values) < 0.1, "all digits except the last are distinguished"
            expected += reached_E[edge] * np.mean(values)
        assert value == pytest.approx(expected, abs=1e-4)


def test_appended_nodes_do_not_change_the_answer(data: Path, tmp_path: Path) -> None:
    backend = load(write(tmp_path / "model"))
    read = conversations.read_conversations([data])
    plain = Collator(backend.processor, digits=3, max_length=2048, takes_mask=True)(read)
    more = Collator(backend.processor, digits=3, max_length=2048, takes_mask=True, scale=SCALE)(read)
    assert more["input_ids"].shape[1] - plain["input_ids"].shape[1] == 6
    with torch.inference_mode():
        one, other = answer_logits(backend.model, plain), answer_logits(backend.model, more)
    width = plain["window"]
    assert torch.allclose(one.logits_B_W_V, other.logits_B_W_V[:, :width], atol=1e-4)
    assert [m.ncm for m in one.ncm_values(plain["spans"])] == pytest.approx(
        [m.ncm for m in other.ncm_values(more["spans"])], rel=1e-3
    )


@pytest.mark.parametrize("digits", [1, 2, 3])
@pytest.mark.parametrize("merges", [False, True])
def test_it_is_minimal_if_the_model_predicts_the_target(digits: int, merges: bool, tmp_path: Path) -> None:
    """Of log-probabilities that each node can have: by gradient descent on the edges alone."""
    from small_models import tokenizer

    from realqa_cli.decoding.continuity import NumeralDigits, all_numerals
    from realqa_cli.domain.numerals import token_trie
    from realqa_cli.inference.teacher_forcing.number_loss import NumberTargets

    words = tokenizer(merges_digits=merges)

    def encode(texts: list[str]) -> list[list[int]]:
        return [[*ids] for ids in words(texts, add_special_tokens=False)["input_ids"]]

    _, trie = token_trie(encode, DIRECT_PREFIX, all_numerals(digits), DIRECT_END)
    maker = NumberTargets(NumeralDigits(trie, digits), SCALE)
    text = numerals(digits, *SCALE)[-3]
    target = maker.target(text, float(text))
    branches = target.plan.branches
    totals = np.bincount(branches.edge_node_E, target.weights_E)[branches.edge_node_E]
    best = np.log(np.maximum(target.weights_E / totals, 1e-30))
    weights = torch.from_numpy(target.weights_E)

    def cross_entropy(logs_E: np.ndarray) -> float:
        return float(-(weights * torch.from_numpy(logs_E)).sum())

    other = branches.conditionals(best + np.random.default_rng(0).normal(size=len(best)))
    assert np.allclose(branches.conditionals(best), best, atol=1e-9)
    assert cross_entropy(best) < cross_entropy(other)


def test_the_correlation_is_used_from_eight_answers_on(tmp_path: Path) -> None:
    backend = load(write(tmp_path / "model"))
    _, logits, spans = run(backend, write_direct(tmp_path / "data", 9))
    targets = [span.target for span in spans if span.target]
    with torch.no_grad():
        logs = logits.edge_log_probs(spans)
        eight = number_loss(logs[:8], targets[:8], 1.0)
        halves = [number_loss(logs[i : i + 4], targets[i : i + 4], 1.0) for i in (0, 4)]
        expected = _expected(torch.cat(logs[:8]), targets[:8])
    plcc = np.corrcoef(expected, [target.label for target in targets[:8]])[0, 1]
    assert float(eight - sum(halves) / 2) == pytest.approx(0.5 * 0.5 * (1 - plcc), abs=1e-4)
