"""The HTML report: one page that needs nothing else, safe whatever the records hold. Its script: test_report_page."""

import base64
import hashlib
import io
import json
import re
from base64 import b64decode
from datetime import date
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from made_attributes import FULL
from made_videos import write
from PIL import Image

from realqa_cli.cli.output_files import is_page
from realqa_cli.cli.views import report, report_card

MANIFEST = {"run": "0123456789abcdef", "settings": {"scale": [1, 5]}}


def record(name: str, score: float, **more: Any) -> dict[str, Any]:
    base = {"image": name, "score": score, "mode": score, "std": 0.5, "interval": [score, score], "mass": 0.99}
    return {**base, "scale": [1.0, 5.0], **more}


def page_of(records: list[dict[str, Any]], folder: Path | None = None) -> str:
    made = report.Report(lambda r: folder / r["image"] if folder else None, title="holiday")
    for each in records:
        made.add(each)
    return made.html(MANIFEST, today=date(2026, 11, 29))


class Reader(HTMLParser):
    """Collects the tags with their attributes and the texts of scripts, and checks that they nest."""

    VOID = frozenset({"meta", "img", "input", "path", "br", "link"})

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.scripts: list[str] = []
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

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] == "script":
            self.scripts.append(data)

    def all(self, tag: str) -> list[dict[str, str]]:
        return [{key: value or "" for key, value in found.items()} for name, found in self.tags if name == tag]


def cards(page: str) -> list[dict[str, Any]]:
    return [json.loads(text) for text in Reader(page).scripts[1:-1]]


def data(page: str) -> dict[str, Any]:
    return dict(json.loads(Reader(page).scripts[0]))


def test_a_card_has_score_word_percentile_and_interval() -> None:
    page = page_of([record("b.jpg", 2.5, interval=[2.0, 3.0]), record("c.jpg", 4.0), record("a.jpg", 1.5)])
    assert [card["n"] for card in cards(page)] == ["c.jpg", "b.jpg", "a.jpg"]
    middle = cards(page)[1]
    assert (middle["s"], middle["x"], middle["w"], middle["p"]) == (2.5, 0.375, "poor", 50.0)
    assert (middle["lo"], middle["hi"], middle["iv"]) == (0.25, 0.5, "2.00–3.00")
    assert "mass" not in middle
    assert all(key in report_card.KEYS for card in cards(page) for key in card)


def test_percentiles_are_those_of_the_scores_before_rounding() -> None:
    page = page_of([record(f"{i}.jpg", 1 + i / 7) for i in range(4)])
    assert [card["p"] for card in cards(page)] == [87.5, 62.5, 37.5, 12.5]
    assert cards(page)[1]["s"] == 1.2857


def test_the_probability_is_there_only_where_it_is_low() -> None:
    assert cards(page_of([record("a.jpg", 3.0, mass=0.25)]))[0]["mass"] == 0.25


def test_attributes_of_a_chain_of_thought_and_of_labels_are_there() -> None:
    (scored,) = cards(page_of([record("a.jpg", 3.0, attributes=FULL)]))
    (labelled,) = cards(page_of([{"image": "a.jpg", "attributes": FULL, "error": None}]))
    assert scored["a"] == labelled["a"]
    assert scored["a"]["Level Shot"] in ("yes", "no")
    assert re.fullmatch(r"\d+ of 10", scored["a"]["Composition"])
    assert "s" not in labelled


def test_groups_of_a_ranking_are_there() -> None:
    ranked = record("a.jpg", 3.0, group=7, rank=2, rank_in_group=1, keep=False)
    (card,) = cards(page_of([ranked]))
    assert (card["g"], card["r"], card["gr"], card["k"]) == (7, 2, 1, False)


def test_a_mos_is_placed_on_its_own_range() -> None:
    (card,) = cards(page_of([record("a.jpg", 3.0, mos=75, mos_range=[0, 100])]))
    assert (card["m"], card["mx"]) == (75, 0.75)


def test_a_calibrated_score_is_there_with_its_interval_and_where_the_calibration_does_not_hold() -> None:
    label = {"calibrated": 67.25, "calibrated_interval": [51.5, 80.5], "calibrated_range": [0, 100]}
    first, second = cards(
        page_of(
            [
                record("a.jpg", 3.0, **label, calibration_warnings=["outside"]),
                record("b.jpg", 2.0, **label | {"calibrated_range": [1, 5], "calibrated": 3.456}),
            ]
        )
    )
    assert (first["cal"], first["ci"], first["cw"]) == ("67.2", "51.5–80.5", ["outside"])
    assert second["cal"] == "3.46"
    assert "cw" not in second
    assert not {"cal", "ci", "cw"} & cards(page_of([record("a.jpg", 3.0)]))[0].keys()
    assert all(key in report_card.KEYS for key in first)


def test_photos_are_in_the_page_as_small_thumbnails(photo_files: list[Path]) -> None:
    page = page_of([record(file.name, 3.0) for file in photo_files[:3]], photo_files[0].parent)
    sources = [card["t"] for card in cards(page)]
    assert len(sources) == 3
    assert all(source.startswith("data:image/jpeg;base64,/9j/") for source in sources)
    assert all(len(source) < 60_000 for source in sources)


def test_the_page_asks_for_nothing_from_elsewhere_and_runs_its_own_script_only(photo_files: list[Path]) -> None:
    page = page_of([record(photo_files[0].name, 3.0)], photo_files[0].parent)
    reader = Reader(page)
    assert not reader.all("link")
    assert re.findall(r"https?://[^\s\"']+", page) == ["http://www.w3.org/2000/svg"]  # a name, not an address
    (policy,) = (m["content"] for m in reader.all("meta") if m.get("http-equiv") == "Content-Security-Policy")
    digest = base64.b64encode(hashlib.sha256(reader.scripts[-1].encode()).digest()).decode()
    assert policy is not None
    assert policy.startswith("default-src 'none'")
    assert f"script-src 'sha256-{digest}'" in policy


def test_a_photo_that_is_gone_leaves_its_score(tmp_path: Path) -> None:
    (card,) = cards(page_of([record("gone.jpg", 3.0)], tmp_path))
    assert "t" not in card
    assert card["s"] == 3.0


def test_a_video_is_shown_by_its_first_frame(tmp_path: Path) -> None:
    frames = [Image.new("RGB", (64, 48), colour) for colour in ("red", "blue")]
    write(tmp_path / "a.mp4", frames)
    shown = record("a.mp4", 3.0, frames=[{"time": 0.0, "score": 2.5}, {"time": 1.0, "score": 3.25}])
    shown["video"] = shown.pop("image")
    made = report.Report(lambda r: tmp_path / r["video"])
    made.add(shown)
    made.add(record("b.mp4", 2.0, video="gone.mp4") | {"image": None})
    first, gone = cards(made.html(MANIFEST))
    picture = Image.open(io.BytesIO(b64decode(first["t"].partition(",")[2])))
    red, green, blue = picture.convert("RGB").getpixel((20, 20))  # type: ignore[misc]
    assert red > 200 > max(green, blue) + 100
    assert (first["fr"], first["v"], gone["v"]) == ("2.50–3.25", True, True)


def test_hostile_names_and_messages_stay_text() -> None:
    evil = '</script><script>alert(1)</script><!--".jpg'
    failed = {"image": evil, "error": {"type": "broken", "message": f"{evil}: <img src=x onerror=alert(2)>"}}
    made = report.Report(lambda r: None, title=evil)
    for each in (record(evil, 3.0, flags=[evil], attributes={"level_shot": evil}), failed):
        made.add(each)
    page = made.html(MANIFEST | {"evil": evil})
    reader = Reader(page)
    assert len(reader.all("script")) == 3
    assert len(reader.all("img")) == 1  # the empty one of the enlarged view
    assert cards(page)[0]["n"] == evil
    assert cards(page)[0]["u"].isascii()
    assert "&lt;script&gt;" in page


def test_a_name_that_is_not_utf8_can_be_written(tmp_path: Path) -> None:
    made = report.Report(lambda r: None)
    made.add(record("caf\udce9.jpg", 3.0))
    made.add({"image": "\udce9", "error": {"type": "empty", "message": "\udce9: empty"}})
    made.write(tmp_path / "r.html", MANIFEST)
    page = (tmp_path / "r.html").read_text(encoding="utf-8")
    assert cards(page)[0]["n"] == "caf\udce9.jpg"
    assert cards(page)[0]["u"].endswith("caf%E9.jpg")
    assert is_page(tmp_path / "r.html")


def test_the_address_of_a_photo_is_relative_to_the_page(tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    made = report.Report(lambda r: None, page=tmp_path / "out" / "r.html")
    made.add(record(str(tmp_path / "my photos" / "a#1.jpg"), 3.0))
    assert cards(made.html(MANIFEST))[0]["u"] == "../my%20photos/a%231.jpg"


def test_failures_are_listed_and_counted() -> None:
    failed = {"image": "a.jpg", "error": {"type": "empty", "message": "a.jpg: the file is empty (0 bytes)"}}
    page = page_of([failed, record("b.jpg", 3.0)])
    assert "<b>1</b> photo" in page
    assert "<b>1</b> failed" in page
    assert page.count("a.jpg") == 1


def test_a_page_of_failures_only_is_a_page() -> None:
    page = page_of([{"image": "a.jpg", "error": {"type": "empty", "message": "a.jpg: empty"}}])
    assert "<b>0</b> photos" in page
    assert cards(page) == []


def test_the_distribution_is_drawn_where_a_record_has_one() -> None:
    with_one = record("a.jpg", 3.0, distribution=[[2.0, 0.25], [3.0, 0.5], [4.0, 0.25]])
    drawn, bare = cards(page_of([with_one, record("b.jpg", 2.0)]))
    heights = [10 - float(y) for y in re.findall(r"V([\d.]+)H", drawn["c"])]
    assert [h for h in heights if h] == pytest.approx([5, 10, 5])
    assert heights.index(10) == 24  # the middle of the scale in the middle of the drawing
    assert "c" not in bare


def test_a_long_list_shows_the_best_and_the_worst_and_counts_all(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(report, "SHOWN", 4)
    monkeypatch.setattr(report, "SHOWN_ERRORS", 2)
    records = [record(f"{i}.jpg", 1 + (i * 7 % 31) / 8) for i in range(31)]
    failed = [{"image": f"x{i}", "error": {"type": "empty", "message": "empty"}} for i in range(5)]
    page = page_of(records + failed)
    ordered = [r["image"] for r in sorted(records, key=lambda r: r["score"], reverse=True)]
    assert [card["n"] for card in cards(page)] == ordered[:2] + ordered[-2:]
    assert "The 2 best and the 2 worst are shown." in page
    assert sum(data(page)["histogram"]) == 31
    assert cards(page)[0]["p"] == pytest.approx(100 * 30.5 / 31, abs=0.1)
    assert "and 3 more" in page


def test_equal_scores_keep_the_order_in_which_they_came() -> None:
    assert [card["n"] for card in cards(page_of([record("b.jpg", 3.0), record("a.jpg", 3.0)]))] == ["b.jpg", "a.jpg"]


def test_title_date_and_manifest_are_there() -> None:
    page = page_of([record("a.jpg", 3.0)])
    assert "<title>holiday · 2026-11-29 · realqa</title>" in page
    assert "run 0123456789abcdef" in page
    assert "&#34;settings&#34;" in page


def test_what_is_not_decided_is_said() -> None:
    assert "Differences below 0.48 are not decided" in page_of([record("a.jpg", 3.0), record("b.jpg", 2.0)])
