"""The command that shows log lines of partitions: log."""

import json
from typing import TYPE_CHECKING, Any

import click
from rich.text import Text

from rivers.cli.display import STYLES, output, write_json
from rivers.cli.load import find_backfill
from rivers.cli.options import COUNT, id_argument, json_option, storage_option
from rivers.cli.settings import open_client
from rivers.cli.tables import print_storage
from rivers.exceptions import PartitionValidationError

if TYPE_CHECKING:
    from rivers.client import BackfillClient


@click.command("log", epilog="Example: rivers log latest 'date=2024-01-17|region=eu'")
@id_argument
@click.argument("key", metavar="[KEY]", required=False)
@click.option(
    "-n", "--lines", type=COUNT, default=20, show_default=True, help="Last lines per run."
)
@json_option
@storage_option
def log(backfill_id: str, key: str | None, lines: int, as_json: bool, storage: str | None) -> None:
    """Show what the functions of a backfill logged.

    The last lines of failed partitions are always recorded, those of others with 'backfill --keep-logs'.
    ID is the id of a backfill, the start of one, 'latest' (the default) or '@2' for the latest but one.
    KEY is a partition as 'rivers partitions' shows it; all kept lines are shown without it.
    """
    from rivers.storage.kept_logs import file_of, read_kept  # noqa: PLC0415
    from rivers.storage.location import StorageLocation  # noqa: PLC0415

    client = open_client(storage)
    found = find_backfill(client, backfill_id).backfill_id
    rows = [] if key is None else _rows(client, found, key)
    runs = None if key is None else {f"{found}.{row['run']}" for row in rows}
    folder = StorageLocation.parse(client.storage.path).log_folder
    kept: dict[str, list[dict[str, Any]]] = {}
    for record in read_kept(file_of(folder, found), runs):
        kept.setdefault(record["run"], []).append(record)
    shown = [record for records in kept.values() for record in records[-lines:]]
    if as_json:
        error = next((row["error"] for row in rows if row["error"]), None)
        path = client.storage.path
        write_json(
            json.dumps({"backfill_id": found, "records": shown, "error": error, "storage": path})
        )
        return
    print_storage(client.storage.path, is_data=True)
    for record in shown:
        where = f"{record['asset']} {record.get('partition') or ''}".rstrip()
        line = f"{record['time'][:19]} {record['level']} {where}: {record['message']}"
        output.print(Text(line, "" if record["level"] in ("INFO", "DEBUG") else "yellow"))
        if "exception" in record:
            output.print(Text(record["exception"].rstrip()))
    failed = _failures(client, found, key, rows)
    for text in failed:
        output.print(Text(text, STYLES["failed"]))
    if not shown and not failed:
        output.print(
            "no log lines are kept; 'rivers backfill --keep-logs' keeps those of all partitions"
        )


def _rows(client: "BackfillClient", backfill_id: str, key: str) -> list[dict[str, Any]]:
    """Returns the rows of a partition in the table of a backfill: one for each layer of its assets.

    Raises:
        PartitionValidationError: The backfill has no such partition.
    """
    import polars as pl  # noqa: PLC0415

    frame = client.backfill_partitions(backfill_id)
    # Before the status come the assets, where they have runs of their own, and the keys; the columns of
    # times are the starts of their windows.
    columns = frame.columns[: frame.columns.index("status")]
    names = [name for name in columns if name != "assets" and not frame.schema[name].is_temporal()]
    wanted = _values(key, names)
    if wanted is not None:
        chosen = frame.filter(pl.col(name).cast(pl.String) == wanted[name] for name in names)
        if chosen.height:
            return list(chosen.iter_rows(named=True))
    msg = f"the backfill {backfill_id!r} has no partition {key!r}; 'rivers partitions' lists them"
    raise PartitionValidationError(msg)


def _values(key: str, names: list[str]) -> dict[str, str] | None:
    """The value of each dimension in the text of a key; `None` if it does not name each once."""
    if names == ["partition"]:
        return {"partition": key}
    pairs = [part.partition("=") for part in key.split("|")]
    values = {name: value for name, equals, value in pairs if equals}
    return values if len(pairs) == len(names) and values.keys() == set(names) else None


def _failures(
    client: "BackfillClient", backfill_id: str, key: str | None, rows: list[dict[str, Any]]
) -> list[str]:
    """The recorded errors: of a partition, or of the first one with each error."""
    groups = client.backfill_errors(backfill_id).iter_rows(named=True)
    if key is None:
        return [_failure(group) for group in groups]
    same = frozenset(key.split("|"))
    texts = [
        _failure(group) for group in groups if frozenset(group["partition"].split("|")) == same
    ]
    return texts or [row["error"] for row in rows if row["error"]]


def _failure(group: dict[str, Any]) -> str:
    text = group["traceback"] or f"{group['error_type']}: {group['message']}"
    return f"{group['partition']}: {text.rstrip()}"


COMMANDS = {"log": log}
