"""Tables that fit any terminal: numbers are never cut, names are shortened in the middle, columns are left out.

The order in which columns are left out is that of their `drop`, the highest first; columns without one always stay.
Only where these are too wide for the terminal, with names of `NARROWEST` characters, a line is longer than it.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from rich.cells import cell_len, set_cell_size
from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

COMFORTABLE, NARROWEST = 22, 10
"""Cells of a name for which columns are left out, and which it keeps when there is no column left to leave out."""

ELLIPSIS = "…"


@dataclass(frozen=True)
class Column:
    """A column.

    drop: columns with a higher number are left out first; None for one that always stays.
    is_name: its cells may be shortened in the middle; others are numbers or words, which are never cut.
    """

    title: str | Text
    drop: int | None = None
    is_name: bool = False
    left: bool = False
    style: str = ""


Cells = Sequence[str | Text]


def fitted_table(
    columns: Sequence[Column], rows: Sequence[Cells], width: int, *, bold: Sequence[int] = (), titled: bool = True
) -> Table:
    """The table in `width` cells, to be printed with ``crop=False``.

    bold: the numbers of rows that are bold and begin a section.  titled: whether the table has a line of titles.
    """
    texts = [[_text(cell) for cell in row] for row in rows]
    kept = kept_columns(columns, texts, width)
    widths = {i: _widest(columns, texts, i) for i in kept}
    spare = width - sum(widths.values()) - (len(kept) - 1)
    names = [i for i in kept if columns[i].is_name]
    while spare < 0 and any(widths[i] > NARROWEST for i in names):
        widest = max(names, key=lambda i: widths[i])
        widths[widest], spare = widths[widest] - 1, spare + 1
    needed = sum(widths.values()) + len(kept) - 1
    full = needed if needed > width else None  # Rich would cut what is wider than the terminal
    table = Table(box=None, header_style="bold", pad_edge=False, padding=(0, 1, 0, 0), width=full, show_header=titled)
    for i in kept:
        column = columns[i]
        # Rich does not justify what it must not cut, so the cells are padded here.
        title = _padded(column, _text(column.title), widths[i])
        table.add_column(title, no_wrap=True, overflow="ignore", style=column.style, min_width=widths[i])
    for number, row in enumerate(texts):
        if number in bold:
            table.add_section()
        cells: list[RenderableType] = [_padded(columns[i], row[i], widths[i]) for i in kept]
        table.add_row(*cells, style="bold" if number in bold else "")
    return table


def _padded(column: Column, text: Text, width: int) -> Text:
    if column.is_name:
        text = shortened_text(text, width)
    blanks = " " * (width - cell_len(text.plain))
    return text + Text(blanks) if column.left or column.is_name else Text.assemble(blanks, text)


def kept_columns(columns: Sequence[Column], rows: Sequence[Sequence[Text]], width: int) -> list[int]:
    """The numbers of the columns that fit."""
    kept = list(range(len(columns)))
    least = [
        min(_widest(columns, rows, i), COMFORTABLE) if column.is_name else _widest(columns, rows, i)
        for i, column in enumerate(columns)
    ]
    droppable = sorted((i for i in kept if columns[i].drop is not None), key=lambda i: -(columns[i].drop or 0))
    for i in droppable:
        if sum(least[k] for k in kept) + len(kept) - 1 <= width:
            break
        kept.remove(i)
    return kept


def shortened_text(text: Text, width: int) -> Text:
    """The text in at most `width` cells: its start, an ellipsis, and its end, which tells file names apart."""
    if cell_len(text.plain) <= width:
        return text
    plain = text.plain
    head = set_cell_size(plain, (width - 1) // 2).rstrip()
    tail, room = "", width - 1 - cell_len(head)
    for character in reversed(plain):
        if cell_len(character + tail) > room:
            break
        tail = character + tail
    cut = text[: len(head)]
    start = len(plain) - len(tail)
    return Text.assemble(cut, ELLIPSIS, text[start:] if tail else "")


def printable(text: str) -> str:
    """`text` without what would steer the terminal, and without what UTF-8 cannot write."""
    return "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in text)


def _text(cell: str | Text) -> Text:
    return cell if isinstance(cell, Text) else Text(printable(cell))


def _widest(columns: Sequence[Column], rows: Sequence[Sequence[Text]], i: int) -> int:
    title = cell_len(_text(columns[i].title).plain)
    widest = max((cell_len(row[i].plain) for row in rows), default=0)
    # A long shared folder in the title of a column of names does not widen it.
    return max(widest, min(title, NARROWEST)) if columns[i].is_name else max(widest, title)
