"""Photos at URLs, in object storage and in tar archives: scored as if they were files, and never fetched twice."""

import io
import json
import os
import shutil
import tarfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from photo_server import PhotoServer
from process import Ran, Realqa, environment

fsspec = pytest.importorskip("fsspec")
pytest.importorskip("aiohttp", reason="URLs need aiohttp: pip install 'realqa[remote]'")

from realqa_cli.io import remote  # noqa: E402

ECHO = ("--backend", "echo")
SECRET = "X-Amz-Signature=0123456789abcdef"


@pytest.fixture(autouse=True)
def _no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(remote, "PAUSES", (0.0, 0.0))


@pytest.fixture
def server(photo_files: list[Path]) -> Iterator[PhotoServer]:
    with PhotoServer({file.name: file.read_bytes() for file in photo_files[:4]}) as server:
        yield server


@pytest.fixture
def memory(photo_files: list[Path]) -> Iterator[Callable[[str], str]]:
    """The file system of fsspec in memory, with four photos in two folders; a function from a path to its URL."""
    files = fsspec.filesystem("memory")
    files.store.clear()
    for place, file in zip(("b/1.jpg", "b-c.jpg", "a/2.JPG", "a/deep/3.jpg"), photo_files, strict=False):
        files.pipe(f"/bucket/{place}", file.read_bytes())
    files.pipe("/bucket/a/notes.txt", b"no photo")
    yield lambda path: f"memory:///bucket/{path}"
    files.store.clear()


def local_scores(realqa_here: Realqa, *files: object) -> list[float]:
    return [record["score"] for record in realqa_here("score", *files, *ECHO).records]


def tar_of(files: list[Path], path: Path, mode: str = "w") -> Path:
    with tarfile.open(path, mode) as tar:  # type: ignore[call-overload]
        for file in files:
            tar.add(file, f"./shard/{file.name}")
            info = tarfile.TarInfo(f"./shard/{file.stem}.json")
            info.size = 2
            tar.addfile(info, io.BytesIO(b"{}"))
    os.utime(path, (10**9, 10**9))
    return path


def records_in(file: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]


class TestUrls:
    def test_a_url_is_scored_as_the_file_is(
        self, realqa_here: Realqa, server: PhotoServer, photo_files: list[Path]
    ) -> None:
        ran = realqa_here("score", *(f"{server.url}/{file.name}" for file in photo_files[:4]), *ECHO)
        assert ran.code == 0, ran.err
        assert [record["image"] for record in ran.records] == [f"{server.url}/{file.name}" for file in photo_files[:4]]
        assert [record["score"] for record in ran.records] == local_scores(realqa_here, *photo_files[:4])

    def test_a_list_may_name_urls(
        self, realqa_here: Realqa, server: PhotoServer, photo_files: list[Path], tmp_path: Path
    ) -> None:
        names = [f"{server.url}/{photo_files[0].name}", str(photo_files[1]), f"{server.url}/{photo_files[2].name}"]
        (tmp_path / "in.jsonl").write_text("".join(json.dumps({"image": name, "mos": 3.0}) + "\n" for name in names))
        ran = realqa_here("score", tmp_path / "in.jsonl", *ECHO)
        assert [(record["image"], record["mos"]) for record in ran.records] == [(name, 3.0) for name in names]
        assert [record["score"] for record in ran.records] == local_scores(realqa_here, *photo_files[:3])

    def test_each_failure_is_a_record_of_a_clear_type(
        self, realqa_here: Realqa, server: PhotoServer, photo_files: list[Path]
    ) -> None:
        good = photo_files[0].name
        server.files |= dict.fromkeys(("denied.jpg", "down.jpg"), server.files[good])
        server.files |= {"empty.jpg": b"", "text.jpg": b"not a photo"}
        server.statuses = {"denied.jpg": [403] * 9, "down.jpg": [503] * 9}
        names = ["gone.jpg", "denied.jpg", "down.jpg", "empty.jpg", "text.jpg", "clip.mp4", good]
        ran = realqa_here("score", *(f"{server.url}/{name}" for name in names), *ECHO)
        assert ran.code == 1
        *failed, scored = ran.records
        types = [record["error"]["type"] for record in failed]
        assert types == ["missing", "forbidden", "network", "empty", "unsupported", "unsupported"]
        assert "cannot be fetched (status 503); run again" in failed[2]["error"]["message"]
        assert scored["error"] is None
        assert server.gets("denied.jpg") == 1, "a refusal does not pass"
        assert server.gets("down.jpg") == 3

    def test_a_failure_that_passes_is_tried_again(
        self, realqa_here: Realqa, server: PhotoServer, photo_files: list[Path]
    ) -> None:
        name = photo_files[0].name
        server.statuses = {name: [503, 429]}
        ran = realqa_here("score", f"{server.url}/{name}", *ECHO)
        assert ran.code == 0, ran.out
        assert server.gets(name) == 3

    def test_a_server_that_is_down_is_a_record(self, realqa_here: Realqa, server: PhotoServer) -> None:
        with PhotoServer({}) as other:
            url = other.url
        ran = realqa_here("score", f"{url}/a.jpg", *ECHO)
        assert ran.code == 1
        assert ran.records[0]["error"]["type"] == "network"

    @pytest.mark.parametrize("tags", [True, False], ids=["by tag", "by time"])
    def test_a_finished_one_is_not_fetched_again(
        self, realqa_here: Realqa, photo_files: list[Path], tmp_path: Path, tags: bool
    ) -> None:
        name = photo_files[0].name
        output = tmp_path / "scores.jsonl"
        with PhotoServer({name: photo_files[0].read_bytes()}, tags=tags) as server:
            call = ("score", f"{server.url}/{name}", *ECHO, "-o", output)
            assert realqa_here(*call).said == ["realqa: 1 item: 1 scored"]
            assert realqa_here(*call).said == ["realqa: 1 item: 1 done before"]
            assert server.gets(name) == 1
            server.files[name] = photo_files[1].read_bytes()
            assert realqa_here(*call).said == ["realqa: 1 item: 1 scored"]

    def test_credentials_reach_the_server_and_no_record(
        self, realqa_here: Realqa, server: PhotoServer, photo_files: list[Path], tmp_path: Path
    ) -> None:
        name, output = photo_files[0].name, tmp_path / "scores.jsonl"
        server.statuses = {"b.jpg": [500] * 9}
        server.files["b.jpg"] = b"x"
        urls = [f"{server.url}/{each}?{SECRET}" for each in (name, "b.jpg", "gone.jpg", "clip.mp4")]
        (tmp_path / "in.jsonl").write_text("".join(json.dumps({"images": [url]}) + "\n" for url in urls))
        ran = realqa_here("score", tmp_path / "in.jsonl", *urls, *ECHO, "-o", output)
        assert ran.code == 1
        assert SECRET in server.queries
        assert records_in(output)[0]["image"] == f"{server.url}/{name}"
        written = "".join(file.read_text("utf-8", "replace") for file in tmp_path.iterdir() if file.suffix != ".lock")
        shown = written.replace((tmp_path / "in.jsonl").read_text(), "") + ran.out + ran.err
        assert "0123456789abcdef" not in shown

    def test_without_the_extra_there_is_one_clear_line(self, realqa: Realqa, tmp_path: Path, photos: Path) -> None:
        (tmp_path / "aiohttp.py").write_text("raise ImportError('no aiohttp')")
        clean = environment()
        clean["PYTHONPATH"] = f"{tmp_path}:{clean['PYTHONPATH']}"
        ran = realqa("score", "https://example.org/a.jpg", *ECHO, env=clean)
        assert (ran.code, ran.said) == (
            2,
            [
                "realqa: https://example.org/a.jpg: the packages for https:// are not installed;"
                " pip install 'realqa[remote]'"
            ],
        )


class TestStorage:
    def test_a_folder_is_listed_in_code_point_order(
        self, realqa_here: Realqa, memory: Callable[[str], str], photo_files: list[Path]
    ) -> None:
        ran = realqa_here("score", memory(""), *ECHO)
        assert ran.code == 0, ran.err
        names = ["a/2.JPG", "a/deep/3.jpg", "b-c.jpg", "b/1.jpg"]
        assert [record["image"] for record in ran.records] == [memory(name) for name in names]
        assert "realqa: not taken: 1 other file (.txt)" in ran.said
        files = [photo_files[index] for index in (2, 3, 1, 0)]
        assert [record["score"] for record in ran.records] == local_scores(realqa_here, *files)

    def test_a_finished_folder_is_not_read_again(
        self, realqa_here: Realqa, memory: Callable[[str], str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        call = ("score", memory(""), *ECHO, "-o", tmp_path / "scores.jsonl")
        files = fsspec.filesystem("memory")
        for file in files.store.values():
            file.created = file.created.replace(year=2001)
        assert "realqa: 4 items: 4 scored" in realqa_here(*call).said
        monkeypatch.setattr(type(files), "cat_file", None)
        assert "realqa: 4 items: 4 done before" in realqa_here(*call).said

    def test_an_archive_in_a_folder_gives_its_members(
        self, realqa_here: Realqa, memory: Callable[[str], str], photo_files: list[Path], tmp_path: Path
    ) -> None:
        data = tar_of(photo_files[:2], tmp_path / "x.tar").read_bytes()
        fsspec.filesystem("memory").pipe("/bucket/shards/00.tar", data)
        ran = realqa_here("score", memory("shards"), *ECHO)
        names = [f"{memory('shards/00.tar')}::./shard/{file.name}" for file in photo_files[:2]]
        assert [record["image"] for record in ran.records] == names
        assert [record["score"] for record in ran.records] == local_scores(realqa_here, *photo_files[:2])


class TestArchives:
    @pytest.mark.parametrize(("suffix", "mode"), [(".tar", "w"), (".tar.gz", "w:gz")])
    def test_members_are_scored_as_files_are(
        self, realqa_here: Realqa, photo_files: list[Path], tmp_path: Path, suffix: str, mode: str
    ) -> None:
        archive = tar_of(photo_files[:3], tmp_path / f"x{suffix}", mode)
        ran = realqa_here("score", archive, *ECHO)
        assert ran.code == 0, ran.err
        assert [record["image"] for record in ran.records] == [f"{archive}::./shard/{f.name}" for f in photo_files[:3]]
        assert [record["score"] for record in ran.records] == local_scores(realqa_here, *photo_files[:3])
        assert "realqa: not taken: 3 other files (.json)" in ran.said

    def test_the_name_of_a_member_opens_it_again(
        self, realqa_here: Realqa, photo_files: list[Path], tmp_path: Path
    ) -> None:
        archive = tar_of(photo_files[:3], tmp_path / "x.tar")
        first = realqa_here("score", archive, *ECHO)
        (tmp_path / "in.jsonl").write_text(first.out)
        again = realqa_here("score", tmp_path / "in.jsonl", *ECHO)
        assert [(r["image"], r["score"]) for r in again.records] == [(r["image"], r["score"]) for r in first.records]
        (one,) = realqa_here("score", first.records[1]["image"], *ECHO).records
        assert one["content"] == first.records[1]["content"]

    def test_a_finished_member_is_not_read_again(
        self, realqa_here: Realqa, photo_files: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        archive = tar_of(photo_files[:3], tmp_path / "x.tar")
        call = ("score", archive, *ECHO, "-o", tmp_path / "scores.jsonl")
        assert "realqa: 3 items: 3 scored" in realqa_here(*call).said
        with monkeypatch.context() as patched:
            patched.setattr("realqa_cli.io.archives.read_part", None)
            assert "realqa: 3 items: 3 done before" in realqa_here(*call).said
        tar_of(photo_files[1:4], archive)
        os.utime(archive, (10**9 + 1, 10**9 + 1))
        assert "realqa: 3 items: 1 scored, 2 done before" in realqa_here(*call).said

    @pytest.mark.parametrize("suffix", [".tar", ".tar.gz"])
    def test_what_is_before_damage_is_scored(
        self, realqa_here: Realqa, photo_files: list[Path], tmp_path: Path, suffix: str
    ) -> None:
        archive = tar_of(photo_files[:3], tmp_path / f"x{suffix}", "w:gz" if suffix.endswith("gz") else "w")
        data = archive.read_bytes()
        archive.write_bytes(data[: len(data) - photo_files[2].stat().st_size])
        ran = realqa_here("score", archive, photo_files[0], *ECHO)
        assert ran.code == 1
        assert ran.records[0]["error"] is None
        assert ran.records[-1]["error"] is None
        assert ran.records[-2]["error"]["type"] in ("archive", "unreadable")

    def test_what_is_not_an_archive_is_a_record(self, realqa_here: Realqa, tmp_path: Path) -> None:
        (tmp_path / "x.tar").write_bytes(b"not a tar" * 1000)
        ran = realqa_here("score", tmp_path / "x.tar", f"{tmp_path / 'x.tar'}::a.jpg", *ECHO)
        assert [record["error"]["type"] for record in ran.records] == ["archive", "archive"]

    def test_a_member_that_lacks_is_a_record(
        self, realqa_here: Realqa, photo_files: list[Path], tmp_path: Path
    ) -> None:
        archive = tar_of(photo_files[:1], tmp_path / "x.tar")
        ran = realqa_here("score", f"{archive}::b.jpg", f"{tmp_path}/y.tar::b.jpg", *ECHO)
        assert [record["error"]["type"] for record in ran.records] == ["missing", "missing"]

    def test_a_remote_archive_is_read_once_and_in_order(
        self, realqa_here: Realqa, photo_files: list[Path], tmp_path: Path
    ) -> None:
        data = tar_of(photo_files[:3], tmp_path / "x.tar").read_bytes()
        with PhotoServer({"x.tar": data}) as server:
            ran = realqa_here("score", f"{server.url}/x.tar", *ECHO)
            assert server.gets("x.tar") == 1
        assert [record["image"] for record in ran.records] == [
            f"{server.url}/x.tar::./shard/{file.name}" for file in photo_files[:3]
        ]
        assert [record["score"] for record in ran.records] == local_scores(realqa_here, *photo_files[:3])

    def test_a_connection_that_breaks_is_continued(
        self, realqa_here: Realqa, photo_files: list[Path], tmp_path: Path
    ) -> None:
        data = tar_of(photo_files[:3], tmp_path / "x.tar").read_bytes()
        with PhotoServer({"x.tar": data}) as server:
            server.cut = {"x.tar": len(data) // 2}
            ran = realqa_here("score", f"{server.url}/x.tar", *ECHO)
            assert server.gets("x.tar") == 2
        assert ran.code == 0, ran.err
        assert len(ran.records) == 3

    def test_a_shard_takes_whole_archives_and_opens_no_others(
        self, realqa_here: Realqa, photo_files: list[Path], tmp_path: Path
    ) -> None:
        archives = [tar_of(photo_files[:2], tmp_path / f"{number:02}.tar") for number in range(6)]
        (tmp_path / "archives.txt").write_text("".join(f"{archive}\n" for archive in archives))
        found: list[list[str]] = []
        for shard in ("1/2", "2/2"):
            ran = realqa_here("score", "--files-from", tmp_path / "archives.txt", *ECHO, "--shard", shard)
            found.append([record["image"].partition("::")[0] for record in ran.records])
        assert sorted(found[0] + found[1]) == sorted([str(archive) for archive in archives] * 2)
        assert not set(found[0]) & set(found[1])
        for archive in set(found[1]):
            Path(archive).write_bytes(b"not a tar")
        assert realqa_here("score", *archives, *ECHO, "--shard", "1/2").code == 0


def test_self_label_takes_them_too(
    realqa_here: Realqa, server: PhotoServer, photo_files: list[Path], tmp_path: Path
) -> None:
    archive = tar_of(photo_files[:1], tmp_path / "x.tar")
    ran: Ran = realqa_here("self-label", archive, f"{server.url}/{photo_files[1].name}", *ECHO)
    assert (ran.code, len(ran.records)) == (0, 2)


def test_a_hostile_photo_in_an_archive_meets_the_limits_of_files(
    realqa_here: Realqa, tmp_path: Path, photo_files: list[Path]
) -> None:
    bomb = tmp_path / "bomb.jpg"
    shutil.copy(photo_files[0], bomb)
    data = bytearray(bomb.read_bytes())
    place = data.index(b"\xff\xc0") + 5
    data[place : place + 4] = b"\xff\xff\xff\xff"  # 65,535 pixels wide and high
    bomb.write_bytes(data)
    archive = tar_of([bomb], tmp_path / "x.tar")
    direct, packed = (realqa_here("score", each, *ECHO).records[0]["error"] for each in (bomb, archive))
    assert direct["type"] == packed["type"] == "too-large"


def test_rank_takes_them_and_copies_none(realqa_here: Realqa, photo_files: list[Path], tmp_path: Path) -> None:
    archive = tar_of(photo_files[:2], tmp_path / "x.tar")
    assert realqa_here("rank", archive, *ECHO).code == 0
    ran = realqa_here("rank", archive, *ECHO, "--copy-to", tmp_path / "best", "--keep", 1)
    assert ran.code == 2
    assert "--copy-to, --link-to and --xmp apply to files of this machine" in ran.err
    assert not (tmp_path / "best").exists()


def test_the_python_api_takes_them_too(server: PhotoServer, photo_files: list[Path], tmp_path: Path) -> None:
    from realqa_cli import Scorer

    archive = tar_of(photo_files[:2], tmp_path / "x.tar")
    scorer = Scorer(backend="echo")
    members = scorer.score(archive)
    assert [record["image"] for record in members] == [f"{archive}::./shard/{file.name}" for file in photo_files[:2]]
    urls = [f"{server.url}/{file.name}" for file in photo_files[:4]]
    assert scorer.score(urls[0])["score"] == members[0]["score"]
    mixed = scorer.score([urls[3], photo_files[0], photo_files[1].read_bytes(), *urls[:2]])
    assert [record["score"] for record in mixed[1:]] == [record["score"] for record in members] * 2


def test_a_remote_folder_gives_a_list(memory: Callable[[str], str]) -> None:
    from realqa_cli import Scorer

    scorer = Scorer(backend="echo")
    assert len(scorer.score(memory("a"))) == 2
    assert scorer.score(memory("b/1.jpg"))["error"] is None
