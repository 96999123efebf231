"""The commands that change a backfill of any process: cancel, pause, unpause, set."""

from typing import Any

import click

from rivers.cli import parse
from rivers.cli.display import output
from rivers.cli.load import find_backfill
from rivers.cli.options import id_argument, max_failures_option, storage_option
from rivers.cli.settings import open_client

_APPLIED_SOON = "the process that runs it sees it within a second"


@click.command(epilog="Example: rivers cancel latest")
@id_argument
@click.option(
    "--force-after",
    type=float,
    metavar="SECONDS",
    help="End runs that are still in flight by force after SECONDS; 0: at once.",
)
@storage_option
def cancel(backfill_id: str, force_after: float | None, storage: str | None) -> None:
    """Cancel a backfill.

    No new run starts, and runs in flight end.
    ID is the id of a backfill, the start of one, or 'latest'.
    """
    client = open_client(storage)
    view = find_backfill(client, backfill_id)
    found = view.backfill_id
    if view.status != "in_progress":
        output.print(f"{found} has ended: {view.status}; nothing to cancel")
        return
    client.cancel_backfill(found, force_after=force_after)
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
@storage_option
def pause(backfill_id: str, storage: str | None) -> None:
    """Pause a backfill.

    No new run starts until it is unpaused, and runs in flight end.
    ID is the id of a backfill, the start of one, or 'latest'.
    """
    client = open_client(storage)
    found = find_backfill(client, backfill_id).backfill_id
    client.pause_backfill(found)
    output.print(f"{found}: paused; {_APPLIED_SOON}", soft_wrap=True)


@click.command(epilog="Example: rivers unpause latest")
@id_argument
@storage_option
def unpause(backfill_id: str, storage: str | None) -> None:
    """Let a paused backfill continue.

    ID is the id of a backfill, the start of one, or 'latest'.
    """
    client = open_client(storage)
    found = find_backfill(client, backfill_id).backfill_id
    client.unpause_backfill(found)
    output.print(f"{found}: goes on; {_APPLIED_SOON}", soft_wrap=True)


@click.command("set", epilog="Example: rivers set latest --max-concurrency 16 --priority 5")
@id_argument
# The parameter must not have the name of the setting: the default for new backfills would apply.
@click.option(
    "--max-concurrency", "max_runs", type=int, metavar="N", help="Maximum number of runs in flight."
)
@click.option(
    "--priority", type=int, metavar="N", help="Position in the run queue: a higher one goes first."
)
@max_failures_option
@storage_option
def set_(
    backfill_id: str,
    max_runs: int | None,
    priority: int | None,
    max_failures: str | None,
    storage: str | None,
) -> None:
    """Change the limits of a backfill while it runs.

    ID is the id of a backfill, the start of one, or 'latest'.
    """
    changes: dict[str, Any] = {
        "max_concurrency": max_runs,
        "priority": priority,
        "max_failures": parse.parse_max_failures(max_failures),
    }
    client = open_client(storage)
    found = find_backfill(client, backfill_id).backfill_id
    client.update_backfill(found, **changes)
    changed = ", ".join(f"{name} {value}" for name, value in changes.items() if value is not None)
    output.print(f"{found}: {changed}; {_APPLIED_SOON}", soft_wrap=True)


COMMANDS = {"cancel": cancel, "pause": pause, "unpause": unpause, "set": set_}
