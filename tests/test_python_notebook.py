"""The notebook of `examples/python` runs, and shows scores, photos and a comparison."""

import asyncio
import re
from pathlib import Path
from typing import Any

import nbformat
import pytest
from nbclient import NotebookClient

FOLDER = Path(__file__).parents[1] / "examples" / "python"


@pytest.fixture(scope="module")
def cells() -> list[Any]:
    """The cells of the notebook after running it."""
    notebook = nbformat.read(FOLDER / "scores.ipynb", as_version=4)  # type: ignore[no-untyped-call]
    client = NotebookClient(notebook, timeout=120, resources={"metadata": {"path": str(FOLDER)}})
    ran: list[Any] = asyncio.run(client.async_execute())["cells"]
    return ran


def outputs(cells: list[Any], code: str) -> dict[str, str]:
    """The outputs of the cell that contains `code`, by MIME type."""
    (cell,) = [cell for cell in cells if cell["cell_type"] == "code" and code in cell["source"]]
    return {
        kind: text
        for output in cell["outputs"]
        for kind, text in output.get("data", {"print": output.get("text")}).items()
    }


@pytest.mark.slow
@pytest.mark.filterwarnings("default")
def test_the_notebook_runs_and_shows_what_its_text_says(cells: list[Any]) -> None:
    assert outputs(cells, "scorer = Scorer()")["text/plain"].startswith("Scorer('realqa-tiny'")
    shown = outputs(cells, 'bee = scorer.score(PHOTOS / "bee.jpg")')
    assert re.fullmatch(r"<.*bee\.jpg: \d\.\d\d ± \d\.\d\d on 1-5>", shown["text/plain"])
    assert "data:image/jpeg;base64," in shown["text/html"]
    same = re.findall(r": (\d\.\d\d) ±", outputs(cells, "GaussianBlur(3)")["text/plain"])
    assert len(same) == 5
    assert len({*same[:4]}) == 1, "a photo scores the same however it is passed"
    assert float(same[4]) < float(same[0])
    table = outputs(cells, "records.to_pandas()")["text/plain"].splitlines()
    assert "mountain.jpg" in table[1]
    assert "missing" in table[-1]
    assert outputs(cells, "scorer.compare(")["text/plain"].startswith("<P(A > B) = 0.9")
    assert "did you mean batch_size?" in outputs(cells, "batchsize")["print"]
