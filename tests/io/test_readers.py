"""pandas, polars, DuckDB and datasets read our JSON Lines as docs/guides/read-records.md says.

The hard case is a file whose first error record, and whose first flag, come after 30,000 records without any.
"""

import importlib
import json
import re
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from process import PHOTOS, ROOT

from realqa_cli.cli import main
from realqa_cli.io.export import records_file

GOOD = 30_000
SNIPPETS = {
    re.findall(r"import (\w+)|from (\w+)", code)[0]: code
    for code in re.findall(r"```python\n(.*?)```", (ROOT / "docs/guides/read-records.md").read_text(), re.DOTALL)
}
"""The code of the guide, by the library that it imports first."""

ROW: Mapping[str, Callable[[Any, int], Mapping[str, Any]]] = {
    "pandas": lambda table, i: table.iloc[i].to_dict(),
    "polars": lambda table, i: table.row(i, named=True),
    "duckdb": lambda table, i: dict(zip(table.columns, table.fetchall()[i], strict=True)),
    "datasets": lambda table, i: table[i],
}
"""Row `i` of what each library returns, by column."""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with scores.jsonl: good records, one of a blank photo, and one of a missing photo."""
    folder = tmp_path_factory.mktemp("records")
    output = folder / "scores.jsonl"
    blank = folder / "blank.png"
    Image.new("RGB", (200, 200), "gray").save(blank)
    sources = [PHOTOS / "bee.jpg", blank, folder / "missing.jpg"]
    assert main(["score", *map(str, sources), "--backend", "echo", "-q", "-o", str(output)]) == 1
    good, *late = output.read_text().splitlines(keepends=True)
    output.write_text(good * GOOD + "".join(late))
    return folder


def test_the_guide_covers_the_usual_libraries() -> None:
    assert {"".join(name) for name in SNIPPETS} == ROW.keys()


@pytest.mark.parametrize("library", ROW)
@pytest.mark.filterwarnings("default")
def test_a_late_error_and_a_late_flag_are_read(library: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip(library, reason="pip install --group readers")
    monkeypatch.chdir(folder)
    monkeypatch.setenv("HF_DATASETS_DISABLE_PROGRESS_BARS", "1")
    names: dict[str, Any] = {}
    code = next(code for name, code in SNIPPETS.items() if library in name)
    if library == "datasets":
        code = code.replace('split="train"', f'split="train", cache_dir={str(folder / "cache")!r}')
    exec(code, names)
    rows = [ROW[library](names["table"], i) for i in (0, GOOD, GOOD + 1)]
    assert rows[0]["error"] is None
    assert list(rows[1]["flags"]) == ["blank"]
    assert rows[2]["error"]["type"] == "missing"
    assert "no such file" in rows[2]["error"]["message"]


PARQUET: Mapping[str, Callable[[str, Path], Any]] = {
    "pandas": lambda file, _: importlib.import_module("pandas").read_parquet(file),
    "polars": lambda file, _: importlib.import_module("polars").read_parquet(file),
    "duckdb": lambda file, _: importlib.import_module("duckdb").sql(f"FROM '{file}'"),
    "datasets": lambda file, cache: importlib.import_module("datasets").load_dataset(
        "parquet", data_files=file, split="train", cache_dir=str(cache)
    ),
}
"""Default settings, by library."""


@pytest.fixture(scope="module")
def parquet(folder: Path) -> str:
    """The same records in scores.parquet."""
    pytest.importorskip("pyarrow")
    output = folder / "scores.parquet"
    for suffix in ("", ".run.json"):
        shutil.copy(f"{folder / 'scores.jsonl'}{suffix}", f"{records_file(output)}{suffix}")
    again = [str(folder / "missing.jpg"), "--backend", "echo", "-q", "-o", str(output)]
    assert main(["score", *again]) == 1
    return str(output)


@pytest.mark.parametrize("library", PARQUET)
@pytest.mark.filterwarnings("default")
def test_parquet_needs_no_setting(library: str, parquet: str, folder: Path) -> None:
    pytest.importorskip(library, reason="pip install --group readers")
    table = PARQUET[library](parquet, folder / "cache")
    assert ROW[library](table, 0)["error_type"] != "missing"
    late = ROW[library](table, GOOD + 1)
    assert late["error_type"] == "missing"
    assert "no such file" in late["error_message"]


def test_the_records_of_a_run_have_the_same_fields(folder: Path) -> None:
    records = [json.loads(line) for line in (folder / "scores.jsonl").read_text().splitlines()[-3:]]
    assert [record.keys() for record in records] == [records[0].keys()] * 3
    assert [record["error"] is None for record in records] == [True, True, False]
