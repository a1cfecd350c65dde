"""The HTML report in a real headless Chromium: searched, filtered, ordered, marked, enlarged and exported."""

import csv
import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from browser import browser_path, chromium
from made_attributes import FULL

from realqa_cli.cli.views.report import Report

BROWSER = browser_path()
pytestmark = [
    pytest.mark.skipif(BROWSER is None, reason="no Chromium is installed (set CHROMIUM to its path)"),
    pytest.mark.filterwarnings("ignore"),  # of the driver's event loop
]

EVIL = '"><img src=x onerror="document.title=1">,\n.jpg'
NAMES = ("mountain.jpg", "bee.jpg", "dogs.jpg", "bee_dark.jpg", "gone.jpg", EVIL)
SCORES = (4.5, 4.0, 3.0, 2.0, 1.5, 1.25)


def records(folder: Path) -> list[dict[str, Any]]:
    made = []
    for i, (name, score) in enumerate(zip(NAMES, SCORES, strict=True)):
        attributes = {**FULL, "level_shot": "yes" if i % 2 else "no"}
        interval = [max(1, score - 0.5), min(5, score + 0.5)]
        group = {"group": i // 2 + 1, "rank": i + 1, "rank_in_group": i % 2 + 1, "keep": i % 2 == 0}
        own = {"std": 0.3, "interval": interval, "mass": 0.9, "scale": [1.0, 5.0], "attributes": attributes}
        made.append({"image": str(folder / name), "score": score, **own, **group})
    return made


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    assert BROWSER is not None
    with chromium(BROWSER) as running:
        yield running


@pytest.fixture(scope="module")
def address(photos: Path, tmp_path_factory: pytest.TempPathFactory) -> str:
    file = tmp_path_factory.mktemp("report") / "scores.html"
    report = Report(lambda record: Path(record["image"]), page=file, title="holiday")
    for record in records(photos):
        report.add(record)
    report.write(file, {"run": "0123456789abcdef"})
    return file.as_uri()


class Page:
    """The opened page, and all that the browser complained of."""

    def __init__(self, page: Any) -> None:
        self.page = page
        self.complaints: list[str] = []
        page.on("console", lambda message: self.complaints.append(message.text))
        page.on("pageerror", lambda error: self.complaints.append(str(error)))

    @property
    def names(self) -> list[str]:
        return list(self.page.locator("article .name").all_inner_texts())

    def chip(self, text: str) -> None:
        self.page.get_by_role("button", name=text, exact=True).click()

    def article(self, name: str) -> Any:
        return self.page.locator("article", has=self.page.get_by_text(name, exact=True))


@pytest.fixture
def page(browser: Any, address: str) -> Iterator[Page]:
    context = browser.new_context(viewport={"width": 1280, "height": 900}, accept_downloads=True)
    context.set_default_timeout(10_000)
    opened = Page(context.new_page())
    opened.page.goto(address)
    yield opened
    assert [line for line in opened.complaints if "ERR_FILE_NOT_FOUND" not in line] == []
    context.close()


def status(page: Page) -> str:
    return str(page.page.locator("#status").inner_text())


def test_all_photos_are_there_with_pictures_and_alternative_texts(page: Page) -> None:
    assert len(page.names) == 6
    assert page.page.title().startswith("holiday · ")
    pictures = page.page.locator("article img")
    assert pictures.count() == 4
    assert pictures.first.evaluate("image => image.complete && image.naturalWidth > 100")
    assert str(pictures.first.get_attribute("alt")).endswith("mountain.jpg, score 4.50, excellent")
    assert page.page.locator("#histogram rect").count() == 40
    assert page.page.locator("#histogram text").count() >= 7


def test_a_hostile_name_is_shown_as_text(page: Page) -> None:
    assert page.page.title().startswith("holiday · ")
    assert any("onerror" in name for name in page.names)
    assert page.page.locator("article img[src=x]").count() == 0


def test_search_and_reset(page: Page) -> None:
    page.page.keyboard.press("/")
    page.page.keyboard.type("BEE")
    assert page.names == ["bee.jpg", "bee_dark.jpg"]
    assert status(page).startswith("2 of 6 shown")
    page.page.get_by_role("button", name="Reset filters").click()
    assert len(page.names) == 6


def test_sliders_of_score_and_percentile(page: Page) -> None:
    page.page.get_by_label("lowest score").fill("3")
    assert page.names == ["mountain.jpg", "bee.jpg", "dogs.jpg"]
    page.page.get_by_label("highest percentile").fill("80")
    assert page.names == ["bee.jpg", "dogs.jpg"]
    assert 0 < page.page.locator("#histogram rect.inside").count() < 40


def test_chips_of_attributes_words_and_keep(page: Page) -> None:
    page.chip("yes 3")
    assert page.names[:2] == ["bee.jpg", "bee_dark.jpg"]
    page.chip("good 1")
    assert page.names == ["bee.jpg"]
    page.chip("yes 3")
    page.chip("good 1")
    page.chip("kept 3")
    assert page.names == ["mountain.jpg", "dogs.jpg", "gone.jpg"]


def test_orders_and_groups(page: Page) -> None:
    page.page.locator("#order").select_option("worst")
    assert page.names[-1] == "mountain.jpg"
    page.page.locator("#order").select_option("groups")
    assert page.page.locator("main h2").all_inner_texts() == [f"Group {i} · 2 photos" for i in (1, 2, 3)]
    assert page.names[:2] == ["mountain.jpg", "bee.jpg"]


def test_marks_by_button_and_key_survive_and_are_exported(page: Page) -> None:
    page.article("bee.jpg").get_by_role("button", name="pick").click()
    page.page.keyboard.press("ArrowRight")  # from the button's photo to the next one
    page.page.keyboard.press("x")
    assert status(page).endswith("1 picked · 1 rejected")
    page.page.reload()
    assert status(page).endswith("1 picked · 1 rejected")
    page.chip("rejected")
    assert page.names == ["dogs.jpg"]
    page.page.get_by_role("button", name="Reset filters").click()
    with page.page.expect_download() as download:
        page.page.get_by_role("button", name="Download CSV").click()
    rows = list(csv.DictReader(io.StringIO(Path(download.value.path()).read_bytes().decode(), newline="")))
    assert [row["mark"] for row in rows] == ["", "picked", "rejected", "", "", ""]
    assert rows[5]["name"].endswith(EVIL)
    assert rows[0]["Level Shot"] == "no"
    assert float(rows[0]["percentile"]) == 91.7


def test_the_list_is_copied(page: Page) -> None:
    page.page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    page.chip("kept 3")
    page.page.get_by_role("button", name="Copy list").click()
    page.page.wait_for_function("document.getElementById('status').textContent === '3 names copied'")
    copied = str(page.page.evaluate("navigator.clipboard.readText()"))
    assert [Path(line).name for line in copied.splitlines()] == ["mountain.jpg", "dogs.jpg", "gone.jpg"]


def test_a_photo_is_enlarged_from_its_original_and_left_by_keys(page: Page) -> None:
    page.article("mountain.jpg").locator(".photo").click()
    image = page.page.locator("#viewer img")
    page.page.wait_for_function("document.querySelector('#viewer img').src.startsWith('file:')")
    assert image.evaluate("image => image.naturalWidth") > 400
    page.page.keyboard.press("ArrowRight")
    page.page.keyboard.press("p")
    assert "bee.jpg · 4.00 good · picked (2 of 6)" in page.page.locator("#viewer figcaption").inner_text()
    page.page.keyboard.press("Escape")
    assert not page.page.locator("#viewer").is_visible()
    # The browser reports that the view is closed a moment later.
    page.page.wait_for_function("document.activeElement.getAttribute('aria-label')?.includes('bee.jpg')")


def test_the_original_opens_by_its_link(page: Page, photos: Path) -> None:
    link = page.article("dogs.jpg").get_by_role("link", name="open")
    assert link.evaluate("link => link.href") == (photos / "dogs.jpg").as_uri()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_phone_has_two_columns_and_no_sideways_scrolling(browser: Any, address: str, scheme: str) -> None:
    context = browser.new_context(viewport={"width": 390, "height": 844}, color_scheme=scheme)
    opened = context.new_page()
    opened.goto(address)
    columns = opened.locator("main").evaluate("grid => getComputedStyle(grid).gridTemplateColumns.split(' ').length")
    assert columns == 2
    assert opened.evaluate("document.documentElement.scrollWidth") <= 390
    paper = opened.evaluate("getComputedStyle(document.body).backgroundColor")
    assert paper == {"light": "rgb(246, 245, 242)", "dark": "rgb(22, 24, 27)"}[scheme]
    context.close()


def test_thousands_of_photos_are_paged(browser: Any, photos: Path, tmp_path: Path) -> None:
    report = Report(lambda record: None, page=tmp_path / "many.html")
    for i in range(5000):
        report.add({"image": f"{i:04}.jpg", "score": 1 + i / 1250, "scale": [1.0, 5.0], "std": 0.3})
    report.write(tmp_path / "many.html", {"run": "0123456789abcdef"})
    context = browser.new_context()
    opened = Page(context.new_page())
    opened.page.goto((tmp_path / "many.html").as_uri())
    assert len(opened.names) == 120
    assert "page 1 of 42" in opened.page.locator("#pages").inner_text()
    opened.page.get_by_role("button", name="next ›").click()
    assert opened.names[0] == "4879.jpg"
    opened.page.locator("#search").fill("0001")
    assert opened.names == ["0001.jpg"]
    assert opened.complaints == []
    context.close()
