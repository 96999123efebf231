"""The Polars tables of a client, a repository and sets of partitions, and their columns.

Dimensions are `pl.Enum` (`pl.Categorical` above 65,536 keys); a time dimension is a `pl.Categorical` of
its keys with a column `<dimension>_start`, `pl.Datetime("us")`, beside it. The one dimension of a
single-dimension definition is called `partition`. A dimension whose name another column has gets a
trailing `_`. Statuses are `pl.Enum`; times are `pl.Datetime("us", "UTC")`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rivers import _rivers
from rivers._arrow import frame

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    import polars as pl

    from rivers._rivers import ArrowTable, Engine, Selection, Staleness, Store
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
    """See `BackfillClient.backfill_partitions`."""
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
    """Concatenates the tables of all layers of a plan.

    If there are several layers, a column `assets` names the assets of a row, and dimensions that its layer
    does not have are null.

    Args:
        layers: The layers of the plan.
        assets: The assets of the request.
        table: Returns the table of a layer, by its index.
    """
    import polars as pl  # noqa: PLC0415

    frames = [frame(table(at)) for at in range(len(layers))]
    if len(frames) == 1:
        return frames[0]
    named = [
        own.with_columns(assets=pl.lit(", ".join(assets[place] for place in places)))
        for own, (_, _, places) in zip(frames, layers, strict=True)
    ]
    # Dimensions of one name can have different keys, in one layer those of a time window.
    types: dict[str, set[pl.DataType]] = {}
    for own in named:
        for name, dtype in own.schema.items():
            types.setdefault(name, set()).add(dtype)
    differing = [name for name, found in types.items() if len(found) > 1]
    return pl.concat(
        [
            own.with_columns(pl.col(set(differing) & set(own.columns)).cast(pl.String))
            for own in named
        ],
        how="diagonal",
    )


def backfill_runs(
    store: Store, backfill_id: str, status: str | Sequence[str] | None
) -> pl.DataFrame:
    """See `BackfillClient.backfill_runs`."""
    return frame(_rivers.backfill_runs(store, backfill_id, _states(status)))


def backfills(
    store: Store, engine: Engine | None, status: str | Sequence[str] | None, limit: int | None
) -> pl.DataFrame:
    """See `BackfillClient.backfills`; an engine also knows of its own aborted backfills."""
    return frame(_rivers.backfills(store, engine, _states(status), limit))


def partition_status(
    store: Store,
    asset: str,
    status: str | Sequence[str] | None,
    gone: Selection,
    stale: Staleness,
    *,
    metadata: bool = False,
) -> pl.DataFrame:
    """See `CodeRepository.partition_status`; values of `gone` cannot be loaded, so that they are missing."""
    return frame(_rivers.partition_status(store, asset, _states(status), metadata, gone, stale))


def causes(counted: Iterable[ErrorGroup]) -> pl.DataFrame:
    """See `BackfillClient.backfill_errors`."""
    import polars as pl  # noqa: PLC0415

    timestamp = pl.Datetime("us", "UTC")
    columns: dict[str, Any] = {
        "error_type": pl.String, "message": pl.String, "count": pl.UInt64, "first_at": timestamp,
        "last_at": timestamp, "partition": pl.String, "traceback": pl.String,
    }  # fmt: skip
    return pl.DataFrame(list(counted), schema=columns)
