"""Prints rows: as a table that fits a terminal, or whole and separated by tabs for other programs."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING

from rich.text import Text

from rivers._text import printable
from rivers.cli.display import errors, output

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

Cell = Text | str
"""What a row has in a column."""


def print_table(
    columns: Sequence[str],
    rows: Iterable[Sequence[Cell]],
    *,
    whole: Sequence[str] = (),
    numbers: Sequence[str] = (),
    extra: Sequence[str] = (),
) -> None:
    """Prints rows with a line of headings.

    Where the output is no terminal, no cell is cut or padded, and cells are separated by tabs. A terminal
    gets lines that fit: texts are shortened, then columns are left out, which is said, and then the first
    column has lines of its own, with as many of the others below it as fit. Headings, numbers and what
    `whole` names are never cut.

    Args:
        columns: The headings.
        rows: The cells of each row.
        whole: Columns that a narrow terminal must not cut; the others are shortened.
        numbers: Columns that are aligned to the right, and not cut either.
        extra: Columns that a narrow terminal may leave out, the least important last.
    """
    if not output.is_terminal:
        # Written, not printed: rich would replace tabs by spaces.
        for row in () if output.quiet else (columns, *rows):
            # A cell is one line; all else is as it was recorded, so that a key can be read again.
            texts = (str(cell).translate(_ONE_LINE) for cell in row)
            output.write(printable("\t".join(texts)) + "\n")
        return
    cells = [[_line_of(cell) for cell in row] for row in rows]
    shown = [
        _Column(name, [row[at] for row in cells], name in numbers, name in whole)
        for at, name in enumerate(columns)
    ]
    fitting, folds = _fit(shown, extra, output.width)
    for line in _lines(fitting, folds, output.width):
        output.print(line, soft_wrap=True)
    left_out = [c.name for c in shown if c not in fitting and not c.is_empty]
    if left_out:
        note = f"not shown: {', '.join(left_out)} (a wider terminal or --json shows them)"
        output.print(Text(note, "bright_black"))


class _Column:
    """A column of a table for a terminal."""

    def __init__(self, name: str, cells: list[Text], is_number: bool, is_whole: bool) -> None:
        self.name = name
        self.cells = cells
        self.is_number = is_number
        self.width = max([len(name), *(cell.cell_len for cell in cells)])
        is_cut = not (is_number or is_whole)
        self.min_width = max(len(name), min(self.width, _MIN_TEXT)) if is_cut else self.width

    @property
    def is_empty(self) -> bool:
        return not any(self.cells)

    def cell(self, cell: Text, width: int) -> Text:
        """A cell of this width, shortened or padded."""
        cell = cell.copy()
        cell.truncate(width, overflow="ellipsis")
        missing = width - cell.cell_len
        cell.pad_left(missing) if self.is_number else cell.pad_right(missing)
        return cell


_ONE_LINE = str.maketrans("\t\r\n", "   ")

_MIN_TEXT = 12
"""Columns that a text has at least, if it is as long."""
_GAP = 2
_MIN_FOLDED = 2
"""Columns that are always shown: the first, in lines of its own, and one below it."""


def _line_of(cell: Cell) -> Text:
    """A cell as one line of printable text."""
    if isinstance(cell, Text):
        return Text(printable(" ".join(cell.plain.split())), cell.style)
    return Text(printable(" ".join(cell.split())))


def _needs(columns: Sequence[_Column]) -> int:
    return sum(column.min_width + _GAP for column in columns) - _GAP


def _fit(columns: list[_Column], extra: Sequence[str], width: int) -> tuple[list[_Column], bool]:
    """The columns that fit, and whether the first has lines of its own."""
    if _needs(columns) <= width:
        return columns, False
    columns = [column for column in columns if column.name not in extra or not column.is_empty]
    droppable = [column for name in extra for column in columns if column.name == name]
    while _needs(columns) > width and droppable:
        least = droppable.pop()
        columns = [column for column in columns if column is not least]
    folds = _needs(columns) > width
    while folds and len(columns) > _MIN_FOLDED and _needs(columns[1:]) > width - _GAP:
        columns = columns[:-1]
    return columns, folds


def _lines(columns: list[_Column], folds: bool, width: int) -> Iterable[Text]:
    """The lines of a table: headings and rows, in two lines each if the first column is folded."""
    first, rest = (columns[:1], columns[1:]) if folds else ([], columns)
    widths = _widths(rest, width - _GAP if folds else width)
    indent = " " * _GAP if folds else ""
    headings = [Text(column.name, "bold") for column in columns]
    rows = zip(*(column.cells for column in columns), strict=True) if columns else ()
    for row in itertools.chain([headings], rows):
        if folds:
            yield row[0]
        line = Text(indent)
        for column, cell, own in zip(rest, row[len(first) :], widths, strict=True):
            line.append_text(column.cell(cell, own))
            line.append(" " * _GAP)
        line.rstrip()
        yield line


def _widths(columns: Sequence[_Column], width: int) -> list[int]:
    """The width of each column: what is left goes to those that are cut, the shortest first."""
    widths = [column.min_width for column in columns]
    left = width - _needs(columns)
    cut = sorted(
        (at for at, column in enumerate(columns) if column.width > column.min_width),
        key=lambda at: columns[at].width - columns[at].min_width,
    )
    for number, at in enumerate(cut):
        more = min(-(-max(left, 0) // (len(cut) - number)), columns[at].width - widths[at])
        widths[at] += more
        left -= more
    return widths


def print_storage(path: str, *, is_data: bool = False) -> None:
    """Prints which storage a listing shows.

    Args:
        path: The storage.
        is_data: Whether the listing is nothing but rows, which another program may read: the line goes to
            the error stream then, unless the output is a terminal.
    """
    out = errors if is_data and not output.is_terminal else output
    if not output.quiet:
        out.print(Text(f"storage: {path}", "bright_black"), soft_wrap=True)
