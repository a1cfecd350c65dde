"""Presets and comparisons with a model behind a server: the same answers as by the model in this process."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from brute_force import load, photos
from logprob_server import LogprobServer
from process import Realqa
from small_models import CORPUS, tokenizer, write

from realqa_cli.domain.prompts import PAIR_CHOICES

FIVE = ("excellent", "good", "fair", "poor", "bad")
EVERYTHING = 10_000
CLOSE = 0.02  # the branches of a server are followed up to this share of the probability


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small random model whose tokenizer has the words of the presets."""
    sentences = [f"The {name} of the image is {word}." for name in ("quality", "aesthetics") for word in FIVE]
    sentences += [f"The image with the better quality is the {word} image." for word in PAIR_CHOICES]
    words = tokenizer(vocabulary=900, corpus=[*CORPUS, *(each for each in sentences for _ in range(40))])
    return write(tmp_path_factory.mktemp("served") / "model", words=words)


@pytest.fixture
def server(model: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[LogprobServer]:
    """It reports the probability of every token, so that the answers are exact."""
    monkeypatch.setattr("realqa_cli.backends.server.capabilities._TOKENS", (EVERYTHING,))
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    with LogprobServer(load(model), top=EVERYTHING) as running:
        yield running


@pytest.fixture
def files(tmp_path: Path) -> list[Path]:
    """Photos whose sides no model resizes."""
    names = []
    for i, image in enumerate(photos()[:3]):
        names.append(tmp_path / f"{i}.png")
        image.resize((84, 112)).save(names[-1])
    return names


@pytest.mark.slow
@pytest.mark.parametrize("preset", ["q-realign", "q-align"])
def test_a_served_model_is_asked_by_a_preset_as_the_local_one(
    server: LogprobServer, model: Path, files: list[Path], realqa_here: Realqa, preset: str
) -> None:
    """The photo comes before the question (q-realign), or after it (q-align)."""
    asked = ["--preset", preset, "--ask", "quality,aesthetics", "--json"]
    local = realqa_here("score", *files, "--model", model, "--backend", "hf", *asked)
    served = realqa_here("score", *files, "--server", server.url, *asked)
    assert (local.code, served.code) == (0, 0)
    for one, other in zip(local.records, served.records, strict=True):
        assert (other["decode"], other["method"], other["scale"]) == ("topk", "levels", one["scale"])
        for name in ("quality", "aesthetics"):
            assert other["scores"][name]["score"] == pytest.approx(one["scores"][name]["score"], abs=4 * CLOSE)
            assert other["scores"][name]["levels"] == pytest.approx(one["scores"][name]["levels"], abs=CLOSE)
        assert other["score"] == other["scores"]["quality"]["score"]
    question = json.dumps(server.bodies[-1]["messages"])
    assert "How would you rate the" in question


def test_the_preset_of_a_served_model_is_found_by_its_name_and_said_once(
    server: LogprobServer, files: list[Path], realqa_here: Realqa
) -> None:
    ran = realqa_here("score", *files, "--server", server.url, "--model", "q-future/Q-ReAlign-Mini-0.8B", "--json")
    assert ran.code == 0
    assert [record["scale"] for record in ran.records] == [[0, 1]] * 3
    assert sum("is asked as by its authors (--preset q-realign)" in line for line in ran.said) == 1
    named = realqa_here("score", *files, "--server", server.url, "--preset", "q-realign", "--json")
    assert [one["score"] for one in ran.records] == pytest.approx([one["score"] for one in named.records])


@pytest.mark.slow
def test_a_served_model_chooses_between_two_photos_as_the_local_one(
    server: LogprobServer, model: Path, files: list[Path], realqa_here: Realqa
) -> None:
    asked = ["compare", *files[:2], "--by", "model", "--json"]
    (local,) = realqa_here(*asked, "--model", model, "--backend", "hf").records
    (served,) = realqa_here(*asked, "--server", server.url).records
    for field in ("p_a_better", "p_a_shown_first", "position_bias", "mass"):
        assert served[field] == pytest.approx(local[field], abs=CLOSE)


def test_a_server_without_probabilities_says_that_levels_and_choices_need_them(
    model: Path, files: list[Path], realqa_here: Realqa, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    with LogprobServer(load(model), top=0) as silent:
        levels = realqa_here("score", files[0], "--server", silent.url, "--preset", "q-align")
        choice = realqa_here("compare", *files[:2], "--by", "model", "--server", silent.url)
    assert (levels.code, "needs probabilities" in levels.err) == (2, True)
    assert (choice.code, "needs probabilities" in choice.err) == (2, True)
