"""MkDocs hook: lists the pages of docs/experiments, newest first, in the navigation and on their index page."""

from pathlib import Path
from typing import Any

FOLDER = Path(__file__).parent / "experiments"


def on_config(config: Any) -> Any:
    """Replaces the entry `Experiments` of the navigation by one that has every page."""
    entry = ["experiments/index.md", *(f"experiments/{page.name}" for page in pages())]
    config["nav"] = [{"Experiments": entry} if "Experiments" in item else item for item in config["nav"]]
    return config


def on_page_markdown(markdown: str, page: Any, **_: Any) -> str:
    """Fills in the list on the index page."""
    if page.file.src_uri != "experiments/index.md":
        return markdown
    lines = [f"- {page.stem[:10]}: [{title(page)}]({page.name})" for page in pages()]
    return markdown.replace("<!-- pages -->", "\n".join(lines))


def pages() -> list[Path]:
    """The dated pages, newest first."""
    return sorted(FOLDER.glob("2*.md"), reverse=True)


def title(page: Path) -> str:
    """The first heading."""
    return page.read_text(encoding="utf-8").splitlines()[0].removeprefix("# ")
