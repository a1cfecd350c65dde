"""Data sets through the commands: scored, labelled, made into conversations and evaluated, nothing joined by hand."""

import json
import logging
from pathlib import Path
from typing import Any

import made_datasets as made
import pytest
from made_attributes import FULL
from process import Ran, Realqa

from realqa_cli import cli
from realqa_cli.cli.output import OutputOptions
from realqa_cli.cli.reporter import Reporter
from realqa_cli.cli.run_step import open_sources
from realqa_cli.datasets import DatasetSelection

Line = dict[str, Any]


@pytest.fixture
def realqa(capfdbinary: pytest.CaptureFixture[bytes], monkeypatch: pytest.MonkeyPatch) -> Realqa:
    """The commands in this process: what a process of their own proves, others prove, and it costs seconds."""
    log = logging.getLogger("realqa")
    for name in ("handlers", "level", "propagate"):  # a command sets these for its process
        monkeypatch.setattr(log, name, getattr(log, name))

    def run(*arguments: object, cwd: Path | None = None) -> Ran:
        if cwd is not None:
            monkeypatch.chdir(cwd)
        code = cli.main([str(argument) for argument in arguments])
        out, err = capfdbinary.readouterr()
        return Ran(code, out.decode(), err.decode())

    return run


def write(file: Path, *records: Line) -> Path:
    file.write_text("".join(json.dumps(record) + "\n" for record in records))
    return file


def test_a_split_is_scored_and_evaluated_without_anything_else(realqa: Realqa, tmp_path: Path) -> None:
    made.koniq(tmp_path / "koniq", 9, missing=[5])
    ran = realqa("score", "koniq", "--dataset", "koniq10k", "--split", "test", "--backend", "echo", cwd=tmp_path)
    assert ran.code == 1
    assert [record["image"] for record in ran.records] == [f"koniq/1024x768/{i}.jpg" for i in (2, 5, 8)]
    assert [record["mos"] for record in ran.records] == [25, 55, 85]
    first, missing, *_ = ran.records
    assert (first["mos_range"], first["split"], first["scale"]) == ([0, 100], "test", [1, 5])
    assert (missing["error"]["type"], missing["mos"]) == ("missing", 55)
    assert "realqa: koniq10k: 1 of 3 files missing: koniq/1024x768/5.jpg" in ran.said
    assert ran.said[-1] == "realqa: 3 items: 2 scored, 1 failed"
    file = tmp_path / "preds.jsonl"
    file.write_text(ran.out)
    measured = realqa("eval", file, "--metric", "srcc", "--metric", "rmse", "--bootstrap", 0)
    assert (measured.records[0]["n"], measured.records[0]["missing"]) == (2, 1)
    assert measured.records[1]["unit"] == "score from 1-5 to 0-100, affinely"


def test_a_split_is_ranked_as_it_is_scored(realqa: Realqa, tmp_path: Path) -> None:
    made.koniq(tmp_path / "koniq", 9, missing=[5])
    chosen = ("koniq", "--dataset", "koniq10k", "--split", "test", "--backend", "echo")
    scored = realqa("score", *chosen, cwd=tmp_path).records
    ran = realqa("rank", *chosen)
    assert ran.code == 1
    assert {record["image"]: record.get("score") for record in ran.records} == {
        record["image"]: record.get("score") for record in scored
    }
    assert [record["mos"] for record in sorted(ran.records, key=lambda record: record["image"])] == [25, 55, 85]
    assert ran.records[-1]["error"]["type"] == "missing"
    assert "realqa: koniq10k: 1 of 3 files missing: koniq/1024x768/5.jpg" in ran.said


def test_a_table_is_ranked_by_its_columns(realqa: Realqa, tmp_path: Path) -> None:
    made.koniq(tmp_path / "koniq", 4)
    (tmp_path / "mine.csv").write_text("file,opinion\nkoniq/1024x768/1.jpg,4\nkoniq/1024x768/2.jpg,2\n")
    ran = realqa("rank", "mine.csv", "--columns", "image=file,mos=opinion", "--backend", "echo", cwd=tmp_path)
    assert ran.code == 0, ran.err
    assert sorted(record["mos"] for record in ran.records) == [2, 4]
    refused = realqa("rank", "mine.csv", "--split", "test", "--backend", "echo")
    assert (refused.code, refused.out) == (2, "")
    assert "--split: applies to data sets; add --dataset NAME" in refused.err


@pytest.mark.parametrize(("limit", "count"), [(None, 2), (1, 1), (9, 2)])
def test_the_progress_bar_counts_what_the_run_will_do(tmp_path: Path, limit: int | None, count: int) -> None:
    made.koniq(tmp_path / "koniq")
    wanted = OutputOptions(
        None, True, False, sources=[str(tmp_path / "koniq")], dataset=DatasetSelection("koniq10k", "test")
    )
    items, total = open_sources(wanted, Reporter(quiet=True, terminal=False), limit)
    assert (total, len(list(items))) == (count, count)


def test_predictions_are_evaluated_against_a_data_set_whose_photos_are_elsewhere(
    realqa: Realqa, tmp_path: Path
) -> None:
    folder = tmp_path / "koniq"
    rows = [[f"{i}.jpg", *[0] * 5, 9, 10 * i, 1, "test" if i < 8 else "training"] for i in range(10)]
    made.table(folder / "koniq10k_distributions_sets.csv", made.KONIQ_SETS, *rows)
    scores = [2.0, 1.0, 3.0, 4.0, 5.0, 6.0, 8.0, 7.0, 0.0, 0.0]
    preds = write(
        tmp_path / "p.jsonl",
        *({"image": f"some/{i}.jpg", "score": s, "mos": 1} for i, s in enumerate(scores)),
    )
    command = (
        "eval",
        preds,
        "--labels",
        folder,
        "--dataset",
        "koniq10k",
        "--metric",
        "srcc",
        "--bootstrap",
        0,
    )
    whole, part = realqa(*command), realqa(*command, "--split", "test")
    assert (whole.code, part.code) == (0, 0)
    assert (whole.records[0]["n"], part.records[0]["n"]) == (10, 8)
    assert part.records[0]["value"] == pytest.approx(1 - 6 * 4 / (8 * 63))
    assert part.said == [
        f"realqa: left out as rows of other splits of {folder}: 2",
        "realqa: warning: only 8 pairs; below 20 the metrics and intervals mean little",
    ]
    compared = realqa(
        *command,
        "--split",
        "test",
        "--compare",
        write(tmp_path / "q.jsonl", *({"image": f"{i}.jpg", "score": i} for i in range(10))),
    )
    assert (compared.records[0]["theirs"], compared.records[0]["n"]) == (pytest.approx(1), 8)


def test_videos_are_joined_under_any_of_their_names(realqa: Realqa, tmp_path: Path) -> None:
    made.konvid(tmp_path / "konvid")
    names = ["11_original_centercrop_960x540_8s.mp4", "22.mp4", "33.mp4", "44.mp4"]
    preds = write(
        tmp_path / "p.jsonl",
        *({"video": name, "score": s} for name, s in zip(names, (1, 3, 4, 2), strict=True)),
    )
    ran = realqa(
        "eval",
        preds,
        "--labels",
        tmp_path / "konvid",
        "--dataset",
        "konvid1k",
        "--metric",
        "srcc",
        "--bootstrap",
        0,
    )
    assert (ran.code, ran.records[0]["value"], ran.records[0]["n"]) == (0, pytest.approx(1), 4)


def test_labels_become_conversations_with_the_data_sets_scores(realqa: Realqa, tmp_path: Path) -> None:
    made.ava(tmp_path / "ava")
    names = ("953619", "953958")
    labels = write(
        tmp_path / "attrs.jsonl",
        *({"image": f"ava/images/{n}.jpg", "attributes": FULL, "mos": 9} for n in names),
    )
    ran = realqa(
        "build-cot",
        labels,
        "--scores",
        tmp_path / "ava",
        "--dataset",
        "ava",
        "--split",
        "train",
        "--formats",
        "direct",
        cwd=tmp_path,
    )
    (line,) = ran.records
    counts = [10, 7, 15, 26, 26, 21, 10, 8, 1, 2]
    mean = sum(rating * count for rating, count in enumerate(counts, 1)) / sum(counts)
    assert (ran.code, line["images"]) == (0, [str(tmp_path / "ava/images/953958.jpg")])
    assert line["messages"][1]["content"] == f"The score of this image is {mean:.2f}."
    assert line["mos_range"] == [1, 10]
    assert f"realqa: left out as rows of other splits of {tmp_path / 'ava'}: 1" in ran.said


def test_any_table_is_scored_with_its_columns_named(realqa: Realqa, tmp_path: Path) -> None:
    made.photo(tmp_path / "a.jpg")
    made.photo(tmp_path / "b.jpg")
    made.table(tmp_path / "t.csv", ("file", "Opinion"), ["a.jpg", 1.5], ["b.jpg", 2])
    columns = "image=file,mos=Opinion,mos_range=1-3"
    ran = realqa(
        "score",
        "t.csv",
        "--dataset",
        "csv",
        "--columns",
        columns,
        "--limit",
        1,
        "--backend",
        "echo",
        cwd=tmp_path,
    )
    (record,) = ran.records
    assert (ran.code, record["image"], record["mos"], record["mos_range"]) == (0, "a.jpg", 1.5, [1, 3])


def test_the_release_is_labelled_and_measured_against_its_own_attributes(realqa: Realqa, tmp_path: Path) -> None:
    made.release(tmp_path)
    ran = realqa("self-label", tmp_path, "--dataset", "realqa", "--split", "train", "--backend", "echo")
    assert (ran.code, len(ran.records)) == (0, 2)
    assert ran.records[0]["labels"]["image_clarity"] == "very clear"
    assert set(ran.records[0]["attributes"]) > {"image_clarity", "composition"}
    file = write(tmp_path / "attrs.jsonl", *ran.records)
    for more in ((), ("--labels", tmp_path, "--dataset", "realqa")):
        table = realqa("eval", file, "--attributes", "--metric", "accuracy", "--bootstrap", 0, *more)
        clarity = next(line for line in table.records if line["attribute"] == "image_clarity")
        assert (clarity["n"], clarity["missing"]) == (1, 1)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (
            ["score", "k", "--dataset", "kadid"],
            "--dataset: unknown data set 'kadid'; use one of: koniq10k, spaq",
        ),
        (
            ["score", "k", "--dataset", "koniq10k"],
            "k: no KonIQ-10k here: looked for koniq10k_distributions_sets.csv or",
        ),
        (["score", "k", "--split", "test"], "--split: applies to data sets; add --dataset NAME"),
        (["self-label", "k", "--columns", "mos=x"], "k: expected one table here, found 0"),
        (["score", "k", "k", "--dataset", "csv"], "--dataset: csv takes one folder, not 2"),
        (["score", "k", "--dataset", "csv", "--columns", "mos"], "'mos' is not like image=name,mos=MOS"),
        (
            ["eval", "p", "--dataset", "ava"],
            "--dataset: there is no folder or table that it applies to; name it by --labels",
        ),
        (
            ["build-cot", "p", "--dataset", "ava"],
            "p: no such folder; give the folder of the ava data set",
        ),
        (["score", "k", "--subset", "koniq"], "--subset: applies to data sets; add --dataset NAME"),
        (
            ["score", "k", "--dataset", "ava", "--subset", "koniq"],
            "--subset: applies to --dataset realqa: ava is one set",
        ),
    ],
)
def test_wrong_usage_is_one_line(realqa: Realqa, tmp_path: Path, arguments: list[str], words: str) -> None:
    (tmp_path / "k").mkdir()
    ran = realqa(*arguments, cwd=tmp_path)
    assert (ran.code, ran.out, len(ran.said)) == (2, "", 1)
    assert words in ran.said[0]
