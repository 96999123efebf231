"""The commands about the data: assets lists what a module declares, materialize executes one run."""

import json
import signal
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import click

from rivers.cli import exit_codes, parse
from rivers.cli.display import errors, output, write_json
from rivers.cli.load import find_backfill, load_repository, remembered_module
from rivers.cli.options import (
    FILE,
    assets_option,
    json_option,
    module_argument,
    optional_module_argument,
    retry_option,
    storage_option,
    upstream_option,
    verbosity_options,
)
from rivers.cli.settings import open_client, open_storage
from rivers.cli.tables import Cell, print_storage, print_table
from rivers.exceptions import ConfigurationError

if TYPE_CHECKING:
    from rivers.partitions import PartitionKey
    from rivers.repository.repository import CodeRepository


@click.command(epilog="Example: rivers assets flights.py")
@optional_module_argument
@json_option
@storage_option
@click.pass_context
def assets(ctx: click.Context, module: str | None, as_json: bool, storage: str | None) -> None:
    """List the assets, and how much of them is materialized.

    MODULE is a module or a .py file; by default that of the settings, or of the latest backfill.
    """
    from rivers.repository.internals import asset_counts  # noqa: PLC0415

    with _repository(ctx, module, storage) as repo:
        found = asset_counts(repo)
        path = repo.storage.path
    if as_json:
        write_json(json.dumps(found))
        return
    print_storage(path)
    rows: list[tuple[Cell, ...]] = [
        (
            asset["asset"],
            "" if asset["partitions"] is None else f"{asset['partitions']:,}",
            f"{asset['materialized']:,}",
            " x ".join(asset["dimensions"]),
            ", ".join(asset["inputs"]),
            asset["group"] or "",
        )
        for asset in found
    ]
    columns = ("asset", "partitions", "materialized", "dimensions", "inputs", "group")
    print_table(
        columns,
        rows,
        whole=("asset",),
        numbers=("partitions", "materialized"),
        extra=("inputs", "dimensions", "group"),
    )


def _repository(ctx: click.Context, module: str | None, storage: str | None) -> "CodeRepository":
    module = module or parse.setting(ctx, "module")
    if module is not None:
        return load_repository(module, open_storage(storage))
    client = open_client(storage)
    known = remembered_module(client, find_backfill(client, "latest").backfill_id)
    if known is None:
        msg = "no module is known: name it, as in 'rivers assets flights.py'"
        raise ConfigurationError(msg)
    return load_repository(known, client.storage)


@click.command(
    epilog="Example: rivers materialize flights.py --assets delays --partition 2024-01-05"
)
@module_argument
@assets_option
@click.option(
    "--partition",
    metavar="KEY",
    help="The partition or partitions of the run: 2024-01-05, or date=2024-01-05|region=us,eu.",
)
@upstream_option
@retry_option
@click.option("--tag", "tags", multiple=True, metavar="NAME=VALUE", help="Tag of the run.")
@click.option(
    "--config", type=FILE, metavar="FILE", help="JSON file: a config object for each asset."
)
@json_option
@verbosity_options
@storage_option
def materialize(
    module: str,
    assets: tuple[str, ...],
    partition: str | None,
    include_upstream: bool,
    retry: int | None,
    tags: tuple[str, ...],
    config: Path | None,
    as_json: bool,
    storage: str | None,
) -> None:
    """Execute assets in one run, also those without partitions.

    MODULE is a module or a .py file; after a colon the repository in it, if there are several.
    """
    from rivers.policies.retry import RetryPolicy  # noqa: PLC0415
    from rivers.repository.internals import abandon  # noqa: PLC0415

    signal.signal(signal.SIGTERM, signal.default_int_handler)
    with load_repository(module, open_storage(storage)) as repo:
        try:
            result = repo.materialize(
                parse.parse_names(assets), cast("PartitionKey | None", partition),
                parse.parse_pairs("--tag", tags), raise_on_error=False,
                config=parse.read_config(config), include_upstream=include_upstream,
                retry=None if retry is None else RetryPolicy(retry),
            )  # fmt: skip
        except KeyboardInterrupt:
            abandon(repo)
            errors.print("interrupted")
            raise click.exceptions.Exit(exit_codes.INTERRUPTED) from None
        if as_json:
            write_json(json.dumps(_result_json(result)))
        else:
            state = "completed" if result.success else "failed"
            names = ", ".join(result.materialized_assets) or "nothing"
            output.print(f"run {result.run_id} {state}: {names}", soft_wrap=True, markup=False)
            for name, message in result.failed_assets:
                output.print(f"  {name}: {message}", soft_wrap=True, markup=False)
    raise click.exceptions.Exit(0 if result.success else 1)


def _result_json(result: Any) -> dict[str, Any]:
    return {
        "run_id": result.run_id,
        "success": result.success,
        "materialized_assets": result.materialized_assets,
        "failed_assets": result.failed_assets,
        "error": result.error,
    }


COMMANDS = {"assets": assets, "materialize": materialize}
