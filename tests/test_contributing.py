"""The paths through the code that CONTRIBUTING.md describes consist of functions that exist."""

import importlib
import operator
import re

import pytest
from process import ROOT

PATHS = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8").partition("### One photo through `realqa score`")[2]
STEPS = re.findall(r"`([\w/]+\.py): ([\w.]+)`", PATHS.partition("\n## ")[0])


@pytest.mark.parametrize(("file", "name"), STEPS, ids=lambda part: str(part))
def test_the_paths_for_contributors_name_functions_that_exist(file: str, name: str) -> None:
    (found,) = (path for path in (ROOT / "realqa_cli").rglob("*.py") if str(path).endswith(f"/{file}"))
    module = importlib.import_module(".".join(found.relative_to(ROOT).with_suffix("").parts))
    assert operator.attrgetter(name)(module)


def test_each_path_for_contributors_has_ten_steps() -> None:
    sections = PATHS.partition("\n## ")[0].split("\n### ")
    assert [len(re.findall(r"^\d+\. ", section, re.MULTILINE)) for section in sections] == [10, 10, 10]
