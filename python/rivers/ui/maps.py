"""Endpoints for maps: the grids of backfills and assets, their keys, their cells and parts of them."""

from __future__ import annotations

import hashlib
import json
import shlex
import struct
import time
from functools import partial
from typing import TYPE_CHECKING, Any

from starlette.responses import Response

from rivers.exceptions import ConfigurationError
from rivers.partitions.range_text import range_of_text, texts_of_range
from rivers.policies.strategy import BackfillStrategy
from rivers.repository.internals import (
    asset_bounds,
    asset_definition,
    asset_spaces,
    count_partitions,
    grid_of,
)
from rivers.ui import schemas
from rivers.ui.backfills import partitions_of, view_of
from rivers.ui.encoding import ARROW, table
from rivers.ui.endpoints import Endpoint

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from rivers.partitions import PartitionKeyRange
    from rivers.repository.repository import CodeRepository
    from rivers.status.backfill_view import BackfillView
    from rivers.status.grid import Cells, Grid
    from rivers.ui.backend import Backend
    from rivers.ui.endpoints import Call

CELLS = "application/vnd.rivers.cells"
"""A number of four bytes, little-endian; as many bytes of JSON; three bytes for each cell."""

_ASSET_SECONDS = 2.0
"""Time for which the states of an asset's partitions are used again."""


def backfill_grids(call: Call) -> Any:
    """Returns the grids of a backfill: their assets, and their dimensions."""
    client, backfill_id = call.backend.client, call.path["id"]
    return [
        {
            "assets": assets,
            **_grid_json(client.grid(backfill_id, asset=assets[0] if assets else None)),
        }
        for assets in client.grid_assets(backfill_id)
    ]


def asset_grid(call: Call) -> Any:
    """Returns the grid of an asset: its dimensions."""
    return _grid_json(_grid_of_asset(call.backend, call.path["asset"]))


def _grid_json(grid: Grid) -> dict[str, Any]:
    rows, columns = grid.arrangement()
    dimensions = [dimension._asdict() for dimension in grid.dimensions]
    return {"dimensions": dimensions, "rows": rows, "columns": columns, "states": list(grid.states)}


def backfill_labels(call: Call) -> Any:
    """Returns keys of a dimension of a backfill's grid."""
    query: schemas.LabelsQuery = call.query
    return _labels(call.backend.client.grid(call.path["id"], asset=query.asset), query)


def asset_labels(call: Call) -> Any:
    """Returns keys of a dimension of an asset's grid."""
    return _labels(_grid_of_asset(call.backend, call.path["asset"]), call.query)


def _labels(grid: Grid, query: schemas.LabelsQuery) -> list[str]:
    wanted = [query.start + index * query.step for index in range(query.count)]
    return grid.labels(query.dimension, [at for at in wanted if at < 2**32])


def backfill_find(call: Call) -> Any:
    """Returns the coordinates of a range of keys in a backfill's grid."""
    query: schemas.FindQuery = call.query
    client, backfill_id = call.backend.client, call.path["id"]
    grid = client.grid(backfill_id, asset=query.asset)
    return client.grid_bounds(backfill_id, _named(grid, query.keys), asset=query.asset)


def asset_find(call: Call) -> Any:
    """Returns the coordinates of a range of keys in an asset's grid."""
    query: schemas.FindQuery = call.query
    asset = call.path["asset"]
    grid = _grid_of_asset(call.backend, asset)
    return asset_bounds(call.backend.assets(), asset, grid, _named(grid, query.keys))


def _named(grid: Grid, keys: str) -> PartitionKeyRange:
    names = [dimension.name for dimension in grid.dimensions]
    return range_of_text(keys, [] if names == ["partition"] else names)


def backfill_cells(call: Call) -> Response:
    """Counts the partitions of a backfill into the cells of a map."""
    query: schemas.BackfillCellsQuery = call.query
    error = None if query.error_type is None else (query.error_type, query.error_message)
    grid = call.backend.client.grid(call.path["id"], asset=query.asset, error=error)
    return _cells(call, grid)


def asset_cells(call: Call) -> Response:
    """Counts the partitions of an asset into the cells of a map."""
    return _cells(call, _grid_of_asset(call.backend, call.path["asset"]))


def _cells(call: Call, grid: Grid) -> Response:
    query: schemas.CellsQuery = call.query
    cells = grid.cells(query.rows, query.columns, _where(query.where), query.width, query.height)
    if query.format == "json":
        body, media = cells_json(cells).encode(), "application/json"
    else:
        body, media = packed(cells), CELLS
    # A map that has not changed is not sent again.
    tag = f'"{hashlib.blake2b(body, digest_size=16).hexdigest()}"'
    headers = {"ETag": tag, "Cache-Control": "private, no-cache"}
    if call.request.headers.get("if-none-match") == tag:
        return Response(status_code=304, headers=headers)
    return Response(body, media_type=media, headers=headers)


def cells_json(cells: Cells) -> str:
    """Returns what a map shows as JSON, without its cells; with them if it has few."""
    head = {
        "rows": cells.rows,
        "columns": cells.columns,
        "width": cells.width,
        "height": cells.height,
        "per_row": cells.per_row,
        "per_column": cells.per_column,
        "where": cells.bounds,
        "states": cells.states,
        "totals": cells.totals,
    }
    return json.dumps(head)


def packed(cells: Cells) -> bytes:
    """Returns a map as bytes: the length of its JSON, its JSON, and three bytes for each cell."""
    head = cells_json(cells).encode()
    return struct.pack("<I", len(head)) + head + cells.to_bytes()


def _where(given: list[str]) -> dict[str, tuple[int, int]]:
    bounds = {}
    for text in given:
        name, _, part = text.rpartition(":")
        start, _, end = part.partition("-")
        bounds[name] = (min(int(start), 2**32 - 1), min(int(end), 2**32 - 1))
    return bounds


def backfill_part(call: Call) -> Any:
    """Counts a part of a backfill, and says how it is named in Python and in a shell."""
    query: schemas.PartQuery = call.query
    backend, backfill_id = call.backend, call.path["id"]
    view = view_of(backend, backfill_id)
    grid = backend.client.grid(backfill_id, asset=query.asset)
    where = _where(query.where)
    totals = grid.cells(None, None, where, 1, 1).totals
    states: Sequence[str] = query.states or grid.states
    part = grid.range_of(where)
    return {
        "totals": totals,
        "count": sum(totals[state] for state in set(states)),
        "keys": "|".join(texts_of_range(part)),
        "python": _python(view, part),
        "command": _command(backend, view, part),
        "rerun_python": _rerun_python(backfill_id, part, query.states),
    }


def asset_part(call: Call) -> Any:
    """Counts a part of an asset's grid, and names it as text."""
    query: schemas.PartQuery = call.query
    grid = _grid_of_asset(call.backend, call.path["asset"])
    where = _where(query.where)
    totals = grid.cells(None, None, where, 1, 1).totals
    named = texts_of_range(grid.range_of(where))
    return {"totals": totals, "count": sum(totals.values()), "keys": "|".join(named)}


def _python(view: BackfillView, part: PartitionKeyRange) -> str:
    # Also the default strategy is named: without one, that of the assets would apply.
    strategy = BackfillStrategy.parse(view.strategy)
    return f"repo.backfill({view.assets!r}, partition_range=rs.{part!r}, strategy=rs.{strategy!r})"


def _command(backend: Backend, view: BackfillView, part: PartitionKeyRange) -> str:
    """Returns the command for a part, which can be called in any folder that has the module."""
    launched_from = backend.client.get_launch(view.backfill_id).get("module")
    words = ["rivers", "backfill", backend.module or launched_from or "MODULE"]
    words += ["--assets", ",".join(view.assets), *_range_options(part)]
    words += ["--strategy", view.strategy.removesuffix("()")]
    words += ["--storage", backend.client.storage.path]
    return shlex.join(words)


def _rerun_python(backfill_id: str, part: PartitionKeyRange, states: list[Any]) -> str:
    status = "" if not states else f", status={sorted(states)!r}"
    return f"repo.rerun_backfill({backfill_id!r}, where=rs.{part!r}{status})"


def _range_options(part: PartitionKeyRange) -> list[str]:
    if part.dimensions is None:
        if part.from_key is None and part.to_key is None:
            return []
        return ["--from", str(part.from_key), "--to", str(part.to_key)]
    return [word for text in texts_of_range(part) for word in ("--range", text)]


def list_assets(call: Call) -> Any:
    """Returns all assets of the module: what they depend on, and their dimensions."""
    repository = call.backend.assets()
    found = []
    for node, space in asset_spaces(repository):
        dimensions = [] if space is None else space.dimensions()
        metadata = {str(name): str(value) for name, value in (node.asset.metadata or {}).items()}
        found.append({
            "name": node.name,
            "kind": type(node.asset).__name__,
            "depends_on": list(dict.fromkeys([*node.deps])),
            "num_partitions": None if space is None else space.num_partitions,
            "dimensions": [
                {"name": name or "partition", "size": size} for name, size, _ in dimensions
            ],
            "metadata": metadata,
        })  # fmt: skip
    return found


def report_materialized(call: Call) -> Any:
    """Records partitions of an asset as materialized, without running anything."""
    body: schemas.ReportBody = call.body
    report = call.backend.assets().report_materialized
    return _recorded(call, partial(report, metadata=body.metadata or None))


def forget_partitions(call: Call) -> Any:
    """Records that partitions of an asset are missing; their values stay where they are."""
    return _recorded(call, call.backend.assets().forget_partitions)


def _recorded(call: Call, record: Callable[..., int]) -> dict[str, int]:
    """Counts the partitions that a request names, and records them unless it is a dry run."""
    body: schemas.ForgetBody = call.body
    repository, asset = call.backend.assets(), call.path["asset"]
    named = _named_of_asset(repository, asset, body.keys)
    if body.dry_run:
        return {"num_partitions": count_partitions(repository, asset, **named)}
    count = record(asset, **named)
    call.backend.known_grid = None  # The next map shows it at once.
    return {"num_partitions": count}


def _named_of_asset(repository: CodeRepository, asset: str, keys: str | None) -> dict[str, Any]:
    definition = asset_definition(repository, asset)
    names = [] if definition is None else definition.dimension_names()
    if keys:
        return partitions_of(keys, names)
    if definition is None:
        return {}
    # Nothing named is no short form of all, which is said in so many words.
    example = "..".join(["" if not names else f"{names[0]}=", ""])
    raise ConfigurationError(f"name the partitions; all of the asset {asset!r} are {example!r}")


def _grid_of_asset(backend: Backend, asset: str) -> Grid:
    """Returns the grid of an asset; its states are read at most once in `_ASSET_SECONDS`."""
    known = backend.known_grid
    if known is not None and known[0] == asset and time.monotonic() - known[1] < _ASSET_SECONDS:
        return known[2]
    grid = grid_of(backend.assets(), asset)
    backend.known_grid = (asset, time.monotonic(), grid)
    return grid


def asset_partitions(call: Call) -> Response:
    """Returns partitions of an asset with their states, a row each."""
    query: schemas.AssetPartitionsQuery = call.query
    repository = call.backend.assets()
    frame = repository.partition_status(call.path["asset"], status=query.status or None)
    return table(frame.head(query.limit), query.format)


_MAP = ("application/json", CELLS)
ENDPOINTS = [
    Endpoint("GET", "/backfills/{id}/grids", "Returns the grids of a backfill.", backfill_grids),
    Endpoint("GET", "/backfills/{id}/labels", "Returns keys of a dimension.", backfill_labels,
             query=schemas.LabelsQuery),
    Endpoint("GET", "/backfills/{id}/find", "Returns the coordinates of keys.", backfill_find,
             query=schemas.FindQuery),
    Endpoint("GET", "/backfills/{id}/cells", "Counts partitions into the cells of a map.",
             backfill_cells, query=schemas.BackfillCellsQuery, media=_MAP),
    Endpoint("GET", "/backfills/{id}/part", "Counts a part of a backfill, and names it.",
             backfill_part, query=schemas.PartQuery),
    Endpoint("GET", "/assets", "Lists the assets of the module.", list_assets, needs_module=True),
    Endpoint("GET", "/assets/{asset}/grid", "Returns the grid of an asset.", asset_grid,
             needs_module=True),
    Endpoint("GET", "/assets/{asset}/labels", "Returns keys of a dimension of an asset.",
             asset_labels, query=schemas.LabelsQuery, needs_module=True),
    Endpoint("GET", "/assets/{asset}/cells", "Counts an asset's partitions into cells.",
             asset_cells, query=schemas.CellsQuery, media=_MAP, needs_module=True),
    Endpoint("GET", "/assets/{asset}/partitions", "Lists partitions of an asset.", asset_partitions,
             query=schemas.AssetPartitionsQuery, media=("application/json", ARROW), needs_module=True),
    Endpoint("GET", "/assets/{asset}/find", "Returns the coordinates of keys of an asset.",
             asset_find, query=schemas.FindQuery, needs_module=True),
    Endpoint("GET", "/assets/{asset}/part", "Counts a part of an asset, and names it.", asset_part,
             query=schemas.PartQuery, needs_module=True),
    Endpoint("POST", "/assets/{asset}/report", "Records partitions as materialized.",
             report_materialized, body=schemas.ReportBody, needs_module=True),
    Endpoint("POST", "/assets/{asset}/forget", "Records that partitions are missing.",
             forget_partitions, body=schemas.ForgetBody, needs_module=True),
]  # fmt: skip
