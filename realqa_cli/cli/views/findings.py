"""The findings of `realqa doctor` on a terminal: a line for each, and its remedy."""

import sys
from collections.abc import Callable, Mapping
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from realqa_cli.errors import escaped

_STYLES = {"ok": "green", "warning": "yellow", "failed": "bold red", "skipped": "dim"}


class FindingLines:
    """A sink that prints each finding as it comes."""

    def __init__(self, clear: Callable[[], None]) -> None:
        self._clear, self._console = clear, Console(file=sys.stdout)

    def write(self, record: Mapping[str, Any]) -> None:
        """Prints the finding."""
        self._clear()
        row = Table.grid(padding=(0, 1))
        row.add_column(width=8)
        row.add_column(width=17)
        row.add_column(overflow="fold")
        message = Text(escaped(record["message"]))
        if record["remedy"]:
            message.append(f"\n{escaped(record['remedy'])}", "italic")
        row.add_row(Text(record["status"], _STYLES[record["status"]]), Text(record["check"]), message)
        self._console.print(row)

    def close(self) -> None:
        """Nothing was held back."""
