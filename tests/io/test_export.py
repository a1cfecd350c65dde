"""Outputs in other formats: flat columns, continued from a durable file, written as a whole, and read back."""

import csv
import gzip
import json
from pathlib import Path
from typing import Any

import pyarrow.parquet
import pytest

from realqa_cli.errors import OutputError, UsageError
from realqa_cli.io import export, parquet
from realqa_cli.io.export import ExportFile, records_file
from realqa_cli.io.flat import flat, nested
from realqa_cli.io.labels import read_label_rows

SCORED: dict[str, Any] = {
    "image": "a,b.jpg", "score": 3.875, "mode": 3.9, "std": 0.25, "interval": [3.5, 4.25], "mass": 0.999,
    "scale": [1.0, 5.0], "method": "cot", "text": "1.2 Composition Score: 7\n2.6 Level Shot: yes", "run": "0123456789012345",
    "flags": ["blank", "tiny"], "distribution": [[3.5, 0.25], [4.0, 0.75]],
    "attributes": {
        "composition": {"score": 7, "reason": "1"},
        "subject_background": {"subject": "bed", "background": "room"},
        "level_shot": "yes",
    },
    "mos": 4, "mos_range": [1, 5], "camera": "X-T3", "exif": {"iso": 400}, "exposure": "1/60", "error": None,
}  # fmt: skip
FAILED: dict[str, Any] = {
    "image": "bad.jpg", "score": None, "interval": None, "scale": None, "flags": None, "attributes": None,
    "error": {"type": "decode", "message": 'bad.jpg: "broken", twice'},
}  # fmt: skip
SUFFIXES = ("x.csv", "x.parquet", "x.jsonl.gz")


def key_of(record: Any) -> Any:
    return None if record.get("error") else record["image"]


def written(output: Path, *records: dict[str, Any], **how: Any) -> Path:
    with ExportFile(output, key=key_of, **how) as file:
        for record in records:
            file.append(record)
    return output


def test_nested_fields_become_columns() -> None:
    row = flat(SCORED)
    assert (row["interval_low"], row["interval_high"], row["scale_low"], row["mos_range_high"]) == (3.5, 4.25, 1.0, 5)
    assert (row["composition"], row["composition_reason"], row["level_shot"]) == (7, "1", "yes")
    assert (row["subject"], row["background"], row["flags"]) == ("bed", "room", "blank, tiny")
    assert row["distribution_values"] == [3.5, 4.0]
    assert row["distribution_probabilities"] == [0.25, 0.75]
    assert row["input.exposure"] == "1/60"
    assert json.loads(str(row["exif"])) == {"iso": 400}
    assert list(row)[-2:] == ["error_type", "error_message"]
    assert (flat(FAILED)["error_type"], flat(FAILED)["interval_low"]) == ("decode", None)


@pytest.mark.parametrize("name", SUFFIXES)
def test_records_come_back_as_they_were(name: str, tmp_path: Path) -> None:
    output = written(tmp_path / name, SCORED, FAILED)
    scored, failed = (row.record for row in read_label_rows(str(output)))
    assert {k: v for k, v in scored.items() if v is not None} == {k: v for k, v in SCORED.items() if v is not None}
    assert {k: v for k, v in failed.items() if v is not None} == {"image": "bad.jpg", "error": FAILED["error"]}


def test_a_cell_that_looks_like_a_number_stays_text_where_the_field_is_text() -> None:
    assert nested({"image": "12", "score": "3.5", "note": "007", "error_type": ""}, text=True) == {
        "image": "12", "score": 3.5, "note": "007",
    }  # fmt: skip


def test_parquet_has_types(tmp_path: Path) -> None:
    table = pyarrow.parquet.read_table(written(tmp_path / "x.parquet", FAILED, SCORED))
    types = {field.name: str(field.type) for field in table.schema}
    assert (types["score"], types["composition"], types["image"]) == ("double", "int64", "string")
    assert types["distribution_values"] == "list<element: double>"
    assert table["score"].to_pylist() == [None, 3.875]


def test_names_that_are_not_utf8_are_escaped(tmp_path: Path) -> None:
    record = {"image": "caf\udce9.jpg", "score": 1.0}
    for name in ("x.csv", "x.parquet"):
        (row,) = read_label_rows(str(written(tmp_path / name, record)))
        assert row.record["image"] == r"caf\udce9.jpg"


@pytest.mark.parametrize("name", SUFFIXES)
def test_a_later_run_continues_and_equal_records_give_equal_files(name: str, tmp_path: Path) -> None:
    output = written(tmp_path / name, SCORED, FAILED)
    before = output.read_bytes()
    with ExportFile(output, key=key_of) as file:
        assert file.take("a,b.jpg")
        assert not file.append(FAILED)
    assert output.read_bytes() == before
    written(output, {"image": "c.jpg", "score": 2.0})
    assert [row.record["image"] for row in read_label_rows(str(output))] == ["a,b.jpg", "bad.jpg", "c.jpg"]
    assert records_file(output).exists() == (name != "x.jsonl.gz")


@pytest.mark.parametrize("name", SUFFIXES)
def test_an_interrupted_run_has_written_what_it_did(name: str, tmp_path: Path) -> None:
    def interrupted() -> None:
        with ExportFile(tmp_path / name, key=key_of) as file:
            file.append(SCORED)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert [row.name for row in read_label_rows(str(tmp_path / name))] == [str(tmp_path / "a,b.jpg")]
    assert records_file(tmp_path / name).exists()


def test_a_run_that_fails_leaves_the_earlier_table_and_keeps_its_records(tmp_path: Path) -> None:
    output = written(tmp_path / "x.csv", SCORED)
    before = output.read_bytes()

    def failing() -> None:
        with ExportFile(output, key=key_of) as file:
            file.append({"image": "c.jpg", "score": 2.0})
            raise RuntimeError

    with pytest.raises(RuntimeError):
        failing()
    assert output.read_bytes() == before
    assert len(records_file(output).read_text().splitlines()) == 2


def test_a_table_whose_records_are_gone_is_not_continued(tmp_path: Path) -> None:
    output = written(tmp_path / "x.csv", SCORED)
    records_file(output).unlink()
    with pytest.raises(OutputError, match=r"x\.csv\.records\.jsonl is gone; add --overwrite"):
        written(output, SCORED)
    written(output, FAILED, resume=False, overwrite=True)
    with output.open(newline="") as lines:
        assert [row["image"] for row in csv.DictReader(lines)] == ["bad.jpg"]


def test_a_damaged_gzip_file_is_an_error_and_not_a_shorter_file(tmp_path: Path) -> None:
    output = tmp_path / "x.jsonl.gz"
    output.write_bytes(gzip.compress(b'{"image": "a.jpg"}\n' * 1000)[:-20])
    with pytest.raises(UsageError, match="cannot be decompressed"):
        list(read_label_rows(str(output)))


def test_parquet_without_its_package_names_the_remedy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parquet, "find_spec", lambda name: None)
    with pytest.raises(UsageError, match=r"pip install 'realqa\[parquet\]', or use \.csv"):
        written(tmp_path / "x.parquet", SCORED)
    assert list(tmp_path.iterdir()) == []


def test_derived_fields_are_in_the_table_only(tmp_path: Path) -> None:
    class Order:
        count = 0

        def add(self, record: Any) -> None:
            self.count += 1

        def extended(self, record: Any) -> Any:
            return record | {"of": self.count}

    output = written(tmp_path / "x.csv", SCORED, FAILED, derived=Order())
    assert [row.record["of"] for row in read_label_rows(str(output))] == [2, 2]
    assert '"of"' not in records_file(output).read_text()


def test_the_formats_are_known_by_the_end_of_the_name() -> None:
    assert export.is_export(Path("A.CSV"))
    assert export.is_export(Path("a.ndjson.gz"))
    assert not export.is_export(Path("a.jsonl"))
