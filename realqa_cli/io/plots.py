"""Write figures as PNG, PDF or SVG, with metadata by which a later run recognises its own plots."""

from io import BytesIO
from pathlib import Path
from typing import Any

from realqa_cli.io.jsonl import writing

SUFFIXES = (".png", ".pdf", ".svg")
CREATOR = "realqa plot"
_KEYS = {".png": "Software", ".pdf": "Creator", ".svg": "Creator"}


def save_figure(figure: Any, path: Path) -> None:
    """Write a matplotlib figure in the format of the suffix. Raises `OutputError`."""
    suffix = path.suffix.lower()
    drawn = BytesIO()
    figure.savefig(drawn, format=suffix[1:], metadata={_KEYS[suffix]: CREATOR})
    with writing(path):
        path.write_bytes(drawn.getvalue())
