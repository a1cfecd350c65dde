"""The HTML report: one page that needs nothing else, safe whatever the records hold."""

import io
import re
from base64 import b64decode
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from made_videos import write
from PIL import Image

from realqa_cli.cli.views import report

MANIFEST = {"run": "0123456789abcdef", "settings": {"scale": [1, 5]}}


def record(name: str, score: float, **more: Any) -> dict[str, Any]:
    return {
        "image": name,
        "score": score,
        "mode": score,
        "interval": [score, score],
        "scale": [1.0, 5.0],
        **more,
    }


def page_of(records: list[dict[str, Any]], folder: Path | None = None) -> str:
    made = report.Report(lambda r: folder / r["image"] if folder else None)
    for each in records:
        made.add(each)
    return made.html(MANIFEST)


class Reader(HTMLParser):
    """Collects the tags with their attributes, and checks that they nest."""

    VOID = frozenset({"meta", "img", "input", "path", "br", "link"})

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.feed(page)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def all(self, tag: str) -> list[dict[str, str]]:
        return [{key: value or "" for key, value in found.items()} for name, found in self.tags if name == tag]


def names(page: str) -> list[str]:
    return re.findall(r'<div class="name">(.*?)</div>', page)


def test_the_best_photo_comes_first_and_every_order_is_there() -> None:
    page = page_of([record("b.jpg", 2.5), record("c.jpg", 4.0), record("a.jpg", 1.5)])
    assert names(page) == ["c.jpg", "b.jpg", "a.jpg"]
    cards = [dict(re.findall(r"--([a-z-]+):(-?[\d.]+)", a["style"])) for a in Reader(page).all("article")]
    assert [card["given"] for card in cards] == ["1", "0", "2"]
    assert [card["from-worst"] for card in cards] == ["-1", "-2", "-3"]
    assert [card["share"] for card in cards] == ["0.7500", "0.3750", "0.1250"]


def test_photos_are_in_the_page_as_small_thumbnails(photo_files: list[Path]) -> None:
    page = page_of([record(file.name, 3.0) for file in photo_files[:3]], photo_files[0].parent)
    sources = [image["src"] for image in Reader(page).all("img")]
    assert len(sources) == 3
    assert all(source.startswith("data:image/jpeg;base64,/9j/") for source in sources)
    assert all(len(source) < 40_000 for source in sources)


def test_the_page_asks_for_nothing_from_elsewhere(photo_files: list[Path]) -> None:
    page = page_of([record(photo_files[0].name, 3.0)], photo_files[0].parent)
    reader = Reader(page)
    assert not reader.all("script")
    assert not reader.all("link")
    assert "http" not in page
    assert "url(" not in page


def test_a_photo_that_is_gone_leaves_its_score(tmp_path: Path) -> None:
    page = page_of([record("gone.jpg", 3.0)], tmp_path)
    assert "the photo is not there any more" in page
    assert names(page) == ["gone.jpg"]


def test_a_video_is_shown_by_its_first_frame(tmp_path: Path) -> None:
    frames = [Image.new("RGB", (64, 48), colour) for colour in ("red", "blue")]
    write(tmp_path / "a.mp4", frames)
    shown = record("a.mp4", 3.0, frames=[{"time": 0.0, "score": 2.5}, {"time": 1.0, "score": 3.25}])
    shown["video"] = shown.pop("image")
    made = report.Report(lambda r: tmp_path / r["video"])
    made.add(shown)
    made.add(record("b.mp4", 2.0, video="gone.mp4"))
    page = made.html(MANIFEST)
    (image,) = [image["src"] for image in Reader(page).all("img")]
    assert image is not None
    thumbnail = Image.open(io.BytesIO(b64decode(image.partition(",")[2])))
    red, green, blue = thumbnail.convert("RGB").getpixel((20, 20))  # type: ignore[misc]
    assert red > 200 > max(green, blue) + 100
    assert "<dt>frames</dt><dd>2.50–3.25</dd>" in page
    assert "the video is not there any more" in page


def test_hostile_names_and_messages_stay_text() -> None:
    evil = '<script>alert(1)</script>".jpg'
    failed = {"image": evil, "error": {"type": "broken", "message": f"{evil}: <img src=x onerror=alert(2)>"}}
    page = page_of([record(evil, 3.0), failed])
    reader = Reader(page)
    assert not reader.all("script")
    assert not reader.all("img")
    assert "&lt;script&gt;" in page


def test_failures_are_listed_and_counted() -> None:
    failed = {"image": "a.jpg", "error": {"type": "empty", "message": "a.jpg: the file is empty (0 bytes)"}}
    page = page_of([failed, record("b.jpg", 3.0)])
    assert "<b>1</b> scored" in page
    assert "<b>1</b> failed" in page
    assert page.count("a.jpg") == 1


def test_a_page_of_failures_only_is_a_page() -> None:
    page = page_of([{"image": "a.jpg", "error": {"type": "empty", "message": "a.jpg: empty"}}])
    assert "<b>0</b> scored" in page
    Reader(page)


def test_the_distribution_is_drawn_where_a_record_has_one() -> None:
    with_one = record("a.jpg", 3.0, distribution=[[2.0, 0.25], [3.0, 0.5], [4.0, 0.25]])
    page = page_of([with_one, record("b.jpg", 2.0)])
    curves = [path["d"] for path in Reader(page).all("path")]
    assert len(curves) == 2  # how many got which score, and the one distribution
    heights = [10 - float(y) for y in re.findall(r"V([\d.]+)H", curves[1])]
    assert [h for h in heights if h] == pytest.approx([5, 10, 5])
    assert heights.index(10) == 24  # the middle of the scale in the middle of the drawing


def test_a_long_list_shows_the_best_and_counts_the_rest(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(report, "SHOWN", 3)
    monkeypatch.setattr(report, "SHOWN_ERRORS", 2)
    records = [record(f"{i}.jpg", 1 + (i * 7 % 10) / 3) for i in range(10)]
    failed = [{"image": f"x{i}", "error": {"type": "empty", "message": "empty"}} for i in range(5)]
    page = page_of(records + failed)
    best = sorted(records, key=lambda r: r["score"], reverse=True)[:3]
    assert names(page) == [r["image"] for r in best]
    assert "<b>10</b> scored" in page
    assert "The 3 best are shown." in page
    assert "and 3 more" in page


def test_equal_scores_keep_the_order_in_which_they_came() -> None:
    assert names(page_of([record("b.jpg", 3.0), record("a.jpg", 3.0)])) == ["b.jpg", "a.jpg"]


def test_the_manifest_is_at_the_foot() -> None:
    page = page_of([record("a.jpg", 3.0)])
    assert "run 0123456789abcdef" in page
    assert "&#34;settings&#34;" in page
