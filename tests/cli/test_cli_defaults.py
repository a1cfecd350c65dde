"""Every command runs on the bundled model without options, and error messages name only options that exist."""

import ast
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer
from chat_server import ChatServer
from made_labels import SAID

import realqa_cli
from realqa_cli.backends.base import BACKENDS, CAPABILITIES, LoadOptions, load
from realqa_cli.cli import main
from realqa_cli.cli.app import build_app
from realqa_cli.errors import UsageError
from realqa_cli.models import find

PACKAGE = Path(realqa_cli.__file__).parent
SAMPLE = Path(__file__).parents[2] / "examples" / "photos" / "bee.jpg"
LABEL = {
    "attributes": {"image_clarity": "very clear", "exposure": "properly exposed"},
    "annotator": {"model": "test"},
    "refined": False,
    "mos": 3.98,
    "mos_range": [1, 5],
}

ATTRIBUTES = [
    {"image_clarity": clarity, "exposure": exposure}
    for clarity, exposure in (
        ("very clear", "properly exposed"),
        ("very blurry", "underexposed"),
        ("moderately clear", "underexposed"),
    )
]


@pytest.fixture
def files(tmp_path: Path) -> dict[str, str]:
    """An input of each kind, by the word that stands for it in `RUNS`."""
    names = ("labels", "conversations", "scores", "rated")
    labels, conversations, scores, rated = (tmp_path / f"{name}.jsonl" for name in names)
    labels.write_text(json.dumps({"image": str(SAMPLE), **LABEL}) + "\n")
    conversation = {
        "messages": [
            {"role": "user", "content": "<image>Rate the aesthetics and quality of this image briefly."},
            {"role": "assistant", "content": "The score of this image is 3.98."},
        ],
        "images": [str(SAMPLE)],
        "format": "direct",
        "mos": 3.98,
        "mos_range": [1, 5],
    }
    conversations.write_text(json.dumps(conversation) + "\n")
    scores.write_text(
        "".join(
            json.dumps({"image": f"{i}", "score": 1 + i / 20, "scale": [1, 5], "mos": 1 + i % 7 / 9 + i / 25}) + "\n"
            for i in range(72)
        )
    )
    table = tmp_path / "table.csv"
    photos = [SAMPLE, SAMPLE.with_name("mountain.jpg"), SAMPLE.with_name("dogs.jpg")]
    table.write_text("image,mos\n" + "".join(f"{photo},{i}\n" for i, photo in enumerate(photos, 2)))
    rows = [{**LABEL, "image": f"{i}.jpg", "mos": 1 + i / 9, "attributes": ATTRIBUTES[i % 3]} for i in range(33)]
    rated.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return {
        "RATED": str(rated),
        "PHOTO": str(SAMPLE),
        "OTHER": str(SAMPLE.with_name("mountain.jpg")),
        **{name: str(tmp_path / f"{name.lower()}.jsonl") for name in ("SCORED", "ONE", "TWO")},
        **{name: str(tmp_path / f"{name.lower()}.json") for name in ("CALIBRATION", "WEIGHTS")},
        "csv:TABLE": f"csv:{table}",
        "BOARD": str(tmp_path / "board"),
        "RUN": str(tmp_path / "run"),
        "LABELS": str(labels),
        "CONVERSATIONS": str(conversations),
        "SCORES": str(scores),
    }


RUNS: dict[str, list[str]] = {
    "score": ["PHOTO"],
    "rank": ["PHOTO"],
    "compare": ["PHOTO", "OTHER"],
    "merge": ["SCORED"],
    "explain": ["PHOTO"],
    "doctor": [],
    "presets": [],
    "calibrate fit": ["SCORES", "--scores", "SCORES"],
    "calibrate apply": ["SCORES", "--calibration", "CALIBRATION"],
    "self-label": ["PHOTO"],
    "annotate": ["PHOTO", "--server", "URL"],
    "build-cot": ["LABELS"],
    "split": ["SCORES", "--output", "ONE", "--held-out", "TWO"],
    "train": ["CONVERSATIONS", "--output", "RUN"],
    "eval": ["SCORES"],
    "leaderboard": ["--models", "realqa-tiny", "--datasets", "csv:TABLE", "--output", "BOARD"],
    "ncm": ["CONVERSATIONS"],
    "sort-probe": [],
    "composite fit": ["RATED", "--target", "mos"],
    "composite apply": ["LABELS", "--weights", "WEIGHTS"],
}
"""Inputs and the options that a command cannot do without; a word in capitals is a file of the fixture `files`."""
SERVES = {"serve"}
"""Waits for connections; tests/steps/serve starts it on the bundled model."""
SLOW = {"doctor", "explain", "train", "sort-probe"}
SILENT = {"split", "train"}
"""Commands that write files, and nothing to stdout."""
INPUTS: dict[str, tuple[str, ...]] = {
    "SCORED": ("score", "PHOTO", "--backend", "echo", "-o", "SCORED"),
    "CALIBRATION": ("calibrate", "fit", "SCORES", "--scores", "SCORES", "-o", "CALIBRATION"),
    "WEIGHTS": ("composite", "fit", "RATED", "--target", "mos", "--bootstrap", "0", "-o", "WEIGHTS"),
}
"""The commands that make the inputs of others."""


def test_every_command_has_a_run() -> None:
    assert {*RUNS} | SERVES == {*parsers()}


@pytest.mark.parametrize("name", [pytest.param(name, marks=[pytest.mark.slow] * (name in SLOW)) for name in RUNS])
def test_a_command_runs_on_the_bundled_model_without_options(
    name: str, files: dict[str, str], capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("REALQA_MODEL", raising=False)
    with ChatServer(lambda body: json.dumps(SAID)) as server:
        words = {**files, "URL": server.url}
        for needed in (INPUTS[word] for word in RUNS[name] if word in INPUTS):
            assert main([words.get(word, word) for word in needed]) == 0, capfd.readouterr().err
        capfd.readouterr()
        code = main([*name.split(), *(words.get(word, word) for word in RUNS[name])])
    output = capfd.readouterr()
    assert code == 0, output.err
    assert all(json.loads(line) for line in output.out.splitlines())
    assert bool(output.out) == (name not in SILENT)


def test_a_named_backend_without_a_needed_capability_is_refused_with_those_that_have_it() -> None:
    source = find("realqa-tiny")
    with pytest.raises(UsageError, match=r"onnx does not support logits.*use one of: auto, hf$"):
        load("onnx", source, LoadOptions(), needs={"logits"})


def test_the_automatic_choice_takes_needs_into_account() -> None:
    source = find("realqa-tiny")
    assert load("auto", source, LoadOptions(), needs={"log_probs"}).settings()["backend"] == "onnx"
    assert load("auto", source, LoadOptions(), needs={"logits"}).settings()["backend"] == "hf"
    assert CAPABILITIES.keys() == BACKENDS.keys()


def parsers() -> dict[str, Any]:
    """Every command by its words: those of a group by two, as "composite fit"."""
    found: dict[str, Any] = {}
    group: Any = typer.main.get_command(build_app())
    for name, command in group.commands.items():
        below = getattr(command, "commands", None)
        found |= {f"{name} {verb}": one for verb, one in below.items()} if below else {name: command}
    return found


def options_of(name: str) -> set[str]:
    """The options of a command, or of all commands of a group."""
    chosen = [one for words, one in parsers().items() if words == name or words.startswith(f"{name} ")]
    return {"--help", "--help-all"}.union(*({*p.opts, *p.secondary_opts} for one in chosen for p in one.params))


VERBS = sorted({name.partition(" ")[0] for name in parsers()})
OPTION = re.compile(r"(?<![\w-])--[a-z][a-z0-9_-]+")
OURS = re.compile(rf"(?<!`)\brealqa (?=(?:{'|'.join(VERBS)}) )")
"""The start of a command in a text; a mere mention (`realqa score`) is none."""
OTHERS = re.compile(r"\b(?:pip install|hf download|vllm serve|accelerate launch|torchrun)\b[^;,:(]*|--num_processes")
"""Commands of other programs with their options."""


def texts(module: Path) -> Iterator[str]:
    """The texts of a module without its docstrings; X stands for what an f-string puts in."""
    tree = ast.parse(module.read_text(encoding="utf-8"))
    left_out = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    for node in ast.walk(tree):
        if isinstance(node, ast.JoinedStr):
            left_out |= {id(value) for value in node.values}
            yield "".join(str(value.value) if isinstance(value, ast.Constant) else "X" for value in node.values)
        elif isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in left_out:
            yield node.value


def named_options(text: str) -> set[str]:
    """The options in a text that are to be those of the command whose text it is.

    After "realqa VERB", options are those of this command, which is checked here.
    """
    own, *others = OURS.split(OTHERS.sub("", text))
    for other in others:
        verb, _, rest = other.partition(" ")
        assert set(OPTION.findall(rest)) <= options_of(verb), text
    return set(OPTION.findall(own))


SHARED = {"presets": {"--preset-file"}}
"""Options of other commands that the help of a command mentions."""


def test_texts_name_only_options_that_some_command_has() -> None:
    known = set().union(*map(options_of, VERBS)) | {"--version"}
    for module in PACKAGE.rglob("*.py"):
        for text in texts(module):
            assert named_options(text) <= known, (module, text)


@pytest.mark.parametrize("verb", VERBS)
def test_texts_of_a_command_name_only_its_own_options(verb: str) -> None:
    """Messages and help in the modules of the command and in the folder of its step."""
    name = verb.replace("-", "_")
    step = PACKAGE / "steps" / {"eval": "evaluate"}.get(name, name)
    modules = [*(PACKAGE / "cli").glob(f"{name}*.py"), *step.rglob("*.py")]
    assert modules
    for module in modules:
        for text in texts(module):
            assert named_options(text) <= options_of(verb) | SHARED.get(verb, set()), (module, text)


MISTAKES: dict[str, str] = {
    "--model": "nope",
    "--adapter": "nope",
    "--server": "nope",
    "--backend": "nope",
    "--device": "nope",
    "--dtype": "nope",
    "--quantize": "4bit",
    "--attention": "nope",
    "--method": "nope",
    "--decode": "nope",
    "--form": "nope",
    "--preset": "nope",
    "--preset-file": "nope.toml",
    "--scale": "9-1",
    "--shard": "9/3",
    "--engine": "nope",
    "--output": "no/such/folder/file.jsonl",
    "--report": "no/such/folder/report.html",
    "--plot": "no/such/folder/plot.png",
    "--calibration": "nope.json",
    "--weights": "nope.json",
    "--scores": "nope.jsonl",
    "--metric": "nope",
    "--attributes": "nope",
    "--objective": "nope",
    "--tuning": "nope",
    "--validation": "nope.jsonl",
    "--fsdp": "nope.json",
    "--formats": "nope",
    "--stage": "nope",
    "--dataset": "nope",
}
"""A mistake by option. The command line of each command that has the option is run with it."""
NO_MISTAKE = {"annotate --model", "split --output", "train --output", "leaderboard --output", "annotate --attributes"}
"""Where such a value is right: a name on the server, a folder that is made."""


@pytest.mark.parametrize("name", RUNS)
def test_what_a_command_prints_about_a_mistake_names_only_its_own_options(
    name: str, files: dict[str, str], capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The messages as printed, also those of the layers that all commands share."""
    monkeypatch.delenv("REALQA_MODEL", raising=False)
    monkeypatch.chdir(Path(files["ONE"]).parent)
    own = options_of(name)
    for option, value in MISTAKES.items():
        if option not in own or f"{name} {option}" in NO_MISTAKE:
            continue
        arguments = [files.get(word, word) for word in RUNS[name]]
        if option in arguments:
            del arguments[(at := arguments.index(option)) : at + 2]
        code = main([*name.split(), *arguments, option, value])
        message = capfd.readouterr().err
        assert code in ({1, 2} if name == "doctor" else {2}), (option, message)  # of doctor also a finding
        assert named_options(message) <= own, (option, message)
