"""Millions of rows as Polars frames: what the tables of a repository and of sets of partitions hold.

Dimensions are `pl.Enum` (`pl.Categorical` above 65,536 keys); a time dimension is a `pl.Categorical` of
its keys with a column `<dimension>_start`, `pl.Datetime("us")`, beside it. The one dimension of a
single-dimension definition is called `partition`. A dimension whose name another column has gets a
trailing `_`. States are `pl.Enum`; moments are `pl.Datetime("us", "UTC")`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rivers import _rivers
from rivers._arrow import frame

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    import polars as pl

    from rivers._rivers import ArrowTable, Engine, Space, Store
    from rivers._storage import ErrorGroup


def _states(given: Any) -> list[str] | None:
    if given is None:
        return None
    return [given] if isinstance(given, str) else list(given)


def backfill_partitions(
    store: Store,
    backfill_id: str,
    status: str | Sequence[str] | None,
    *,
    run_id: bool,
    errors: bool = True,
) -> pl.DataFrame:
    """See `CodeRepository.backfill_partitions`; without `errors` that column is empty."""
    record = store.backfill(backfill_id)
    layers = store.plan(record["key"]).layers if record else [None]
    return of_layers(
        layers,
        record["assets"] if record else [],
        lambda at: _rivers.backfill_partitions(
            store, backfill_id, at, _states(status), run_id, errors
        ),
    )


def of_layers(
    layers: Sequence[Any], assets: Sequence[str], table: Callable[[int], ArrowTable]
) -> pl.DataFrame:
    """The tables of all layers of a plan, one below the other; `assets` are those of the request.

    Where there are several, a column `assets` tells them apart, and a dimension that a layer does not
    have is null.
    """
    import polars as pl  # noqa: PLC0415

    frames = [frame(table(at)) for at in range(len(layers))]
    if len(frames) == 1:
        return frames[0]
    named = [
        own.with_columns(assets=pl.lit(", ".join(assets[place] for place in places)))
        for own, (_, _, places) in zip(frames, layers, strict=True)
    ]
    return pl.concat(named, how="diagonal_relaxed")


def backfill_runs(
    store: Store, backfill_id: str, status: str | Sequence[str] | None
) -> pl.DataFrame:
    """See `CodeRepository.backfill_runs`."""
    return frame(_rivers.backfill_runs(store, backfill_id, _states(status)))


def backfills(
    store: Store, engine: Engine | None, status: str | Sequence[str] | None, limit: int | None
) -> pl.DataFrame:
    """See `CodeRepository.backfills`."""
    return frame(_rivers.backfills(store, engine, _states(status), limit))


def partition_status(
    store: Store, asset: str, space: Space, status: str | Sequence[str] | None
) -> pl.DataFrame:
    """See `CodeRepository.partition_status`."""
    return frame(_rivers.partition_status(store, asset, space, _states(status)))


def error_groups(groups: Iterable[ErrorGroup]) -> pl.DataFrame:
    """See `CodeRepository.backfill_errors`."""
    import polars as pl  # noqa: PLC0415

    time = pl.Datetime("us", "UTC")
    columns: dict[str, Any] = {
        "error_type": pl.String, "message": pl.String, "count": pl.UInt64, "first_at": time,
        "last_at": time, "partition": pl.String, "traceback": pl.String,
    }  # fmt: skip
    return pl.DataFrame(list(groups), schema=columns)
