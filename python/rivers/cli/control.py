"""The commands that steer a backfill of any process on the storage."""

import logging

import typer

from rivers.cli.display import output
from rivers.cli.load import find_backfill
from rivers.cli.settings import IdArgument, StorageOption, existing_storage
from rivers.repository import CodeRepository


def cancel(backfill_id: IdArgument, storage: StorageOption = None) -> None:
    """Cancel a backfill: nothing new starts, what is in flight ends."""
    # What the library says of other backfills whose process died is not asked for here.
    logging.getLogger("rivers").setLevel(logging.ERROR)
    read = existing_storage(storage)
    record = find_backfill(read, backfill_id)
    found = record["backfill_id"]
    if record["status"] != "in_progress":
        output.print(f"{found} has ended: {record['status']}; nothing to cancel")
        return
    # Canceling asks no asset, so that a repository of none will do.
    with CodeRepository([]).resolve(read) as repo:
        repo.cancel_backfill(found)
        status = (read._store.backfill(found) or record)["status"]  # noqa: SLF001
    if status == "in_progress":
        output.print(f"{found}: its process was told; what is in flight ends first")
    else:
        output.print(f"{found}: {status}")


def register(app: typer.Typer) -> None:
    """Adds the commands."""
    app.command(epilog="Example: rivers cancel latest")(cancel)
