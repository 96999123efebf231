"""The commands that record what is materialized without running anything: report, forget."""

import json
from pathlib import Path
from typing import Any

import click

from rivers.cli import completion, display, parse
from rivers.cli.chosen_partitions import chosen_partitions
from rivers.cli.display import output, write_json
from rivers.cli.load import load_repository
from rivers.cli.options import json_option, module_argument, partitions_options, storage_option
from rivers.cli.settings import open_storage
from rivers.exceptions import ConfigurationError

_asset_argument = click.argument("asset", required=False, shell_complete=completion.assets)
_all_option = click.option("--all", "is_all", is_flag=True, help="All partitions.")


@click.command(epilog="Example: rivers report pipeline.py sales --from 2024-01-01 --to 2024-01-31")
@module_argument
@_asset_argument
@partitions_options
@_all_option
@click.option(
    "--metadata",
    "facts",
    multiple=True,
    metavar="NAME=VALUE",
    help="A fact about the partitions; may be repeated.",
)
@json_option
@storage_option
def report(
    module: str,
    asset: str | None,
    facts: tuple[str, ...],
    as_json: bool,
    storage: str | None,
    **partitions: Any,
) -> None:
    """Record that partitions of ASSET are materialized.

    Nothing is executed. Whatever happens to them later overrules that. An unpartitioned asset takes no
    partitions.
    """
    asset = _named(asset, module)
    with load_repository(module, open_storage(storage)) as repo:
        chosen = _chosen(repo, asset, **partitions)
        metadata: dict[str, Any] = dict(parse.parse_pairs("--metadata", facts))
        number = repo.report_materialized(asset, **chosen, metadata=metadata or None)
        path = repo.storage.path
    _print_result(asset, number, "reported as materialized", path, as_json=as_json)


@click.command(epilog="Example: rivers forget pipeline.py sales --partitions 2024-01-07")
@module_argument
@_asset_argument
@partitions_options
@_all_option
@json_option
@storage_option
def forget(
    module: str, asset: str | None, as_json: bool, storage: str | None, **partitions: Any
) -> None:
    """Record that partitions of ASSET are missing.

    Their values stay where they are. An unpartitioned asset takes no partitions.
    """
    asset = _named(asset, module)
    with load_repository(module, open_storage(storage)) as repo:
        number = repo.forget_partitions(asset, **_chosen(repo, asset, **partitions))
        path = repo.storage.path
    _print_result(asset, number, "forgotten", path, as_json=as_json)


def _named(asset: str | None, module: str) -> str:
    """The asset.

    Raises:
        ConfigurationError: It was left out; perhaps it stands where other commands have it.
    """
    if asset is not None:
        return asset
    name, colon, last = module.rpartition(":")
    example = f"{name} {last}" if colon else f"{module} ASSET"
    verb = click.get_current_context().info_name
    raise ConfigurationError(f"name the asset after the module: rivers {verb} {example}")


def _print_result(asset: str, number: int, verb: str, storage: str, *, as_json: bool) -> None:
    """Prints for how many partitions something was recorded."""
    if as_json:
        write_json(json.dumps({"asset": asset, "num_partitions": number, "storage": storage}))
        return
    output.print(f"{asset}: {display.count(number, 'partition')} {verb}", soft_wrap=True)


def _chosen(
    repo: Any,
    asset: str,
    *,
    from_key: str | None,
    to_key: str | None,
    ranges: tuple[str, ...],
    partitions: tuple[str, ...],
    keys: Path | None,
    is_all: bool,
) -> dict[str, Any]:
    """The partitions as arguments of the repository's methods; none for an unpartitioned asset."""
    from rivers.repository.internals import asset_definition  # noqa: PLC0415

    is_named = bool(from_key or to_key or ranges or partitions or keys)
    definition = asset_definition(repo, asset)
    if definition is None and not is_named:
        return {}
    if definition is None:
        raise ConfigurationError(
            f"the asset {asset!r} is not partitioned: leave the partitions out"
        )
    own = definition
    return chosen_partitions(
        lambda: own, from_key, to_key, ranges, partitions, keys,
        can_be_all=is_all and not is_named, all_of="--all",
    )  # fmt: skip


COMMANDS = {"report": report, "forget": forget}
