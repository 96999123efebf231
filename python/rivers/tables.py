"""Millions of rows as Polars frames: what the tables of a repository and of sets of partitions hold.

Dimensions are `pl.Enum` (`pl.Categorical` above 65,536 keys); a time dimension is a `pl.Categorical` of
its keys with a column `<dimension>_start`, `pl.Datetime("us")`, beside it. The one dimension of a
single-dimension definition is called `partition`. A dimension whose name another column has gets a
trailing `_`. States are `pl.Enum`; moments are `pl.Datetime("us", "UTC")`.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from rivers import _rivers

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    import polars as pl

    from rivers._rivers import ArrowTable, Engine, Space, Store

_VARYING = re.compile(
    r"""
    "[^"]*" | `[^`]*` | \B'[^']*'\B                # a quoted text, and no apostrophe
    | \b0[xX][0-9a-fA-F]+ | \b[0-9a-fA-F]{8}(?:-?[0-9a-fA-F]+)*\b  # a hexadecimal number or an id
    | [0-9]+(?:[.,:/T_-][0-9]+)*                   # a number, a date, a time
    """,
    re.VERBOSE,
)


def frame(table: ArrowTable) -> pl.DataFrame:
    """The table as a Polars frame, without a copy."""
    import polars as pl  # noqa: PLC0415  (Polars is loaded where a table is wanted)

    return pl.DataFrame(table)


def _states(given: Any) -> list[str] | None:
    if given is None:
        return None
    return [given] if isinstance(given, str) else list(given)


def backfill_partitions(
    store: Store, backfill_id: str, status: str | Sequence[str] | None, *, run_id: bool
) -> pl.DataFrame:
    """See `CodeRepository.backfill_partitions`."""
    return frame(_rivers.backfill_partitions(store, backfill_id, _states(status), run_id))


def backfill_runs(
    store: Store, backfill_id: str, status: str | Sequence[str] | None
) -> pl.DataFrame:
    """See `CodeRepository.backfill_runs`."""
    return frame(_rivers.backfill_runs(store, backfill_id, _states(status)))


def backfills(
    store: Store, engine: Engine, status: str | Sequence[str] | None, limit: int | None
) -> pl.DataFrame:
    """See `CodeRepository.backfills`."""
    return frame(_rivers.backfills(store, engine, _states(status), limit))


def partition_status(
    store: Store, asset: str, space: Space, status: str | Sequence[str] | None
) -> pl.DataFrame:
    """See `CodeRepository.partition_status`."""
    return frame(_rivers.partition_status(store, asset, space, _states(status)))


def causes(counted: Iterable[dict[str, Any]]) -> pl.DataFrame:
    """See `CodeRepository.backfill_errors`."""
    import polars as pl  # noqa: PLC0415

    moment = pl.Datetime("us", "UTC")
    columns: dict[str, Any] = {
        "error_type": pl.String, "message": pl.String, "count": pl.UInt64, "first_at": moment,
        "last_at": moment, "partition": pl.String, "traceback": pl.String,
    }  # fmt: skip
    rows = [cause | {"message": folded(cause["message"], cause["partition"])} for cause in counted]
    found = pl.DataFrame(rows, schema=columns)
    return (
        found.sort("first_at", maintain_order=True)
        .group_by("error_type", "message", maintain_order=True)
        .agg(
            pl.col("count").sum(), pl.col("first_at").min(), pl.col("last_at").max(),
            pl.col("partition").first(), pl.col("traceback").first(),
        )
        .sort("count", descending=True, maintain_order=True)
    )  # fmt: skip


def folded(message: str, partition: str) -> str:
    """A message without what varies; `partition` is the text of the partition that failed with it."""
    keys = [part.rpartition("=")[2] for part in partition.split("|")]
    for key in (partition, *keys):
        message = _without(message, key)
    return _VARYING.sub("…", message)


def _without(message: str, word: str) -> str:
    """The message with `…` for the word, where it is not a part of another."""
    start = message.find(word) if word else -1
    while start >= 0:
        end = start + len(word)
        before, after = message[max(start - 1, 0) : start], message[end : end + 1]
        if not before.isalnum() and not after.isalnum():
            message = f"{message[:start]}…{message[end:]}"
            end = start + 1
        start = message.find(word, end)
    return message
