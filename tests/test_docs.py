"""The documentation: generated pages are up to date, and they name every field that the commands write."""

import argparse
import itertools
import json
import os
import re
import runpy
import shlex
import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
import typer
from process import ROOT, Realqa
from pydantic import BaseModel

from realqa_cli import __version__
from realqa_cli.cli.app import build_app
from realqa_cli.io import records, summary_records

DOCS = ROOT / "docs"
PAGES = sorted({*DOCS.rglob("*.md"), ROOT / "README.md", ROOT / "CONTRIBUTING.md", *(ROOT / "examples").rglob("*.md")})


@pytest.mark.parametrize("name", ["commands", "records"])
def test_generated_pages_are_up_to_date(name: str) -> None:
    made = runpy.run_path(str(DOCS / f"make_{name}.py"))
    assert (DOCS / "reference" / f"{name}.md").read_text(encoding="utf-8") == made["page"](), "run `make docs`"


def test_every_field_of_a_record_has_a_meaning_and_says_when_it_is_present() -> None:
    made = runpy.run_path(str(DOCS / "make_records.py"))
    for model in made["SHOWN"]:
        texts = made["docstrings"](model)
        assert set(model.model_fields) == set(texts)
        assert [name for name, text in texts.items() if " Present: " not in text] == []


def undocumented(model: type[BaseModel], lines: str, passed: set[str]) -> set[str]:
    """The fields in JSON Lines that neither the model nor the input has."""
    found: list[dict[str, Any]] = [json.loads(line) for line in lines.splitlines()]
    assert found
    return {key for record in found for key in record} - set(model.model_fields) - passed


def test_every_field_that_commands_write_is_documented(realqa_here: Realqa, photos: Path, tmp_path: Path) -> None:
    mos = photos / "mos.jsonl"
    passed = set(json.loads(mos.read_text(encoding="utf-8").splitlines()[0]))
    labels, weights = tmp_path / "labels.jsonl", tmp_path / "weights.json"
    scored = realqa_here("score", mos, "--distribution").out
    chained = realqa_here("score", mos, "--method", "cot", "--limit", "1").out
    levels = realqa_here("score", mos, "--method", "levels", "--limit", "1").out
    labelled = realqa_here("self-label", mos).out
    labels.write_text(labelled, encoding="utf-8")
    realqa_here("composite", "fit", labels, "--target", "mos", "--bootstrap", "0", "-o", weights)
    rated = realqa_here("composite", "apply", labels, "--weights", weights).out
    (tmp_path / "scores.jsonl").write_text(scored, encoding="utf-8")
    measured = realqa_here("eval", tmp_path / "scores.jsonl", "--json").out
    for model, lines in (
        (records.ScoreRecord, scored),
        (records.CotRecord, chained),
        (records.LevelRecord, levels),
        (records.LabelRecord, labelled),
        (summary_records.CompositeRecord, rated),
        (summary_records.MetricRecord, measured),
    ):
        assert undocumented(model, lines, passed) == set(), model.__name__


def test_the_site_builds_strictly_and_loads_nothing_from_elsewhere(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "mkdocs", "build", "--quiet", "--strict", "--site-dir", str(tmp_path / "site")]
    quiet = os.environ | {"NO_MKDOCS_2_WARNING": "1", "PYTHONPATH": str(ROOT)}
    ran = subprocess.run(command, cwd=ROOT, env=quiet, capture_output=True, text=True)
    assert ran.returncode == 0, ran.stderr
    pages = list((tmp_path / "site").rglob("*.html"))
    assert len(pages) > 20
    for page in pages:
        loaded = re.findall(r"<(?:script|link|img|iframe|source)\b[^>]+", page.read_text(encoding="utf-8"))
        assert [tag for tag in loaded if re.search(r"(?:src|href)=\"?https?://", tag)] == [], page
    assert "<math" in (tmp_path / "site" / "method" / "index.html").read_text(encoding="utf-8")


def shell_blocks(page: Path) -> list[str]:
    """The lines of the blocks of commands on a page, each command on one line."""
    blocks = re.findall(r"```(?:sh|text|)\n(.*?)```", page.read_text(encoding="utf-8"), re.DOTALL)
    return [line for block in blocks for line in block.replace("\\\n", " ").splitlines()]


def words_of(call: str) -> list[str]:
    """The words of a command up to a pipe, a redirection or a comment."""
    lexer = shlex.shlex(call, posix=True, punctuation_chars=True)
    lexer.whitespace_split = True
    return [*itertools.takewhile(lambda word: not set(word) <= set("|&;<>()"), lexer)]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_commands_in_the_documents_can_be_parsed(page: Path) -> None:
    """Also those that `accelerate launch` and `torchrun` start."""
    if {"experiments", "reference"} & {*page.parts}:
        return  # they quote what was run at that date, or are generated and show the options without values
    commands: Any = typer.main.get_command(build_app())
    for line in shell_blocks(page):
        for call in re.findall(r"(?:^|[|$;(] *|-m )realqa(?:_cli)? (.*)", line):
            name, *arguments = words_of(call)
            if name.startswith("-"):
                continue  # an option of the program itself
            with suppress(SystemExit):  # --help
                commands.commands[name].make_context(name, arguments)


class Parsed(Exception):
    """A script has parsed its command line."""


PAPER_README = ROOT / "examples" / "paper" / "README.md"
SCRIPT_CALLS = re.findall(r"(?:examples/paper/|`)(\w+\.py) (--[^`\n]*)", PAPER_README.read_text(encoding="utf-8"))


@pytest.mark.parametrize(("script", "options"), SCRIPT_CALLS)
def test_commands_of_the_paper_scripts_can_be_parsed(
    script: str, options: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    parse = argparse.ArgumentParser.parse_args

    def parse_only(self: argparse.ArgumentParser) -> None:
        parse(self)
        raise Parsed

    monkeypatch.setattr(argparse.ArgumentParser, "parse_args", parse_only)
    monkeypatch.setattr(sys, "argv", [script, *shlex.split(options)])
    monkeypatch.syspath_prepend(PAPER_README.parent)
    with pytest.raises(Parsed):
        runpy.run_path(str(PAPER_README.parent / script), run_name="__main__")


def test_the_table_of_the_paper_scripts_has_a_command_for_each_table() -> None:
    assert len(SCRIPT_CALLS) > 10
    assert {script for script, _ in SCRIPT_CALLS} >= {
        path.name for path in PAPER_README.parent.glob("table_*.py") if path.name != "table_1_attributes.py"
    }


def test_the_version_is_the_same_everywhere() -> None:
    texts = {
        name: (ROOT / name).read_text(encoding="utf-8") for name in ("CITATION.cff", "CHANGELOG.md", "docs/citing.md")
    }
    cited = re.search(r"^version: (.+)$", texts["CITATION.cff"], re.MULTILINE)
    dated = re.search(r"^date-released: (.+)$", texts["CITATION.cff"], re.MULTILINE)
    assert cited is not None
    assert dated is not None
    assert cited[1] == __version__
    assert f"## [{__version__}] - {dated[1]}" in texts["CHANGELOG.md"]
    assert f"version = {{{__version__}}}" in texts["docs/citing.md"]
