"""The tree pass is exact: against plain forward passes, for every family, size and batch."""

from pathlib import Path

import numpy as np
import pytest
import torch
from brute_force import brute_force, direct_prompts, load, photos
from small_models import write

from realqa_cli import models
from realqa_cli.backends.base import Prompt
from realqa_cli.backends.hf.model import HFBackend
from realqa_cli.decoding import tree
from realqa_cli.domain.numerals import numerals, short_numerals
from realqa_cli.domain.prompts import DIRECT_END

KINDS = ["qwen2_vl", "qwen2_5_vl", "qwen3_vl", "llava", "qwen2_vl-merging", "llava-merging", "realqa-tiny"]


@pytest.fixture(scope="module", params=KINDS)
def backend(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> HFBackend:
    if request.param == "realqa-tiny":  # few pixels: the arithmetic is the same
        return load(models.path("realqa-tiny"), min_pixels=56 * 56, max_pixels=140 * 140)
    family, _, merging = request.param.partition("-")
    folder = write(tmp_path_factory.mktemp("models") / request.param, family, merges_digits=bool(merging))
    return load(folder)


def as_written(backend: HFBackend, texts: list[str]) -> list[str]:
    """The texts with the full stop after them where the tokenizer merges one into it."""
    bares = backend.processor.encode([f"is {text}" for text in texts])
    wholes = backend.processor.encode([f"is {text}{DIRECT_END}" for text in texts])
    merges = any(whole[: len(bare)] != bare for bare, whole in zip(bares, wholes, strict=True))
    return [text + DIRECT_END * merges for text in texts]


def test_every_numeral_has_the_probability_of_plain_forward_passes(backend: HFBackend) -> None:
    texts = numerals(3, 1, 5)
    some = texts[::16]
    prompt = direct_prompts(photos())[1]
    exact = dict(zip(texts, backend.log_probs([prompt], texts, DIRECT_END)[0], strict=True))
    plain = brute_force(backend, prompt, as_written(backend, texts)[::16])
    assert np.ptp(plain) > 1, "the model is to have preferences"
    assert np.abs(plain - [exact[text] for text in some]).max() < 1e-3


def test_a_batch_of_mixed_sizes_gives_what_single_photos_give(backend: HFBackend) -> None:
    texts = numerals(3, 1, 5)
    together = backend.log_probs(direct_prompts(photos()), texts, DIRECT_END)
    alone = np.concatenate([backend.log_probs([prompt], texts, DIRECT_END) for prompt in direct_prompts(photos())])
    assert np.abs(together - alone).max() < 1e-4
    assert np.ptp(together, axis=0).max() > 1e-3, "different photos are to get different answers"


def test_the_cached_way_gives_what_the_one_pass_gives(backend: HFBackend, monkeypatch: pytest.MonkeyPatch) -> None:
    texts = numerals(2, 1, 5)
    one_pass = backend.log_probs(direct_prompts(photos()[:3]), texts, DIRECT_END)
    assert backend.takes_mask()
    monkeypatch.setattr(backend, "takes_mask", lambda: False)
    assert np.abs(backend.log_probs(direct_prompts(photos()[:3]), texts, DIRECT_END) - one_pass).max() < 1e-4


def test_numerals_of_any_length_work_too(backend: HFBackend) -> None:
    texts = short_numerals(1, 5)
    log_probs = backend.log_probs(direct_prompts(photos()[:1]), texts, DIRECT_END)[0]
    some = [texts.index(text) for text in ("3.9", "3.98", "4.0")]
    plain = brute_force(backend, direct_prompts(photos())[0], [texts[i] + DIRECT_END for i in some])
    assert np.abs(log_probs[some] - plain).max() < 1e-3


def test_the_probabilities_never_sum_to_more_than_one(backend: HFBackend) -> None:
    total = np.exp(backend.log_probs(direct_prompts(photos()[:2]), numerals(3, 1, 5), DIRECT_END)).sum(axis=1)
    assert ((total > 0) & (total <= 1 + 1e-9)).all()


def test_the_greedy_path_is_that_of_constrained_generation(tmp_path: Path) -> None:
    backend = load(write(tmp_path / "model", "qwen2_vl"))
    texts = numerals(3, 1, 5)
    words = backend.processor
    prompt = direct_prompts(photos())[2]
    rendered = words.render(prompt.question, 1) + prompt.prefix
    written = len(words.encode([rendered])[0])
    paths = [ids[written:] for ids in words.encode([rendered + text for text in texts])]
    batch = words.batch([rendered], [prompt.images])
    start = batch.ids_B_T.shape[1]

    def allowed(_: int, ids: torch.Tensor) -> list[int]:
        done = ids[start:].tolist()
        return sorted({path[len(done)] for path in paths if path[: len(done)] == done})

    ids = backend.model.generate(
        input_ids=batch.ids_B_T,
        attention_mask=batch.mask_B_T.long(),
        mm_token_type_ids=batch.token_types_B_T,
        max_new_tokens=4,
        do_sample=False,
        prefix_allowed_tokens_fn=allowed,
        **batch.inputs,
    )
    generated = words.tokenizer.decode(ids[0, start:])

    assert generated == _greedy_by_conditionals(backend, prompt, paths)


def _greedy_by_conditionals(backend: HFBackend, prompt: Prompt, paths: list[list[int]]) -> str:
    """Digit by digit, the likeliest allowed token after what is written, from the tree's edges."""
    written: list[int] = []
    words = backend.processor
    while len(written) < 4:
        head = words.tokenizer.decode(written)
        options = sorted({path[len(written)] for path in paths if path[: len(written)] == written})
        texts = [words.tokenizer.decode([token]) for token in options]
        logs_V = backend.log_probs([Prompt(prompt.question, prompt.images, prompt.prefix + head)], texts, "")[0]
        written.append(options[int(np.argmax(logs_V))])
    return str(words.tokenizer.decode(written))


def test_padding_attends_to_itself_alone_and_nodes_to_their_line() -> None:
    from realqa_cli.domain.numerals import TokenTrie

    trie = TokenTrie.from_sequences([[7, 1, 4], [7, 2, 5], [8, 3]])
    mask = torch.tensor([[False, True, True]])
    seen = tree.tree_mask(mask, trie)[0, 0]
    assert seen[0].tolist() == [True, *[False] * 6]
    # inner nodes: 7, 8, 7-1, 7-2
    assert seen[3].tolist() == [False, True, True, True, False, False, False]
    assert seen[5].tolist() == [False, True, True, True, False, True, False]
    assert seen[6].tolist() == [False, True, True, True, False, False, True]
