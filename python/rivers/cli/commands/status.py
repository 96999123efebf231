"""The commands that tell how backfills stand: list and status. They read the storage alone."""

import json
import time
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from rivers.cli import display
from rivers.cli.commands.backfill import EXIT_CODES
from rivers.cli.display import output, write_json
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

if TYPE_CHECKING:
    from rivers.storage.storage import Storage

_LOOK_EVERY = 0.5
"""Seconds between two looks of `--watch`."""
_STATES = ("in_progress", "completed", "failed", "canceled")

_JSON = (
    "backfill_id", "status", "num_partitions", "num_runs", "completed", "failed", "canceled",
    "assets", "strategy", "max_concurrency", "priority", "tags", "created_at", "ended_at", "paused",
)  # fmt: skip


def list_backfills(
    status: StatesOption = None,
    limit: Annotated[int, typer.Option(min=1, help="Most rows.")] = 20,
    as_json: JsonOption = False,
    storage: StorageOption = None,
) -> None:
    """List the latest backfills, the newest first."""
    wanted = parse_names(status) or _STATES
    for name in wanted:
        if name not in _STATES:
            raise ConfigurationError(f"--status is one of {', '.join(_STATES)}, not {name!r}")
    store = existing_storage(storage)._store  # noqa: SLF001
    gone = set(store.interrupted())
    records: list[dict[str, Any]] = [
        {**record, "interrupted": record["backfill_id"] in gone}
        for record in store.backfills()
        if not record["manual"] and record["status"] in wanted
    ][:limit]
    if as_json:
        write_json(json.dumps([_plain(record) for record in records]))
        return
    states = [display.standing(record) for record in records]
    table = Table(box=None, pad_edge=False, header_style="bold")
    # Where the window is narrow the others are cut: an id is there to be copied.
    longest = max((len(record["backfill_id"]) for record in records), default=0)
    table.add_column("backfill", no_wrap=True, min_width=longest)
    table.add_column("status", no_wrap=True, min_width=max(map(len, states), default=0))
    table.add_column("completed", justify="right", no_wrap=True)
    table.add_column("failed", justify="right", no_wrap=True)
    table.add_column("started (UTC)", no_wrap=True)
    table.add_column("assets", overflow="ellipsis")
    for record, state in zip(records, states, strict=True):
        table.add_row(
            record["backfill_id"],
            state,
            f"{record['completed']:,}/{record['num_partitions']:,}",
            f"{record['failed']:,}",
            f"{record['created_at']:%m-%d %H:%M}",
            Text(", ".join(record["assets"])),
        )
    output.print(table if records else "no backfills")


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
    record = _look(read, found)
    if watch and not as_json and output.is_terminal:
        with Live(_picture(read, record), console=output, auto_refresh=False) as live:
            while _goes_on(record):
                time.sleep(_LOOK_EVERY)
                record = _look(read, found)
                live.update(_picture(read, record), refresh=True)
    else:
        told = None
        while True:
            if record != told:
                _tell(read, record, as_json)
            told = record
            if not (watch and _goes_on(record)):
                break
            time.sleep(_LOOK_EVERY)
            record = _look(read, found)
    if watch:
        raise typer.Exit(EXIT_CODES.get(record["status"], 1))


def _look(storage: "Storage", backfill_id: str) -> dict[str, Any]:
    """The record, and how fast it goes."""
    store = storage._store  # noqa: SLF001
    # Before the record: what ends in between has ended.
    gone = backfill_id in store.interrupted()
    record = store.backfill(backfill_id)
    if record is None:
        raise AssertionError  # It was found, and nothing is taken away.
    ended = record["completed"] + record["failed"] + record["canceled"]
    rate = store.rate(backfill_id)
    return {
        **record,
        "interrupted": gone and record["status"] == "in_progress",
        "rate": rate,
        "eta": (record["num_partitions"] - ended) / rate if rate else None,
    }


def _goes_on(record: dict[str, Any]) -> bool:
    return record["status"] == "in_progress" and not record["interrupted"]


def _tell(storage: "Storage", record: dict[str, Any], as_json: bool) -> None:
    if as_json:
        rest = {"rate": record["rate"], "eta": record["eta"], "error": _error(storage, record)}
        write_json(json.dumps(_plain(record) | rest))
    else:
        output.print(_picture(storage, record))


def _error(storage: "Storage", record: dict[str, Any]) -> str | None:
    store, found = storage._store, record["backfill_id"]  # noqa: SLF001
    if not record["failed"]:
        return None
    return store.error(found) or store.last_error(found)


def _picture(storage: "Storage", record: dict[str, Any]) -> Group:
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
    if error := _error(storage, record):
        table.add_row("error", Text(display.shortened(error), "red"))
    if record["interrupted"]:
        ways = f"rivers resume {record['backfill_id']} MODULE, or rivers cancel {record['backfill_id']}"
        table.add_row("next", Text(f"its process is gone: {ways}", display.STYLES["interrupted"]))
    if not _goes_on(record):
        return Group(table)
    return Group(table, display.bar(record, record["rate"]))


def _plain(record: dict[str, Any]) -> dict[str, Any]:
    times = {name: record[name] and record[name].isoformat() for name in ("created_at", "ended_at")}
    plain = {name: record[name] for name in _JSON} | times
    return plain | {"interrupted": record["interrupted"]}


def register(app: typer.Typer) -> None:
    """Adds the commands."""
    app.command("list", epilog="Example: rivers list --status failed,canceled")(list_backfills)
    app.command(epilog="Example: rivers status latest --watch")(status)
