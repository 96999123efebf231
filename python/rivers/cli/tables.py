"""Prints rows: as a table that fits a terminal, or whole and separated by tabs for other programs."""

from __future__ import annotations

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
) -> None:
    """Prints rows with a line of headings.

    Where the output is no terminal, no cell is cut or padded, and cells are separated by tabs.

    Args:
        columns: The headings.
        rows: The cells of each row.
        whole: Columns that a narrow terminal must not cut; the others are shortened.
        numbers: Columns that are aligned to the right, and not cut either.
    """
    if not output.is_terminal:
        # Written, not printed: rich would replace tabs by spaces.
        for row in () if output.quiet else (columns, *rows):
            line = "\t".join(" ".join(str(cell).split()) for cell in row)
            output.write(printable(line) + "\n")
        return
    from rich.table import Table  # noqa: PLC0415  (the table is for terminals alone)

    cells = [[cell if isinstance(cell, Text) else Text(cell) for cell in row] for row in rows]
    table = Table(box=None, pad_edge=False, header_style="bold")
    for place, name in enumerate(columns):
        is_whole = name in whole or name in numbers
        width = max((row[place].cell_len for row in cells), default=0) if is_whole else None
        table.add_column(
            name, no_wrap=True, overflow="ellipsis", min_width=width,
            justify="right" if name in numbers else "left",
        )  # fmt: skip
    for row in cells:
        table.add_row(*row)
    output.print(table)


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
