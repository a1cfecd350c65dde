"""Every command runs on the bundled model without options, and error messages name only options that exist."""

import ast
import json
import re
from pathlib import Path
from typing import Any

import pytest
import typer

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


@pytest.fixture
def files(tmp_path: Path) -> dict[str, str]:
    """An input of each kind, by the word that stands for it in `DEFAULT_RUNS`."""
    labels, conversations, scores = (tmp_path / f"{name}.jsonl" for name in ("labels", "conversations", "scores"))
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
    scores.write_text("".join(json.dumps({"image": f"{i}", "score": i / 9, "mos": i / 9}) + "\n" for i in range(9, 40)))
    return {
        "PHOTO": str(SAMPLE),
        "LABELS": str(labels),
        "CONVERSATIONS": str(conversations),
        "SCORES": str(scores),
    }


DEFAULT_RUNS = (
    ("score", "PHOTO"),
    ("self-label", "PHOTO"),
    ("build-cot", "LABELS"),
    ("ncm", "CONVERSATIONS"),
    ("eval", "SCORES"),
)


@pytest.mark.parametrize("words", DEFAULT_RUNS, ids=lambda words: words[0])
def test_a_command_runs_on_the_bundled_model_without_options(
    words: tuple[str, ...], files: dict[str, str], capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("REALQA_MODEL", raising=False)
    code = main([files.get(word, word) for word in words])
    output = capfd.readouterr()
    assert code == 0, output.err
    assert all(json.loads(line) for line in output.out.splitlines())
    assert output.out


def test_a_named_backend_without_a_needed_capability_is_refused_with_those_that_have_it() -> None:
    source = find("realqa-tiny")
    with pytest.raises(UsageError, match=r"onnx does not support logits.*use one of: auto, hf$"):
        load("onnx", source, LoadOptions(), needs={"logits"})


def test_the_automatic_choice_takes_needs_into_account() -> None:
    source = find("realqa-tiny")
    assert load("auto", source, LoadOptions(), needs={"log_probs"}).settings()["backend"] == "onnx"
    assert load("auto", source, LoadOptions(), needs={"logits"}).settings()["backend"] == "hf"
    assert CAPABILITIES.keys() == BACKENDS.keys()


def commands() -> dict[str, set[str]]:
    """The options of each command, by the module in `realqa_cli.cli` that defines it."""
    found: dict[str, set[str]] = {}
    for command in typer.main.get_command(build_app()).commands.values():  # type: ignore[attr-defined]
        for each in getattr(command, "commands", {"": command}).values():
            module = each.callback.__module__.rpartition(".")[2]
            found.setdefault(module, set()).update(
                option for p in each.params for option in (*p.opts, *p.secondary_opts)
            )
    return found


def error_options(module: Path) -> set[str]:
    """The options that errors raised in a module name in `where` and `remedy`.

    After "realqa VERB" in a text, options are those of this command.
    """
    options: set[str] = set()
    for node in ast.walk(ast.parse(module.read_text(encoding="utf-8"))):
        if isinstance(node, ast.keyword) and node.arg in {"where", "remedy"}:
            texts = [n.value for n in ast.walk(node.value) if isinstance(n, ast.Constant) and isinstance(n.value, str)]
            options |= {option for text in texts for option in own_options(text)}
    return options - {"--help"}


def own_options(text: str) -> set[str]:
    own, *others = re.split(r"\brealqa (?=[a-z-]+ )", text)
    for other in others:
        verb, _, rest = other.partition(" ")
        assert set(OPTION.findall(rest)) <= commands()[verb.replace("-", "_")] | {"--help"}, text
    return set(OPTION.findall(own))


OPTION = re.compile(r"(?<![\w-])--[a-z][a-z-]+")


def test_errors_name_only_options_that_some_command_has() -> None:
    known = set().union(*commands().values())
    for module in PACKAGE.rglob("*.py"):
        assert error_options(module) <= known, module


@pytest.mark.parametrize("verb", sorted(commands()))
def test_errors_of_a_command_name_only_its_own_options(verb: str) -> None:
    """Errors in the module of the command and in the folder of its step."""
    step = PACKAGE / "steps" / {"eval": "evaluate"}.get(verb, verb)
    modules = [*(PACKAGE / "cli").glob(f"{verb}*.py"), *step.rglob("*.py")]
    options = {name: opts for name, opts in commands().items() if name == verb}[verb]
    for module in modules:
        assert error_options(module) <= options, module


def test_errors_of_ncm_do_not_name_options_that_it_lacks(
    files: dict[str, str], capfd: pytest.CaptureFixture[str]
) -> None:
    """The messages as printed, for the mistakes that a user of `realqa ncm` can make."""
    options = commands()["ncm"]
    for more in (
        ["--device", "nope"],
        ["--dtype", "nope"],
        ["--model", "nope"],
        ["--quantize", "4bit"],
        ["--plot", "x.png"],
    ):
        assert main(["ncm", files["CONVERSATIONS"], *more]) == 2
        message: Any = capfd.readouterr().err
        assert set(re.findall(OPTION.pattern, message)) <= options, message
