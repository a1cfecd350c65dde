"""`realqa score` as a process: what is on stdout and stderr, for people and for programs.

The shipped fake answers where it does not matter what the scores are; the bundled model where it does.
"""

import csv
import json
import os
import pty
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
from process import PHOTOS, Ran, Realqa, command, environment
from scipy import stats

from realqa_cli.cli.views import scores as table

ECHO = ("--backend", "echo")
COLOUR = re.compile(r"\x1b\[[0-9;]*(?:3[0-9]|9[0-7])[0-9;]*m")


@pytest.fixture
def twenty(photo_files: list[Path], tmp_path: Path) -> Path:
    """20 photos, of which the eighth ends in the middle."""
    folder = tmp_path / "twenty"
    folder.mkdir()
    for i in range(20):
        source = photo_files[i % len(photo_files)]
        data = source.read_bytes()
        (folder / f"{i:02}.jpg").write_bytes(data[: len(data) // 2] if i == 7 else data)
    return folder


def on_a_terminal(*arguments: object, columns: int = 100, env: dict[str, str] | None = None) -> tuple[int, str, str]:
    """In the folder of the sample photos: exit code, what a person sees, and stderr (which is a pipe)."""
    master, slave = pty.openpty()
    clean = (env or environment()) | {"COLUMNS": str(columns), "TERM": "xterm-256color"}
    process = subprocess.Popen(command(*arguments), stdout=slave, stderr=subprocess.PIPE, env=clean, cwd=PHOTOS)
    os.close(slave)
    seen = b""
    try:
        while piece := os.read(master, 65536):
            seen += piece
    except OSError:  # Linux says so when the other side is gone
        pass
    os.close(master)
    assert process.stderr is not None
    talk = process.stderr.read().decode()
    process.stderr.close()
    return process.wait(), seen.decode().replace("\r\n", "\n"), talk


def test_every_photo_gives_a_record_with_the_fields_of_the_contract(bundled: Ran, photo_files: list[Path]) -> None:
    assert bundled.code == 0
    assert [Path(record["image"]).name for record in bundled.records] == [file.name for file in photo_files]
    for record in bundled.records:
        low, high = record["scale"]
        assert low <= record["interval"][0] <= record["score"] <= record["interval"][1] <= high
        assert low <= record["mode"] <= high
        assert record["std"] > 0
        assert 0.5 < record["mass"] <= 1 + 1e-6
        assert (record["method"], record["decode"]) == ("direct", "exact")
        assert re.fullmatch(r"The score of this image is \d\.\d\d\.", record["text"])
        assert record["content"].startswith("sha256:")


def test_the_distribution_is_exact(bundled: Ran) -> None:
    for record in bundled.records:
        pairs = record["distribution"]
        assert sum(p for _, p in pairs) == pytest.approx(1, abs=1e-4)
        assert all(p > 1e-6 for _, p in pairs)
        assert sum(value * p for value, p in pairs) == pytest.approx(record["score"], abs=5e-3)
        assert max(pairs, key=lambda pair: pair[1])[0] == record["mode"]


def test_damage_lowers_the_score_of_the_bundled_model(bundled: Ran) -> None:
    scores = {Path(record["image"]).stem: record["score"] for record in bundled.records}
    damaged = {name for name in scores if "_" in name}
    assert len(damaged) >= 5
    for name in damaged:
        assert scores[name] < scores[name.split("_")[0]], name
    assert scores["mountain_blurred_more"] < scores["mountain_blurred"]


def test_two_runs_give_the_same_bytes(bundled: Ran, realqa: Realqa, photos: Path) -> None:
    assert realqa("score", photos, "--distribution").out == bundled.out


def test_the_manifest_is_on_stderr_and_names_the_run_of_every_record(bundled: Ran) -> None:
    (line,) = [line for line in bundled.err.splitlines() if line.startswith("{")]
    manifest = json.loads(line)
    assert {record["run"] for record in bundled.records} == {manifest["run"]}
    assert manifest["environment"]["model"] == "realqa-tiny"
    assert {"settings", "environment", "command"} <= set(manifest)
    assert bundled.said == ["realqa: not taken: 3 other files (.jsonl, .md, .py)", "realqa: 11 items: 11 scored"]


def test_quiet_says_nothing(realqa: Realqa, photos: Path) -> None:
    for arguments in (["score", photos, *ECHO, "-q"], ["-q", "score", photos, *ECHO]):
        ran = realqa(*arguments)
        assert (ran.code, ran.err, len(ran.records)) == (0, "", 11)


def test_a_truncated_photo_among_twenty_gives_19_scores_and_one_error(realqa: Realqa, twenty: Path) -> None:
    ran = realqa("score", twenty, *ECHO)
    assert ran.code == 1
    assert ran.said == ["realqa: 20 items: 19 scored, 1 failed"]
    assert [Path(record["image"]).name for record in ran.records] == [f"{i:02}.jpg" for i in range(20)]
    (failed,) = [record for record in ran.records if record.get("error") is not None]
    assert failed["image"].endswith("07.jpg")
    assert failed["error"]["type"] == "broken"
    assert failed["score"] is None
    assert all(record["error"] is None for record in ran.records if record != failed)
    assert {tuple(sorted(record)) for record in ran.records} == {tuple(sorted(failed))}


def test_bad_files_are_records_in_their_place(realqa: Realqa, photo_files: list[Path], tmp_path: Path) -> None:
    shutil.copy(photo_files[0], tmp_path / "good.jpg")
    (tmp_path / "text.jpg").write_text("not a photo")
    (tmp_path / "empty.jpg").write_bytes(b"")
    ran = realqa("score", "missing.jpg", "text.jpg", "good.jpg", "empty.jpg", *ECHO, cwd=tmp_path)
    assert ran.code == 1
    found = [(record.get("error") or {}).get("type") for record in ran.records]
    assert found == ["missing", "unsupported", None, "empty"]
    for record in ran.records:
        if record.get("error") is not None:
            assert record["image"] in record["error"]["message"]
    assert ran.said == ["realqa: 4 items: 1 scored, 3 failed"]


def test_one_line_and_then_a_closed_pipe_ends_quietly(photo_files: list[Path], tmp_path: Path) -> None:
    for i in range(200):
        (tmp_path / f"{i:03}.jpg").symlink_to(photo_files[i % len(photo_files)])
    call = " ".join(command("score", tmp_path, *ECHO, "-q", "--batch-size", 1))
    ran = subprocess.run(
        ["bash", "-c", f"{call} | head -1; echo ${{PIPESTATUS[0]}} >&2"],
        capture_output=True,
        text=True,
        env=environment(),
    )
    assert json.loads(ran.stdout)["image"].endswith("000.jpg")
    assert ran.stderr == "0\n"


def test_records_come_as_they_are_made(photo_files: list[Path]) -> None:
    call = command("score", "-", *ECHO, "--batch-size", 1, "-q")
    with subprocess.Popen(call, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment()) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        for file in photo_files[:3]:
            process.stdin.write(json.dumps({"image": str(file)}).encode() + b"\n")
            process.stdin.flush()
            assert json.loads(process.stdout.readline())["image"] == str(file)  # while stdin is still open
        process.stdin.close()
        assert process.wait() == 0


def test_fields_of_json_lines_pass_through(realqa: Realqa, photos: Path) -> None:
    lines: list[dict[str, Any]] = [
        {"image": "bee.jpg", "mos": 83.5, "mos_range": [1, 100], "mine": {"a": [1, None]}},
        {"image": "no.jpg"},
    ]
    ran = realqa("score", "-", *ECHO, stdin="".join(json.dumps(line) + "\n" for line in lines), cwd=photos)
    first, second = ran.records
    assert {key: first[key] for key in lines[0]} == lines[0]
    assert 1 <= first["score"] <= 5
    assert second["error"]["type"] == "missing"
    assert ran.code == 1


def test_a_json_lines_file_is_read_from_its_own_folder(realqa: Realqa, photos: Path, tmp_path: Path) -> None:
    shutil.copy(photos / "bee.jpg", tmp_path / "bee.jpg")
    (tmp_path / "list.jsonl").write_text('{"image": "bee.jpg", "mos": 4}\nnot json\n')
    ran = realqa("score", tmp_path / "list.jsonl", *ECHO)
    assert ran.code == 1
    good, bad = ran.records
    assert good["mos"] == 4
    assert "score" in good
    assert "2" in bad["error"]["message"]


def test_a_file_name_that_is_not_utf8_survives(photos: Path, tmp_path: Path) -> None:
    name = os.fsencode(tmp_path) + b"/b\xff\xc3\xa9.jpg"
    shutil.copy(os.fsencode(photos / "bee.jpg"), name)
    ran = subprocess.run([*command("score"), name, *ECHO], capture_output=True, env=environment())
    assert ran.returncode == 0
    assert os.fsencode(json.loads(ran.stdout)["image"]) == name


def test_the_best_come_first_and_no_more_than_asked_for(realqa: Realqa, twenty: Path) -> None:
    everything = [record for record in realqa("score", twenty, *ECHO).records if record.get("error") is None]
    ran = realqa("score", twenty, *ECHO, "--top", 5)
    ranked = sorted(everything, key=lambda record: record["score"], reverse=True)[:5]
    assert [{**record, "percentile": None} for record in ran.records] == [{**r, "percentile": None} for r in ranked]
    scores = [record["score"] for record in everything]
    expected = [stats.percentileofscore(scores, record["score"], kind="mean") for record in ranked]
    assert [record["percentile"] for record in ran.records] == pytest.approx(expected)
    assert ran.code == 1
    assert ran.said == ["realqa: 20 items: 19 scored, 1 failed"]


def test_a_limit_stops_after_so_many_items(realqa: Realqa, photos: Path, photo_files: list[Path]) -> None:
    ran = realqa("score", photos, *ECHO, "--limit", 3)
    assert [record["image"] for record in ran.records] == [str(file) for file in photo_files[:3]]


def test_a_person_sees_a_table() -> None:
    code, seen, talk = on_a_terminal("score", ".", "no.jpg", *ECHO)
    assert code == 1
    assert not seen.startswith("{")
    plain = re.sub(r"\x1b\[[0-9;]*m", "", seen)
    *rows, message = [line for line in plain.splitlines() if ".jpg" in line]
    assert re.search(r"differences below \d\.\d+ are not decided", plain)
    assert len(rows) == 12
    starred = [row for row in rows if row.startswith("★")]
    best = max(float(score) for score in re.findall(r" (\d\.\d\d) ", plain))
    assert [f" {best:.2f} " in row for row in starred] == [True]
    assert all("█" in row for row in rows[:-1])
    assert rows[-1].startswith("✗")
    assert rows[-1].split() == ["✗", "no.jpg", "missing"]
    assert message.startswith("no.jpg: no such file")
    assert COLOUR.search(seen)
    assert "12 items: 11 scored, 1 failed" in talk
    assert "\x1b" not in talk  # stderr is a pipe here


def test_no_color_is_honoured() -> None:
    _, seen, _ = on_a_terminal("score", ".", *ECHO, env=environment(NO_COLOR="1"))
    assert "bee.jpg" in seen
    assert not COLOUR.search(seen)


def test_a_narrow_terminal_keeps_name_and_score() -> None:
    _, seen, _ = on_a_terminal("score", "bee.jpg", *ECHO, columns=24, env=environment(NO_COLOR="1"))
    plain = re.sub(r"\x1b\[[0-9;]*m", "", seen)
    assert all(len(line) <= 24 for line in plain.splitlines())
    assert re.search(r"bee\.jpg +3\.06", plain)
    assert "█" not in plain
    assert "90 %" not in plain


def test_the_folder_that_all_photos_share_is_in_the_head(realqa: Realqa, photos: Path) -> None:
    lines = realqa("score", photos.name, *ECHO, "--table", cwd=photos.parent).out.splitlines()
    assert lines[0].split()[0] == "photos/"
    assert lines[1].split()[0] == "bee.jpg"
    mixed = realqa("score", photos / "bee.jpg", "dogs.jpg", *ECHO, "--table", cwd=photos).out
    assert mixed.splitlines()[0].split()[0] == "photo"


def test_json_lines_can_be_had_on_a_terminal() -> None:
    _, seen, _ = on_a_terminal("score", ".", *ECHO, "--json")
    assert len([json.loads(line) for line in seen.splitlines()]) == 11


def test_a_table_can_be_had_in_a_pipe(realqa: Realqa, photos: Path) -> None:
    ran = realqa("score", ".", *ECHO, "--table", cwd=photos)
    assert len(re.findall(r"\.jpg(?: \(\w+\))? +\d\.\d\d \w+ +█", ran.out)) == 11
    assert "\x1b" not in ran.out


def test_progress_is_shown_only_where_stderr_is_a_terminal(photos: Path) -> None:
    master, slave = pty.openpty()
    env = environment() | {"TERM": "xterm-256color", "COLUMNS": "100"}
    process = subprocess.Popen(command("score", photos, *ECHO), stdout=subprocess.PIPE, stderr=slave, env=env)
    os.close(slave)
    assert process.stdout is not None
    records = process.stdout.read().splitlines()
    process.stdout.close()
    process.wait()
    seen = b""
    try:
        while piece := os.read(master, 65536):
            seen += piece
    except OSError:
        pass
    os.close(master)
    assert len(records) == 11
    assert b"loading" in seen
    assert b"11 items: 11 scored" in seen


def test_markup_and_control_characters_in_names_stay_text(photos: Path, tmp_path: Path) -> None:
    shutil.copy(photos / "bee.jpg", tmp_path / "[red]a\x1b[2Jb.jpg")
    _, seen, _ = on_a_terminal("score", tmp_path, *ECHO, columns=200, env=environment(NO_COLOR="1"))
    assert "\x1b[2J" not in seen
    assert "[red]a\N{REPLACEMENT CHARACTER}[2Jb.jpg" in seen


def test_too_many_rows_for_a_table_are_printed_as_they_come(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(table, "WHOLE", 3)
    cleared: list[bool] = []
    sink = table.ScoreTable(lambda: cleared.append(True))
    shown: list[int] = []
    for i in range(5):
        record: dict[str, Any] = {"image": f"{i}.jpg", "score": 2.5, "scale": [1.0, 5.0]}
        sink.write(record if i else {"image": "0.jpg", "error": {"type": "broken", "message": "0.jpg: broken"}})
        shown.append(len(capsys.readouterr().out.splitlines()))
    sink.close()
    assert shown == [0, 0, 0, 4, 1]
    assert cleared == [True]
    assert capsys.readouterr().out == ""


def test_the_end_says_what_is_best_and_worst_where_it_lies_and_what_is_next(
    realqa_here: Realqa, photos: Path, tmp_path: Path
) -> None:
    output = tmp_path / "my scores.jsonl"
    ran = realqa_here("score", photos, *ECHO, "-o", output)
    speed, best, worst, files, after = ran.closing
    scores = {record["image"]: record["score"] for record in map(json.loads, output.read_text().splitlines())}
    ordered = sorted(scores, key=lambda name: -scores[name])
    assert re.fullmatch(r"realqa: speed: [\d.e+]+ items a second, loading not counted", speed)
    assert best == "realqa: best: " + ", ".join(f"{name} {scores[name]:.2f}" for name in ordered[:3])
    assert worst == "realqa: worst: " + ", ".join(f"{name} {scores[name]:.2f}" for name in ordered[:-4:-1])
    assert files == f"realqa: files: 11 scores in {output}, settings in {output}.run.json"
    assert after == f"realqa: next: realqa rank '{output}'"
    assert realqa_here("score", photos, *ECHO, "-o", output).closing == [best, worst, files, after]


def test_a_table_of_the_output_file_has_all_its_records(realqa_here: Realqa, photos: Path, tmp_path: Path) -> None:
    output = tmp_path / "scores.jsonl"
    realqa_here("score", photos / "bee.jpg", *ECHO, "-o", output)
    shown = realqa_here("score", photos / "bee.jpg", photos / "dogs.jpg", "no.jpg", *ECHO, "-o", output, "--table").out
    assert [line.split()[1] for line in shown.splitlines() if re.match(r"[★✗ ] \S*\.jpg", line)][-1].endswith("no.jpg")
    assert shown.count("bee.jpg") == shown.count("dogs.jpg") == 1


def test_percentiles_are_in_tables_of_records(realqa_here: Realqa, photos: Path, tmp_path: Path) -> None:
    output = tmp_path / "scores.csv"
    realqa_here("score", photos, "no.jpg", *ECHO, "-o", output)
    with output.open(newline="", encoding="utf-8") as lines:
        rows = list(csv.DictReader(lines))
    scored = sorted((row for row in rows if row["score"]), key=lambda row: float(row["score"]))
    assert [float(row["percentile"]) for row in scored] == pytest.approx([100 * (i + 0.5) / 11 for i in range(11)])
    assert (rows[-1]["percentile"], rows[-1]["error_type"]) == ("", "missing")


def test_a_report_is_written_in_addition_to_the_records(realqa: Realqa, twenty: Path, tmp_path: Path) -> None:
    page = tmp_path / "scores.html"
    ran = realqa("score", twenty, *ECHO, "--report", page)
    text = page.read_text(encoding="utf-8")
    assert len(ran.records) == 20
    assert text.count('class="card"') == 19
    assert text.count("data:image/jpeg;base64,") == 19
    assert "<title>twenty · " in text
    assert "<b>1</b> failed" in text
    assert ran.records[0]["run"] in text
