"""The steps that `realqa sort-probe` prints for the paper's six models are commands that exist and work."""

import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import typer
from chat_server import ChatServer
from process import Ran

from realqa_cli import models
from realqa_cli.cli import main
from realqa_cli.cli.app import build_app
from realqa_cli.errors import ModelError

NAMES = sorted(models.SHORT_NAMES)
COMMAND = re.compile(r"realqa (sort-probe(?: --[a-z-]+ [^\s;]+)+)")
Sort = Callable[..., Ran]


@pytest.fixture
def sort(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Sort:
    """`realqa sort-probe ARGUMENTS` in this process, without a connection."""

    def no_connection(*arguments: object, **more: object) -> None:
        raise ModelError("cannot be downloaded from the hub", where="owner/name", remedy="check the connection")

    monkeypatch.setattr(models, "config_of", no_connection)
    monkeypatch.delenv("REALQA_MODEL", raising=False)

    def run(*arguments: str) -> Ran:
        code = main(["sort-probe", *arguments])
        return Ran(code, *capsys.readouterr())

    return run


def printed(name: str, sort: Sort) -> str:
    ran = sort("--model", name)
    assert (ran.code, ran.out, len(ran.said)) == (2, "", 1)
    return ran.said[0]


def parsed(arguments: list[str]) -> dict[str, Any]:
    """The values that our own parser reads; it raises an error for an unknown option."""
    command = typer.main.get_command(build_app(["sort-probe"])).commands["sort-probe"]  # type: ignore[attr-defined]
    context = command.make_context("sort-probe", arguments)
    return {name: value for name, value in context.params.items() if value}


@pytest.mark.parametrize("name", NAMES)
def test_our_own_parser_reads_every_printed_command(name: str, sort: Sort) -> None:
    said = printed(name, sort)
    commands = [command.rstrip(".").split()[1:] for command in COMMAND.findall(said)]
    read = [parsed(arguments) for arguments in commands]
    assert {"model": [name], "server": "http://localhost:8000/v1"} in read
    fetched = {"model": [models.SHORT_NAMES[name].rpartition("/")[2]]}
    assert (fetched in read) == (name not in models.NEEDS_SERVER)
    assert len(read) == said.count("realqa sort-probe"), "every command in the message is checked"
    if "Or try its code here by " in said:
        options = said.rpartition("Or try its code here by ")[2].split()
        assert parsed(["--model", name, *options]) == {
            "model": [name], "trust_remote_code": True, "revision": ["COMMIT"],
        }  # fmt: skip


@pytest.mark.parametrize("name", [name for name in NAMES if name not in models.NEEDS_SERVER])
def test_the_download_is_a_command_of_the_hub_s_own_tool(name: str, sort: Sort) -> None:
    step = re.search(r"hf (download) (\S+) (--local-dir) ([^\s,]+)", printed(name, sort))
    assert step
    verb, repository, option, folder = step.groups()
    ran = subprocess.run(
        [Path(sys.executable).parent / "hf", verb, "--help"], capture_output=True, text=True, check=True
    )
    assert re.search(rf"{verb} .*REPO_ID", ran.stdout)
    assert re.search(rf"^ *{option} ", ran.stdout, re.MULTILINE)
    assert (repository, folder) == (models.SHORT_NAMES[name], repository.rpartition("/")[2])


@pytest.mark.parametrize("name", NAMES)
def test_the_printed_command_for_a_server_probes_the_model_that_the_printed_server_has(name: str, sort: Sort) -> None:
    said = printed(name, sort)
    served = re.search(r"vllm serve (\S+?)(?=[ ;])", said)
    command = next(command for command in COMMAND.findall(said) if "--server" in command)
    with ChatServer(lambda body: "[1, 2]", models=[served[1] if served else name]) as server:
        arguments = command.rstrip(".").replace("http://localhost:8000/v1", server.url).split()[1:]
        ran = sort(*arguments, "--trials", "2", "--json")
    assert ran.code == 0, ran.err
    assert [record["model"] for record in ran.records] == [name]
    assert {body["model"] for body in server.bodies} == {served[1] if served else name}
