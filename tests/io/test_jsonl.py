"""JSON Lines: what is read, what is written, and what is left after crashes, kills and full disks."""

import io
import itertools
import json
import os
import signal
import stat
import subprocess
import sys
import textwrap
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from realqa_cli.errors import OutputError, RecordError, UsageError
from realqa_cli.io.appender import Appender
from realqa_cli.io.jsonl import dump_line, parse_line, read_lines, write_atomic

# Lone surrogates as Python makes them of file names that are not UTF-8: U+DC80 to U+DCFF.
names = st.text(st.characters(exclude_categories=["Cs"]) | st.characters(min_codepoint=0xDC80, max_codepoint=0xDCFF))
numbers = st.integers() | st.floats(allow_nan=False, allow_infinity=False)
values = st.recursive(
    st.none() | st.booleans() | numbers | names,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(names, inner, max_size=3),
    max_leaves=8,
)
records = st.dictionaries(st.text(), values, max_size=5)


def image_of(record: Mapping[str, Any]) -> str | None:
    """A key as a step would give it: failed items do not count as done."""
    return None if "error" in record else str(record.get("image"))


def contents(path: Path) -> list[dict[str, Any]]:
    found = [record for _, record in read_lines(path)]
    assert all(isinstance(record, dict) for record in found), found
    return found  # type: ignore[return-value]


def problem(line: bytes) -> str:
    ((number, error),) = read_lines(io.BytesIO(line), name="in.jsonl")
    assert isinstance(error, RecordError)
    assert (number, error.type, error.where) == (1, "record", "in.jsonl:1")
    return str(error)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "out.jsonl"


# Reading


def test_lines_come_with_their_numbers_and_blank_ones_are_skipped(path: Path) -> None:
    path.write_bytes(b'{"a": 1}\n\n  \r\n{"a": 2}\r\n{"a": 3}')
    assert list(read_lines(path)) == [(1, {"a": 1}), (4, {"a": 2}), (5, {"a": 3})]


def test_a_byte_order_mark_is_not_an_error(path: Path) -> None:
    path.write_bytes(b'\xef\xbb\xbf{"a": 1}\n{"a": 2}\n')
    assert contents(path) == [{"a": 1}, {"a": 2}]


def test_a_bad_line_is_an_error_that_names_it_and_the_next_is_read(path: Path) -> None:
    path.write_bytes(b'{"a": 1}\nnonsense\n{"a": 3}\n')
    (_, first), (_, error), (_, last) = read_lines(path)
    assert (first, last) == ({"a": 1}, {"a": 3})
    assert isinstance(error, RecordError)
    assert str(error).startswith(f"{path}:2: ")


@pytest.mark.parametrize(
    ("line", "words"),
    [
        (b'{"a": ', "not a JSON object"),
        (b"[1, 2]", "a list, not an object"),
        (b"3.5", "a float, not an object"),
        (b'{"a": "\xff"}', "can't decode byte 0xff"),
        (b'{"a": 1, "a": 2}', "'a'"),
        (b'{"deep": {"b": 1, "b": 2}}', "'b'"),
        (b'{"a": ' + b"[" * 200_000, "recursion"),
        (b'{"a": ' + b"1" * 5_000 + b"}", "digits"),
        (b'{"\\ud800": 1}', "surrogates"),
    ],
)
def test_what_is_not_a_record_is_an_error(line: bytes, words: str) -> None:
    assert words in problem(line)


def test_text_streams_are_read_like_files() -> None:
    (_, record), (_, error) = read_lines(io.StringIO('{"a": "é"}\n[]\n'), name="<stdin>")
    assert record == {"a": "é"}
    assert str(error).startswith("<stdin>:2: ")


def test_lines_are_read_one_at_a_time() -> None:
    def endless() -> Iterator[bytes]:
        while True:
            yield b'{"a": 1}\n'

    lines = read_lines(endless())  # type: ignore[arg-type]
    assert [next(lines) for _ in range(3)] == [(number, {"a": 1}) for number in (1, 2, 3)]


def test_a_missing_file_is_a_usage_error(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"none\.jsonl.*No such file"):
        next(read_lines(tmp_path / "none.jsonl"))


@pytest.mark.parametrize("number", ["NaN", "Infinity", "-Infinity", "1e999", "-1e999"])
def test_numbers_that_json_does_not_have_are_null_and_reported_once_a_file(
    path: Path, number: str, caplog: pytest.LogCaptureFixture
) -> None:
    path.write_text(f'{{"image": "a.jpg", "deep": [{{"x": {number}}}]}}\n' * 3)
    assert contents(path) == [{"image": "a.jpg", "deep": [{"x": None}]}] * 3
    assert [record.getMessage() for record in caplog.records] == [
        f"{path}:1: NaN or Infinity is not valid JSON and is read as null (reported once per file)"
    ]


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-16-be"])
@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_utf_16_is_read_as_powershell_writes_it(path: Path, encoding: str, end: str) -> None:
    names = ["a.jpg", "Größe/写真.jpg", "\u0a0a\u010a.jpg", "b.jpg"]  # characters whose bytes hold 0a
    text = "".join(json.dumps({"image": name}, ensure_ascii=False) + end for name in names)
    path.write_bytes(text.encode(encoding))
    assert contents(path) == [{"image": name} for name in names]
    assert [record for _, record in read_lines(io.BytesIO(text.encode(encoding)))] == [
        {"image": name} for name in names
    ]


@given(st.lists(records, min_size=1, max_size=3))
def test_any_records_survive_utf_16(rows: list[dict[str, Any]]) -> None:
    text = "".join(dump_line(row) + "\n" for row in rows)
    assert [record for _, record in read_lines(io.BytesIO(text.encode("utf-16")))] == rows


def test_utf_16_that_is_cut_keeps_its_whole_lines(path: Path) -> None:
    path.write_bytes('{"a": 1}\n{"a": 2}'.encode("utf-16")[:-1])
    (_, first), (number, error) = read_lines(path)
    assert (first, number) == ({"a": 1}, 2)
    assert isinstance(error, RecordError)


# Writing a line


@given(records)
def test_what_is_written_is_read_back(record: dict[str, Any]) -> None:
    line = dump_line(record)
    assert line.splitlines() == [line]  # no character in it that a program could take for a line end
    assert parse_line(line.encode("utf-8")) == record


@given(st.lists(records, max_size=4))
def test_whole_files_are_read_back_by_any_reader_of_lines(rows: list[dict[str, Any]]) -> None:
    text = "".join(dump_line(row) + "\n" for row in rows)
    assert [record for _, record in read_lines(io.BytesIO(text.encode("utf-8")))] == rows
    assert [json.loads(line) for line in text.splitlines()] == rows


@given(st.binary(min_size=1))
def test_a_file_name_that_is_not_utf_8_survives_byte_for_byte(name: bytes) -> None:
    line = dump_line({"image": os.fsdecode(name)}).encode("utf-8")
    assert os.fsencode(parse_line(line)["image"]) == name


def test_names_stay_readable() -> None:
    assert dump_line({"image": "Größe/写真.jpg"}) == '{"image": "Größe/写真.jpg"}'


@pytest.mark.parametrize("value", [float("nan"), float("inf"), [float("-inf")]])
def test_numbers_that_json_does_not_know_are_never_written(value: object) -> None:
    with pytest.raises(ValueError, match="JSON compliant"):
        dump_line({"score": value})


def test_floats_are_not_rounded() -> None:
    assert dump_line({"score": 0.1 + 0.2}) == '{"score": 0.30000000000000004}'


# Appending


def test_records_are_in_the_file_before_the_writer_closes(path: Path) -> None:
    with Appender(path) as output:
        assert output.append({"image": "a.jpg", "score": 3.98})
        assert path.read_bytes() == b'{"image": "a.jpg", "score": 3.98}\n'


def test_a_second_run_goes_on_after_the_first(path: Path) -> None:
    for image in ("a.jpg", "b.jpg"):
        with Appender(path) as output:
            output.append({"image": image})
    assert contents(path) == [{"image": "a.jpg"}, {"image": "b.jpg"}]


def test_a_record_of_an_earlier_run_is_taken_once(path: Path) -> None:
    path.write_text('{"image": "a.jpg"}\n{"image": "b.jpg"}\n{"image": "a.jpg"}\n')
    with Appender(path, key=image_of) as output:
        assert [output.take("a.jpg") for _ in range(3)] == [True, True, False]
        assert output.take("b.jpg")
        assert not output.take("c.jpg")


def test_records_of_this_run_do_not_count_as_done(path: Path) -> None:
    with Appender(path, key=image_of) as output:
        output.append({"image": "a.jpg"})
        assert not output.take("a.jpg")


def test_keys_may_be_tuples(path: Path) -> None:
    path.write_text('{"image": "a.jpg", "run": "x", "scale": 1.0}\n')
    with Appender(path, key=lambda record: (record["image"], record["run"], record["scale"])) as output:
        assert not output.take(("a.jpg", "y", 1.0))
        assert output.take(("a.jpg", "x", 1.0))


def test_failed_items_are_tried_again(path: Path) -> None:
    path.write_text('{"image": "a.jpg", "error": {"type": "missing", "message": "no such file"}}\n')
    with Appender(path, key=image_of) as output:
        assert not output.take("a.jpg")


def test_the_same_failure_is_not_written_twice(path: Path) -> None:
    failures: list[dict[str, Any]] = [{"image": "a.jpg", "error": {"type": "missing"}}] * 2
    for _ in range(3):
        with Appender(path, key=image_of) as output:
            for failure in failures:  # the same photo is listed twice
                output.append(failure)
    assert contents(path) == failures


def test_another_failure_of_the_same_item_is_written(path: Path) -> None:
    for kind in ("missing", "broken"):
        with Appender(path, key=image_of) as output:
            assert output.append({"image": "a.jpg", "error": {"type": kind}})
    assert len(contents(path)) == 2


def test_a_link_to_the_file_is_the_file(path: Path, tmp_path: Path) -> None:
    path.touch()
    (tmp_path / "link.jsonl").symlink_to(path)
    with Appender(tmp_path / "link.jsonl") as output:
        output.append({"a": 1})
        with pytest.raises(OutputError, match="another run"), Appender(path):
            pass
    assert contents(path) == [{"a": 1}]


def test_syncing_is_left_to_once_a_second(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    synced: list[int] = []
    clock = iter([10.0, 10.0, 10.5, 11.1, 11.1, 12.0])
    monkeypatch.setattr(time, "monotonic", lambda: next(clock))
    with Appender(path) as output:
        monkeypatch.setattr(os, "fsync", lambda descriptor: synced.append(path.read_bytes().count(b"\n")))
        for number in range(3):
            output.append({"a": number})
        assert synced == [1, 3]
    assert synced == [1, 3, 3]


# Starting over


def test_not_resuming_refuses_a_file_that_holds_something(path: Path) -> None:
    path.write_text('{"a": 1}\n')
    with pytest.raises(OutputError, match=r"out\.jsonl: the file is not empty; add --overwrite"):
        Appender(path, resume=False).__enter__()
    assert path.read_text() == '{"a": 1}\n'


def test_overwriting_starts_over(path: Path) -> None:
    path.write_text('{"image": "a.jpg"}\n' * 3)
    with Appender(path, resume=False, overwrite=True, key=image_of) as output:
        assert not output.take("a.jpg")
        output.append({"a": 2})
    assert contents(path) == [{"a": 2}]


@pytest.mark.parametrize("exists", [True, False])
def test_not_resuming_is_fine_where_there_is_nothing(path: Path, exists: bool) -> None:
    if exists:
        path.touch()
    with Appender(path, resume=False) as output:
        output.append({"a": 1})
    assert contents(path) == [{"a": 1}]


# Repair


@given(st.lists(records, min_size=1, max_size=3), st.data())
def test_a_file_cut_anywhere_keeps_its_whole_records(
    tmp_path_factory: pytest.TempPathFactory, rows: list[dict[str, Any]], data: st.DataObject
) -> None:
    path = tmp_path_factory.mktemp("cut") / "out.jsonl"
    lines = [dump_line(row).encode("utf-8") + b"\n" for row in rows]
    cut = data.draw(st.integers(0, sum(map(len, lines))))
    whole = whole_lines(lines, cut)
    assert repaired_rows(path, lines, cut) == [*rows[:whole], LAST]


def test_a_file_cut_at_every_byte_keeps_its_whole_records(path: Path) -> None:
    rows: list[dict[str, Any]] = [{"image": "Größe.jpg", "score": 3.5}, {}, {"nested": {"ü": [1, "}\n"]}}]
    lines = [dump_line(row).encode("utf-8") + b"\n" for row in rows]
    for cut in range(sum(map(len, lines)) + 1):
        assert repaired_rows(path, lines, cut) == [*rows[: whole_lines(lines, cut)], LAST]


LAST = {"last": True}


def whole_lines(lines: list[bytes], cut: int) -> int:
    """How many lines are complete in the first `cut` bytes; only the end of the last one may lack."""
    ends = list(itertools.accumulate(map(len, lines)))
    return sum(cut >= end - 1 for end in ends)


def repaired_rows(path: Path, lines: list[bytes], cut: int) -> list[Any]:
    """What a file holds that was cut after `cut` bytes, and to which one more record was appended."""
    path.write_bytes(b"".join(lines)[:cut])
    with Appender(path) as output:
        assert (output.repaired is None) == (cut in {0, *itertools.accumulate(map(len, lines))})
        output.append(LAST)
    return contents(path)


def test_repair_says_what_it_did(path: Path) -> None:
    path.write_bytes(b'{"a": 1}\n{"a": ')
    with Appender(path) as output:
        assert output.repaired is not None
        assert "removed an incomplete last line, 6 bytes" in output.repaired
    path.write_bytes(b'{"a": 1}')
    with Appender(path) as output:
        assert output.repaired == "completed the last line of an interrupted run"


@pytest.mark.parametrize("tail", [bytes(4096), b'{"a": 2, "b' + bytes(100)])
def test_zeros_that_a_power_cut_leaves_are_cut_off(path: Path, tail: bytes) -> None:
    path.write_bytes(b'{"a": 1}\n' + tail)
    with Appender(path) as output:
        assert output.repaired is not None
    assert contents(path) == [{"a": 1}]


@pytest.mark.parametrize(
    "foreign",
    [
        b"\xff\xd8\xff\xe0 a photo",
        b"a,b\n1,2\n",
        b"# Notes",
        b'{"a": 1}\noops\n{"a": 2}\n',
        b'{\n "pretty": 1\n}\n',
    ],
)
def test_a_file_that_is_not_ours_is_not_touched(path: Path, foreign: bytes) -> None:
    path.write_bytes(foreign)
    with pytest.raises(OutputError, match=r"out\.jsonl:\d: this line is not a record"), Appender(path):
        pass
    assert path.read_bytes() == foreign


# Two writers


@contextmanager
def writer(path: Path, body: str) -> Iterator[subprocess.Popen[str]]:
    """A second process that has the file open for appending as `output`, and has said so."""
    script = f"""
        import sys
        from pathlib import Path
        from realqa_cli.io.appender import Appender
        with Appender(Path(sys.argv[1])) as output:
            print("open", flush=True)
            {body}
    """
    command = [sys.executable, "-c", textwrap.dedent(script), str(path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == "open\n"
            yield process
        finally:
            process.kill()


def test_two_processes_do_not_write_one_file(path: Path) -> None:
    with writer(path, "sys.stdin.readline()") as process:
        with (
            pytest.raises(OutputError, match=r"out\.jsonl: another run is writing this file"),
            Appender(path),
        ):
            pass
        process.communicate("\n")
    with Appender(path) as output:
        assert output.append({"a": 1})


def test_one_process_does_not_open_a_file_twice(path: Path) -> None:
    with Appender(path) as output:
        with pytest.raises(OutputError, match="another run"), Appender(path):
            pass
        output.append({"a": 1})
    assert contents(path) == [{"a": 1}]


def test_an_appender_that_could_not_start_leaves_no_lock(path: Path) -> None:
    path.write_text("foreign\n")
    for _ in range(2):
        with pytest.raises(OutputError, match="not a record"), Appender(path):
            pass


def test_a_killed_writer_has_lost_nothing_and_blocks_nobody(path: Path) -> None:
    endless = """
            for number in range(10**9):
                output.append({"image": f"{number}.jpg", "text": "x" * 500})
                print(number, flush=True)
    """.strip()
    with writer(path, endless) as process:
        assert process.stdout is not None
        said = [int(process.stdout.readline()) for _ in range(200)]
        process.send_signal(signal.SIGKILL)
        said += [int(line) for line in process.stdout.read().splitlines(keepends=True) if line.endswith("\n")]
        process.wait()
    with Appender(path, key=image_of) as output:
        assert all(output.take(f"{number}.jpg") for number in said)
        output.append({"image": "last.jpg"})
    assert len(contents(path)) in (len(said) + 1, len(said) + 2)  # one can be written and not yet said


@pytest.mark.skipif(os.name == "nt", reason="Windows has no lock that follows hard links")
def test_a_second_writer_through_a_hard_link_is_refused(path: Path, tmp_path: Path) -> None:
    path.touch()
    os.link(path, tmp_path / "hard.jsonl")
    with writer(path, "sys.stdin.readline()") as process:
        with pytest.raises(OutputError, match="another run is writing this file"), Appender(tmp_path / "hard.jsonl"):
            pass
        process.communicate("\n")
    with Appender(tmp_path / "hard.jsonl") as output:
        output.append({"a": 1})
    assert contents(path) == [{"a": 1}]


# Failing disks and folders


def test_a_full_disk_is_a_clear_error_and_leaves_whole_lines_only(path: Path) -> None:
    # A limit on the file's size fails as a full disk does: part of a line is written, then nothing more.
    script = """
        import resource, sys
        from pathlib import Path
        from realqa_cli.errors import OutputError
        from realqa_cli.io.appender import Appender
        resource.setrlimit(resource.RLIMIT_FSIZE, (1000, resource.RLIM_INFINITY))
        with Appender(Path(sys.argv[1])) as output:
            try:
                for number in range(100):
                    output.append({"number": number, "text": "x" * 100})
            except OutputError as error:
                print(error)
    """
    command = [sys.executable, "-c", textwrap.dedent(script), str(path)]
    ran = subprocess.run(command, capture_output=True, text=True, check=True)
    assert "out.jsonl: cannot be written (File too large); free some space" in ran.stdout
    numbers = [record["number"] for record in contents(path)]
    assert numbers == list(range(7))  # 7 lines of 126 bytes, as the eighth did not fit
    assert path.read_bytes().endswith(b"\n")


def test_an_interrupt_leaves_whole_lines_only(path: Path) -> None:
    class Interrupted(io.FileIO):
        def write(self, data: Any) -> int:
            super().write(bytes(data)[:3])
            raise KeyboardInterrupt

    with Appender(path) as output:
        output.append({"a": 1})
        sound, output._file.stream = output._file.stream, Interrupted(path, "ab")
        with output._file.stream, pytest.raises(KeyboardInterrupt):
            output.append({"a": 2})
        output._file.stream = sound
    assert path.read_bytes() == b'{"a": 1}\n'


@pytest.mark.parametrize("output", ["missing/out.jsonl", ".", "/dev/null"])
def test_places_that_cannot_be_appended_to_are_refused(tmp_path: Path, output: str) -> None:
    with pytest.raises(OutputError), Appender(tmp_path / output):
        pass
    assert list(tmp_path.iterdir()) == []


def test_a_file_without_permission_is_a_clear_error(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(self: Path, *args: object, **options: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "open", refuse)  # the tests may run as root, whom no mode stops
    with pytest.raises(OutputError, match=r"cannot be written \(Permission denied\)"), Appender(path):
        pass


# Whole files


def test_a_file_is_replaced_as_a_whole(path: Path) -> None:
    write_atomic(path, "old")
    write_atomic(path, "größer")
    assert path.read_text(encoding="utf-8") == "größer"
    assert os.listdir(path.parent) == [path.name]


def test_a_replaced_file_has_the_usual_permissions(path: Path) -> None:
    write_atomic(path, "text")
    usual = path.with_name("usual")
    usual.touch()
    assert stat.S_IMODE(path.stat().st_mode) == stat.S_IMODE(usual.stat().st_mode)


def test_a_failed_replacement_leaves_the_old_text_and_no_rubbish(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    write_atomic(path, "old")
    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OutputError, match="No space left"):
        write_atomic(path, "new")
    assert path.read_text() == "old"
    assert os.listdir(path.parent) == [path.name]


def test_a_link_is_written_through(path: Path, tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(path)
    write_atomic(tmp_path / "link", "text")
    assert (tmp_path / "link").is_symlink()
    assert path.read_text() == "text"


def test_importing_the_module_is_light() -> None:
    heavy = "{'filelock', 'numpy', 'PIL', 'pydantic'}"
    script = f"import sys, realqa_cli.io.appender; print(sorted({heavy} & set(sys.modules)))"
    ran = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert ran.stdout == "[]\n"
