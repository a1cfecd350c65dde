"""`realqa eval` with several files, in LaTeX, as a plot of all, as a report, and of every format of records."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from process import Realqa

from realqa_cli.io.export import ExportFile


def predictions(file: Path, noise: float, seed: int = 1) -> Path:
    """A file of 40 score records with MOS, in the format of its suffix."""
    draw = np.random.default_rng(seed)
    mos = np.random.default_rng(0).uniform(1, 5, 40)
    records = [
        {
            "image": f"{i}.jpg",
            "score": float(m + draw.normal(0, noise)),
            "scale": [1, 5],
            "mos": float(m),
            "mos_range": [1, 5],
        }
        for i, m in enumerate(mos)
    ]
    if file.suffix == ".jsonl":
        file.write_text("".join(json.dumps(record) + "\n" for record in records))
        return file
    with ExportFile(file) as output:
        for record in records:
            output.append(record)
    return file


@pytest.fixture
def files(tmp_path: Path) -> list[Path]:
    return [predictions(tmp_path / f"{name}.jsonl", noise) for name, noise in (("good", 0.2), ("bad_one", 1.5))]


def test_several_files_give_a_record_for_each_file_and_metric(realqa_here: Realqa, files: list[Path]) -> None:
    ran = realqa_here("eval", *files, "--bootstrap", 0)
    assert ran.code == 0
    assert [(line["file"], line["metric"]) for line in ran.records] == [
        (str(file), metric) for file in files for metric in ("srcc", "plcc", "krcc", "rmse")
    ]
    alone = realqa_here("eval", files[0], "--bootstrap", 0).records
    assert [{"file": str(files[0]), **line} for line in alone] == [
        {"file": line.pop("file"), **line} for line in ran.records[:4]
    ]


@pytest.mark.parametrize("name", ["x.csv", "x.parquet", "x.jsonl.gz"])
def test_every_format_of_records_gives_the_same_figures(
    name: str, realqa_here: Realqa, files: list[Path], tmp_path: Path
) -> None:
    other = predictions(tmp_path / name, 0.2)
    options = ("--metric", "srcc", "--metric", "rmse", "--bootstrap", 20)
    assert realqa_here("eval", other, *options).records == realqa_here("eval", files[0], *options).records


def test_the_best_values_are_bold_in_latex(realqa_here: Realqa, files: list[Path]) -> None:
    table = realqa_here("eval", *files, "--latex", "--bootstrap", 0).out
    good, bad = [line for line in table.splitlines() if "jsonl" in line]
    assert good.count(r"\textbf") == 4
    assert r"bad\_one.jsonl" in bad
    assert r"\textbf" not in bad


def test_the_plot_of_several_files_is_a_picture(realqa_here: Realqa, files: list[Path], tmp_path: Path) -> None:
    overlay, single, bare = (tmp_path / f"{name}.png" for name in ("overlay", "single", "bare"))
    assert realqa_here("eval", *files, "--plot", overlay, "--bootstrap", 0).code == 0
    assert realqa_here("eval", files[0], "--plot", single, "--bootstrap", 0).code == 0
    assert realqa_here("eval", files[0], "--plot", bare, "--no-plot-names", "--bootstrap", 0).code == 0
    with Image.open(overlay) as picture, Image.open(single) as named, Image.open(bare) as plain:
        assert picture.getextrema() != named.getextrema() or picture.size != named.size
        assert plain.height < named.height


@pytest.mark.parametrize(
    ("more", "says"),
    [
        (("--compare", "x.jsonl"), "compares one file with another"),
        (("--report", "r.html"), "is for the scores of one file"),
        (("--latex", "--json"), "excludes --json"),
    ],
)
def test_what_several_files_cannot_have_is_a_usage_error(
    more: tuple[str, ...], says: str, realqa_here: Realqa, files: list[Path], tmp_path: Path
) -> None:
    ran = realqa_here("eval", *files, *(tmp_path / part if "." in part else part for part in more))
    assert ran.code == 2
    assert says in ran.err


def test_labels_that_name_an_image_twice_are_reported(realqa_here: Realqa, files: list[Path], tmp_path: Path) -> None:
    rows = [*(f"{i}.jpg,{i % 5 + 1},1-5" for i in range(40)), "0.jpg,2,1-5"]
    (tmp_path / "labels.csv").write_text("\n".join(["image,mos,mos_range", *rows, ""]))
    ran = realqa_here("eval", *files, "--labels", tmp_path / "labels.csv", "--metric", "srcc", "--bootstrap", 0)
    assert [line["n"] for line in ran.records] == [40, 40]
    assert "images that occur more than once, of which the last row is used: 1" in ran.err


def test_a_file_given_twice_is_a_usage_error(realqa_here: Realqa, files: list[Path]) -> None:
    assert "is given twice" in realqa_here("eval", files[0], files[0]).err


def test_the_report_has_the_metrics_and_the_mos_of_each_photo(
    realqa_here: Realqa, files: list[Path], tmp_path: Path
) -> None:
    with files[0].open("a") as lines:
        lines.write('{"image": "broken.jpg", "error": {"type": "decode", "message": "broken.jpg: no photo"}}\n')
    page = tmp_path / "r.html"
    ran = realqa_here("eval", files[0], "--report", page, "--bootstrap", 0)
    text = page.read_text(encoding="utf-8")
    assert "SRCC 0.9" in text
    assert ", n = 40" in text
    cards: list[dict[str, Any]] = [
        json.loads(line.partition(">")[2].rpartition("</script>")[0])
        for line in text.splitlines()
        if 'class="card"' in line
    ]
    assert len(cards) == 40
    assert all({"s", "m", "mx"} <= card.keys() for card in cards)
    assert "broken.jpg: no photo" in text
    assert ran.code == 1
