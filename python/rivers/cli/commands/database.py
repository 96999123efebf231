"""The commands that maintain the storage itself: db check, db migrate, db prune and db copy."""

import json

import click
from rich.markup import escape

from rivers.cli.display import count, output, write_json
from rivers.cli.exit_codes import UNHEALTHY
from rivers.cli.options import json_option, storage_option
from rivers.cli.parse import parse_duration
from rivers.cli.settings import existing_storage
from rivers.exceptions import StorageError

_RECORDS = ("backfill or manual run", "backfills and manual runs")


@click.group()
def database() -> None:
    """Maintain the storage."""


@database.command(epilog="Example: rivers db check --storage runs.db")
@json_option
@storage_option
def check(as_json: bool, storage: str | None) -> None:
    """Check that the storage is intact.

    The file is checked, and its counts are compared with its records. Other processes may use it
    meanwhile. The exit code is 1 if something is wrong.
    """
    from rivers.storage.storage import Storage  # noqa: PLC0415  (--help opens no storage)

    location = existing_storage(storage)
    num_records = 0
    try:
        opened = Storage.open(location)
        wrong = opened.check()
        num_records = 0 if wrong else opened.num_backfills()
    except StorageError as error:
        wrong = [str(error)]
    if as_json:
        write_json(json.dumps({"path": location.display, "ok": not wrong, "wrong": wrong}))
    elif wrong:
        for text in wrong:
            output.print(f"[bold red]wrong:[/] {escape(text)}", soft_wrap=True)
    else:
        records = count(num_records, *_RECORDS)
        output.print(f"ok: {records} in {escape(location.display)}", soft_wrap=True)
    if wrong:
        raise click.exceptions.Exit(UNHEALTHY)


@database.command(epilog="Example: rivers db migrate --storage runs.db")
@json_option
@storage_option
def migrate(as_json: bool, storage: str | None) -> None:
    """Migrate the storage to the newest schema.

    Opening the storage does the same. All records are kept.
    """
    from rivers.storage.storage import Storage  # noqa: PLC0415

    location = existing_storage(storage)
    found, newest = Storage.schema_versions(location)
    Storage.open(location)
    if as_json:
        told = {"path": location.display, "schema": newest, "schema_before": found}
        write_json(json.dumps(told))
        return
    moved = f"schema {found} -> {newest}" if found != newest else f"schema {newest} is the newest"
    output.print(f"{moved}: {escape(location.display)}", soft_wrap=True)


@database.command(epilog="Example: rivers db prune --older-than 90d")
@click.option(
    "--older-than",
    required=True,
    metavar="AGE",
    help="How long ago a backfill ended at least: 90d, 12h, 2w.",
)
@click.option("-n", "--dry-run", "dry_run", is_flag=True, help="Only count what would be removed.")
@json_option
@storage_option
def prune(older_than: str, dry_run: bool, as_json: bool, storage: str | None) -> None:
    """Remove old backfills and manual runs.

    The values that they stored beside the storage are removed with them; what IO handlers stored
    stays. Partitions that only they materialized are missing again for --only-missing. What is in
    progress or interrupted is kept. Backfills may run meanwhile.
    """
    from rivers.storage.storage import Storage  # noqa: PLC0415

    age = parse_duration("--older-than", older_than)
    location = existing_storage(storage)
    opened = Storage.open(location)
    removed = opened.prune(age, dry_run=dry_run)
    if as_json:
        told = {"path": location.display, "removed": removed, "dry_run": dry_run}
        write_json(json.dumps(told))
        return
    what = "would remove" if dry_run else "removed"
    records = count(removed, *_RECORDS)
    text = f"{what} {records} that ended more than {older_than} ago: {escape(location.display)}"
    output.print(text, soft_wrap=True)


@database.command(epilog="Example: rivers db copy runs.db postgresql://me@host/work")
@click.argument("source", metavar="FROM")
@click.argument("target", metavar="TO")
@json_option
def copy(source: str, target: str, as_json: bool) -> None:
    """Copy a storage into another: a file into a server, or back.

    FROM and TO are paths or URLs. Everything recorded is copied and compared; values that are
    stored beside a file are not. A copy that was cut off is continued by the same command. FROM
    stays as it is; no backfill may be in progress there.
    """
    from rivers.storage.location import StorageLocation  # noqa: PLC0415
    from rivers.storage.storage import Storage  # noqa: PLC0415

    read = existing_storage(source)
    written = StorageLocation.parse(target)
    opened = Storage.open(read)
    copied = opened.copy_to(Storage.open(written))
    values = opened.values_folder
    left_behind = str(values) if values is not None and values.exists() else None
    if as_json:
        told = {"from": read.display, "to": written.display, **copied._asdict()}
        write_json(json.dumps({**told, "values_not_copied": left_behind}))
        return
    records = count(copied.backfills, *_RECORDS)
    text = f"{records} in {escape(written.display)} as in {escape(read.display)}"
    output.print(f"{text}: {count(copied.runs, 'run')} copied", soft_wrap=True)
    if left_behind is not None:
        output.print(f"not copied: the values in {escape(left_behind)}", soft_wrap=True)


COMMANDS = {"db": database}
