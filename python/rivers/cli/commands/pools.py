"""The commands about pools whose slots are set in the storage."""

import json

import click

from rivers.cli.display import count, output, write_json
from rivers.cli.options import json_option, storage_option
from rivers.cli.settings import existing_storage, open_storage
from rivers.cli.tables import print_storage, print_table


@click.group(invoke_without_command=True, epilog="Example: rivers pools")
@json_option
@storage_option
@click.pass_context
def pools(ctx: click.Context, as_json: bool, storage: str | None) -> None:
    """List the pools that all processes share, or set one.

    A pool bounds how many runs use something at once: see Asset(pool=). Slots that are set here hold
    for all processes and machines that use this storage.
    """
    if ctx.invoked_subcommand is not None:
        return
    from rivers.storage.storage import Storage  # noqa: PLC0415  (--help opens no storage)

    opened = Storage.open(existing_storage(storage))
    found = opened.pools()
    if as_json:
        write_json(json.dumps({name: pool._asdict() for name, pool in found.items()}))
        return
    print_storage(opened.path)
    if not found:
        output.print("no pool is set: rivers pools set NAME N")
        return
    numbers = ("slots", "lent", "waiting")
    rows = [(name, *map(str, pool)) for name, pool in found.items()]
    print_table(("pool", *numbers), rows, whole=("pool",), numbers=numbers)


@pools.command("set", epilog="Example: rivers pools set warehouse 4")
@click.argument("name", metavar="NAME")
@click.argument("slots", metavar="N", type=click.IntRange(min=0))
@json_option
@storage_option
def set_pool(name: str, slots: int, as_json: bool, storage: str | None) -> None:
    """Set the number of slots of a pool.

    It holds at once, also for backfills in progress; runs in flight keep what they hold. With 0, the
    runs that need the pool wait.
    """
    from rivers.storage.storage import Storage  # noqa: PLC0415

    opened = open_storage(storage) or Storage.default()
    opened.set_pool(name, slots)
    if as_json:
        write_json(json.dumps({"pool": name, "slots": slots, "storage": opened.path}))
        return
    output.print(f"the pool {name!r} has {count(slots, 'slot')}: {opened.path}", soft_wrap=True)


@pools.command("unset", epilog="Example: rivers pools unset warehouse")
@click.argument("name", metavar="NAME")
@json_option
@storage_option
def unset_pool(name: str, as_json: bool, storage: str | None) -> None:
    """Remove the limit of a pool from the storage.

    What pool_limits= in the code says remains.
    """
    from rivers.storage.storage import Storage  # noqa: PLC0415

    opened = Storage.open(existing_storage(storage))
    opened.set_pool(name, None)
    if as_json:
        write_json(json.dumps({"pool": name, "slots": None, "storage": opened.path}))
        return
    output.print(f"the pool {name!r} is not limited by {opened.path}", soft_wrap=True)


COMMANDS = {"pools": pools}
