"""Rewording by a server: what is taken, what stays as composed, and that nothing is paid twice."""

import json
import os
import re
import signal
import subprocess
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from chat_server import HALF, Answer, ChatServer, Fault, completion, status
from made_attributes import FULL
from process import Ran, Realqa, command, environment

from realqa_cli.backends.server.client import ServerClient
from realqa_cli.backends.server.settings import ServerSettings
from realqa_cli.cli import main
from realqa_cli.domain.prompts import slot_texts
from realqa_cli.errors import ModelError
from realqa_cli.io.labels import LabelRow
from realqa_cli.steps.build_cot import critique
from realqa_cli.steps.build_cot.build_cot import Builder
from realqa_cli.steps.build_cot.rewriting import Rewriter
from realqa_cli.steps.build_cot.settings import BuildSettings

FINAL = "The final score is <3.98>."


def composed_in(body: dict[str, Any]) -> str:
    """The text that a request wants reworded."""
    return str(body["messages"][0]["content"]).split("\n\n", 1)[1]


def reworded(body: dict[str, Any]) -> str:
    """A good rewording: other words around the same values."""
    return "In short, " + composed_in(body).replace(" is ", " remains ").replace("score remains <", "score is <")


def rows(count: int) -> list[LabelRow]:
    label = {"attributes": FULL, "mos": 3.984, "mos_range": [1, 5]}
    return [LabelRow(f"labels.jsonl:{i}", f"{i}.jpg", "image", label) for i in range(count)]


def rewrite(
    reply: Callable[[dict[str, Any]], Answer], count: int = 1, *, faults: Any = (), **more: Any
) -> tuple[list[dict[str, Any]], Rewriter, ChatServer]:
    builder = Builder(BuildSettings(formats=more.pop("formats", ("cot",))))
    with ChatServer(reply, faults=faults) as server:
        settings = ServerSettings(server.url, first_wait=0.01, retries=2, **more)
        with ServerClient(settings) as client:
            rewriter = Rewriter(client)
            return list(rewriter.rewrite(builder.drafts(rows(count)))), rewriter, server


def answer(line: dict[str, Any]) -> str:
    return str(line["messages"][1]["content"])


def composed(count: int = 1) -> list[str]:
    return [answer(line) for line in Builder(BuildSettings(formats=("cot",))).build(rows(count))]


def test_a_good_rewording_replaces_the_composed_text_and_is_counted() -> None:
    (line,), rewriter, server = rewrite(reworded)
    assert answer(line).startswith("In short, ")
    assert answer(line).endswith(FINAL)
    assert line["rewrite"]["outcome"] == "rewritten"
    assert line["rewrite"]["model"] == "tiny"
    assert rewriter.counts == {"rewritten": 1}
    assert len(server.bodies) == 1


def test_the_request_names_every_value_and_is_the_same_each_time() -> None:
    _, _, first = rewrite(reworded)
    _, _, second = rewrite(reworded)
    assert first.bodies == second.bodies
    asked, _, text = first.bodies[0]["messages"][0]["content"].partition("\n\n")
    assert text == composed()[0]
    for value in (
        "7",
        "6",
        "fully complete",
        "very clear",
        "slightly overexposed",
        "medium saturation",
        FINAL,
    ):
        assert value in asked


def test_only_prose_is_sent_and_the_order_of_lines_stays() -> None:
    formats = ("direct", "cot", "cot-regular")
    lines, _, server = rewrite(reworded, 9, formats=formats, concurrency=3)
    assert [line["format"] for line in lines] == list(formats) * 9
    assert [line["images"] for line in lines] == [[f"{i}.jpg"] for i in range(9) for _ in formats]
    assert ["rewrite" in line for line in lines] == [False, True, False] * 9
    assert len(server.bodies) == 9


def without(value: str) -> Callable[[dict[str, Any]], str]:
    return lambda body: re.sub(re.escape(value), "", reworded(body), flags=re.IGNORECASE)


@pytest.mark.parametrize(
    ("reply", "outcome"),
    [
        (without("very clear"), "lost a value"),
        (without("fully complete"), "lost a value"),
        (without("7"), "lost a value"),
        (without(FINAL), "lost a value"),
        (without("<3.98>"), "lost a value"),
        (lambda body: reworded(body).replace("3.98", "4.00"), "lost a value"),
        (lambda body: reworded(body).replace("In short, ", "In short, a 9 at least: "), "made one up"),
        (lambda body: reworded(body).replace("In short, ", "Very blurry here. "), "made one up"),
        (lambda body: reworded(body).replace("In short, ", "<4.5> "), "made one up"),
        (composed_in, "unchanged"),
        (lambda body: Fault(body=completion(None, message={"refusal": "no"})), "refused"),
        (lambda body: "", "no answer"),
        (lambda body: status(400, "too long"), "no answer"),
        (lambda body: status(500), "no answer"),
        (lambda body: HALF, "no answer"),
    ],
)
def test_where_a_rewording_cannot_be_used_the_composed_text_stays(
    reply: Callable[[dict[str, Any]], Answer], outcome: str
) -> None:
    (line,), rewriter, _ = rewrite(reply)
    assert answer(line) == composed()[0]
    assert line["rewrite"]["outcome"] == outcome
    assert rewriter.counts == {outcome: 1}


@pytest.mark.parametrize("around", ["```\n{}\n```", '"{}"', "  {}\n\n", "<think>7 or 8?</think>{}"])
def test_what_is_around_the_text_is_removed(around: str) -> None:
    (line,), _, _ = rewrite(lambda body: around.format(reworded(body).replace(". ", ".\n\n")))
    assert line["rewrite"]["outcome"] == "rewritten"
    assert answer(line).startswith("In short, ")
    assert answer(line).endswith(FINAL)
    assert "\n" not in answer(line)


def test_what_passes_is_waited_for() -> None:
    faults = [status(429, retry_after="0.05"), status(500), HALF, status(503)]
    lines, rewriter, server = rewrite(reworded, 4, faults=faults)
    assert rewriter.counts == {"rewritten": 4}
    assert len(server.bodies) == 8
    assert [line["images"] for line in lines] == [[f"{i}.jpg"] for i in range(4)]


def test_a_refused_key_ends_the_run_and_not_the_text() -> None:
    with pytest.raises(ModelError, match="401"):
        rewrite(reworded, 3, faults=[status(401)] * 9)


def test_one_server_can_do_for_many_lines_without_prose() -> None:
    label = {"mos": 3, "mos_range": [1, 5]}
    plain = [LabelRow("x:1", f"{i}.jpg", "image", label) for i in range(300)]
    with ChatServer() as server, ServerClient(ServerSettings(server.url)) as client:
        lines = list(Rewriter(client).rewrite(Builder(BuildSettings()).drafts([*plain, *rows(1)])))
    assert [line["format"] for line in lines] == ["direct"] * 301 + ["cot", "cot-regular"]
    assert len(server.bodies) == 1


def test_added_finds_what_a_text_invents() -> None:
    text = f"The frame is a level shot with low saturation, 7 out of 10. {FINAL}"
    assert critique.added(text.replace("out of", "/"), f"Low saturation in a level shot, a 7. {FINAL}") == []
    assert critique.added(text, f"A level shot, a 7. {FINAL}") == ["low saturation"]
    assert critique.added("Moderately cluttered, 3.5.", "Cluttered, 3.") == ["3.5", "moderately cluttered"]
    assert critique.slot_values(slot_texts(FULL))[:2] != []


@pytest.fixture
def labels(tmp_path: Path) -> Path:
    lines = [{"image": f"{i}.jpg", "attributes": FULL, "mos": 3.984, "mos_range": [1, 5]} for i in range(5)]
    (tmp_path / "labels.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    for i in range(5):
        (tmp_path / f"{i}.jpg").touch()
    return tmp_path


Here = Callable[..., Ran]


@pytest.fixture
def here(labels: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Here:
    """Runs the command in this process, in the folder of the labels."""
    monkeypatch.chdir(labels)

    def run(*arguments: object) -> Ran:
        code = main(["build-cot", "labels.jsonl", *map(str, arguments)])
        return Ran(code, *capsys.readouterr())

    return run


def lines_of(file: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in file.read_text().splitlines()]


def test_the_command_rewords_says_how_much_and_goes_on_without_paying_twice(here: Here, labels: Path) -> None:
    given = ["-o", "train.jsonl", "--retries", "0"]
    with ChatServer(reworded, faults=[Fault(body=completion("No."))]) as server:
        ran = here(*given, "--rewrite-server", server.url, "--concurrency", 1)
        assert (ran.code, ran.out) == (0, "")
        assert ran.said == [
            "realqa: 5 records: 15 conversations (5 direct, 5 cot, 5 cot-regular)",
            "realqa: 4 of 5 reworded by tiny; kept as composed: 1 lost a value",
        ]
        whole = (labels / "train.jsonl").read_text()
        (run,) = json.loads((labels / "train.jsonl.run.json").read_text())["runs"].values()
        assert {line["rewrite"]["run"] for line in lines_of(labels / "train.jsonl")[1::3]} == {run["run"]}

        kept = whole.splitlines(keepends=True)[:7]
        (labels / "train.jsonl").write_text("".join(kept) + whole[len("".join(kept)) :][:40])  # cut by a kill
        server.bodies.clear()
        again = here(*given, "--rewrite-server", server.url, "--concurrency", 1)
        assert again.said[-1] == "realqa: 2 done before, 3 of 3 reworded by tiny"
        assert (labels / "train.jsonl").read_text() == whole
        assert len(server.bodies) == 3

        other = here(*given, "--rewrite-server", server.url, "--digits", 2)
        assert other.code == 2
        assert "holds conversations that were built with other settings; choose another output" in other.said[-1]
        assert (labels / "train.jsonl").read_text() == whole
        over = here(*given, "--rewrite-server", server.url, "--digits", 2, "--overwrite")
        assert over.code == 0
        assert len(lines_of(labels / "train.jsonl")) == 15


def test_an_interrupted_run_keeps_what_it_has_and_ends_at_once(labels: Path) -> None:
    hang, third = threading.Event(), threading.Event()

    def reply(body: dict[str, Any]) -> str:
        if len(server.bodies) >= 3:
            third.set()
            hang.wait(60)
        return reworded(body)

    with ChatServer(reply) as server:
        given = command("build-cot", "labels.jsonl", "-o", "t.jsonl", "--rewrite-server", server.url)
        process = subprocess.Popen(
            [*given, "--concurrency", "1"], cwd=labels, env=environment(), stderr=subprocess.PIPE, text=True,
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
        )  # fmt: skip
        assert third.wait(60)
        os.kill(process.pid, signal.SIGINT)
        _, said = process.communicate(timeout=30)
        hang.set()
    assert process.returncode == 130
    assert "interrupted" in said
    assert not (labels / "t.jsonl").exists(), "it is not complete"
    assert [line["format"] for line in lines_of(labels / "t.jsonl.part")][:5] == [
        "direct", "cot", "cot-regular", "direct", "cot",
    ]  # fmt: skip


def test_without_an_output_file_the_lines_go_to_stdout(realqa: Realqa, labels: Path) -> None:
    with ChatServer(reworded, models=("a", "b")) as server:
        ran = realqa(
            "build-cot", "labels.jsonl", "--formats", "cot", "--rewrite-server", server.url, "--rewrite-model", "b",
            cwd=labels, env=environment(MY_KEY="sk-secret-in-the-environment"),
        )  # fmt: skip
    assert ran.code == 0
    assert [line["rewrite"]["model"] for line in ran.records] == ["b"] * 5
    assert "sk-secret" not in ran.out + ran.err


def test_a_server_that_cannot_be_used_is_one_line_before_anything_is_replaced(here: Here, labels: Path) -> None:
    (labels / "old.jsonl").write_text("{}\n")
    with ChatServer() as server:
        gone = server.url
    ran = here("-o", "old.jsonl", "--overwrite", "--rewrite-server", gone)
    assert (ran.code, len(ran.said)) == (2, 1)
    assert "cannot be reached" in ran.said[0]
    assert (labels / "old.jsonl").read_text() == "{}\n"


def test_a_wrong_key_mid_way_is_one_line_that_does_not_show_it(here: Here, monkeypatch: pytest.MonkeyPatch) -> None:
    key = "sk-secret-0123456789"
    monkeypatch.setenv("MY_KEY", key)
    with ChatServer(lambda body: status(401, f"{key} has expired")) as server:
        ran = here("--rewrite-server", server.url, "--api-key-env", "MY_KEY")
    assert ran.code == 2
    assert "refuses the key (401: *** has expired); set MY_KEY to a valid key" in ran.said[-1]
    assert "sk-secret" not in ran.out + ran.err


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--rewrite-server", "http://localhost"], "does not look like the address"),
        (["--rewrite-model", "x"], "--rewrite-model: applies to a server; add --rewrite-server"),
        (["--rewrite-server", "http://h/v1", "--stage", "attributes"], "rewords the format cot only"),
        (["--rewrite-server", "http://h/v1", "--formats", "direct"], "rewords the format cot only"),
    ],
)
def test_options_of_a_server_that_make_no_sense_are_one_line(here: Here, arguments: list[str], words: str) -> None:
    ran = here(*arguments)
    assert (ran.code, ran.out, len(ran.said)) == (2, "", 1)
    assert words in ran.said[0]
