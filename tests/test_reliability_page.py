"""docs/reliability.md names only tests that exist."""

import ast
import re

from process import ROOT

PAGE = ROOT / "docs" / "reliability.md"


def test_every_promise_names_tests_that_exist() -> None:
    promised = PAGE.read_text(encoding="utf-8").partition("## Figures")[0]
    rows = [line for line in promised.splitlines() if line.startswith("|")]
    promises = [row for row in rows if not re.match(r"\|(-|\s*promise)", row)]
    assert len(promises) > 15
    defined = {
        node.name
        for file in (ROOT / "tests").rglob("test_*.py")
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8")))
        if isinstance(node, ast.FunctionDef)
    }
    for row in promises:
        named = set(re.findall(r"`(test_\w+)`", row))
        assert named, row
        assert named <= defined, row
