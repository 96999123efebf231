"""The commands that look into a backfill: partitions, errors, grid. They only read the storage."""

import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from rich.text import Text

from rivers.cli import display
from rivers.cli.display import STYLES, output, write_json
from rivers.cli.load import find_backfill
from rivers.cli.options import (
    COUNT,
    FILE,
    id_argument,
    json_option,
    statuses_option,
    storage_option,
)
from rivers.cli.parse import parse_names, parse_range
from rivers.cli.settings import open_client
from rivers.cli.tables import print_table
from rivers.exceptions import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Callable

    import polars as pl

    from rivers.client import BackfillClient
    from rivers.partitions import PartitionKeyRange

_POLL_SECONDS = 0.5
"""Time between two reads of `--watch`."""


@click.command(epilog="Example: rivers partitions latest --status failed --out failed.csv")
@id_argument
@statuses_option
@click.option("--out", type=FILE, metavar="FILE", help="Write all rows to a .csv or .parquet file.")
@click.option(
    "--limit", type=COUNT, default=50, show_default=True, help="Maximum number of rows to print."
)
@json_option
@storage_option
def partitions(
    backfill_id: str,
    status: tuple[str, ...],
    out: Path | None,
    limit: int,
    as_json: bool,
    storage: str | None,
) -> None:
    """Show the partitions of a backfill, a row each.

    ID is the id of a backfill, the start of one, or 'latest'.
    """
    if out is not None and out.suffix.lower() not in (".csv", ".parquet"):
        raise ConfigurationError(f"--out takes a .csv or .parquet file, not {str(out)!r}")
    if out is not None and as_json:
        raise ConfigurationError("give --out or --json, not both")
    client = open_client(storage)
    found = find_backfill(client, backfill_id).backfill_id
    frame = client.backfill_partitions(found, status=parse_names(status))
    if as_json:
        write_json(frame.write_json())
    elif out is not None:
        try:
            frame.write_csv(out) if out.suffix.lower() == ".csv" else frame.write_parquet(out)
        except OSError as error:
            raise ConfigurationError(f"{str(out)!r} cannot be written: {error}") from None
        output.print(f"{display.count(frame.height, 'row')} in {out}", soft_wrap=True, markup=False)
    else:
        _print_rows(frame.drop("started_at", "ended_at"), limit)


@click.command(epilog="Example: rivers errors latest")
@id_argument
@json_option
@storage_option
def errors(backfill_id: str, as_json: bool, storage: str | None) -> None:
    """Show why partitions failed, most frequent error first.

    Failures that differ only in numbers, dates, ids or keys are the same error.
    ID is the id of a backfill, the start of one, or 'latest'.
    """
    client = open_client(storage)
    groups = client.backfill_errors(find_backfill(client, backfill_id).backfill_id)
    if as_json:
        write_json(groups.write_json())
        return
    num_failures = display.count(int(groups["count"].sum()), "failure")
    output.print(f"{num_failures}, {display.count(groups.height, 'distinct error')}")
    for group in groups.iter_rows(named=True):
        text = f"{group['count']:,} x  {group['error_type']}: {group['message']}"
        output.print(Text(text, "red"), soft_wrap=True)
        output.print(Text(f"    such as {group['partition']}", "bright_black"), soft_wrap=True)


@click.command(epilog="Example: rivers grid latest --range date=2024-01..2024-03 --watch")
@id_argument
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
    backfill_id: str,
    ranges: tuple[str, ...],
    rows: str | None,
    columns: str | None,
    asset: str | None,
    watch: bool,
    as_json: bool,
    storage: str | None,
) -> None:
    """Draw the partitions of a backfill as a map.

    It fits the window: time runs from left to right, and a cell may stand for many partitions. A cell
    shows the worst status of its partitions. --range shows a part in more detail.
    ID is the id of a backfill, the start of one, or 'latest'.
    """
    client = open_client(storage)
    found = find_backfill(client, backfill_id).backfill_id
    names = [dimension.name for dimension in client.grid(found, asset=asset).dimensions]
    bounds = None
    if ranges:
        where = _range_of(ranges, is_single=names == ["partition"])
        bounds = client.grid_bounds(found, where, asset=asset)

    def picture() -> "Text | str":
        from rivers.cli.grid import draw, fit  # noqa: PLC0415  (other commands need none)

        size = (output.size.width, output.size.height)
        cells = fit(client.grid(found, asset=asset), rows, columns, bounds, size)
        return cells.to_json() if as_json else draw(cells, size[0])

    if watch and not as_json and output.is_terminal:
        _watch(client, found, picture)
        return
    while True:
        running = watch and _is_running(client, found)
        shown = picture()
        write_json(shown) if isinstance(shown, str) else output.print(shown)
        if not running:
            return
        time.sleep(_POLL_SECONDS)


def _range_of(ranges: tuple[str, ...], *, is_single: bool) -> "PartitionKeyRange":
    """Parses the options of a range; a single dimension has no name, or the name `partition`."""
    from rivers.partitions import PartitionKeyRange  # noqa: PLC0415

    if not is_single:
        return parse_range(ranges)
    if len(ranges) > 1:
        raise ConfigurationError("--range is given once for partitions of a single dimension")
    first, dots, last = ranges[0].removeprefix("partition=").partition("..")
    return PartitionKeyRange.single(first or None, (last if dots else first) or None)


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
    print_table(frame.columns, rows, whole=[name for name in frame.columns if name != "error"])
    if frame.height > limit:
        output.print(f"... {frame.height - limit:,} more; --out FILE writes them all")


def _cell(name: str, value: Any) -> Text:
    if name == "status":
        return Text(value, STYLES[value])
    return Text("" if value is None else str(value))


COMMANDS = {"partitions": partitions, "errors": errors, "grid": grid}
