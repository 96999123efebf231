"""The commands that look into a backfill: partitions, errors, grid. They only read the storage."""

import json
import time
from contextlib import contextmanager
from pathlib import Path
from textwrap import indent
from typing import TYPE_CHECKING, Any

import click
from rich.text import Text

from rivers.cli import completion, display
from rivers.cli.display import STYLES, output, write_json
from rivers.cli.load import find_backfill, load_repository, looks_like_module
from rivers.cli.options import (
    COUNT,
    FILE,
    id_argument,
    json_option,
    statuses_option,
    storage_option,
)
from rivers.cli.parse import parse_names, parse_range
from rivers.cli.settings import open_client, open_storage
from rivers.cli.tables import print_storage, print_table
from rivers.exceptions import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    import polars as pl

    from rivers.client import BackfillClient
    from rivers.partitions import PartitionKeyRange
    from rivers.repository.repository import CodeRepository
    from rivers.status.grid import Cells

_CUT = ("error", "skip_reason")
"""Columns of partitions whose texts a terminal may shorten."""
_EXTRA = (
    "last_materialized_at", "stale", "stale_reason", "skip_reason", "attempts", "backfill_id", "run",
    "code_version",
)  # fmt: skip
"""Columns of partitions that a narrow terminal may leave out, the least important last."""
_POLL_SECONDS = 0.5
"""Time between two reads of `--watch`."""


@click.command(epilog="Example: rivers partitions latest --status failed --out failed.csv")
@click.argument(
    "about", metavar="[ID|MODULE:ASSET]", default="latest", shell_complete=completion.subjects
)
@statuses_option
@click.option("--missing", is_flag=True, help="Of an asset: only what is not materialized.")
@click.option("--failed", is_flag=True, help="Only what has failed.")
@click.option(
    "--stale", is_flag=True, help="Of an asset: only what is materialized, but out of date."
)
@click.option("--out", type=FILE, metavar="FILE", help="Write all rows to a .csv or .parquet file.")
@click.option(
    "-n",
    "--limit",
    "limit",
    type=COUNT,
    default=50,
    show_default=True,
    help="Maximum number of rows to print.",
)
@json_option
@storage_option
def partitions(
    about: str,
    status: tuple[str, ...],
    missing: bool,
    failed: bool,
    stale: bool,
    out: Path | None,
    limit: int,
    as_json: bool,
    storage: str | None,
) -> None:
    """Show the partitions of a backfill or of an asset.

    ID is the id of a backfill, the start of one, 'latest' (the default) or '@2' for the latest but one.
    MODULE:ASSET is an asset of a module or a .py file, such as flights.py:delays.
    """
    if out is not None and out.suffix.lower() not in (".csv", ".parquet"):
        raise ConfigurationError(f"--out takes a .csv or .parquet file, not {str(out)!r}")
    if out is not None and as_json:
        raise ConfigurationError("give --out or --json, not both")
    wanted = [*(parse_names(status) or ()), *(["failed"] if failed else ())]
    if looks_like_module(about):
        with _repository_of(about, storage) as (repo, asset):
            path, frame = repo.storage.path, repo.partition_status(asset)
        frame = _filtered(frame, wanted, missing=missing, stale=stale)
    elif missing or stale:
        msg = "--missing and --stale are about an asset: rivers partitions MODULE:ASSET --missing"
        raise ConfigurationError(msg)
    else:
        client = open_client(storage)
        path, found = client.storage.path, find_backfill(client, about).backfill_id
        frame = client.backfill_partitions(found, status=wanted or None)
        frame = frame if as_json or out is not None else frame.drop("started_at", "ended_at")
    if as_json:
        write_json(frame.write_json())
    elif out is not None:
        try:
            frame.write_csv(out) if out.suffix.lower() == ".csv" else frame.write_parquet(out)
        except OSError as error:
            raise ConfigurationError(f"{str(out)!r} cannot be written: {error}") from None
        output.print(f"{display.count(frame.height, 'row')} in {out}", soft_wrap=True, markup=False)
    else:
        print_storage(path, is_data=True)
        _print_rows(frame, limit)


@contextmanager
def _repository_of(about: str, storage: str | None) -> "Iterator[tuple[CodeRepository, str]]":
    """Loads the repository of MODULE:ASSET.

    Yields:
        The repository, connected, and the name of the asset.
    """
    module, _, asset = about.rpartition(":")
    if not module:
        raise ConfigurationError(f"name the asset after a colon: {about}:ASSET")
    with load_repository(module, open_storage(storage)) as repo:
        yield repo, asset


def _filtered(
    frame: "pl.DataFrame", wanted: list[str], *, missing: bool, stale: bool
) -> "pl.DataFrame":
    """Returns the partitions of an asset with one of the statuses, or which are missing or stale."""
    import polars as pl  # noqa: PLC0415

    conditions = [pl.col("status").cast(pl.String).is_in(wanted)] if wanted else []
    if missing:
        there = pl.col("last_materialized_at").is_not_null() | (pl.col("status") == "skipped")
        conditions.append(~there)
    if stale:
        if "stale" not in frame.columns:
            raise ConfigurationError("this storage does not know what is stale")
        conditions.append(pl.col("stale"))
    return frame.filter(pl.any_horizontal(conditions)) if conditions else frame


@click.command(epilog="Example: rivers errors latest -v")
@id_argument
@click.option(
    "-v", "--verbose", is_flag=True, help="Show the traceback of each, with its last log lines."
)
@json_option
@storage_option
def errors(backfill_id: str, verbose: bool, as_json: bool, storage: str | None) -> None:
    """Show why partitions failed, most frequent error first.

    Failures that differ only in numbers, dates, ids or keys are the same error.
    ID is the id of a backfill, the start of one, 'latest' (the default) or '@2' for the latest but one.
    """
    client = open_client(storage)
    found = find_backfill(client, backfill_id).backfill_id
    groups = client.backfill_errors(found)
    if as_json:
        write_json(groups.write_json())
        return
    print_storage(client.storage.path)
    num_failures = display.count(int(groups["count"].sum()), "failure")
    output.print(f"{num_failures}, {display.count(groups.height, 'distinct error')}")
    for group in groups.iter_rows(named=True):
        text = f"{group['count']:,} x  {group['error_type']}: {group['message']}"
        output.print(Text(text, "red"))
        output.print(Text(f"    such as {group['partition']}", "bright_black"))
        if verbose and group["traceback"]:
            output.print(Text(indent(group["traceback"].rstrip(), "    ")))


@click.command(epilog="Example: rivers grid latest --range date=2024-01..2024-03 --watch")
@click.argument(
    "about", metavar="[ID|MODULE:ASSET]", default="latest", shell_complete=completion.subjects
)
@click.option(
    "--range",
    "ranges",
    multiple=True,
    metavar="DIM=A..B",
    help="Show only these keys of a dimension; repeat it for others.",
)
@click.option("--rows", metavar="DIM", help="The dimension from top to bottom.")
@click.option("--columns", metavar="DIM", help="The dimension from left to right; by default time.")
@click.option("--asset", metavar="NAME", help="Where assets have runs of their own: which one.")
@click.option("--watch", is_flag=True, help="Follow the backfill to its end.")
@json_option
@storage_option
def grid(
    about: str,
    ranges: tuple[str, ...],
    rows: str | None,
    columns: str | None,
    asset: str | None,
    watch: bool,
    as_json: bool,
    storage: str | None,
) -> None:
    """Draw the partitions of a backfill, or of an asset, as a map.

    It fits the window: time runs from left to right, and a cell may stand for many partitions. A cell
    shows the worst status of its partitions. --range shows a part in more detail.
    ID is the id of a backfill, the start of one, 'latest' (the default) or '@2' for the latest but one.
    MODULE:ASSET is an asset of a module or a .py file, such as flights.py:delays.
    """
    if looks_like_module(about):
        _draw_asset(about, ranges, rows, columns, watch or asset is not None, as_json, storage)
        return
    client = open_client(storage)
    found = find_backfill(client, about).backfill_id
    names = [dimension.name for dimension in client.grid(found, asset=asset).dimensions]
    bounds = None
    if ranges:
        where = _range_of(ranges, is_single=names == ["partition"])
        bounds = client.grid_bounds(found, where, asset=asset)

    def picture() -> "Text | str":
        from rivers.cli.grid import draw, fit  # noqa: PLC0415  (other commands need none)

        size = (output.size.width, output.size.height)
        cells = fit(client.grid(found, asset=asset), rows, columns, bounds, size)
        return _json_of(cells, client.storage.path) if as_json else draw(cells, size[0])

    if watch and not as_json and output.is_terminal:
        _watch(client, found, picture)
        print_storage(client.storage.path)
        return
    while True:
        running = watch and _is_running(client, found)
        shown = picture()
        write_json(shown) if isinstance(shown, str) else output.print(shown)
        if not running:
            break
        time.sleep(_POLL_SECONDS)
    if not as_json:
        print_storage(client.storage.path)


def _draw_asset(
    about: str,
    ranges: tuple[str, ...],
    rows: str | None,
    columns: str | None,
    is_of_backfill: bool,
    as_json: bool,
    storage: str | None,
) -> None:
    """Draws the partitions of an asset."""
    from rivers.cli.grid import draw, fit  # noqa: PLC0415
    from rivers.repository.internals import asset_definition, asset_grid  # noqa: PLC0415

    if is_of_backfill:
        raise ConfigurationError("--watch and --asset are about a backfill: rivers grid ID --watch")
    with _repository_of(about, storage) as (repo, asset):
        path = repo.storage.path
        definition = asset_definition(repo, asset)
        is_single = definition is None or not definition.dimension_names()
        where = _range_of(ranges, is_single=is_single) if ranges else None
        shown, bounds = asset_grid(repo, asset, where)
    size = (output.size.width, output.size.height)
    cells = fit(shown, rows, columns, bounds, size)
    if as_json:
        write_json(_json_of(cells, path))
        return
    output.print(draw(cells, size[0]))
    print_storage(path)


def _json_of(cells: "Cells", storage: str) -> str:
    return json.dumps(json.loads(cells.to_json()) | {"storage": storage})


def _range_of(ranges: tuple[str, ...], *, is_single: bool) -> "PartitionKeyRange":
    """Parses the options of a range; a single dimension has no name, or the name `partition`."""
    from rivers.partitions.range_text import range_of_text  # noqa: PLC0415

    if not is_single:
        return parse_range(ranges)
    if len(ranges) > 1:
        raise ConfigurationError("--range is given once for partitions of a single dimension")
    return range_of_text(ranges[0], [])


def _watch(client: "BackfillClient", backfill_id: str, picture: "Callable[[], Any]") -> None:
    """Redraws a map in place until its backfill stops."""
    from rich.live import Live  # noqa: PLC0415  (it is for terminals alone)

    with Live(picture(), console=output, auto_refresh=False) as live:
        while _is_running(client, backfill_id):
            time.sleep(_POLL_SECONDS)
            live.update(picture(), refresh=True)
        live.update(picture(), refresh=True)


def _is_running(client: "BackfillClient", backfill_id: str) -> bool:
    view = client.get_view(backfill_id)
    return view is not None and view.is_running


def _print_rows(frame: "pl.DataFrame", limit: int) -> None:
    if not output.is_terminal:
        limit = frame.height  # A program wants all rows.
    rows = (
        [_cell(name, value) for name, value in row.items()]
        for row in frame.head(limit).iter_rows(named=True)
    )
    print_table(
        frame.columns, rows, whole=[name for name in frame.columns if name not in _CUT],
        numbers=[name for name in ("run", "attempts") if name in frame.columns],
        extra=[name for name in _EXTRA if name in frame.columns] + _starts(frame),
    )  # fmt: skip
    if frame.height > limit:
        output.print(f"... {frame.height - limit:,} more; --out FILE writes them all")


def _starts(frame: "pl.DataFrame") -> list[str]:
    """The columns that say in another form what the key of a time dimension says."""
    return [
        name
        for name, kind in frame.schema.items()
        if name.endswith("_start") and kind.is_temporal()
    ]


def _cell(name: str, value: Any) -> Text:
    if name == "status":
        return Text(value, STYLES.get(value, ""))
    if name == "last_materialized_at" and value is not None and output.is_terminal:
        return Text(f"{value:%Y-%m-%d %H:%M:%S}")
    return Text("" if value is None else str(value))


COMMANDS = {"partitions": partitions, "errors": errors, "grid": grid}
