"""Scores and labels from a server: what it can do is detected, and what it reports is read correctly."""

import json
import math
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from chat_server import ChatServer, Fault, completion, status
from logprob_server import LogprobServer
from PIL import Image
from small_models import write

from realqa_cli import models
from realqa_cli.backends.base import LoadOptions, Prompt
from realqa_cli.backends.hf.model import HFBackend
from realqa_cli.backends.server import model as module
from realqa_cli.backends.server.capabilities import ServerCapabilities
from realqa_cli.backends.server.client import ServerClient
from realqa_cli.backends.server.model import ImageSizing, ServerBackend
from realqa_cli.backends.server.settings import ServerSettings
from realqa_cli.backends.server.topk import ContinuationSearch, TokenAlternatives, places_of
from realqa_cli.decoding.attribute_form import questions_of
from realqa_cli.domain import levels, prompts
from realqa_cli.domain.numerals import ScoreDistribution, numerals
from realqa_cli.domain.prompts import SLOTS
from realqa_cli.errors import ModelError
from realqa_cli.io.sources import read_sources
from realqa_cli.steps.score.score import Scorer
from realqa_cli.steps.self_label.self_label import LabelSettings, SelfLabeler

EVERYTHING = 10**6  # likely tokens: the whole vocabulary


@pytest.fixture(scope="module")
def backend(tmp_path_factory: pytest.TempPathFactory) -> HFBackend:
    folder = write(tmp_path_factory.mktemp("served") / "model", gain=3)
    return HFBackend.load(models.find(str(folder)), LoadOptions())


def photo(seed: int = 0) -> Image.Image:
    return Image.fromarray(np.random.default_rng(seed).integers(0, 256, (56, 56, 3), dtype=np.uint8))


@pytest.fixture(scope="module")
def photo_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("photos") / "a.png"
    photo().save(file)
    return file


def settings(server: ChatServer, **more: Any) -> ServerSettings:
    usual: dict[str, Any] = {"first_wait": 0.01, "retries": 1, "api_key_env": "TEST_KEY"}
    return ServerSettings(server.url, **usual | more)


def served(server: ChatServer, **abilities: Any) -> ServerBackend:
    return ServerBackend(ServerClient(settings(server)), ServerCapabilities(**abilities), ImageSizing())


def direct(seed: int = 0) -> Prompt:
    return Prompt(prompts.DIRECT_QUESTION, (photo(seed),), prompts.DIRECT_PREFIX)


def restricted(backend: HFBackend, prompt: Prompt, texts: list[str], top: int) -> dict[str, float]:
    """Each text's log-probability from forward passes over its tokens; none for what is not in the top k."""
    words = backend.processor.tokenizer
    found = {}
    for text in texts:
        begun, total = backend.text(prompt), 0.0
        for token in words.encode(text):
            rendered = backend.processor.batch([begun], [prompt.images])
            with torch.inference_mode():
                logits_V = backend.model(**rendered.forward_inputs()).logits[0, -1]
            kept = token in logits_V.topk(min(top, len(logits_V))).indices
            total += float(torch.log_softmax(logits_V.double(), -1)[token]) if kept else -math.inf
            begun += words.decode([token])
        found[text] = total
    return found


@pytest.fixture
def thorough(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every branch is followed."""
    monkeypatch.setattr(module, "_UNSEEN", 0.0)
    monkeypatch.setattr("realqa_cli.backends.server.topk._NOTHING", 0.0)


@pytest.mark.usefixtures("thorough")
def test_with_all_tokens_reported_the_distribution_is_the_exact_one(backend: HFBackend) -> None:
    texts = numerals(2, 1, 5)
    with LogprobServer(backend, top=EVERYTHING) as server:
        (found_V,) = served(server, top=400, continues=True).log_probs([direct()], texts, prompts.DIRECT_END)
    (exact_V,) = backend.log_probs([direct()], texts, prompts.DIRECT_END)
    # The blank before the number is forced here, and one of the model's tokens there.
    found, exact = (ScoreDistribution.from_log_probs(texts, each_V) for each_V in (found_V, exact_V))
    np.testing.assert_allclose(found.probs, exact.probs, rtol=1e-3)


@pytest.mark.usefixtures("thorough")
@pytest.mark.parametrize(("digits", "top"), [(1, 200), (2, 220)])
def test_with_some_tokens_reported_it_is_the_exact_one_restricted_to_them(
    backend: HFBackend, digits: int, top: int
) -> None:
    texts, prompt = numerals(digits, 1, 4), Prompt("How good is it?", (photo(),), prompts.FINAL_PREFIX)
    expected = restricted(backend, prompt, texts, top)
    with LogprobServer(backend, top=EVERYTHING) as server:
        (found_V,) = served(server, top=top, continues=True).log_probs([prompt], texts, prompts.FINAL_END)
    np.testing.assert_allclose(found_V, [expected[text] for text in texts], atol=2e-4)
    assert 0 < np.isinf(found_V).sum() < len(texts)


def walk_of(words: str, *likely: tuple[str, float]) -> TokenAlternatives:
    return TokenAlternatives(words, tuple((text, math.log(share)) for text, share in likely))


def test_digits_that_a_tokenizer_merges_are_the_same_numerals() -> None:
    walk = ContinuationSearch(["3.98", "3.99", "4.00"], ".")
    walk.read("", [walk_of("3.", ("3.", 0.8), ("4", 0.2)), walk_of("99", ("99", 0.5), ("98.", 0.25), ("9", 0.2))])
    assert np.exp(walk.known) == pytest.approx([0.2, 0.4, 0])
    assert {text: math.exp(share) for text, share in walk.pending.items()} == pytest.approx({"4": 0.2, "3.9": 0.16})
    assert walk.next(0.02) == "4"
    walk.read("4", [walk_of(".00", (".00", 1.0))])
    walk.read("3.9", [walk_of("9", ("9", 0.5), ("8", 0.5))])
    assert np.exp(walk.known) == pytest.approx([0.28, 0.48, 0.2])
    assert walk.next(0.02) is None
    assert walk.mass == pytest.approx(0.96)


@pytest.mark.parametrize(
    ("places", "known"),
    [
        ([walk_of(" ", (" ", 0.9), (" 3", 0.1)), walk_of("3", ("3", 0.6), ("4", 0.4))], [0.6, 0.4]),
        ([walk_of(" 3", (" 3", 0.6), (" 4", 0.2), ("3", 0.1))], [0.6, 0.2]),
        ([walk_of("3", ("3", 0.6), ("4", 0.2))], [0.6, 0.2]),
    ],
    ids=["a token of its own", "part of the number's", "in no token's text"],
)
def test_the_blank_before_a_number_may_be_written_in_three_ways(
    places: list[TokenAlternatives], known: list[float]
) -> None:
    walk = ContinuationSearch(["3", "4"], ".", blank=True)
    walk.read("", places)
    assert np.exp(walk.known) == pytest.approx(known)


def test_what_follows_distinguishes_a_continuation_from_a_longer_one() -> None:
    walk = ContinuationSearch(["1", "10"], ",")
    walk.read("", [walk_of("1", ("1", 0.9), ("10", 0.1)), walk_of(",", (",", 0.7), ("0", 0.2), (" or", 0.1))])
    assert math.exp(walk.known[0]) == pytest.approx(0.63)
    assert math.exp(walk.pending["10"]) == pytest.approx(0.28)


def test_half_a_character_is_recognised_by_its_bytes_and_broken_replies_are_ignored() -> None:
    entry = {"token": "Ã", "bytes": [*"é".encode()], "logprob": -0.1, "top_logprobs": []}
    assert places_of({"choices": [{"logprobs": {"content": [entry]}}]}) == [TokenAlternatives("é", (("é", -0.1),))]
    replies: tuple[dict[str, Any], ...] = (
        {},
        {"choices": []},
        {"choices": [{"logprobs": None}]},
        {"choices": [{"logprobs": {"content": [{}]}}]},
    )
    assert [places_of(broken) for broken in replies] == [[]] * 4


@pytest.mark.parametrize(
    ("top", "continues", "reported"),
    [
        (20, True, ServerCapabilities(20, True)),
        (5, True, ServerCapabilities(5, True)),
        (20, False, ServerCapabilities(20, False)),
        (0, True, ServerCapabilities()),
        (1, True, ServerCapabilities()),  # only the token that was written: nothing to weigh
    ],
)
def test_what_a_server_honours_is_seen_in_its_replies(
    backend: HFBackend, top: int, continues: bool, reported: ServerCapabilities
) -> None:
    server = LogprobServer(backend, top=top, continues=continues)
    with server, ServerClient(settings(server)) as client:
        assert ServerCapabilities.detect(client) == reported


def guided(parameter: str) -> Any:
    """What a server that honours one parameter answers: the first text of the pattern, else idle talk."""

    def reply(body: dict[str, Any]) -> str:
        given = body.get(parameter)
        if given is None:
            return "Hello! How can I help?"
        if parameter == "response_format":
            pattern = given["json_schema"]["schema"]["properties"]["answer"]["pattern"].strip("^$")
            return json.dumps({"answer": first_of(pattern)})
        return first_of(given["regex"] if parameter == "structured_outputs" else given)

    return reply


def first_of(pattern: str) -> str:
    text = re.sub(r"(?<!\\)\(((?:[^()|\\]|\\.)*)(?:\|(?:[^()\\]|\\.)*)?\)", r"\1", pattern)
    while text != (text := re.sub(r"(?<!\\)\(((?:[^()|\\]|\\.)*)\)", r"\1", text)):
        pass
    text = re.sub(r"\\(.)", r"\1", text)
    assert re.fullmatch(pattern, text), (pattern, text)
    return text


@pytest.mark.parametrize("parameter", ["structured_outputs", "guided_regex", "regex", "response_format"])
def test_a_server_that_can_be_held_to_a_form_is(parameter: str, photo_file: Path) -> None:
    with ChatServer(guided(parameter)) as server:
        scorer = Scorer(server=settings(server))
        (record,) = scorer.score([photo_file])
        assert scorer.manifest.settings["honours"] == {"top": 0, "continues": False, "guide": parameter}
        (label,) = SelfLabeler(LabelSettings(server=settings(server))).records(read_sources([str(photo_file)]))
        (cot,) = Scorer(server=settings(server), method="cot").score([photo_file])
    assert (record["score"], record["mode"], record["decode"]) == (1.0, 1.0, "greedy")
    assert record["std"] is record["interval"] is record["mass"] is None
    assert record["text"] == "The score of this image is 1.00."
    assert label["attributes"].keys() == {slot.attribute.key for slot in SLOTS.values()} - {"subject_background"}
    assert label["attributes"]["composition"] == {"score": 1}
    assert label["annotator"] == {"model": "tiny"}
    assert "confidence" not in label
    assert label["unparsed"] is None
    assert (cot["score"], cot["score_direct"], cot["attributes"]) == (1.0, 1.0, label["attributes"])


def test_a_server_that_refuses_what_it_does_not_know_is_asked_for_plain_text(photo_file: Path) -> None:
    def reply(body: dict[str, Any]) -> str | Fault:
        known = {"model", "messages", "temperature", "seed", "max_tokens"}
        return status(400, "unknown") if body.keys() - known else "I say: the score of this image is 3.5, dear."

    with ChatServer(reply) as server:
        (record,) = Scorer(server=settings(server)).score([photo_file])
    assert (record["score"], record["decode"]) == (3.5, "greedy")


@pytest.mark.parametrize(
    ("answer", "attributes", "unparsed"),
    [
        ("Image Clarity: very clear, Exposure: splendid.", {"image_clarity": "very clear"}, 8),
        ("1.2 Composition Score: 11, 1.4 Eye-Catching Score: 7", {"eye_catching": {"score": 7}}, 8),
        ("A nice photo.", None, 9),
    ],
)
def test_a_written_form_is_read_strictly_and_what_it_lacks_is_named(
    photo_file: Path, answer: str, attributes: Any, unparsed: int
) -> None:
    with ChatServer(lambda body: answer) as server:
        (label,) = SelfLabeler(LabelSettings(server=settings(server))).records(read_sources([str(photo_file)]))
        (cot,) = Scorer(server=settings(server), method="cot").score([photo_file])
    assert cot["error"]["type"] == "unparsed"
    if attributes is None:
        assert label["error"]["type"] == "unparsed"
        return
    assert label["attributes"] == attributes
    assert len(label["unparsed"]) == unparsed
    assert not set(label["unparsed"]) & set(attributes)


def test_the_final_score_of_a_chain_of_thought_answers_the_direct_question_too(photo_file: Path) -> None:
    answer = "3.1 Image Clarity: very clear\nThe final score is <4.25>."
    with ChatServer(lambda body: answer) as server:
        (cot,) = Scorer(server=settings(server), method="cot").score([photo_file])
    assert (cot["score"], cot["score_direct"], cot["text"]) == (4.25, 4.25, answer)
    assert cot["attributes"] == {"image_clarity": "very clear"}
    assert "exposure" in cot["unparsed"]


@pytest.mark.parametrize(("method", "words"), [("levels", "levels: needs probabilities"), ("regression", "regression")])
def test_what_cannot_be_done_through_a_server_is_said_at_once(method: str, words: str) -> None:
    with ChatServer() as server, pytest.raises(ModelError, match=words):
        Scorer(server=settings(server), method=method)


@pytest.fixture
def all_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """A random model finds numbers unlikely: the server is asked for its whole vocabulary."""
    monkeypatch.setattr("realqa_cli.backends.server.capabilities._TOKENS", (400,))


@pytest.mark.usefixtures("all_told", "thorough")
def test_scores_of_a_server_are_those_of_the_model_here(
    backend: HFBackend, photo_file: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (here,) = Scorer(backend.source.name, digits=1, distribution=True).score([photo_file])
    with LogprobServer(backend, top=EVERYTHING) as server:
        scorer = Scorer(server=settings(server), digits=1, distribution=True)
        (there,) = scorer.score([photo_file])
        (level,) = Scorer(server=settings(server), method="levels").score([photo_file])
    assert there["decode"] == level["decode"] == "topk"
    assert there["score"] == pytest.approx(here["score"], abs=1e-3)
    assert there["std"] == pytest.approx(here["std"], abs=1e-3)
    assert here.keys() == there.keys()
    assert sum(share for _, share in there["distribution"]) == pytest.approx(1, abs=1e-4)
    assert level["levels"].keys() == {*levels.WORDS}
    assert scorer.manifest.settings["honours"]["continues"] is True
    assert scorer.manifest.environment["model"] == "tiny"
    assert len([line for line in caplog.messages if "most likely tokens" in line]) == 2


@pytest.mark.slow
@pytest.mark.usefixtures("all_told", "thorough")
def test_forms_of_a_server_are_filled_by_probability(backend: HFBackend, photo_file: Path) -> None:
    with LogprobServer(backend, top=EVERYTHING) as server:
        labeller = SelfLabeler(LabelSettings(server=settings(server)))
        labeller.form = ("composition.score", "level_shot")
        labeller._questions = questions_of(None, labeller.form)
        (label,) = labeller.records(read_sources([str(photo_file)]))
    assert label["attributes"].keys() == label["confidence"].keys() == {"composition", "level_shot"}
    assert all(0 < share <= 1 for share in label["confidence"].values())


def test_where_the_server_does_not_continue_a_text_one_answer_is_read_as_far_as_possible(photo_file: Path) -> None:
    def token(text: str, *others: tuple[str, float]) -> dict[str, Any]:
        left = 1 - sum(share for _, share in others)
        likely = [(text, left), *others]
        reported = [{"token": one, "logprob": math.log(share)} for one, share in likely]
        return {"token": text, "logprob": math.log(left), "top_logprobs": reported}

    def reply(body: dict[str, Any]) -> str | Fault:
        if "logprobs" not in body:
            return "Hello!"
        words = ["The", " score", " of", " this", " image", " is", " "]
        places = [token(word, ("A", 0.001)) for word in words]
        places += [
            token("3", ("4", 0.25)),
            token(".", ("!", 1e-9)),
            token("5", ("7", 0.2)),
            token(".", ("!", 1e-9)),
        ]
        text = "".join(place["token"] for place in places)
        usage = {"prompt_tokens": 7}
        return Fault(body=json.dumps(json.loads(completion(text, logprobs={"content": places})) | {"usage": usage}))

    with ChatServer(reply) as server:
        scorer = Scorer(server=settings(server), digits=2)
        (record,) = scorer.score([photo_file])
    assert scorer.manifest.settings["honours"] == {"top": 2, "continues": False, "guide": None}
    assert (
        "Begin your answer with: The score of this image is" in server.bodies[-1]["messages"][0]["content"][1]["text"]
    )
    assert (record["score"], record["mode"]) == (pytest.approx(3.5 * 0.8 + 3.7 * 0.2), 3.5)
    assert record["mass"] == pytest.approx(0.999**7 * 0.75)
    assert record["decode"] == "topk"
