"""Selects the partitions that the rows of a table name."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rivers.exceptions import PartitionValidationError

if TYPE_CHECKING:
    from rivers._rivers import Selection, Space


def select_rows(space: Space, table: object) -> Selection:
    """Returns the partitions that the rows of a table name.

    Args:
        space: The partitions to select from.
        table: A Polars frame, or an object with the Arrow PyCapsule interface. It has a column of keys
            per dimension (`partition` where the dimension has no name); other columns are ignored.

    Raises:
        PartitionValidationError: A column is missing, or a value is null or not a key.
    """
    import polars as pl  # noqa: PLC0415  (Polars is loaded where a table is given)

    rows = pl.DataFrame(table)  # type: ignore[arg-type]
    numbers = pl.Series("number", [0], dtype=pl.UInt64).new_from_index(0, rows.height)
    for index, (name, _, stride) in enumerate(space.dimensions()):
        column = name or "partition"
        if column not in rows.columns:
            msg = (
                f"the table of partitions has no column {column!r}; it needs one for each dimension, "
                f"and has {rows.columns}"
            )
            raise PartitionValidationError(msg)
        texts = rows[column].cast(pl.String)
        if texts.null_count():
            msg = f"the column {column!r} of the table of partitions has empty values"
            raise PartitionValidationError(msg)
        distinct = texts.unique()
        steps = [position * stride for position in space.locate(index, distinct.to_list())]
        numbers = numbers + texts.replace_strict(
            distinct, pl.Series(steps, dtype=pl.UInt64), return_dtype=pl.UInt64
        )
    return space.select_numbers(numbers.to_list())
