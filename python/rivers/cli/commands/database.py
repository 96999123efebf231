"""The commands that maintain the storage itself: db check and db migrate."""

import json

import click
from rich.markup import escape

from rivers.cli.display import count, output, write_json
from rivers.cli.exit_codes import UNHEALTHY
from rivers.cli.options import json_option, storage_option
from rivers.cli.settings import existing_storage
from rivers.exceptions import StorageError


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
        records = count(num_records, "backfill or manual run")
        output.print(f"ok: {records} in {escape(location.display)}", soft_wrap=True)
    if wrong:
        raise click.exceptions.Exit(UNHEALTHY)


@database.command(epilog="Example: rivers db migrate --storage runs.db")
@storage_option
def migrate(storage: str | None) -> None:
    """Migrate the storage to the newest schema.

    Opening the storage does the same. All records are kept.
    """
    from rivers.storage.storage import Storage  # noqa: PLC0415

    location = existing_storage(storage)
    found, newest = Storage.schema_versions(location)
    Storage.open(location)
    moved = f"schema {found} -> {newest}" if found != newest else f"schema {newest} is the newest"
    output.print(f"{moved}: {escape(location.display)}", soft_wrap=True)


COMMANDS = {"db": database}
