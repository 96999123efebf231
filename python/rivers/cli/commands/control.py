"""The commands that change a backfill of any process: cancel, pause, unpause, set."""

from typing import Annotated, Any

import typer

from rivers.cli import parse
from rivers.cli.display import output
from rivers.cli.load import find_backfill
from rivers.cli.options import IdArgument, MaxFailuresOption, StorageOption
from rivers.cli.settings import open_client

_APPLIED_SOON = "the process that runs it sees it within a second"


def cancel(
    backfill_id: IdArgument,
    force_after: Annotated[
        float | None,
        typer.Option(
            "--force-after",
            metavar="SECONDS",
            help="End runs that are still in flight by force after SECONDS; 0: at once.",
        ),
    ] = None,
    storage: StorageOption = None,
) -> None:
    """Cancel a backfill.

    No new run starts, and runs in flight end.
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
        output.print(f"{found}: its process was told; what is in flight ends first")
    else:
        output.print(f"{found}: {view.status}")


def pause(backfill_id: IdArgument, storage: StorageOption = None) -> None:
    """Pause a backfill.

    No new run starts until it is unpaused, and runs in flight end.
    """
    client = open_client(storage)
    found = find_backfill(client, backfill_id).backfill_id
    client.pause_backfill(found)
    output.print(f"{found}: paused; {_APPLIED_SOON}", soft_wrap=True)


def unpause(backfill_id: IdArgument, storage: StorageOption = None) -> None:
    """Let a paused backfill continue."""
    client = open_client(storage)
    found = find_backfill(client, backfill_id).backfill_id
    client.unpause_backfill(found)
    output.print(f"{found}: goes on; {_APPLIED_SOON}", soft_wrap=True)


def set_(
    backfill_id: IdArgument,
    # It must not have the name of the setting: the project's default for new backfills would apply.
    max_runs: Annotated[
        int | None,
        typer.Option("--max-concurrency", metavar="N", help="Maximum number of runs in flight."),
    ] = None,
    priority: Annotated[
        int | None,
        typer.Option(metavar="N", help="Position in the run queue: a higher one goes first."),
    ] = None,
    max_failures: MaxFailuresOption = None,
    storage: StorageOption = None,
) -> None:
    """Change the limits of a backfill while it runs."""
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


def register(app: typer.Typer) -> None:
    """Adds the commands."""
    app.command(epilog="Example: rivers cancel latest")(cancel)
    app.command(epilog="Example: rivers pause latest")(pause)
    app.command(epilog="Example: rivers unpause latest")(unpause)
    app.command("set", epilog="Example: rivers set latest --max-concurrency 16 --priority 5")(set_)
