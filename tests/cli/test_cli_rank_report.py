"""`realqa rank --report`, from photos to the page: its content by a parser of HTML, and in a real browser."""

import io
import json
import os
import shutil
import subprocess
from base64 import b64decode
from collections.abc import Iterator
from dataclasses import dataclass
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import pytest
from browser import browser_path, chromium
from PIL import Image
from process import PHOTOS, Realqa, command, environment

from realqa_cli.cli.output_files import is_page

BROWSER = browser_path()


@dataclass(frozen=True)
class Ranked:
    """The page of a ranking, the records of the same run, and what the run said."""

    page: Path
    records: list[dict[str, Any]]
    said: list[str]
    code: int

    @property
    def ranked(self) -> list[dict[str, Any]]:
        return [record for record in self.records if record["error"] is None]

    @property
    def groups(self) -> dict[int, list[dict[str, Any]]]:
        found: dict[int, list[dict[str, Any]]] = {}
        for record in self.ranked:
            found.setdefault(record["group"], []).append(record)
        return found


class Parsed(HTMLParser):
    """The texts of a page by tag, and its data: that of the page, then that of the cards."""

    def __init__(self, page: Path) -> None:
        super().__init__()
        self.texts: dict[str, list[str]] = {}
        self.json: list[dict[str, Any]] = []
        self._open: list[tuple[str, dict[str, str | None]]] = []
        self.feed(page.read_text(encoding="utf-8"))
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag not in {"meta", "input", "img", "br", "link"}:
            self._open.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop()[0] == tag

    def handle_data(self, data: str) -> None:
        if not self._open:
            return
        tag, attributes = self._open[-1]
        if tag == "script" and attributes.get("type") == "application/json":
            self.json.append(json.loads(data))
        else:
            self.texts.setdefault(tag, []).append(data.strip())


@pytest.fixture(scope="module")
def ranked(realqa: Realqa, tmp_path_factory: pytest.TempPathFactory) -> Ranked:
    """Eleven photos in several groups and a file that is not a photo, ranked by the bundled model."""
    folder = tmp_path_factory.mktemp("report")
    card = folder / "a card & more"
    shutil.copytree(PHOTOS, card, ignore=shutil.ignore_patterns("*.md", "*.txt"))
    (card / "broken.jpg").write_bytes(b"not a photo")
    page = folder / "pages" / "ranking.html"
    page.parent.mkdir()
    ran = realqa("rank", card, "-o", folder / "ranking.jsonl", "--report", page, "--stars", "10,20,40,20,10")
    lines = (folder / "ranking.jsonl").read_text(encoding="utf-8").splitlines()
    return Ranked(page, [json.loads(line) for line in lines], ran.said, ran.code)


@pytest.fixture(scope="module")
def parsed(ranked: Ranked) -> Parsed:
    return Parsed(ranked.page)


def test_the_page_has_a_card_for_each_ranked_photo_with_its_place_and_group(ranked: Ranked, parsed: Parsed) -> None:
    assert ranked.code == 1
    assert is_page(ranked.page)
    assert len(ranked.ranked) == 11
    assert any(len(group) > 1 for group in ranked.groups.values())
    cards = {card["n"]: card for card in parsed.json[1:]}
    assert cards.keys() == {record["image"] for record in ranked.ranked}
    for record in ranked.ranked:
        card = cards[record["image"]]
        places = (record["rank"], record["group"], record["rank_in_group"], record["keep"])
        assert (card["r"], card["g"], card["gr"], card["k"]) == places
        assert card["s"] == pytest.approx(record["score"], abs=1e-4)
        assert card["st"] == record["stars"]


def test_the_page_names_the_folder_the_counts_and_what_failed(ranked: Ranked, parsed: Parsed) -> None:
    assert parsed.texts["h1"] == ["a card & more"]
    assert {"11", "1"} <= set(parsed.texts["b"])
    (failed,) = (text for text in parsed.texts["li"] if text)
    assert "broken.jpg" in failed
    assert ranked.records[-1]["error"]["message"] in failed
    (manifest,) = parsed.texts["pre"]
    assert json.loads(manifest)["command"] == "rank"
    assert json.loads(manifest)["run"] == ranked.records[0]["run"]


def test_thumbnails_are_pictures_and_addresses_lead_to_the_originals(ranked: Ranked, parsed: Parsed) -> None:
    for card in parsed.json[1:]:
        with Image.open(io.BytesIO(b64decode(card["t"].partition(",")[2]))) as thumbnail:
            assert max(thumbnail.size) == 360
        assert os.path.samefile(ranked.page.parent / unquote(card["u"]), card["n"])


def test_a_reader_that_ends_early_loses_neither_the_page_nor_the_links(tmp_path: Path) -> None:
    """As `| head` does: the table is printed after everything else is done."""
    page, best = tmp_path / "ranking.html", tmp_path / "best"
    wanted = ("--table", "--report", page, "--link-to", best, "--backend", "echo")
    process = subprocess.Popen(
        command("rank", PHOTOS, *wanted), stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, env=environment()
    )
    assert process.stdout is not None
    process.stdout.close()
    process.wait(120)
    assert is_page(page)
    assert {link.name for link in best.iterdir()} <= {photo.name for photo in PHOTOS.iterdir()}
    assert any(best.iterdir())


def test_where_no_photos_are_alike_a_line_says_that_all_are_kept(realqa_here: Realqa) -> None:
    apart = [PHOTOS / name for name in ("bee.jpg", "dogs.jpg")]
    ran = realqa_here("rank", *apart, "--backend", "echo")
    assert "no bursts or near-duplicates were found, so every photo is to keep; --top N prints the best N" in ran.err
    assert "no bursts" not in realqa_here("rank", PHOTOS, "--backend", "echo").err


@pytest.fixture
def opened(ranked: Ranked) -> Iterator[Any]:
    """The page in a browser."""
    if BROWSER is None:
        pytest.skip("no Chromium is installed (set CHROMIUM to its path)")
    with chromium(BROWSER) as browser:
        page = browser.new_page(viewport={"width": 1280, "height": 900})
        complaints: list[str] = []
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.goto(ranked.page.as_uri())
        yield page
        assert complaints == []


@pytest.mark.filterwarnings("ignore")  # of the driver's event loop
def test_a_browser_shows_the_ranking_in_its_order_and_by_groups(ranked: Ranked, opened: Any) -> None:
    def names() -> list[str]:
        return list(opened.locator("article .name").all_inner_texts())

    assert names() == [Path(record["image"]).name for record in ranked.ranked]
    kept = [Path(record["image"]).name for record in ranked.ranked if record["keep"]]
    opened.get_by_role("button", name=f"kept {len(kept)}", exact=True).click()
    assert names() == kept
    opened.get_by_role("button", name="Reset filters").click()
    best = [Path(record["image"]).name for record in ranked.ranked if record["stars"] == 5]
    opened.get_by_role("button", name=f"5 ★ {len(best)}", exact=True).click()
    assert names() == best
    opened.get_by_role("button", name="Reset filters").click()
    opened.locator("#order").select_option("groups")
    heads = opened.locator("main h2").all_inner_texts()
    assert len(heads) == len(ranked.groups)
    several = {number: group for number, group in ranked.groups.items() if len(group) > 1}
    for number, group in several.items():
        assert f"Group {number} · {len(group)} photos" in heads
    opened.locator("article .photo").first.click()
    opened.wait_for_function("document.querySelector('#viewer img').src.startsWith('file:')")
