"""The command that says whether a repository is well formed."""

import datetime as dt
import json
from typing import Any

import typer
from rich.markup import escape

from rivers.assets.asset_graph import Node
from rivers.cli.display import count, output, write_json
from rivers.cli.load import load_repository
from rivers.cli.settings import JsonOption, ModuleArgument, StorageOption, open_storage
from rivers.repository.repository import CodeRepository


def check(
    module: ModuleArgument, as_json: JsonOption = False, storage: StorageOption = None
) -> None:
    """Check that a repository can be loaded, and list its assets."""
    with load_repository(module, open_storage(storage)) as repo:
        now = repo._clock()  # noqa: SLF001
        found = [_asset(repo, node, now) for node in repo._graph.nodes.values()]  # noqa: SLF001
    if as_json:
        write_json(json.dumps(found))
        return
    for asset in found:
        size = asset["partitions"]
        text = "not partitioned" if size is None else count(size, "partition")
        text += f" ({' x '.join(asset['dimensions'])})" if asset["dimensions"] else ""
        text += ", external" if asset["external"] else ""
        text += f", from {', '.join(asset['inputs'])}" if asset["inputs"] else ""
        output.print(escape(f"{asset['asset']}: {text}"), soft_wrap=True)
    output.print(f"sound: {count(len(found), 'asset')}")


def _asset(repo: CodeRepository, node: Node, now: dt.datetime) -> dict[str, Any]:
    definition = node.definition
    return {
        "asset": node.name,
        "external": node.asset.is_external,
        "inputs": list(node.inputs),
        "dimensions": definition.dimensions if definition else [],
        "partitions": repo._space(definition, now).num_partitions if definition else None,  # noqa: SLF001
    }


def register(app: typer.Typer) -> None:
    """Adds the commands."""
    app.command(epilog="Example: rivers check flights.py")(check)
