"""The list of presets for a terminal."""

import sys
from collections.abc import Mapping, Sequence
from typing import Any

from rich.console import Console
from rich.padding import Padding
from rich.text import Text

from realqa_cli.domain.scales import Scale


def print_presets(rows: Sequence[Mapping[str, Any]]) -> None:
    """Print each preset: its name and questions, how it is read, what it is, and its source."""
    console = Console(file=sys.stdout)
    for row in rows:
        head = Text.assemble((row["name"], "bold"), f"  {', '.join(row['questions'])}")
        head.append(f"  read by {row['method'] or 'direct, cot'} on {Scale.of(row['scale'])}", "dim")
        source = row["source"] if row["verified"] else f"{row['source']} (not verified)"
        console.print(head)
        console.print(Padding(Text(row["summary"]), (0, 0, 0, 2)))
        console.print(Padding(Text(source, "dim"), (0, 0, 0, 2)))
