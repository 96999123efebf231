"""The commands that look into a backfill: partitions, errors, grid. They read the storage alone."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.table import Table
from rich.text import Text

from rivers.cli import display
from rivers.cli.display import STYLES, output, write_json
from rivers.cli.grid import LINES_AROUND, draw
from rivers.cli.load import find_backfill
from rivers.cli.parse import parse_names
from rivers.cli.settings import (
    IdArgument,
    JsonOption,
    StatesOption,
    StorageOption,
    existing_storage,
)
from rivers.exceptions import ConfigurationError
from rivers.status import tables
from rivers.status.grid import dimensions_of, gather

if TYPE_CHECKING:
    import polars as pl


def partitions(
    backfill_id: IdArgument,
    status: StatesOption = None,
    out: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Write all rows to a .csv or .parquet file.")
    ] = None,
    limit: Annotated[int, typer.Option(min=1, help="Most rows to print.")] = 50,
    as_json: JsonOption = False,
    storage: StorageOption = None,
) -> None:
    """Show the partitions of a backfill, a row each."""
    if out is not None and out.suffix.lower() not in (".csv", ".parquet"):
        raise ConfigurationError(f"--out takes a .csv or .parquet file, not {str(out)!r}")
    if out is not None and as_json:
        raise ConfigurationError("give --out or --json, not both")
    frame = _partitions(storage, backfill_id, parse_names(status))
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


def errors(
    backfill_id: IdArgument, as_json: JsonOption = False, storage: StorageOption = None
) -> None:
    """Show why partitions failed: each cause once, without what varies in it, the most frequent first."""
    read = existing_storage(storage)
    record = find_backfill(read, backfill_id)
    causes = tables.causes(read._store.error_groups(record["backfill_id"]))  # noqa: SLF001
    if as_json:
        write_json(causes.write_json())
        return
    found = (
        display.count(int(causes["count"].sum()), "failure"),
        display.count(causes.height, "cause"),
    )
    output.print(", ".join(found))
    for cause in causes.iter_rows(named=True):
        text = f"{cause['count']:,} x  {cause['error_type']}: {cause['message']}"
        output.print(Text(text, "red"), soft_wrap=True)
        output.print(Text(f"    such as {cause['partition']}", "bright_black"), soft_wrap=True)


def grid(
    backfill_id: IdArgument, as_json: JsonOption = False, storage: StorageOption = None
) -> None:
    """Draw the partitions of a backfill as a map that fits the window."""
    frame = _partitions(storage, backfill_id, None, errors=False)
    size = output.size
    cells = gather(frame, dimensions_of(frame), size.width, size.height - LINES_AROUND)
    if as_json:
        write_json(cells.to_json())
    else:
        output.print(draw(cells))


def _partitions(
    storage: str | None, given: str, states: list[str] | None, *, errors: bool = True
) -> "pl.DataFrame":
    read = existing_storage(storage)
    record = find_backfill(read, given)
    return tables.backfill_partitions(
        read._store, record["backfill_id"], states, run_id=False, errors=errors  # noqa: SLF001
    )  # fmt: skip


def _print_rows(frame: "pl.DataFrame", limit: int) -> None:
    table = Table(box=None, pad_edge=False, header_style="bold")
    for name in frame.columns:
        table.add_column(name)
    for row in frame.head(limit).iter_rows(named=True):
        table.add_row(*(_cell(name, value) for name, value in row.items()))
    output.print(table)
    if frame.height > limit:
        output.print(f"... {frame.height - limit:,} more; --out FILE writes them all")


def _cell(name: str, value: Any) -> Text:
    if name == "status":
        return Text(value, STYLES[value])
    return Text("" if value is None else str(value))


def register(app: typer.Typer) -> None:
    """Adds the commands."""
    app.command(epilog="Example: rivers partitions latest --status failed --out failed.csv")(
        partitions
    )
    app.command(epilog="Example: rivers errors latest")(errors)
    app.command(epilog="Example: rivers grid latest")(grid)
