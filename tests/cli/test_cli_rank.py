"""`realqa rank` as a photographer uses it: groups, the order, links, copies, sidecars, resuming, hostile input."""

import io
import json
import os
import shutil
import sys
from datetime import datetime, timedelta
from pathlib import Path

import pytest
from made_raw import dng
from PIL import Image, ImageFilter
from process import PHOTOS, ROOT, Ran, Realqa, run
from rich.console import Console

from realqa_cli.cli.views.ranking import RankTable

sys.path.insert(0, str(ROOT))

from benchmarks import ranking

ECHO = ("--backend", "echo")


@pytest.fixture(scope="module")
def card(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A burst of three frames, the second blurred, a photo with two copies, and another photo."""
    folder = tmp_path_factory.mktemp("shoot") / "card"
    folder.mkdir()
    with Image.open(PHOTOS / "mountain.jpg") as opened:
        scene = opened.convert("RGB")
    for index in range(3):
        frame = scene.crop((4 * index, 0, scene.width - 8 + 4 * index, scene.height))
        if index == 1:
            frame = frame.filter(ImageFilter.GaussianBlur(1))
        ranking.save(frame, folder / f"burst_{index}.jpg", datetime(2026, 5, 1, 12) + timedelta(seconds=index / 5))
    with Image.open(PHOTOS / "bee.jpg") as opened:
        bee = opened.convert("RGB")
    ranking.save(bee, folder / "bee.jpg")
    ranking.save(bee.resize((400, 316)), folder / "bee_small.jpg")
    ranking.save(bee, folder / "bee_compressed.jpg", quality=40)
    shutil.copy(PHOTOS / "dogs.jpg", folder)
    return folder


@pytest.fixture(scope="module")
def ranked(card: Path) -> Ran:
    """The card by the bundled model, once."""
    ran = run("rank", card, "--stars", "10,20,40,20,10", "-o", card.parent / "ranking.jsonl")
    assert ran.code == 0
    return run("rank", card.parent / "ranking.jsonl.scores.jsonl", "--stars", "10,20,40,20,10")


@pytest.fixture
def scores(card: Path, ranked: Ran, tmp_path: Path) -> Path:
    """The scores of the card, with names that open from everywhere."""
    return Path(shutil.copy(card.parent / "ranking.jsonl.scores.jsonl", tmp_path / "scores.jsonl"))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two different photos."""
    (tmp_path / "photos").mkdir()
    for name in ("bee.jpg", "dogs.jpg"):
        shutil.copy(PHOTOS / name, tmp_path / "photos")
    return tmp_path / "photos"


def test_photos_are_ranked_in_groups_from_the_best(ranked: Ran) -> None:
    records = {Path(record["image"]).stem: record for record in ranked.records}
    assert [record["rank"] for record in ranked.records] == list(range(1, 8))
    burst = [records[f"burst_{index}"] for index in range(3)]
    assert {record["group"] for record in burst} == {burst[0]["group"]}
    assert {(record["group_kind"], record["group_size"]) for record in burst} == {("burst", 3)}
    assert burst[1]["rank_in_group"] == 3
    copies = [records[name] for name in ("bee", "bee_small", "bee_compressed")]
    assert {record["group_kind"] for record in copies} == {"near-duplicates"}
    assert not records["bee_small"]["keep"], "the larger copy holds more"
    assert (records["dogs"]["group_kind"], records["dogs"]["group_size"]) == ("single", 1)
    assert sum(record["keep"] for record in ranked.records) == 3
    assert len({record["group"] for record in ranked.records}) == 3


def test_the_fields_agree_with_each_other(ranked: Ran) -> None:
    records = ranked.records
    for record in records:
        assert record["keep"] == (record["rank_in_group"] == 1)
        assert record["error"] is None
        p = record["p_better_than_next"]
        assert record["decided"] == (None if p is None else p >= 0.75)
        assert not record.keys() & {"distribution", "measured"}
    for group in {record["group"] for record in records}:
        places = [record["rank_in_group"] for record in records if record["group"] == group]
        assert places == sorted(places), "the order over all agrees with that within the group"
    assert [record["p_better_than_next"] is None for record in records].count(True) == 1
    assert [record["stars"] for record in records] == sorted((record["stars"] for record in records), reverse=True)


def test_scores_and_photos_give_the_same_ranking(card: Path, ranked: Ran) -> None:
    lines = [json.loads(line) for line in (card.parent / "ranking.jsonl").read_text().splitlines()]
    assert [record["image"] for record in lines] == [record["image"] for record in ranked.records]
    assert [record["win_rate"] for record in lines] == [record["win_rate"] for record in ranked.records]


def test_scores_without_distributions_are_ranked_by_their_deviation_and_the_manifest_says_so(
    scores: Path, realqa_here: Realqa
) -> None:
    records = [json.loads(line) for line in scores.read_text().splitlines()]
    plain = [{key: record[key] for key in ("image", "score", "std")} for record in records]
    scores.write_text("".join(json.dumps(record) + "\n" for record in plain))
    ran = realqa_here("rank", scores)
    assert ran.code == 0
    assert len(ran.records) == 7
    assert {record["group_kind"] for record in ran.records} == {"burst", "near-duplicates", "single"}
    (manifest,) = [json.loads(line) for line in ran.err.splitlines() if line.startswith("{")]
    assert manifest["settings"]["probabilities"] == {"normal": 7}
    assert {record["run"] for record in ran.records} == {manifest["run"]}


def test_kept_photos_are_linked_and_copied_and_nothing_is_overwritten(
    scores: Path, tmp_path: Path, realqa_here: Realqa
) -> None:
    best, copies = tmp_path / "best", tmp_path / "copies"
    copies.mkdir()
    (copies / "dogs.jpg").write_bytes(b"mine")
    ran = realqa_here("rank", scores, "--link-to", best, "--copy-to", copies)
    kept = [record["image"] for record in ran.records if record["keep"]]
    assert sorted(os.path.realpath(link) for link in best.iterdir()) == sorted(kept)
    assert (copies / "dogs.jpg").read_bytes() == b"mine"
    assert (copies / "dogs-2.jpg").read_bytes() == (PHOTOS / "dogs.jpg").read_bytes()
    assert "3 files linked to" in ran.err
    again = realqa_here("rank", scores, "--link-to", best, "--copy-to", copies)
    assert "0 files linked to" in again.err
    assert "3 there before" in again.err
    assert len([*copies.iterdir()]) == 4


def test_keep_counts_photos_of_each_group(scores: Path, realqa_here: Realqa) -> None:
    records = realqa_here("rank", scores, "--keep", 2).records
    assert sum(record["keep"] for record in records) == 2 + 2 + 1


def test_a_dry_run_reports_and_writes_nothing(scores: Path, card: Path, tmp_path: Path, realqa_here: Realqa) -> None:
    before = sorted(card.iterdir())
    ran = realqa_here("rank", scores, "--link-to", tmp_path / "best", "--xmp", "--dry-run")
    assert "3 files would be linked to" in ran.err
    assert "7 sidecars would be written" in ran.err
    assert not (tmp_path / "best").exists()
    assert sorted(card.iterdir()) == before


def test_sidecars_are_written_next_to_the_photos(folder: Path, realqa_here: Realqa) -> None:
    (folder / "dogs.jpg.xmp").write_text("not xml")
    ran = realqa_here("rank", folder, "--xmp", "--stars", "0,0,0,0,100", *ECHO)
    assert ran.code == 1
    assert "dogs.jpg.xmp: this sidecar is not valid XML" in ran.err
    assert "1 sidecar written, 1 failed" in ran.err
    assert (folder / "dogs.jpg.xmp").read_text() == "not xml"
    assert 'xmp:Rating="5"' in (folder / "bee.jpg.xmp").read_text()


def test_a_raw_file_and_the_mov_of_a_live_photo_belong_to_their_photo(
    folder: Path, tmp_path: Path, realqa_here: Realqa
) -> None:
    for name in ("bee.CR2", "bee.MOV"):
        (folder / name).write_bytes(b"never opened")
    best = tmp_path / "best"
    ran = realqa_here("rank", folder, folder / "bee.CR2", "--copy-to", best, "--xmp", *ECHO)
    records = {Path(record["image"]).name: record for record in ran.records}
    assert sorted(records) == ["bee.jpg", "dogs.jpg"]
    assert [Path(name).name for name in records["bee.jpg"]["companions"]] == ["bee.CR2", "bee.MOV"]
    assert sorted(file.name for file in best.iterdir()) == ["bee.CR2", "bee.MOV", "bee.jpg", "dogs.jpg"]
    assert {"bee.jpg.xmp", "bee.xmp", "dogs.jpg.xmp"} <= {file.name for file in folder.iterdir()}
    assert "2 files of the same photographs" in ran.err


def test_raw_files_alone_are_ranked_by_their_previews(tmp_path: Path, realqa_here: Realqa) -> None:
    pytest.importorskip("rawpy")
    with Image.open(PHOTOS / "bee.jpg") as photo:
        (tmp_path / "a.dng").write_bytes(dng(photo.convert("RGB"), taken="2026:05:01 12:00:00"))
    ran = realqa_here("rank", tmp_path, "--xmp", *ECHO)
    assert ran.code == 0
    assert ran.records[0]["taken"] == "2026-05-01T12:00:00.000000"
    assert (tmp_path / "a.xmp").exists()


def test_failed_photos_come_after_the_ranking_and_the_exit_code_says_so(folder: Path, realqa_here: Realqa) -> None:
    (folder / "a.jpg").write_bytes(b"not a photo")
    (folder / "list.jsonl").write_text('{"image": "a.jpg", "client": "Ann"}\n{"image": "bee.jpg", "group": "x"}\n')
    ran = realqa_here("rank", folder / "list.jsonl", folder / "gone.jpg", *ECHO)
    assert ran.code == 1
    assert [(record.get("error") or {}).get("type") for record in ran.records] == [None, "unsupported", "missing"]
    assert ran.records[0]["input.group"] == "x"
    assert ran.records[1]["client"] == "Ann"
    assert ran.records[1]["rank"] is None
    assert "1 ranked, 1 to keep, 2 failed" in ran.err


def test_an_output_is_continued_and_a_second_run_scores_nothing(folder: Path, realqa_here: Realqa) -> None:
    output = folder.parent / "ranking.jsonl"
    assert realqa_here("rank", folder, "-o", output, *ECHO).code == 0
    first = output.read_bytes()
    shutil.copy(PHOTOS / "brushes.jpg", folder)
    ran = realqa_here("rank", folder, "-o", output, *ECHO)
    assert "2 scores of an earlier run used" in ran.err
    assert len(output.read_text().splitlines()) == 3
    (folder / "brushes.jpg").unlink()
    assert realqa_here("rank", folder, "-o", output, *ECHO).code == 0
    assert output.read_bytes() == first
    refused = realqa_here("rank", folder, "-o", output, "--no-resume", *ECHO)
    assert refused.code == 2
    assert "not empty" in refused.err
    assert realqa_here("rank", folder, "-o", output, "--overwrite", *ECHO).code == 0
    assert output.read_bytes() == first


def test_a_photo_that_changed_since_it_was_scored_is_not_ranked(folder: Path, realqa_here: Realqa) -> None:
    scores = folder.parent / "scores.jsonl"
    assert realqa_here("score", folder, "-o", scores, *ECHO).code == 0
    shutil.copy(PHOTOS / "brushes.jpg", folder / "bee.jpg")
    ran = realqa_here("rank", scores)
    assert ran.code == 1
    assert "has changed since it was scored" in ran.records[-1]["error"]["message"]


@pytest.mark.parametrize(
    ("lines", "complaint"),
    [
        (['{"image": "bee.jpg", "score": 3, "std": 1}', '{"image": "dogs.jpg"}'], "1 of 2 items have a score"),
        (
            [
                '{"image": "bee.jpg", "score": 3, "scale": [1, 5]}',
                '{"image": "dogs.jpg", "score": 3, "scale": [0, 10]}',
            ],
            "different scales",
        ),
    ],
)
def test_scores_that_cannot_be_compared_are_refused(
    folder: Path, lines: list[str], complaint: str, realqa_here: Realqa
) -> None:
    (folder / "list.jsonl").write_text("\n".join(lines))
    ran = realqa_here("rank", folder / "list.jsonl")
    assert (ran.code, ran.out) == (2, "")
    assert complaint in ran.err


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        (["--dry-run"], "there is nothing to report"),
        (["--stars", "1,2"], "--stars"),
        (["--link-to", "{}/best"], "would be ranked again"),
        (["--copy-to", "{}/bee.jpg"], "is not a folder"),
        (["--keep", "0"], "keep"),
    ],
)
def test_wrong_options_are_refused_before_anything_is_scored(
    folder: Path, options: list[str], complaint: str, realqa_here: Realqa
) -> None:
    ran = realqa_here("rank", folder, *[option.format(folder) for option in options], *ECHO)
    assert (ran.code, ran.out) == (2, "")
    assert complaint in ran.err


@pytest.mark.parametrize("width", [40, 60, 80, 120])
def test_the_table_fits_its_width_and_never_cuts_a_number(ranked: Ran, width: int) -> None:
    stream = io.StringIO()
    table = RankTable(Console(file=stream, width=width))
    for record in ranked.records:
        table.write(record | {"image": f"/card/a folder with a long name/{Path(record['image']).name}"})
    table.close()
    head, *rows = stream.getvalue().splitlines()[:8]
    assert max(map(len, [head, *rows])) <= width
    for record, row in zip(sorted(ranked.records, key=lambda r: (r["group"], r["rank_in_group"])), rows, strict=True):
        assert f"{record['score']:.2f}" in row
        assert ("✓" in row.partition(".jpg")[0]) == record["keep"]


def test_names_cannot_steer_the_terminal(ranked: Ran) -> None:
    stream = io.StringIO()
    table = RankTable(Console(file=stream, width=80))
    table.write(ranked.records[0] | {"image": "a\x1b[31m[bold]\n.jpg"})
    table.close()
    assert "\x1b" not in stream.getvalue()
    assert "[bold]" in stream.getvalue()


@pytest.fixture(scope="module")
def made_bursts(tmp_path_factory: pytest.TempPathFactory) -> tuple[list[dict[str, object]], dict[str, int]]:
    """Bursts of two scenes, ranked: a fast form of `python -m benchmarks.ranking`."""
    folder = tmp_path_factory.mktemp("bursts")
    blurred = ranking.write_bursts([PHOTOS / "brushes.jpg", PHOTOS / "dogs.jpg"], folder, 2.0, megapixels=2.0)
    return [json.loads(line) for line in run("rank", folder, *ECHO).out.splitlines()], blurred


def test_the_blurred_frame_of_a_burst_is_last_whatever_the_model_says(
    made_bursts: tuple[list[dict[str, object]], dict[str, int]],
) -> None:
    counts = ranking.judge_bursts(*made_bursts)
    assert {key: counts[key] for key in ("scenes", "one group", "blurred last", "best is sharp")} == {
        "scenes": 2,
        "one group": 2,
        "blurred last": 2,
        "best is sharp": 2,
    }
