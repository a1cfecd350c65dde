"""The page on troubleshooting quotes messages as the package writes them, and lists every type of error."""

import ast
import re
from collections.abc import Iterator

import pytest
from process import ROOT

TREES = [ast.parse(module.read_text(encoding="utf-8")) for module in sorted((ROOT / "realqa_cli").rglob("*.py"))]
TROUBLES = (ROOT / "docs" / "troubleshooting.md").read_text(encoding="utf-8")


def messages() -> Iterator[str]:
    """The texts in the source of the package, with `...` for what a message fills in."""
    for node in (node for tree in TREES for node in ast.walk(tree)):
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield re.sub(r"%[.\d]*[a-z]", "...", node.value)
        elif isinstance(node, ast.JoinedStr):
            yield "".join(str(part.value) if isinstance(part, ast.Constant) else "..." for part in node.values)


QUOTED = re.findall("`(.*?)`", "\n".join(re.findall("^### (.*`.*)$", TROUBLES, re.MULTILINE)))


@pytest.mark.parametrize("quoted", QUOTED)
def test_messages_in_the_page_on_troubleshooting_are_those_of_the_package(quoted: str) -> None:
    wanted = re.sub(r"^\.\.\.:? ?|: \.\.\.$", "", quoted)
    assert len(wanted) > 10
    assert any(wanted in message for message in messages())


def error_types() -> set[str]:
    """The `error.type` of the errors that the package raises by name."""
    calls = [node for tree in TREES for node in ast.walk(tree) if isinstance(node, ast.Call)]
    raised = [call for call in calls if getattr(call.func, "id", "").endswith("Error")]
    return {
        str(keyword.value.value)
        for call in raised
        for keyword in call.keywords
        if keyword.arg == "type" and isinstance(keyword.value, ast.Constant)
    }


def test_every_type_of_error_is_on_the_page_on_troubleshooting() -> None:
    rows = re.findall(r"^\| (`.*?) \|", TROUBLES, re.MULTILINE)
    listed = {name for row in rows for name in re.findall("`(.*?)`", row)}
    assert len(listed) > 15
    assert error_types() - {"no target"} <= listed, 'the feedback of `realqa composite` writes "no target" itself'
