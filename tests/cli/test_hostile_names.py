"""A file name that is not UTF-8 and holds control characters, through everything that writes text.

No command fails because of the name, no control character of it reaches a terminal, and what is read again names the file.
"""

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from chat_server import ChatServer
from made_labels import SAID
from process import PHOTOS, Ran, Realqa

HOSTILE = b"\xff\x1b[31m\x07<b>&.jpg"
NAME = os.fsdecode(HOSTILE)
ECHO = ("--backend", "echo")


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder, with a folder `in` of two photos, of which one has the name."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "in").mkdir()
    shutil.copy(PHOTOS / "bee.jpg", tmp_path / "in" / "plain.jpg")
    try:
        shutil.copy(PHOTOS / "bee.jpg", tmp_path / "in" / NAME)
    except OSError:
        pytest.skip("the file system takes names in UTF-8 only")
    return tmp_path


def shows_no_control_characters(text: str) -> bool:
    return not {chr(code) for code in (*range(9), *range(11, 32), 127, *range(128, 160))} & set(text)


def names_of(file: Path) -> set[str]:
    """The file names of JSON Lines."""
    return {Path(json.loads(line)["image"]).name for line in file.read_text().splitlines()}


def nothing(folder: Path) -> None:
    """What is on the streams is all there is."""


def json_lines(folder: Path) -> None:
    assert names_of(folder / "x.jsonl") == {NAME, "plain.jpg"}
    assert shows_no_control_characters((folder / "x.jsonl").read_text())


def a_manifest(folder: Path) -> None:
    assert json.loads((folder / "x.jsonl.run.json").read_text(encoding="utf-8"))


def a_file_in_utf8(name: str) -> Callable[[Path], None]:
    def check(folder: Path) -> None:
        assert (folder / name).read_text(encoding="utf-8")

    return check


def a_page(folder: Path) -> None:
    text = (folder / "x.html").read_text(encoding="utf-8")
    assert "<b>&.jpg" not in text
    assert shows_no_control_characters(text)


def sidecars(folder: Path) -> None:
    assert (folder / "in" / f"{NAME}.xmp").is_file()
    assert (folder / "in" / "plain.jpg.xmp").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("arguments", "check"),
    [
        pytest.param(["score", "in", *ECHO, "-o", "x.jsonl"], json_lines, id="JSON Lines"),
        pytest.param(["score", "in", *ECHO, "-o", "x.jsonl"], a_manifest, id="manifest"),
        pytest.param(["score", "in", *ECHO, "-o", "x.csv"], a_file_in_utf8("x.csv"), id="CSV"),
        pytest.param(["score", "in", *ECHO, "--report", "x.html"], a_page, id="report"),
        pytest.param(["rank", "in", *ECHO, "--report", "x.html"], a_page, id="report of a ranking"),
        pytest.param(["rank", "in", *ECHO, "--xmp"], sidecars, id="XMP sidecars"),
        pytest.param(["rank", "in", *ECHO, "--table"], nothing, id="table of a ranking"),
        pytest.param(["score", "in", *ECHO, "--table"], nothing, id="table"),
        pytest.param(["score", "in", *ECHO], nothing, id="stdout"),
        pytest.param(["score", "in", *ECHO, "--progress", "json"], nothing, id="log"),
        pytest.param(["score", "in", *ECHO, "--metrics-file", "x.prom"], a_file_in_utf8("x.prom"), id="metrics file"),
        pytest.param(["self-label", "in", *ECHO, "-o", "x.jsonl"], json_lines, id="labels"),
    ],
)
def test_a_sink_writes_the_name(
    realqa_here: Realqa, folder: Path, arguments: list[str], check: Callable[[Path], None]
) -> None:
    ran = realqa_here(*arguments)
    assert ran.code == 0, ran.err
    assert_is_shown_safely(ran)
    check(folder)


def assert_is_shown_safely(ran: Ran) -> None:
    assert shows_no_control_characters(ran.out)
    assert shows_no_control_characters(ran.err)
    assert "unexpected" not in ran.err


def test_parquet_keeps_the_row(realqa_here: Realqa, folder: Path) -> None:
    pytest.importorskip("pyarrow")
    assert_is_shown_safely(realqa_here("score", "in", *ECHO, "-o", "x.parquet"))
    ran = realqa_here("rank", "x.parquet")
    assert_is_shown_safely(ran)
    assert len(ran.records) == 2


def test_what_was_written_is_read_again(realqa_here: Realqa, folder: Path) -> None:
    assert realqa_here("score", "in", *ECHO, "-o", "x.jsonl").code == 0
    for arguments in (
        ["score", "in", *ECHO, "-o", "x.jsonl"],
        ["merge", "x.jsonl", "-o", "merged.csv"],
        ["split", "x.jsonl", "--share", "0.5", "-o", "fit.jsonl", "--held-out", "dev.jsonl"],
        ["rank", "x.jsonl"],
    ):
        ran = realqa_here(*arguments)
        assert ran.code == 0, ran.err
        assert_is_shown_safely(ran)
    assert names_of(folder / "fit.jsonl") | names_of(folder / "dev.jsonl") == {NAME, "plain.jpg"}


def test_a_ledger_of_paid_replies_and_its_records_take_the_name(realqa_here: Realqa, folder: Path) -> None:
    with ChatServer(lambda body: json.dumps(SAID)) as server:
        ran = realqa_here("annotate", "in", "--server", server.url, "--model", "tiny", "-o", "x.jsonl")
    assert ran.code == 0, ran.err
    assert_is_shown_safely(ran)
    json_lines(folder)


@pytest.mark.parametrize("form", ["--latex", "--table", "--json"])
def test_the_name_of_a_file_of_predictions_is_shown_safely(realqa_here: Realqa, folder: Path, form: str) -> None:
    rows = "".join(json.dumps({"image": f"{i}.jpg", "score": i, "mos": i * i}) + "\n" for i in range(24))
    for name in (f"{NAME}.jsonl", "plain.jsonl"):
        (folder / name).write_text(rows)
    ran = realqa_here("eval", f"{NAME}.jsonl", "plain.jsonl", "--bootstrap", 0, form)
    assert ran.code == 0, ran.err
    assert_is_shown_safely(ran)


def test_an_error_about_the_name_is_one_safe_line(realqa_here: Realqa, folder: Path) -> None:
    (folder / "in" / NAME).write_bytes(b"no photo")
    ran = realqa_here("score", "in", *ECHO)
    assert ran.code == 1
    assert_is_shown_safely(ran)
    wrong = realqa_here("score", f"{NAME}.nowhere", *ECHO)
    assert_is_shown_safely(wrong)
