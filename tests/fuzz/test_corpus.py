"""The texts that fuzzing has kept are read as every text must be: without a crash, and to finite values."""

import importlib.util
from collections.abc import Callable
from pathlib import Path

import pytest

CORPUS = sorted(path for path in (Path(__file__).parent / "corpus").iterdir() if path.is_file())
_SPEC = importlib.util.spec_from_file_location("fuzz_targets", Path(__file__).with_name("targets.py"))
assert _SPEC is not None
assert _SPEC.loader is not None
targets = importlib.util.module_from_spec(_SPEC)
_SPEC.loader.exec_module(targets)


def test_there_is_a_corpus() -> None:
    assert len(CORPUS) >= 10


@pytest.mark.parametrize("target", targets.TARGETS, ids=lambda target: target.__name__)
@pytest.mark.parametrize("file", CORPUS, ids=lambda path: path.name)
def test_a_text_of_the_corpus_is_read(file: Path, target: Callable[[str], None]) -> None:
    target(file.read_bytes().decode("utf-8", errors="replace"))
