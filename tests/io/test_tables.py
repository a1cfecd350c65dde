"""Tables in the dialects that spreadsheets write: read correctly, or refused with file, line and remedy."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from realqa_cli.datasets import DatasetSelection
from realqa_cli.errors import UsageError
from realqa_cli.io.labels import read_label_rows
from realqa_cli.io.numbers import read_number
from realqa_cli.io.tables import Table, TableForm

EXPECTED = [("a.jpg", 3.5), ("Größe.jpg", 4.25)]


def labels(file: Path) -> list[tuple[str, Any]]:
    return [(Path(row.name).name, row.record.get("mos")) for row in read_label_rows(str(file))]


def data_set(file: Path) -> list[tuple[str, Any]]:
    entries = DatasetSelection("csv").open([str(file)]).entries
    return [(Path(entry.name).name, entry.fields.get("mos")) for entry in entries]


def table(folder: Path, text: str | bytes, name: str = "mos.csv", encoding: str = "utf-8") -> Path:
    file = folder / name
    file.write_bytes(text if isinstance(text, bytes) else text.encode(encoding))
    return file


PLAIN = "image,mos\na.jpg,3.5\nGröße.jpg,4.25\n"
DIALECTS = {
    "plain": PLAIN,
    "crlf": PLAIN.replace("\n", "\r\n"),
    "old mac": PLAIN.replace("\n", "\r"),
    "byte order mark": "\ufeff" + PLAIN,
    "semicolons": PLAIN.replace(",", ";"),
    "tabs": PLAIN.replace(",", "\t"),
    "bars": PLAIN.replace(",", "|"),
    "decimal commas": PLAIN.replace(",", ";").replace(".5", ",5").replace(".25", ",25"),
    "decimal commas and tabs": PLAIN.replace(",", "\t").replace(".5", ",5").replace(".25", ",25"),
    "quoted decimal commas": 'image,mos\n"a.jpg","3,5"\n"Größe.jpg","4,25"\n',
    "sep": "sep=;\n" + PLAIN.replace(",", ";"),
    "sep and crlf": ("SEP=\t\n" + PLAIN.replace(",", "\t")).replace("\n", "\r\n"),
    "trailing comma": PLAIN.replace("\n", ",\n"),
    "trailing comma in rows": "image,mos\na.jpg,3.5,\nGröße.jpg,4.25,\n",
    "trailing comma in the header": PLAIN.replace("mos\n", "mos,\n"),
    "blank rows": PLAIN.replace("\n", "\n\n") + ",\n",
    "spaces": "image , mos\na.jpg, 3.5\nGröße.jpg, 4.25\n",
    "other columns": "id;Image;Note;MOS\n1;a.jpg;x, y, z;3,5\n2;Größe.jpg;x, z;4,25\n",
}


@pytest.mark.parametrize("read", [labels, data_set])
@pytest.mark.parametrize("dialect", DIALECTS)
def test_every_dialect_gives_the_same_rows_to_labels_and_data_sets(tmp_path: Path, dialect: str, read: Any) -> None:
    assert read(table(tmp_path, DIALECTS[dialect])) == EXPECTED


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "cp1252"])
@pytest.mark.parametrize("name", ["mos.csv", "mos.tsv", "MOS.CSV"])
def test_every_encoding_is_read(tmp_path: Path, encoding: str, name: str) -> None:
    assert labels(table(tmp_path, DIALECTS["tabs"], name, encoding)) == EXPECTED


def test_windows_1252_is_reported(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    file = table(tmp_path, PLAIN, encoding="cp1252")
    labels(file)
    (record,) = caplog.records
    assert record.getMessage().startswith(f"{file}: not in UTF-8; read as Windows-1252")


@pytest.mark.parametrize("missing", ["", "NA", "N/A", "NaN", "nan", "null", "#N/A"])
def test_a_missing_mos_is_missing_and_costs_only_itself(tmp_path: Path, missing: str) -> None:
    file = table(tmp_path, f"image,mos\na.jpg,{missing}\nb.jpg,3\n")
    assert labels(file) == data_set(file) == [("a.jpg", None), ("b.jpg", 3)]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("image,mos\na.jpg,3\nb.jpg,3,5\n", ":3: the row has 3 cells and the table 2 columns; quote cells"),
        ("image,mos,x\na.jpg,3,1\nb.jpg\n", ":3: the row has 1 cell and the table 3 columns"),
        ("image;mos\na.jpg;1.234,5\n", ":2: mos: '1.234,5' is not a number; correct the table"),
        ('image,mos\na.jpg,3\n"b.jpg,3\n', "cannot be read as CSV (unexpected end of data); correct the line"),
        (b"image,mos\na.jpg,3\nb\x81.jpg,3\n", ":3: neither UTF-8 nor cp1252"),
        (b"image,mos\na.jpg,3\n\0\0\0", "this is not a text file"),
        (b"\xff\xfei\0m\0", "there is no column 'image'"),
        (b"\xff\xfei\0m\0a", "not valid utf-16; save it as UTF-8"),
    ],
)
def test_what_cannot_be_read_is_refused_with_its_place_and_a_remedy(
    tmp_path: Path, text: str | bytes, words: str
) -> None:
    file = table(tmp_path, text)
    for read in (labels, data_set):
        with pytest.raises(UsageError) as caught:
            read(file)
        assert words in str(caught.value)
        assert str(caught.value).startswith(str(tmp_path / "mos.csv"))


def test_a_quoted_cell_may_span_lines_and_the_place_is_its_last_line(tmp_path: Path) -> None:
    rows = list(Table.open(table(tmp_path, 'image,note\na.jpg,"x\ny"\nb.jpg,z\n')).rows())
    assert [row.where.rpartition(":")[2] for row in rows] == ["3", "4"]
    assert rows[0].cells["note"] == "x\ny"


def test_an_excel_file_is_read_like_the_others(tmp_path: Path) -> None:
    from openpyxl import Workbook

    book = Workbook()
    assert book.active is not None
    for row in (["Image", "MOS"], ["a.jpg", 3.5], ["Größe.jpg", "4,25"]):
        book.active.append(row)
    book.save(tmp_path / "mos.xlsx")
    assert labels(tmp_path / "mos.xlsx") == data_set(tmp_path / "mos.xlsx") == EXPECTED


@pytest.mark.parametrize("columns", [("image", "mos"), ("mos", "image_name"), ("x", "path", "mos")])
def test_the_usual_names_of_columns_are_found(tmp_path: Path, columns: Sequence[str]) -> None:
    cells = {"mos": "3.5", "x": "1"}
    row = ",".join(cells.get(name, "a.jpg") for name in columns)
    assert labels(table(tmp_path, f"{','.join(columns)}\n{row}\n")) == [("a.jpg", 3.5)]


@pytest.mark.parametrize(
    ("value", "number"),
    [
        *((3, 3.0), (3.9, 3.9), ("3.9", 3.9), ("4,20", 4.2), ("-.5", -0.5), ("1e3", 1000.0), (" 7 ", 7.0), ("+2", 2.0)),
        *((True, None), (None, None), ("", None), ("1,2,3", None), ("1.234,5", None), ("1_000", None), ("inf", None)),
        *((float("nan"), None), (10**400, None), ("1e999", None), ([3], None), ("٣", None)),
    ],
)
def test_numbers_are_read_as_people_write_them(value: object, number: float | None) -> None:
    assert read_number(value) == number


def test_a_header_below_other_lines_is_recognised_by_its_columns(tmp_path: Path) -> None:
    file = tmp_path / "t.csv"
    file.write_text("A title,,\n,,\n,Image,MOS\n,a.jpg,3\n")
    form = TableForm(header=("image", "mos"))
    (row,) = Table.open(file, form).rows("image", "mos")
    assert (row.where, row.text("image"), row.number("mos")) == (f"{file}:4", "a.jpg", 3)
    with pytest.raises(UsageError, match="no line has the columns image, score; check that it is the right table"):
        Table.open(file, TableForm(header=("image", "score")))


def test_a_list_without_a_header_has_the_columns_that_are_known(tmp_path: Path) -> None:
    file = tmp_path / "scores.txt"
    file.write_text("5.5  a.jpg \n\n0,5\tb.jpg\n")
    rows = list(Table.open(file, TableForm(columns=("mos", "name"), delimiter=" ")).rows("mos", "name"))
    assert [(row.text("name"), row.number("mos"), row.where[-1]) for row in rows] == [
        ("a.jpg", 5.5, "1"),
        ("b.jpg", 0.5, "3"),
    ]
