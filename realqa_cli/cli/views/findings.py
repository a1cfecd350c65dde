"""The findings of `realqa doctor` on a terminal: a line for each, and its remedy."""

import sys
from collections.abc import Callable, Mapping
from typing import Any

from rich.console import Console
from rich.padding import Padding
from rich.text import Text

from realqa_cli.errors import escaped

_STYLES = {"ok": "green", "warning": "yellow", "failed": "bold red", "skipped": "dim"}
_STATUS, _CHECK = 9, 18  # cells, with the space behind them
_NARROW = 70
"""Cells of a terminal below which a message begins on a line of its own."""


class FindingLines:
    """A sink that prints each finding as it comes."""

    def __init__(self, clear: Callable[[], None]) -> None:
        self._clear, self._console = clear, Console(file=sys.stdout)

    def write(self, record: Mapping[str, Any]) -> None:
        """Prints the finding."""
        self._clear()
        head = Text(record["status"].ljust(_STATUS), _STYLES[record["status"]])
        head.append(record["check"].ljust(_CHECK), "default")
        texts = [Text(escaped(record["message"]))]
        if record["remedy"]:
            texts.append(Text(escaped(record["remedy"]), "italic"))
        indent = _STATUS + _CHECK
        if self._console.width < _NARROW:
            indent = 2
            self._console.print(head)
        else:
            lines = texts[0].wrap(self._console, self._console.width - indent)
            self._console.print(head + lines[0], no_wrap=True)
            texts[0] = Text("\n").join(lines[1:])
        for text in texts:
            if text.plain:
                self._console.print(Padding(text, (0, 0, 0, indent)))

    def close(self) -> None:
        """Nothing was held back."""
