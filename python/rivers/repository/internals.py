"""What the command line uses of a repository beyond its public methods.

These functions are the only ones outside `CodeRepository` that read its private attributes.
"""
# ruff: noqa: SLF001

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any, NamedTuple

from rivers._rivers import Space
from rivers.exceptions import ConfigurationError
from rivers.io import InMemoryIOHandler
from rivers.planning.expansion import needed_by
from rivers.planning.selection import select_assets
from rivers.repository.reports import chosen_partitions
from rivers.status.grid import Grid, grid_of_asset

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rivers._rivers import Selection
    from rivers.assets.asset_graph import Node
    from rivers.partitions import PartitionKeyRange, PartitionsDefinition
    from rivers.partitions.key_forms import KeyLikes
    from rivers.repository.repository import CodeRepository
    from rivers.repository.runtime import ProgressDisplay


def show_progress(repository: CodeRepository, display: ProgressDisplay) -> None:
    """Shows the backfills that calls of a repository wait for with a display.

    The command line has a display of its own; a notebook and a terminal have the default one.
    """
    repository._runtime.display = display


def remember_module(repository: CodeRepository, module: str, folder: str) -> None:
    """Has the backfills of a repository record the module that the command line loaded it from.

    Args:
        repository: The repository.
        module: The module, as `rivers rerun` is to load it again.
        folder: The working directory, from which a module that is no file is imported.
    """
    launcher = repository._launcher
    launcher.launch = replace(launcher.launch, module=module, folder=folder)


def notify(repository: CodeRepository, targets: Sequence[str]) -> None:
    """Has the backfills of a repository notify URLs and commands of their end, beyond what they record."""
    launcher = repository._launcher
    launcher.launch = replace(launcher.launch, notify=tuple(targets))


def keep_in_memory(repository: CodeRepository) -> None:
    """Has all values of a repository kept in memory, for tests; external assets are loaded as declared."""
    repository._launcher.builder.only_handler = InMemoryIOHandler()


def abandon(repository: CodeRepository) -> None:
    """Stops the backfills of a repository at once, resumable; runs in flight are not recorded."""
    repository._runtime.abandon()


def partition_definition(
    repository: CodeRepository, selection: Sequence[str] | None
) -> PartitionsDefinition:
    """The definition whose partitions `CodeRepository.backfill(selection)` takes.

    Raises:
        AssetNotFoundError: There is no such asset.
        ExecutionError: Nothing is selected, or an asset is not partitioned or external.
    """
    definition = select_assets(repository._graph, selection)[0].definition
    if definition is None:
        raise AssertionError  # An asset without partitions is not selected.
    return definition


def asset_definition(repository: CodeRepository, asset: str) -> PartitionsDefinition | None:
    """The definition of an asset's partitions; `None` for an unpartitioned asset.

    Raises:
        AssetNotFoundError: There is no such asset.
    """
    return repository._graph[asset].definition


def asset_spaces(repository: CodeRepository) -> list[tuple[Node, Space | None]]:
    """All assets of a repository with their partitions as they are now; `None` for assets without."""
    spaces = repository._launcher.spaces()
    nodes = repository._graph.nodes.values()
    return [(node, spaces(node) if node.definition else None) for node in nodes]


def grid_of(repository: CodeRepository, asset: str) -> Grid:
    """The partitions of an asset with their states, as they are now.

    Raises:
        AssetNotFoundError: There is no such asset.
        ConfigurationError: It is not partitioned.
    """
    node, launcher = repository._graph[asset], repository._launcher
    if node.definition is None:
        raise ConfigurationError(f"the asset {asset!r} is not partitioned, so that it has no map")
    states = launcher.states(launcher.spaces())
    return grid_of_asset(states.of(node).cells(node.name, states.stale(node)))


class RunInput(NamedTuple):
    """What an asset of a run loads from another.

    Attributes:
        asset: The asset.
        upstream: The asset that it needs.
        partitions: The partitions that it needs; `None` if the upstream has none.
    """

    asset: str
    upstream: str
    partitions: Selection | None


def run_inputs(
    repository: CodeRepository, assets: Sequence[str], partitions: Selection
) -> list[RunInput]:
    """What the assets of a run load, by the dependencies and the partitions of the assets as they are now.

    Args:
        repository: The assets; those of the run that it does not have are left out.
        assets: Names of the assets of the run.
        partitions: Partitions of the run.

    Raises:
        PartitionValidationError: An upstream does not have the partitions.
    """
    graph, spaces = repository._graph, repository._launcher.spaces()
    found = []
    for name in assets:
        if name not in graph.nodes:
            continue
        node = graph[name]
        for upstream in dict.fromkeys([*node.deps, *node.mappings]):
            source = graph[upstream]
            if source.definition is None:
                found.append(RunInput(name, upstream, None))
                continue
            mapping = node.mapping_to(upstream)
            space = spaces(source)
            if node.definition is None or mapping is None:
                needed = space.all()
            else:
                own = partitions.same_in(spaces(node))
                needed = needed_by(node, own, upstream, space, mapping)
            found.append(RunInput(name, upstream, needed))
    return found


def asset_grid(
    repository: CodeRepository, asset: str, where: PartitionKeyRange | None = None
) -> tuple[Grid, dict[str, tuple[int, int]] | None]:
    """The partitions of an asset as a grid, and the coordinates of a range in it.

    Raises:
        AssetNotFoundError: There is no such asset.
        ConfigurationError: The asset is not partitioned, or the range leaves out keys in between.
        ExecutionError: The asset does not have the partitions of the range.
    """
    grid = grid_of(repository, asset)
    return grid, None if where is None else asset_bounds(repository, asset, grid, where)


def asset_bounds(
    repository: CodeRepository, asset: str, grid: Grid, where: PartitionKeyRange
) -> dict[str, tuple[int, int]]:
    """The coordinates of a range of an asset by dimension: the first one, and the one behind the last.

    Raises:
        ConfigurationError: The range leaves out keys in between.
        ExecutionError: The asset does not have the partitions of the range.
    """
    space = repository._launcher.spaces()(repository._graph[asset])
    key = space.select_range(where).covering_key()
    bounds = {}
    for at, dimension in enumerate(grid.dimensions):
        values = getattr(key, "keys", {}).get(dimension.name, getattr(key, "key", []))
        places = sorted(space.locate(at, values))
        if not places or places[-1] - places[0] + 1 != len(places):
            msg = f"a map shows neighbouring keys; {dimension.name!r} has others in between"
            raise ConfigurationError(msg)
        bounds[dimension.name] = (places[0], places[-1] + 1)
    return bounds


def count_partitions(
    repository: CodeRepository,
    asset: str,
    partition_keys: KeyLikes | None = None,
    partition_range: PartitionKeyRange | None = None,
) -> int:
    """How many partitions `report_materialized()` and `forget_partitions()` would be about.

    Raises:
        AssetNotFoundError: There is no such asset.
        PartitionValidationError: A partition does not exist.
        ExecutionError: No partitions are named, or some of an asset that has none.
    """
    launcher = repository._launcher
    node = launcher.graph[asset]
    return chosen_partitions(launcher, node, partition_keys, partition_range).num_partitions


def asset_counts(repository: CodeRepository) -> list[dict[str, Any]]:
    """What a repository declares, and for how many partitions each asset is materialized.

    An asset without partitions counts as one.
    """
    launcher = repository._launcher
    states = launcher.states(launcher.spaces())
    found = []
    for node, space in asset_spaces(repository):
        whole = Space.unpartitioned() if space is None else space
        found.append({
            "asset": node.name,
            "group": node.asset.group,
            "external": node.asset.is_external,
            "inputs": list(node.deps),
            "dimensions": node.definition.dimension_names() if node.definition else [],
            "partitions": None if space is None else space.num_partitions,
            "materialized": states.materialized(node.name, whole).num_partitions,
        })  # fmt: skip
    return found
