"""Sources: which items the arguments of a command line give, in which order, and their errors."""

import io
import json
import os
import tracemalloc
import unicodedata
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

import pytest

from realqa_cli.errors import UsageError
from realqa_cli.io import folders
from realqa_cli.io.jsonl import dump_line
from realqa_cli.io.sources import Item, Sources, count_sources, read_sources


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Every test works in an empty folder of its own."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def touch(*names: str) -> None:
    for name in names:
        Path(name).parent.mkdir(parents=True, exist_ok=True)
        Path(name).write_bytes(b"x")


def write(name: str, *records: dict[str, Any] | str) -> str:
    Path(name).parent.mkdir(parents=True, exist_ok=True)
    lines = (record if isinstance(record, str) else dump_line(record) for record in records)
    Path(name).write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    return name


def read(*given: str, stdin: str = "") -> list[Item]:
    return list(read_sources(given, stdin=io.StringIO(stdin)))


def names(*given: str) -> list[str]:
    return [item.name for item in read(*given)]


def error_of(item: Item) -> dict[str, str]:
    assert item.error is not None
    assert item.path is None
    return item.error.as_field()


# Files


def test_files_keep_the_order_and_the_names_given() -> None:
    touch("b.jpg", "a.jpg", "folder/c.png")
    assert read("b.jpg", "./a.jpg", "folder/c.png", "b.jpg") == [
        Item(0, "b.jpg", Path("b.jpg")),
        Item(1, "./a.jpg", Path("a.jpg")),
        Item(2, "folder/c.png", Path("folder/c.png")),
        Item(3, "b.jpg", Path("b.jpg")),
    ]


def test_a_missing_file_is_an_error_in_its_place() -> None:
    touch("a.jpg", "c.jpg")
    first, missing, last = read("a.jpg", "b.jpg", "c.jpg")
    assert (first.error, last.error) == (None, None)
    assert (missing.index, missing.name) == (1, "b.jpg")
    assert error_of(missing) == {"type": "missing", "message": "b.jpg: no such file; check the path"}


def test_a_file_of_any_other_suffix_is_tried_as_a_photo() -> None:
    touch("photo", "photo.dat")
    assert [(item.kind, item.error) for item in read("photo", "photo.dat")] == [("image", None)] * 2


@pytest.mark.parametrize("name", ["a.mp4", "a.MKV", "a.webm", "a.mov", "a.avi", "a.m4v"])
def test_videos_are_known_by_their_suffix(name: str) -> None:
    touch(name)
    assert [item.kind for item in read(name)] == ["video"]


def test_a_path_that_cannot_exist_is_left_to_the_reader() -> None:
    (item,) = read("x" * 300)
    assert (item.path, item.error) == (Path("x" * 300), None)


# Folders


def test_a_folder_gives_photos_and_videos_below_it_in_code_point_order() -> None:
    inside = [
        "B.JPG",
        "a/2.heic",
        "a/10.png",
        "a-b.webp",
        "a.mp4",
        "c.TIFF",
        ".hidden.avif",
        "ä.bmp",
        "z/.y/x.gif",
    ]
    touch(*(f"photos/{name}" for name in inside), "photos/notes.txt", "photos/list.jsonl", "photos/noext")
    expected = sorted(f"photos/{name}" for name in inside)
    assert names("photos") == expected
    assert names("photos/") == expected
    assert expected[0] == "photos/.hidden.avif"
    assert expected.index("photos/a-b.webp") < expected.index("photos/a/10.png") < expected.index("photos/a/2.heic")


def test_every_suffix_counts_in_any_case() -> None:
    suffixes = ["jpg", "jpeg", "png", "webp", "gif", "bmp", "tif", "tiff", "avif", "heic"]
    touch(*(f"photos/a.{suffix}" for suffix in suffixes), *(f"photos/b.{suffix.upper()}" for suffix in suffixes))
    assert len(names("photos")) == 2 * len(suffixes)


def test_links_to_folders_are_followed_once_and_make_no_loop() -> None:
    touch("photos/a/1.jpg", "elsewhere/2.jpg")
    os.symlink("..", "photos/a/up")
    os.symlink(".", "photos/self")
    os.symlink("a", "photos/Alias")  # sorts first, but the real folder's name is kept
    os.symlink(os.path.abspath("elsewhere"), "photos/link")
    assert names("photos") == ["photos/a/1.jpg", "photos/link/2.jpg"]


def test_a_folder_that_cannot_be_read_is_an_error_item(monkeypatch: pytest.MonkeyPatch) -> None:
    touch("photos/a/1.jpg", "photos/b/2.jpg")
    scandir = os.scandir

    def refuse(path: str) -> Any:
        if path.endswith("a"):
            raise PermissionError(13, "Permission denied")
        return scandir(path)

    monkeypatch.setattr("os.scandir", refuse)  # the tests may run as root, whom no mode stops
    locked, photo = read("photos")
    assert error_of(locked)["type"] == "unreadable"
    assert (locked.name, photo.name) == ("photos/a", "photos/b/2.jpg")


def test_file_names_that_are_not_utf_8_are_found() -> None:
    name = os.fsdecode(b"photos/\xff.jpg")
    touch(name)
    (item,) = read("photos")
    assert item.name == name
    assert item.path is not None
    assert item.path.read_bytes() == b"x"


PNG = b"\x89PNG\r\n\x1a\n" + bytes(20)
MKV = b"\x1a\x45\xdf\xa3" + bytes(20)
TRANSPORT_STREAM = (b"\x47" + bytes(187)) * 3


def make(name: str, content: bytes) -> None:
    touch(name)
    Path(name).write_bytes(content)


def test_a_card_gives_its_photos_and_videos_and_counts_the_rest_by_kind(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(folders, "can_read_raw", lambda: False)
    taken = ["1.JPG", "2.HEIF", "3.HIF", "4.jfif", "a.3gp", "z/b.M2TS"]
    for name in taken:
        make(f"card/{name}", b"x")
    make("card/C.MTS", TRANSPORT_STREAM)
    make("card/d.ts", TRANSPORT_STREAM)
    make("card/no-suffix", PNG)
    make("card/odd.jpg_original", PNG)
    touch("card/5.CR2", "card/6.nef", "card/._1.JPG", "card/.Trash-1000/files/old.jpg", "card/.thumbnails/1.png")
    touch("card/@eaDir/1.JPG/thumb.jpg", "card/z/notes.txt", "card/code.ts", "card/Thumbs.db", "card/.DS_Store")
    found = Sources(["card"])
    expected = [*taken, "C.MTS", "d.ts", "no-suffix", "odd.jpg_original"]
    assert [item.name for item in found.items()] == sorted(f"card/{name}" for name in expected)
    assert found.skipped.counts == {"raw": 2, "apple-double": 1, "system": 3, "other": 4}
    summary = found.skipped.summary()
    assert summary is not None
    for part in ("2 camera RAW files (", "1 AppleDouble file (._*)", "3 files in system folders (", "@eaDir", ".txt"):
        assert part in summary


def test_a_folder_of_photos_alone_has_no_summary() -> None:
    touch("photos/a.jpg")
    assert Sources(["photos"]).skipped.summary() is None


def test_a_link_that_leads_in_a_circle_loses_only_itself() -> None:
    touch(*(f"photos/{i}.jpg" for i in range(5)))
    os.symlink("self", "photos/self")
    os.symlink("nowhere.jpg", "photos/dangling.jpg")
    found = {item.name: item for item in read("photos")}
    assert len(found) == 7
    assert error_of(found["photos/self"])["type"] == "unreadable"
    assert "this link cannot be read" in error_of(found["photos/self"])["message"]
    assert error_of(found["photos/dangling.jpg"])["type"] == "missing"


def test_a_link_into_a_locked_folder_loses_only_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    touch(*(f"photos/{i}.jpg" for i in range(3)), "locked/in/x.jpg")
    os.symlink(os.path.abspath("locked/in"), "photos/link")

    class Locked:
        def __init__(self, entry: "os.DirEntry[str]") -> None:
            self.name, self.path, self.is_symlink = entry.name, entry.path, entry.is_symlink
            self.entry = entry

        def is_dir(self) -> bool:
            if self.name == "link":
                raise PermissionError(13, "Permission denied")
            return self.entry.is_dir()

    class Opened:
        def __init__(self, path: str) -> None:
            self.entries = [Locked(entry) for entry in scandir(path)]

        def __enter__(self) -> Any:
            return self.entries

        def __exit__(self, *raised: object) -> None:
            pass

    scandir = os.scandir
    monkeypatch.setattr("os.scandir", Opened)  # the tests may run as root, whom no mode stops
    assert [item.name for item in read("photos") if item.error is None] == [f"photos/{i}.jpg" for i in range(3)]
    (locked,) = [item for item in read("photos") if item.error is not None]
    assert (locked.name, error_of(locked)["type"]) == ("photos/link", "unreadable")


def test_a_pipe_is_not_opened_to_see_what_it_is() -> None:
    touch("photos/a.jpg")
    os.mkfifo("photos/pipe")
    os.mkfifo("photos/pipe.jpg")
    assert names("photos", "photos/pipe.jpg") == ["photos/a.jpg", "photos/pipe.jpg", "photos/pipe.jpg"]


# Content


def test_content_decides_what_a_named_file_is() -> None:
    make("clip.jpg", MKV)
    make("clip", TRANSPORT_STREAM)
    make("photo.mp4", PNG)
    touch("unknown.mp4")
    assert [item.kind for item in read("clip.jpg", "clip", "photo.mp4", "unknown.mp4")] == [
        "video",
        "video",
        "image",
        "video",
    ]
    write("in.jsonl", {"image": "clip.jpg"}, {"video": "photo.mp4"}, {"video": "missing.jpg"})
    assert [item.kind for item in read("in.jsonl")] == ["video", "image", "video"]


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("list.json", '[{"image": "a.jpg", "mos": 3}, {"image": "b.jpg", "mos": NaN}, 3]'),
        ("list.json", '{"image": "a.jpg", "mos": 3}\n{"image": "b.jpg"}\n[3]\n'),
        ("list.ndjson", '{"image": "a.jpg", "mos": 3}\n{"image": "b.jpg"}\n3\n'),
        ("list.txt", '{"image": "a.jpg", "mos": 3}\n{"image": "b.jpg"}\n3\n'),
        ("list", '{"image": "a.jpg", "mos": 3}\n{"image": "b.jpg"}\n3\n'),
        ("list.csv", "Image;MOS\na.jpg;3,0\nb.jpg;NA\nc.jpg;1\n"),
        ("list.tsv", "mos\timage\n3\ta.jpg\n\tb.jpg\n1\tc.jpg\n"),
        ("list.txt", "a.jpg\r\n\r\nb.jpg\r\nc.jpg\r\n"),
        ("list.json", '["a.jpg", "b.jpg", 3]'),
    ],
)
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_a_list_is_read_whatever_its_name_and_form(name: str, text: str, encoding: str) -> None:
    touch("sub/a.jpg", "sub/b.jpg")
    Path("sub", name).write_bytes(text.encode(encoding))
    first, second, third = read(f"sub/{name}")
    assert (first.name, second.name) == ("sub/a.jpg", "sub/b.jpg")
    assert second.error is None
    assert third.error is not None
    assert count_sources([f"sub/{name}"]) == 3
    if "mos" in text.lower():
        assert first.fields["mos"] == 3
        assert second.fields.get("mos") is None


def test_one_object_over_several_lines_is_one_record() -> None:
    touch("a.jpg")
    write("one.json", '{\n "image": "a.jpg"\n}')
    assert names("one.json") == ["a.jpg"]


def test_a_broken_json_list_is_refused_with_a_remedy() -> None:
    write("list.json", '[{"image": "a.jpg"}')
    assert "cannot be read as JSON" in usage_error("list.json")
    write("list.csv", "photo,mos", "a.jpg,3")
    assert "there is no column 'image'" in usage_error("list.csv")


# Names


def test_backslashes_are_separators_where_there_is_no_such_file() -> None:
    touch("in/a.jpg", "in\\b.jpg", "in/b.jpg")
    write("in.jsonl", {"image": "in\\a.jpg"}, {"image": "in\\b.jpg"}, {"image": "in\\c.jpg"})
    first, second, third = read("in.jsonl")
    assert (first.name, second.name) == ("in/a.jpg", "in\\b.jpg")
    assert error_of(third)["type"] == "missing"


@pytest.mark.parametrize("form", ["NFC", "NFD"])
def test_names_are_found_in_another_unicode_form(form: Literal["NFC", "NFD"]) -> None:
    on_disk = "Größe/Ärger/é.jpg"
    other: Literal["NFC", "NFD"] = "NFD" if form == "NFC" else "NFC"
    touch(unicodedata.normalize(form, on_disk))
    mixed = (
        unicodedata.normalize(other, "Größe/")
        + unicodedata.normalize(form, "Ärger/")
        + unicodedata.normalize(other, "é.jpg")
    )
    write("in.jsonl", {"image": unicodedata.normalize(other, on_disk)}, {"image": mixed})
    assert names("in.jsonl") == [unicodedata.normalize(form, on_disk)] * 2


@pytest.mark.parametrize("key", ["image", "video", "images"])
@pytest.mark.parametrize(
    "name", ["data:image/jpeg;base64," + "A" * 100_000, "/9j/" + "A" * 100_000, "DATA:x" + "y" * 50]
)
def test_a_photo_in_place_of_a_name_is_refused_by_its_first_characters(key: str, name: str) -> None:
    write("in.jsonl", {key: [name] if key == "images" else name, "mos": 3})
    (item,) = read("in.jsonl")
    assert item.name == f"{name[:40]}…"
    assert error_of(item)["type"] == "unsupported"
    assert len(json.dumps([item.name, dict(item.fields), error_of(item)])) < 500
    assert item.fields["mos"] == 3
    (direct,) = read(name)
    assert direct.name == f"{name[:40]}…"


# JSON Lines


def test_other_fields_of_a_record_pass_through() -> None:
    touch("a.jpg")
    write("in.jsonl", {"mos": 3.5, "image": "a.jpg", "nested": {"x": [1]}, "error": None})
    assert read("in.jsonl") == [Item(0, "a.jpg", Path("a.jpg"), {"mos": 3.5, "nested": {"x": [1]}})]


def test_paths_are_relative_to_the_folder_of_the_file() -> None:
    touch("data/photos/a.jpg", "photos/a.jpg")
    write("data/in.jsonl", {"image": "photos/a.jpg"})
    assert read("data/in.jsonl") == [Item(0, "data/photos/a.jpg", Path("data/photos/a.jpg"))]


def test_paths_that_do_not_exist_there_are_relative_to_the_current_folder() -> None:
    touch("photos/a.jpg")
    write("results/scores.jsonl", {"image": "photos/a.jpg", "score": 3.9})
    assert read("results/scores.jsonl") == [Item(0, "photos/a.jpg", Path("photos/a.jpg"), {"score": 3.9})]


def test_a_name_that_means_the_same_file_from_here_is_kept(here: Path) -> None:
    touch("photos/a.jpg")
    write("other/in.jsonl", {"image": str(here / "photos/a.jpg")})
    os.symlink(here / "photos", here / "other/photos")
    write("other/linked.jsonl", {"image": "photos/a.jpg"})
    assert names("other/in.jsonl", "other/linked.jsonl") == [str(here / "photos/a.jpg"), "photos/a.jpg"]


def test_the_names_that_come_out_can_be_fed_in_again_from_the_current_folder() -> None:
    touch("data/photos/a.jpg")
    write("data/in.jsonl", {"image": "photos/a.jpg"})
    write("results/out.jsonl", *({"image": name} for name in names("data/in.jsonl")))
    write("out.jsonl", *({"image": name} for name in names("results/out.jsonl")))
    assert [item.path for item in read("out.jsonl")] == [Path("data/photos/a.jpg")]


def test_a_record_whose_photo_is_missing_keeps_its_name_and_fields() -> None:
    write("data/in.jsonl", {"image": "a.jpg", "mos": 3})
    (item,) = read("data/in.jsonl")
    assert (item.name, item.fields) == ("a.jpg", {"mos": 3})
    assert error_of(item) == {"type": "missing", "message": "data/a.jpg: no such file; check the path"}


def test_records_of_videos_and_of_one_image_in_a_list_are_taken() -> None:
    touch("a.mp4", "a.jpg")
    write("in.jsonl", {"video": "a.mp4", "image": None}, {"images": ["a.jpg"], "messages": []})
    video, image = read("in.jsonl")
    assert (video.kind, video.name, video.fields) == ("video", "a.mp4", {})
    assert (image.kind, image.name) == ("image", "a.jpg")
    assert image.fields == {"images": ["a.jpg"], "messages": []}


@pytest.mark.parametrize(
    "record",
    [
        {"mos": 3},
        {"image": None},
        {"image": ""},
        {"image": 3},
        {"image": ["a.jpg"]},
        {"images": []},
        {"images": ["a.jpg", "b.jpg"]},
        {"image": "a.jpg", "video": "a.mp4"},
    ],
    ids=json.dumps,
)
def test_a_record_that_is_not_about_one_thing_is_an_error(record: dict[str, Any]) -> None:
    touch("a.jpg", "b.jpg", "a.mp4")
    write("in.jsonl", record)
    (item,) = read("in.jsonl")
    assert item.name == "in.jsonl:1"
    assert error_of(item)["type"] == "record"
    assert "in.jsonl:1: no image or video, or several" in error_of(item)["message"]


def test_an_unreadable_line_is_an_error_that_names_it_and_the_run_goes_on() -> None:
    touch("a.jpg")
    write("in.jsonl", {"image": "a.jpg"}, "", "oops", {"image": "a.jpg"})
    first, error, last = read("in.jsonl")
    assert (first.name, error.name, last.name) == ("a.jpg", "in.jsonl:3", "a.jpg")
    assert error_of(error)["type"] == "record"
    assert error_of(error)["message"].startswith("in.jsonl:3: not a JSON object")


@pytest.mark.parametrize(
    ("field", "expected"),
    [
        ({"type": "missing", "message": "it was gone"}, {"type": "missing", "message": "it was gone"}),
        ("it was gone", {"type": "failed", "message": "it was gone"}),
        ({}, {"type": "failed", "message": "an earlier step failed"}),
    ],
)
def test_an_item_that_failed_earlier_stays_failed_with_its_own_words(field: Any, expected: dict[str, str]) -> None:
    touch("a.jpg")
    write("in.jsonl", {"image": "a.jpg", "mos": 3, "error": field})
    (item,) = read("in.jsonl")
    assert (item.name, item.fields) == ("a.jpg", {"mos": 3})
    assert error_of(item) == expected


def test_file_urls_are_paths_and_others_are_fetched_later(here: Path) -> None:
    touch("a b.jpg")
    write("in.jsonl", {"image": f"file://{here}/a%20b.jpg"}, {"image": "https://example.org/a.jpg"})
    local, remote = read("in.jsonl")
    assert (local.name, local.path) == (f"{here}/a b.jpg", here / "a b.jpg")
    assert (remote.name, remote.path, remote.error) == ("https://example.org/a.jpg", None, None)
    assert remote.stored is not None


def test_a_url_of_an_unknown_kind_is_an_error_item() -> None:
    (item,) = read("nosuch://example.org/a.jpg")
    assert error_of(item)["type"] == "unsupported"
    assert "this kind of URL is unknown" in error_of(item)["message"]


# Standard input


def test_standard_input_is_json_lines_relative_to_the_current_folder() -> None:
    touch("a.jpg", "b.jpg")
    first, error, last = read("-", "b.jpg", stdin='{"image": "a.jpg", "mos": 3}\noops\n')
    assert first == Item(0, "a.jpg", Path("a.jpg"), {"mos": 3}, live=True)
    assert error.name == "<stdin>:2"
    assert last == Item(2, "b.jpg", Path("b.jpg"))


@pytest.mark.parametrize("given", ["b.jpg\na b.jpg\n", "\n\nb.jpg\r\n\r\na b.jpg", "[1].jpg\n{x}.jpg\n"])
def test_a_list_of_paths_on_standard_input_is_taken_as_ls_prints_it(given: str) -> None:
    expected = given.split("\n") if "[" in given else ["b.jpg", "a b.jpg"]
    expected = [name for name in expected if name]
    touch(*expected)
    items = read("-", stdin=given)
    assert [(item.name, item.error, item.live) for item in items] == [(name, None, True) for name in expected]


def test_names_on_standard_input_that_are_not_utf_8_are_found() -> None:
    touch(os.fsdecode(b"\xff.jpg"))
    stream = io.TextIOWrapper(io.BytesIO(b"\xff.jpg\n"), encoding="utf-8")
    assert [item.error for item in read_sources(["-"], stdin=stream)] == [None]


def test_a_missing_name_on_standard_input_is_an_error_in_its_place() -> None:
    touch("a.jpg")
    first, missing = read("-", stdin="a.jpg\nb.jpg\n")
    assert first.error is None
    assert (missing.name, error_of(missing)["type"]) == ("b.jpg", "missing")


def test_standard_input_is_read_line_by_line() -> None:
    def endless() -> Iterator[str]:
        while True:
            yield '{"image": "a.jpg"}\n'

    touch("a.jpg")
    items = read_sources(["-"], stdin=endless())  # type: ignore[arg-type]
    assert [next(items).index for _ in range(3)] == [0, 1, 2]


def test_a_long_file_is_never_held_in_memory() -> None:
    touch("a.jpg")
    write("in.jsonl", *({"image": "a.jpg", "text": "x" * 10_000} for _ in range(500)))
    tracemalloc.start()
    try:
        assert sum(1 for _ in read_sources(["in.jsonl"])) == 500
        assert tracemalloc.get_traced_memory()[1] < 1_000_000  # of 5 MB
    finally:
        tracemalloc.stop()


# Wrong usage


def usage_error(*given: str, **options: Any) -> str:
    with pytest.raises(UsageError) as caught:
        read_sources(given, **options)  # before the first item is asked for
    return str(caught.value)


def test_no_sources_are_wrong_usage() -> None:
    assert "no sources" in usage_error()


def test_a_folder_without_photos_is_wrong_usage_even_as_the_last_source() -> None:
    touch("a.jpg", "folder/notes.txt")
    message = usage_error("a.jpg", "folder")
    assert message.startswith("folder: there are no photos or videos in this folder; realqa looks for .3g2 .3gp .avi")
    assert message.endswith("; not taken: 1 other file (.txt)")


def test_a_json_lines_file_that_does_not_exist_is_wrong_usage() -> None:
    touch("a.jpg")
    assert usage_error("a.jpg", "in.jsonl") == "in.jsonl: cannot be read (No such file or directory); check the path"


def test_standard_input_cannot_be_given_twice() -> None:
    assert "twice" in usage_error("-", "-")


def test_a_limit_below_one_is_wrong_usage() -> None:
    touch("a.jpg")
    assert usage_error("a.jpg", limit=0).startswith("--limit: ")


def test_sources_that_hold_nothing_at_all_are_wrong_usage() -> None:
    write("in.jsonl", "", " ")
    with pytest.raises(UsageError, match="hold no records"):
        read("in.jsonl", "-", stdin="\n")


def test_an_empty_json_lines_file_among_others_is_fine() -> None:
    touch("a.jpg")
    write("in.jsonl")
    assert names("in.jsonl", "a.jpg") == ["a.jpg"]


# How many


def test_a_limit_stops_early_and_across_sources() -> None:
    touch("a.jpg", "photos/b.jpg", "photos/c.jpg")
    items = list(read_sources(["a.jpg", "photos"], limit=2))
    assert [item.name for item in items] == ["a.jpg", "photos/b.jpg"]


def test_the_count_is_the_number_of_items() -> None:
    touch("a.jpg", "photos/b.jpg", "photos/c.jpg")
    write("in.jsonl", {"image": "a.jpg"}, "", "oops", {"image": "b.jpg"})
    given = ["a.jpg", "missing.jpg", "photos", "in.jsonl"]
    assert count_sources(given) == len(read(*given)) == 7
    assert count_sources(given, limit=3) == 3
    assert count_sources([*given, "-"]) is None


def test_files_from_reads_a_path_a_line_whatever_it_looks_like(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    names = ["a.jpg", '{"image": "b.jpg"}', " spaced .jpg", "list.jsonl"]
    for name in names:
        (tmp_path / name).write_bytes(b"\xff\xd8\xff\xe0")
    listed = tmp_path / "sub" / "names.txt"
    listed.parent.mkdir()
    listed.write_text("a.jpg\n\n" + "\n".join(names[1:]) + "\nmissing.jpg")
    sources = Sources(["a.jpg"], files_from=str(listed))
    assert [item.name for item in sources.items()] == ["a.jpg", *names, "missing.jpg"]
    assert sources.count() == 6
    assert [item.error is not None for item in Sources([], files_from=str(listed)).items()] == [False] * 4 + [True]


def test_files_from_takes_standard_input_once(tmp_path: Path) -> None:
    photo = tmp_path / "a.jpg"
    photo.write_bytes(b"\xff\xd8\xff\xe0")
    (item,) = Sources([], files_from="-", stdin=io.StringIO(f"{photo}\n")).items()
    assert item.name == str(photo)
    with pytest.raises(UsageError, match="given twice"):
        Sources(["-"], files_from="-")
    with pytest.raises(UsageError, match=r"none\.txt"):
        Sources([], files_from=str(tmp_path / "none.txt"))
