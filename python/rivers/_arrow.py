"""Tables of the extension as Polars frames."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import polars as pl

    from rivers._rivers import ArrowTable


def frame(table: ArrowTable) -> pl.DataFrame:
    """The table as a Polars frame, without a copy."""
    import polars as pl  # noqa: PLC0415  (Polars is loaded where a table is wanted)

    return pl.DataFrame(table)
