"""`realqa score --server` and `realqa self-label --server`, as a person runs them: real servers, good and bad."""

import json
import re
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import served_model
from chat_server import HALF, ChatServer, Fault, status
from logprob_server import image_of
from PIL import Image
from process import PHOTOS, Ran

from realqa_cli.cli import main

Run = Callable[..., Ran]


@pytest.fixture
def realqa_here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """`realqa ARGUMENTS` in this process, in an empty folder, with a model in the environment that nobody serves."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("REALQA_MODEL", "a-model-here")
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    monkeypatch.setattr("realqa_cli.backends.server.settings.ServerSettings.first_wait", 0.01)

    def run(*arguments: object) -> Ran:
        code = main([*map(str, arguments)])
        return Ran(code, *capsys.readouterr())

    return run


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Ten small photos, each of another grey."""
    (tmp_path / "photos").mkdir()
    for grey in range(10):
        Image.fromarray(np.full((20, 20, 3), 20 * grey, np.uint8)).save(tmp_path / "photos" / f"{grey}.png")
    return tmp_path / "photos"


def is_photo(body: dict[str, Any]) -> bool:
    """Whether it is about a photo, rather than asked to find out what the server can do."""
    return isinstance(body["messages"][0]["content"], list)


class Greys:
    """Gives each photo a score by its brightness; a grey in `bad` is refused."""

    def __init__(self, *bad: int) -> None:
        self.bad = bad

    def __call__(self, body: dict[str, Any]) -> str | Fault:
        if not is_photo(body):
            return "Hello."
        grey = int(np.asarray(image_of(body["messages"][0]["content"][0]))[0, 0, 0]) // 20
        if grey in self.bad:
            return status(400, "a bad photo")
        return f"The score of this image is {1 + grey / 4:.2f}."


def test_photos_are_scored_in_order_and_a_bad_one_is_one_error(folder: Path, realqa_here: Run) -> None:
    with ChatServer(Greys(3), faults=[HALF, status(503)]) as server:
        ran = realqa_here("score", folder, "--server", server.url, "--concurrency", 4)
    assert ran.code == 1
    assert [Path(record["image"]).stem for record in ran.records] == [str(n) for n in range(10)]
    assert [record.get("score") for record in ran.records] == [None if n == 3 else 1 + n / 4 for n in range(10)]
    error = ran.records[3]["error"]
    assert error["type"] == "request"
    assert "400: a bad photo" in error["message"]
    assert ran.said == [
        "realqa: the model has no realqa.json: assuming scale 1-5 and digits 3; set --scale and --digits to change it",
        "realqa: tiny does not report probabilities and answers in free text: decode greedy",
        "realqa: 10 items: 9 scored, 1 failed",
    ]
    assert all(body["model"] == "tiny" for body in server.bodies)


def test_photos_are_ranked_by_a_server_with_the_scores_that_score_has_from_it(
    folder: Path, realqa_here: Run, tmp_path: Path
) -> None:
    with ChatServer(Greys(3)) as server:
        asked = ("--server", server.url, "--concurrency", 4)
        scored = {record["image"]: record.get("score") for record in realqa_here("score", folder, *asked).records}
        server.bodies.clear()
        ran = realqa_here("rank", folder, *asked, "-o", tmp_path / "ranking.jsonl", "--table")
        assert [is_photo(body) for body in server.bodies].count(True) == 10
        server.bodies.clear()
        again = realqa_here("rank", folder, *asked, "-o", tmp_path / "ranking.jsonl")
        assert [is_photo(body) for body in server.bodies].count(True) == 1, "only the failed one is sent again"
    assert (ran.code, again.code) == (1, 1)
    ranked = [json.loads(line) for line in (tmp_path / "ranking.jsonl").read_text().splitlines()]
    assert {record["image"]: record.get("score") for record in ranked} == scored
    assert [record["score"] for record in ranked[:9]] == sorted(filter(None, scored.values()), reverse=True)
    assert ranked[9]["error"]["type"] == "request"


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        (["--concurrency", "2"], "--concurrency: concerns a server; add --server URL"),
        (["--server", "http://127.0.0.1:9/v1", "--device", "cpu"], "--device: concerns a model in this process"),
    ],
)
def test_rank_refuses_the_options_that_score_refuses(
    folder: Path, realqa_here: Run, options: list[str], complaint: str
) -> None:
    ran = realqa_here("rank", folder, *options)
    assert (ran.code, ran.out) == (2, "")
    assert complaint in ran.err


def test_many_photos_are_in_flight_at_once(folder: Path, realqa_here: Run) -> None:
    meeting = threading.Barrier(5)

    def reply(body: dict[str, Any]) -> str:
        if is_photo(body):
            meeting.wait(20)  # nobody is answered before five have asked
        return "The score of this image is 2.50."

    with ChatServer(reply) as server:
        ran = realqa_here("score", folder, "--server", server.url, "--concurrency", 5, "--retries", 0)
    assert ran.code == 0, ran.err


def test_what_is_done_is_not_asked_again_and_failures_are(folder: Path, realqa_here: Run, tmp_path: Path) -> None:
    out = tmp_path / "out.jsonl"
    with ChatServer(Greys(3)) as server:
        command = ["score", folder, "--server", server.url, "-o", out]
        assert realqa_here(*command).code == 1
        server.reply = Greys()
        server.bodies.clear()
        ran = realqa_here(*command, "--concurrency", 2)
        assert [is_photo(body) for body in server.bodies].count(True) == 1
    assert ran.code == 0
    assert ran.said[-1] == "realqa: 10 items: 1 scored, 9 done before"
    assert sum(json.loads(line)["error"] is None for line in out.read_text().splitlines()) == 10
    (run, *_) = json.loads((tmp_path / "out.jsonl.run.json").read_text())["runs"].values()
    assert run["settings"]["honours"] == {"top": 0, "continues": False, "guide": None}
    assert (run["settings"]["server"], run["settings"]["model"]) == (server.url, "tiny")


def test_a_server_that_will_not_go_on_stops_the_run_and_finished_work_is_kept(
    folder: Path, realqa_here: Run, tmp_path: Path
) -> None:
    greys, asked = Greys(), []

    def reply(body: dict[str, Any]) -> str | Fault:
        asked.append(is_photo(body))
        return greys(body) if asked.count(True) <= 4 else status(401, "the key has expired")

    with ChatServer(reply) as server:
        ran = realqa_here("score", folder, "--server", server.url, "-o", tmp_path / "out.jsonl", "--concurrency", 1)
    assert ran.code == 2
    assert re.fullmatch(r"realqa: http://\S+/v1: requires a key \(401: the key has expired\); set .*", ran.said[-1])
    assert len((tmp_path / "out.jsonl").read_text().splitlines()) == 4


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--adapter", "x"), "--adapter: concerns a model in this process; leave out this option or --server"),
        (("--device", "cpu"), "--device: concerns a model in this process"),
        (("--batch-size", "2"), "--batch-size: concerns a model in this process; use --concurrency"),
        (("--method", "levels"), "--method levels: needs probabilities, which the server does not report"),
        (("--method", "regression"), "the model was not trained for the method regression"),
    ],
)
def test_what_makes_no_sense_with_a_server_is_one_line(
    folder: Path, realqa_here: Run, options: tuple[str, ...], words: str
) -> None:
    with ChatServer() as server:
        ran = realqa_here("score", folder, "--server", server.url, *options)
    assert ran.code == 2
    assert words in ran.said[-1]


def test_options_of_servers_need_one(folder: Path, realqa_here: Run) -> None:
    ran = realqa_here("self-label", folder, "--concurrency", 3)
    assert (ran.code, ran.said) == (2, ["realqa: --concurrency: concerns a server; add --server URL"])


@pytest.fixture(scope="session")
def real_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, Path]]:
    """`transformers serve` with a small LLaVA: its address, and the name of the model."""
    for package in ("fastapi", "uvicorn", "openai"):
        pytest.importorskip(package, reason="transformers serve needs it")
    model = served_model.teach(tmp_path_factory.mktemp("llava") / "model")
    with served_model.serve(model) as url:
        yield url, model


@pytest.mark.slow
def test_transformers_serve_is_asked_for_plain_text_and_understood(
    real_server: tuple[str, Path], realqa_here: Run, tmp_path: Path
) -> None:
    url, model = real_server
    server = ("--server", url, "--model", model, "--retries", 0)
    (tmp_path / "broken.jpg").write_bytes((PHOTOS / "bee.jpg").read_bytes()[:2000])
    scored = realqa_here("score", PHOTOS / "bee.jpg", "broken.jpg", PHOTOS / "dogs.jpg", *server)
    assert scored.code == 1
    assert [record.get("score") for record in scored.records] == [3.42, None, 3.42]
    assert scored.records[1]["error"]["type"] == "broken"
    assert {record["decode"] for record in scored.records if record["error"] is None} == {"greedy"}
    labelled = realqa_here("self-label", PHOTOS / "bee.jpg", *server)
    (label,) = labelled.records
    assert label["attributes"] == {"level_shot": "yes", "image_clarity": "very clear"}
    assert label["annotator"] == {"model": str(model)}
    assert "exposure" in label["unparsed"]
    assert labelled.code == 0


@pytest.mark.slow
def test_transformers_serve_sorts_nothing_but_is_probed(real_server: tuple[str, Path], realqa_here: Run) -> None:
    url, model = real_server
    ran = realqa_here("sort-probe", "--server", url, "--model", model, "--trials", 2, "--retries", 0)
    (record,) = ran.records
    assert (record["trials"], record["accuracy"]) == (2, 0)
