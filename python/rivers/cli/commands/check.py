"""The command that checks a repository: check."""

import json
from typing import TYPE_CHECKING, Any

import click
from rich.markup import escape

from rivers.cli.display import count, output, write_json
from rivers.cli.load import load_repository
from rivers.cli.options import json_option, module_argument, storage_option
from rivers.cli.settings import open_storage

if TYPE_CHECKING:
    from rivers._rivers import Space
    from rivers.assets.asset_graph import Node


@click.command(epilog="Example: rivers check flights.py")
@module_argument
@json_option
@storage_option
def check(module: str, as_json: bool, storage: str | None) -> None:
    """Check that a repository loads, and list its assets.

    MODULE is a module or a .py file; after a colon the repository in it, if there are several.
    """
    from rivers.repository.internals import asset_spaces  # noqa: PLC0415

    with load_repository(module, open_storage(storage)) as repo:
        found = [_asset(node, space) for node, space in asset_spaces(repo)]
    if as_json:
        write_json(json.dumps(found))
        return
    for asset in found:
        size = asset["partitions"]
        text = "not partitioned" if size is None else count(size, "partition")
        text += f" ({' x '.join(asset['dimensions'])})" if asset["dimensions"] else ""
        text += ", external" if asset["external"] else ""
        text += f", from {', '.join(asset['inputs'])}" if asset["inputs"] else ""
        output.print(escape(f"{asset['asset']}: {text}"))
    output.print(f"ok: {count(len(found), 'asset')}")


def _asset(node: "Node", space: "Space | None") -> dict[str, Any]:
    definition = node.definition
    return {
        "asset": node.name,
        "external": node.asset.is_external,
        "inputs": list(node.inputs),
        "dimensions": definition.dimension_names() if definition else [],
        "partitions": space.num_partitions if space is not None else None,
    }


COMMANDS = {"check": check}
