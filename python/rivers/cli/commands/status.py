"""The commands that show how backfills stand: list and status. They only read the storage."""

import json
import time
from typing import TYPE_CHECKING

import click
from rich.text import Text

from rivers._text import printable
from rivers.cli import display, exit_codes
from rivers.cli.display import output, write_json
from rivers.cli.load import find_backfill
from rivers.cli.options import (
    COUNT,
    id_argument,
    json_option,
    statuses_option,
    storage_option,
)
from rivers.cli.parse import parse_names
from rivers.cli.settings import open_client
from rivers.cli.status_json import status_json, view_json
from rivers.cli.tables import Cell, print_storage, print_table
from rivers.exceptions import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rich.console import Group

    from rivers.client import BackfillClient
    from rivers.status.backfill_view import BackfillView

_POLL_SECONDS = 0.5
"""Time between two reads of `--watch`."""


@click.command("list", epilog="Example: rivers list --status failed,canceled")
@statuses_option
@click.option(
    "-n",
    "--limit",
    "limit",
    type=COUNT,
    default=20,
    show_default=True,
    help="Maximum number of rows.",
)
@json_option
@storage_option
def list_backfills(status: tuple[str, ...], limit: int, as_json: bool, storage: str | None) -> None:
    """List the latest backfills, the newest first."""
    from rivers.client import STATUSES  # noqa: PLC0415  (--help needs none)

    wanted = parse_names(status) or STATUSES
    for name in wanted:
        if name not in STATUSES:
            raise ConfigurationError(f"--status is one of {', '.join(STATUSES)}, not {name!r}")
    client = open_client(storage)
    views = client.list_views(status=wanted, limit=limit)
    if as_json:
        write_json(json.dumps([view_json(view, _error(client, view)) for view in views]))
        return
    print_storage(client.storage.path)
    if not views:
        output.print("no backfills")
        return
    columns = ("backfill", "status", "completed", "failed", "started (UTC)", "assets")
    print_table(
        columns, map(_row, views), whole=("backfill", "status"), numbers=("completed", "failed")
    )


def _row(view: "BackfillView") -> tuple[Cell, ...]:
    return (
        view.backfill_id,
        display.state_of(view),
        f"{view.completed:,}/{view.num_partitions:,}",
        f"{view.failed:,}",
        # Another program may sort by it; a person knows the year.
        f"{view.created_at:{'%m-%d %H:%M' if output.is_terminal else '%Y-%m-%d %H:%M:%S'}}",
        ", ".join(view.assets),
    )


@click.command(epilog="Example: rivers status latest --watch")
@id_argument
@click.option("--watch", is_flag=True, help="Follow it to its end; exit as 'backfill' does.")
@json_option
@storage_option
def status(backfill_id: str, watch: bool, as_json: bool, storage: str | None) -> None:
    """Show how a backfill stands.

    ID is the id of a backfill, the start of one, 'latest' (the default) or '@2' for the latest but one.
    """
    client = open_client(storage)
    view = find_backfill(client, backfill_id)
    if watch and not as_json and output.is_terminal:
        view = _follow_live(client, view)
    else:
        _print(client, view, as_json)
        while watch and view.is_running:
            time.sleep(_POLL_SECONDS)
            before, view = view, _read(client, view.backfill_id)
            if view != before:
                _print(client, view, as_json)
    if watch:
        raise click.exceptions.Exit(exit_codes.of_status(view.status))


def _follow_live(client: "BackfillClient", view: "BackfillView") -> "BackfillView":
    """Redraws a backfill in place until it stops; returns how it stands then."""
    from rich.live import Live  # noqa: PLC0415  (it is for terminals alone)

    with Live(_picture(client, view), console=output, auto_refresh=False) as live:
        while view.is_running:
            time.sleep(_POLL_SECONDS)
            view = _read(client, view.backfill_id)
            live.update(_picture(client, view), refresh=True)
    return view


def _read(client: "BackfillClient", backfill_id: str) -> "BackfillView":
    view = client.get_view(backfill_id)
    if view is None:
        raise AssertionError  # It was found, and records are never deleted.
    return view


def _print(client: "BackfillClient", view: "BackfillView", as_json: bool) -> None:
    if as_json:
        write_json(json.dumps(status_json(view, _error(client, view))))
    else:
        _print_text(client, view)


def _error(client: "BackfillClient", view: "BackfillView") -> str | None:
    return client.get_error(view.backfill_id) if view.failed else None


def _print_text(client: "BackfillClient", view: "BackfillView") -> None:
    """Prints how a backfill stands; for other programs a line for each fact, neither cut nor padded."""
    if output.is_terminal:
        output.print(_picture(client, view))
        return
    if not output.quiet:
        facts = [*_facts(client, view)]
        if view.is_running:
            facts.append(("progress", display.progress(view)))
        output.write("".join(f"{name}\t{printable(str(fact))}\n" for name, fact in facts))


def _facts(client: "BackfillClient", view: "BackfillView") -> "Iterator[tuple[str, Text]]":
    """Yields what is shown of a backfill: names and texts."""
    yield "backfill", Text(view.backfill_id)
    yield "status", display.summary(view)
    yield "assets", Text(", ".join(view.assets))
    limit = f"at most {view.max_concurrency} at a time"
    yield "runs", Text(f"{view.num_runs:,}, {view.strategy}, {limit}")
    yield "started", Text(f"{view.created_at:%Y-%m-%d %H:%M:%S} UTC")
    if view.workers is not None:
        yield "workers", Text(str(view.workers))
        if view.workers.unmet is not None:
            yield "waits", Text(view.workers.unmet, "yellow")
    if view.tags:
        yield "tags", Text(", ".join(f"{name}={value}" for name, value in view.tags))
    if error := _error(client, view):
        yield "error", Text(display.shortened(error), "red")
    if view.interrupted:
        ways = f"rivers resume {view.backfill_id}, or rivers cancel {view.backfill_id}"
        yield "next", Text(f"its process is gone: {ways}", display.STYLES["interrupted"])
    yield "storage", Text(client.storage.path, "bright_black")


def _picture(client: "BackfillClient", view: "BackfillView") -> "Group":
    from rich.console import Group  # noqa: PLC0415
    from rich.table import Table  # noqa: PLC0415

    table = Table.grid(padding=(0, 2))
    table.add_column(style="bright_black", no_wrap=True)
    table.add_column(overflow="fold")
    for name, fact in _facts(client, view):
        table.add_row(name, fact)
    return Group(table, display.bar(view)) if view.is_running else Group(table)


COMMANDS = {"list": list_backfills, "status": status}
