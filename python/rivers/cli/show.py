"""The commands that look: list, status, partitions, errors, grid. They read the storage alone."""

import json
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.live import Live
from rich.table import Table
from rich.text import Text

from rivers import tables
from rivers.cli import display
from rivers.cli.display import STYLES, last_error, output, write_json
from rivers.cli.load import find_backfill
from rivers.cli.map import draw, gather
from rivers.cli.run import EXIT_CODES
from rivers.cli.settings import IdArgument, JsonOption, StorageOption, existing_storage
from rivers.exceptions import ConfigurationError

if TYPE_CHECKING:
    import polars as pl

    from rivers.storage import Storage

_LOOK_EVERY = 0.5
"""Seconds between two looks of `--watch`."""

_JSON_OF_STATUS = (
    "backfill_id", "status", "num_partitions", "num_runs", "completed", "failed", "canceled",
    "assets", "strategy", "max_concurrency", "priority", "tags", "created_at", "ended_at",
)  # fmt: skip

StatusOption = Annotated[
    list[str] | None, typer.Option(help="Only these states, separated by commas.")
]


def list_backfills(
    status: StatusOption = None,
    limit: Annotated[int, typer.Option(min=1, help="Most rows.")] = 20,
    as_json: JsonOption = False,
    storage: StorageOption = None,
) -> None:
    """List the latest backfills, the newest first."""
    wanted = _states(status, ("in_progress", "completed", "failed", "canceled"))
    store = existing_storage(storage)._store  # noqa: SLF001
    records = [
        record
        for record in store.backfills()
        if not record["manual"] and (wanted is None or record["status"] in wanted)
    ][:limit]
    if as_json:
        write_json(json.dumps([_plain(record) for record in records], default=str))
        return
    table = Table(box=None, pad_edge=False, header_style="bold")
    # Where the window is narrow the others are cut: an id is there to be copied.
    table.add_column("backfill", no_wrap=True, min_width=_longest(records, "backfill_id"))
    table.add_column("status", no_wrap=True, min_width=_longest(records, "status"))
    table.add_column("completed", justify="right", no_wrap=True)
    table.add_column("failed", justify="right", no_wrap=True)
    table.add_column("started (UTC)", no_wrap=True)
    table.add_column("assets", overflow="ellipsis")
    for record in records:
        table.add_row(
            record["backfill_id"],
            Text(record["status"], STYLES[record["status"]]),
            f"{record['completed']:,}/{record['num_partitions']:,}",
            f"{record['failed']:,}",
            f"{record['created_at']:%m-%d %H:%M}",
            Text(", ".join(record["assets"])),
        )
    output.print(table if records else "no backfills")


def _longest(records: list[dict[str, Any]], name: str) -> int:
    return max((len(record[name]) for record in records), default=0)


def status(
    backfill_id: IdArgument,
    watch: Annotated[
        bool, typer.Option("--watch", help="Look until it ends; leave as 'backfill' does.")
    ] = False,
    as_json: JsonOption = False,
    storage: StorageOption = None,
) -> None:
    """Show how a backfill stands; its cost does not grow with the backfill."""
    read = existing_storage(storage)
    found = find_backfill(read, backfill_id)["backfill_id"]
    record = read._store.backfill(found) or {}  # noqa: SLF001
    if watch and not as_json and output.is_terminal:
        with Live(_status(read, record), console=output, auto_refresh=False) as live:
            while record["status"] == "in_progress":
                time.sleep(_LOOK_EVERY)
                record = read._store.backfill(found) or record  # noqa: SLF001
                live.update(_status(read, record), refresh=True)
    else:
        told = None
        while True:
            if record != told:
                _tell(read, record, as_json)
            told = record
            if not watch or record["status"] != "in_progress":
                break
            time.sleep(_LOOK_EVERY)
            record = read._store.backfill(found) or record  # noqa: SLF001
    if watch:
        raise typer.Exit(EXIT_CODES[record["status"]])


def _tell(storage: "Storage", record: dict[str, Any], as_json: bool) -> None:
    if as_json:
        write_json(json.dumps(_plain(record) | {"error": _error(storage, record)}, default=str))
    else:
        output.print(_status(storage, record))


def _error(storage: "Storage", record: dict[str, Any]) -> str | None:
    store, found = storage._store, record["backfill_id"]  # noqa: SLF001
    if not record["failed"]:
        return None
    return store.error(found) or last_error(store, found)


def _status(storage: "Storage", record: dict[str, Any]) -> Table:
    table = Table.grid(padding=(0, 2))
    table.add_column(style="bright_black", no_wrap=True)
    table.add_column(overflow="fold")
    table.add_row("backfill", record["backfill_id"])
    table.add_row("status", display.summary(record))
    table.add_row("assets", Text(", ".join(record["assets"])))
    runs = f"{record['num_runs']:,}, {record['strategy']}, at most {record['max_concurrency']} at a time"
    table.add_row("runs", Text(runs))
    table.add_row("started", f"{record['created_at']:%Y-%m-%d %H:%M:%S} UTC")
    if record["tags"]:
        table.add_row("tags", Text(", ".join(f"{name}={value}" for name, value in record["tags"])))
    error = _error(storage, record)
    if error:
        table.add_row("error", Text(error, "red"))
    return table


def partitions(
    backfill_id: IdArgument,
    status: StatusOption = None,
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
    frame = _partitions(storage, backfill_id, _names(status))
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
    """Show why partitions failed: each message once, the most frequent first."""
    import polars as pl  # noqa: PLC0415  (Polars is loaded where a table is wanted)

    frame = _partitions(storage, backfill_id, ["failed"])
    ends = pl.col("ended_at")
    causes = (
        frame.group_by("error")
        .agg(
            pl.len().alias("count"),
            ends.min().alias("first"),
            ends.max().alias("last"),
            pl.struct(_dimensions(frame)).first().alias("example"),
        )
        .sort("count", "first", descending=[True, False])
    )
    if as_json:
        write_json(causes.write_json())
        return
    output.print(
        f"{display.count(frame.height, 'failure')}, {display.count(causes.height, 'cause')}"
    )
    for cause in causes.iter_rows(named=True):
        example = ", ".join(f"{name}={value}" for name, value in cause["example"].items())
        output.print(Text(f"{cause['count']:,} x  {cause['error']}", "red"), soft_wrap=True)
        output.print(Text(f"    such as {example}", "bright_black"), soft_wrap=True)


def grid(
    backfill_id: IdArgument, as_json: JsonOption = False, storage: StorageOption = None
) -> None:
    """Draw the partitions of a backfill as a map that fits the window."""
    frame = _partitions(storage, backfill_id, None)
    size = output.size
    cells = gather(frame, _dimensions(frame), size.width, size.height)
    if as_json:
        write_json(cells.to_json())
    else:
        output.print(draw(cells))


def _partitions(storage: str | None, given: str, states: list[str] | None) -> "pl.DataFrame":
    read = existing_storage(storage)
    record = find_backfill(read, given)
    return tables.backfill_partitions(
        read._store, record["backfill_id"], states, run_id=False  # noqa: SLF001
    )  # fmt: skip


def _dimensions(frame: "pl.DataFrame") -> list[str]:
    """The columns of the dimensions: those before `status`, without the starts of windows."""
    names = frame.columns[: frame.columns.index("status")]
    return [name for name in names if not (name.endswith("_start") and name[:-6] in names)]


def _names(given: list[str] | None) -> list[str] | None:
    return [name for text in given for name in text.split(",")] if given else None


def _states(given: list[str] | None, allowed: tuple[str, ...]) -> list[str] | None:
    names = _names(given)
    for name in names or ():
        if name not in allowed:
            raise ConfigurationError(f"--status is one of {', '.join(allowed)}, not {name!r}")
    return names


def _plain(record: dict[str, Any]) -> dict[str, Any]:
    times = {name: record[name] and record[name].isoformat() for name in ("created_at", "ended_at")}
    return {name: record[name] for name in _JSON_OF_STATUS} | times


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
    app.command("list", epilog="Example: rivers list --status failed,canceled")(list_backfills)
    app.command(epilog="Example: rivers status latest --watch")(status)
    app.command(epilog="Example: rivers partitions latest --status failed --out failed.csv")(
        partitions
    )
    app.command(epilog="Example: rivers errors latest")(errors)
    app.command(epilog="Example: rivers grid latest")(grid)
