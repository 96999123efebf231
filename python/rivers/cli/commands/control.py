"""The commands that change a backfill of any process: cancel, pause, unpause, set."""

import json
from typing import TYPE_CHECKING, Any

import click

from rivers.cli.display import output, write_json
from rivers.cli.load import find_backfill
from rivers.cli.options import (
    id_argument,
    json_option,
    max_failures_option,
    new_concurrency_option,
    storage_option,
)
from rivers.cli.settings import open_client
from rivers.cli.status_json import status_json
from rivers.exceptions import ConfigurationError

if TYPE_CHECKING:
    from rivers.client import BackfillClient

_APPLIED_SOON = "the process that runs it sees it within a second"


@click.command(epilog="Example: rivers cancel latest")
@id_argument
@click.option(
    "--force-after",
    type=click.FloatRange(min=0),
    metavar="SECONDS",
    help="End runs that are still in flight by force after SECONDS; 0: at once.",
)
@json_option
@storage_option
def cancel(backfill_id: str, force_after: float | None, as_json: bool, storage: str | None) -> None:
    """Cancel a backfill.

    No new run starts, and runs in flight end.
    ID is the id of a backfill, the start of one, 'latest' (the default) or '@2' for the latest but one.
    """
    client = open_client(storage)
    view = find_backfill(client, backfill_id)
    found = view.backfill_id
    if view.status != "in_progress":
        if _printed_json(client, found, as_json):
            return
        output.print(f"{found} has ended: {view.status}; nothing to cancel")
        return
    client.cancel_backfill(found, force_after=force_after)
    if _printed_json(client, found, as_json):
        return
    view = client.get_view(found) or view
    if view.status == "in_progress":
        output.print(
            f"{found}: the process that runs it stops within a second; runs in flight end first",
            soft_wrap=True,
        )
    else:
        output.print(f"{found}: {view.status}")


@click.command(epilog="Example: rivers pause latest")
@id_argument
@json_option
@storage_option
def pause(backfill_id: str, as_json: bool, storage: str | None) -> None:
    """Pause a backfill.

    No new run starts until it is unpaused, and runs in flight end.
    ID is the id of a backfill, the start of one, 'latest' (the default) or '@2' for the latest but one.
    """
    client = open_client(storage)
    found = find_backfill(client, backfill_id).backfill_id
    client.pause_backfill(found)
    if not _printed_json(client, found, as_json):
        output.print(f"{found}: paused; {_APPLIED_SOON}", soft_wrap=True)


@click.command(epilog="Example: rivers unpause latest")
@id_argument
@json_option
@storage_option
def unpause(backfill_id: str, as_json: bool, storage: str | None) -> None:
    """Let a paused backfill continue.

    ID is the id of a backfill, the start of one, 'latest' (the default) or '@2' for the latest but one.
    """
    client = open_client(storage)
    found = find_backfill(client, backfill_id).backfill_id
    client.unpause_backfill(found)
    if not _printed_json(client, found, as_json):
        output.print(f"{found}: goes on; {_APPLIED_SOON}", soft_wrap=True)


@click.command("set", epilog="Example: rivers set latest --max-concurrency 16 --priority 5")
@id_argument
@new_concurrency_option
@click.option(
    "--priority", type=int, metavar="N", help="Position in the run queue: a higher one goes first."
)
@max_failures_option
@json_option
@storage_option
def set_(
    backfill_id: str,
    max_runs: int | None,
    priority: int | None,
    max_failures: float | None,
    as_json: bool,
    storage: str | None,
) -> None:
    """Change the limits of a backfill while it runs.

    ID is the id of a backfill, the start of one, 'latest' (the default) or '@2' for the latest but one.
    """
    changes: dict[str, Any] = {
        "max_concurrency": max_runs,
        "priority": priority,
        "max_failures": max_failures,
    }
    client = open_client(storage)
    found = find_backfill(client, backfill_id).backfill_id
    if all(value is None for value in changes.values()):
        raise ConfigurationError(
            "there is nothing to change; give --max-concurrency, --priority or --max-failures"
        )
    client.update_backfill(found, **changes)
    if _printed_json(client, found, as_json):
        return
    changed = ", ".join(f"{name} {value}" for name, value in changes.items() if value is not None)
    output.print(f"{found}: {changed}; {_APPLIED_SOON}", soft_wrap=True)


def _printed_json(client: "BackfillClient", backfill_id: str, as_json: bool) -> bool:
    """Prints how the backfill stands now, if JSON was requested; returns whether it was."""
    view = client.get_view(backfill_id) if as_json else None
    if view is not None:
        error = client.get_error(backfill_id) if view.failed else None
        write_json(json.dumps(status_json(view, error)))
    return as_json


COMMANDS = {"cancel": cancel, "pause": pause, "unpause": unpause, "set": set_}
