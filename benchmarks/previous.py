"""Puts the last published figure next to each new one in the tables of results, so that a regression is seen."""

import re
from collections.abc import Iterator, Sequence

_CELL = re.compile(r"\s*\|\s*")
_PREVIOUS = re.compile(r" \(was [^()]*\)$")
_FIGURE = re.compile(r"\d")

Table = list[list[str]]


def with_previous(section: str, published: str) -> str:
    """The section with "(was FIGURE)" behind each figure that differs from the one of `published`.

    section: Markdown with a title of level 2.  published: the results of an earlier run, with any sections. A figure
    is found by the title of its section, the heads of its table, the texts in its row and the head of its column.
    """
    title = section.splitlines()[0]
    known = {key: value for old in _tables(_section(published, title)) for key, value in _figures(old)}
    lines = section.splitlines()
    for start, table in _placed(lines):
        keys = dict(_keyed(table))
        for row in range(2, len(table)):
            cells = [
                f"{cell} (was {known[keys[row, column]]})"
                if (row, column) in keys and known.get(keys[row, column], cell) != cell
                else cell
                for column, cell in enumerate(table[row])
            ]
            lines[start + row] = f"| {' | '.join(cells)} |"
    return "\n".join(lines) + "\n"


def _section(text: str, title: str) -> str:
    """The section with this title; "" without it."""
    _, found, rest = text.partition(f"{title}\n")
    return found + rest.partition("\n## ")[0]


def _placed(lines: Sequence[str]) -> Iterator[tuple[int, Table]]:
    """Each table with the line that it starts at: heads, rule, rows."""
    start = None
    for number, line in enumerate([*lines, ""]):
        if line.startswith("|"):
            start = number if start is None else start
        elif start is not None:
            yield start, [_CELL.split(row.strip().strip("|").strip()) for row in lines[start:number]]
            start = None


def _tables(text: str) -> Iterator[Table]:
    return (table for _, table in _placed(text.splitlines()))


Key = tuple[tuple[str, ...], tuple[str, ...], str]


def _keyed(table: Table) -> Iterator[tuple[tuple[int, int], Key]]:
    """The place of each figure with its key: the heads, the row's first texts, the column's head.

    The columns before the first fraction name the row: a batch size or a number of photos is a name, not a figure.
    """
    heads = tuple(table[0])
    names = next((i for i, cell in enumerate(table[2] if len(table) > 2 else ()) if "." in cell or "%" in cell), 1)
    for row in range(2, len(table)):
        for column in range(max(names, 1), len(table[row])):
            if _FIGURE.search(table[row][column]) and column < len(heads):
                yield (row, column), (heads, tuple(table[row][: max(names, 1)]), heads[column])


def _figures(table: Table) -> Iterator[tuple[Key, str]]:
    for (row, column), key in _keyed(table):
        yield key, _PREVIOUS.sub("", table[row][column])
