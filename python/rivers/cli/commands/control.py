"""The commands that steer a backfill of any process on the storage."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated, Any

import typer

from rivers.cli import parse
from rivers.cli.display import output, warnings
from rivers.cli.load import find_backfill
from rivers.cli.options import MaxFailuresOption
from rivers.cli.settings import IdArgument, StorageOption, existing_storage
from rivers.repository.repository import CodeRepository

if TYPE_CHECKING:
    from rivers._storage import BackfillRecord

_TOLD = "the process that runs it sees it within a second"


@contextmanager
def _found(
    backfill_id: str, storage: str | None
) -> Iterator[tuple[CodeRepository, "BackfillRecord"]]:
    """A repository on the storage, and the record of the backfill that was meant."""
    # What the library says of other backfills whose process died is not asked for here.
    warnings.is_quiet = True
    read = existing_storage(storage)
    record = find_backfill(read, backfill_id)
    # Steering asks no asset, so that a repository of none will do.
    with CodeRepository([]).resolve(read) as repo:
        yield repo, record


def cancel(backfill_id: IdArgument, storage: StorageOption = None) -> None:
    """Cancel a backfill: nothing new starts, what is in flight ends."""
    with _found(backfill_id, storage) as (repo, record):
        found = record["backfill_id"]
        if record["status"] != "in_progress":
            output.print(f"{found} has ended: {record['status']}; nothing to cancel")
            return
        repo.cancel_backfill(found)
        status = (repo.storage._store.backfill(found) or record)["status"]  # noqa: SLF001
    if status == "in_progress":
        output.print(f"{found}: its process was told; what is in flight ends first")
    else:
        output.print(f"{found}: {status}")


def pause(backfill_id: IdArgument, storage: StorageOption = None) -> None:
    """Have a backfill start nothing new for now; what is in flight ends."""
    with _found(backfill_id, storage) as (repo, record):
        repo.pause_backfill(record["backfill_id"])
    output.print(f"{record['backfill_id']}: paused; {_TOLD}", soft_wrap=True)


def unpause(backfill_id: IdArgument, storage: StorageOption = None) -> None:
    """Have a backfill that is paused go on."""
    with _found(backfill_id, storage) as (repo, record):
        repo.unpause_backfill(record["backfill_id"])
    output.print(f"{record['backfill_id']}: goes on; {_TOLD}", soft_wrap=True)


def set_(
    backfill_id: IdArgument,
    # Not of the setting's name: what the project starts backfills with must not change this one.
    most: Annotated[
        int | None, typer.Option("--max-concurrency", metavar="N", help="Most runs at a time.")
    ] = None,
    priority: Annotated[
        int | None,
        typer.Option(metavar="N", help="Its place in the queue: the higher goes first."),
    ] = None,
    max_failures: MaxFailuresOption = None,
    storage: StorageOption = None,
) -> None:
    """Change how a backfill goes on, while it runs."""
    changes: dict[str, Any] = {
        "max_concurrency": most,
        "priority": priority,
        "max_failures": parse.parse_max_failures(max_failures),
    }
    with _found(backfill_id, storage) as (repo, record):
        repo.update_backfill(record["backfill_id"], **changes)
    told = ", ".join(f"{name} {value}" for name, value in changes.items() if value is not None)
    output.print(f"{record['backfill_id']}: {told}; {_TOLD}", soft_wrap=True)


def register(app: typer.Typer) -> None:
    """Adds the commands."""
    app.command(epilog="Example: rivers cancel latest")(cancel)
    app.command(epilog="Example: rivers pause latest")(pause)
    app.command(epilog="Example: rivers unpause latest")(unpause)
    app.command("set", epilog="Example: rivers set latest --max-concurrency 16 --priority 5")(set_)
