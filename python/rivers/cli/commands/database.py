"""The commands that look after the storage itself: db check and db migrate."""

import json

import typer
from rich.markup import escape

from rivers._rivers import Store
from rivers.cli.display import count, output, write_json
from rivers.cli.settings import JsonOption, StorageOption, existing_storage, storage_file
from rivers.exceptions import StorageError

_UNSOUND = 1

database = typer.Typer(help="Look after the storage.", no_args_is_help=True)


def check(as_json: JsonOption = False, storage: StorageOption = None) -> None:
    """Check that the storage is sound: its file, and that its counts equal its records.

    Others may use it meanwhile. Leaves with 1 if something is wrong.
    """
    file = storage_file(storage)
    backfills = 0
    try:
        store = existing_storage(storage)._store  # noqa: SLF001
        wrong = store.check()
        backfills = 0 if wrong else len(store.backfills())
    except StorageError as error:
        wrong = [str(error)]
    if as_json:
        write_json(json.dumps({"path": str(file), "sound": not wrong, "wrong": wrong}))
    elif wrong:
        for text in wrong:
            output.print(f"[bold red]wrong:[/] {escape(text)}", soft_wrap=True)
    else:
        records = count(backfills, "backfill or manual run")
        output.print(f"sound: {records} in {escape(str(file))}", soft_wrap=True)
    if wrong:
        raise typer.Exit(_UNSOUND)


def migrate(storage: StorageOption = None) -> None:
    """Bring the storage to the newest schema, as opening it does; nothing of it is lost."""
    file = storage_file(storage)
    found, newest = Store.schema(str(file.absolute()))
    existing_storage(storage)
    moved = f"schema {found} -> {newest}" if found != newest else f"schema {newest} is the newest"
    output.print(f"{moved}: {escape(str(file))}", soft_wrap=True)


def register(app: typer.Typer) -> None:
    """Adds the commands."""
    database.command(epilog="Example: rivers db check --storage runs.db")(check)
    database.command(epilog="Example: rivers db migrate --storage runs.db")(migrate)
    app.add_typer(database, name="db")
