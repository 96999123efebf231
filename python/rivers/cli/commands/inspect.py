"""The commands that look into a backfill: partitions, errors, grid. They only read the storage."""

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
from rivers.cli.parse import parse_names
from rivers.cli.settings import open_client
from rivers.cli.tables import print_table
from rivers.exceptions import ConfigurationError

if TYPE_CHECKING:
    import polars as pl


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


@click.command(epilog="Example: rivers grid latest")
@id_argument
@json_option
@storage_option
def grid(backfill_id: str, as_json: bool, storage: str | None) -> None:
    """Draw the partitions of a backfill as a map.

    It fits the window: a cell may stand for many partitions.
    ID is the id of a backfill, the start of one, or 'latest'.
    """
    from rivers.cli.grid import LINES_AROUND, draw  # noqa: PLC0415  (it imports Polars)
    from rivers.status.grid import dimensions_of, gather  # noqa: PLC0415

    client = open_client(storage)
    found = find_backfill(client, backfill_id).backfill_id
    frame = client.backfill_partitions(found, errors=False)
    size = output.size
    cells = gather(frame, dimensions_of(frame), size.width, size.height - LINES_AROUND)
    if as_json:
        write_json(cells.to_json())
    else:
        output.print(draw(cells))


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
