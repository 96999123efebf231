"""The assets and the partitions that a call names."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING

from rivers._rivers import Space
from rivers.exceptions import ExecutionError, PartitionValidationError
from rivers.partitions import PartitionKey, PartitionKeyRange
from rivers.partitions.from_table import select_rows
from rivers.partitions.key_forms import select_key_likes
from rivers.partitions.partition_set import PartitionSet
from rivers.planning.selectors import expand_selectors

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from rivers._rivers import Selection
    from rivers.assets.asset_graph import Graph, Node
    from rivers.partitions.key_forms import KeyLike, KeyLikes

    Materialized = Callable[[str, Space], Selection]
    """The partitions of a space for which the asset of this name is materialized."""

_log = logging.getLogger("rivers")


def select_assets(graph: Graph, selection: Sequence[str] | None) -> list[Node]:
    """The assets to backfill, in the order given, each once; see `expand_selectors` for what texts mean.

    Raises:
        AssetNotFoundError: There is no such asset.
        ExecutionError: Nothing is selected, or an asset is not partitioned or external.
    """
    if selection is None:
        nodes = [node for node in graph.runnable() if node.definition is not None]
        if not nodes:
            msg = "no asset of the repository is partitioned, so there is nothing to backfill"
            raise ExecutionError(msg)
        return nodes
    nodes = graph.to_run(expand_selectors(graph, asset_names(selection), partitioned=True))
    for node in nodes:
        if node.definition is None:
            msg = (
                f"the asset {node.name!r} is not partitioned, so it cannot be backfilled; "
                "use materialize()"
            )
            raise ExecutionError(msg)
    return nodes


def stored_assets(graph: Graph, selection: Sequence[str] | None) -> list[Node]:
    """The assets of an earlier backfill, which may have added unpartitioned ones to its selection.

    Raises:
        AssetNotFoundError: There is no such asset any more.
    """
    return select_assets(graph, None) if selection is None else graph.to_run(list(selection))


def asset_names(selection: Sequence[str] | str) -> list[str]:
    """The names of a selection, each once; a text is one name.

    Raises:
        TypeError: `selection` is no list of names.
        ExecutionError: `selection` is empty.
    """
    names = [selection] if isinstance(selection, str) else list(selection)
    if not all(isinstance(name, str) for name in names):
        msg = f"selection must be the name of an asset or a list of names, got {selection!r}"
        raise TypeError(msg)
    if not names:
        msg = "selection is empty; leave it out to select all assets"
        raise ExecutionError(msg)
    return list(dict.fromkeys(names))


def select_partitions(
    space: Space,
    partition_keys: KeyLikes | None,
    partition_range: PartitionKeyRange | None,
) -> Selection:
    """The partitions that the keys or the range name.

    Raises:
        ExecutionError: Neither or both are given, or no key.
        PartitionValidationError: A key or the range does not belong to the space.
    """
    if (partition_keys is None) == (partition_range is None):
        both = "not both" if partition_keys is not None else "neither was given"
        msg = f"give either partition_keys or partition_range, {both}"
        raise ExecutionError(msg)
    if partition_range is not None:
        if not isinstance(partition_range, PartitionKeyRange):
            msg = f"partition_range must be a PartitionKeyRange, got {partition_range!r}"
            raise TypeError(msg)
        return space.select_range(partition_range)
    if isinstance(partition_keys, PartitionSet):
        return _not_empty(partition_keys.resolve_in(space))
    if partition_keys is not None and hasattr(partition_keys, "__arrow_c_stream__"):
        return _not_empty(select_rows(space, partition_keys))
    if partition_keys is not None and (
        isinstance(partition_keys, str | bytes | PartitionKey | Mapping)
        or not isinstance(partition_keys, Iterable)
    ):
        msg = f"partition_keys must be a list of keys, got {partition_keys!r}"
        raise TypeError(msg)
    keys = list(partition_keys or ())
    if not keys:
        msg = "partition_keys is empty; name at least one partition, or use partition_range"
        raise ExecutionError(msg)
    return select_key_likes(space, keys)


@contextmanager
def naming_the_first(nodes: Sequence[Node]) -> Iterator[None]:
    """Has an error about a partition name the asset whose partitions it was looked for in.

    That is the first one of the selection, which matters where another one has other partitions.
    """
    try:
        yield
    except PartitionValidationError as error:
        first, *others = nodes
        if all(node.definition == first.definition for node in others):
            raise
        msg = (
            f"{error.message}; the asset {first.name!r} is selected, and every selected partition must be "
            "one of each selected asset's"
        )
        raise type(error)(msg, remedy=error.remedy) from error


def select_for_run(
    partitioned: Sequence[tuple[Node, Space]], partition_key: KeyLike | None
) -> Selection:
    """The partitions that the key of a manual run names, checked for each of the assets.

    Args:
        partitioned: The partitioned assets of the run, with their partitions.
        partition_key: The key, with one or several partitions.

    Raises:
        ExecutionError: A key is missing, or was given and no asset is partitioned.
        PartitionValidationError: A partition is not one of each asset's.
    """
    if not partitioned:
        if partition_key is not None:
            msg = "a partition_key was given, but none of the selected assets is partitioned"
            raise ExecutionError(msg)
        return Space.unpartitioned().all()
    (first, space), *others = partitioned
    if partition_key is None:
        msg = f"the asset {first.name!r} is partitioned: give a partition_key, or use backfill()"
        raise ExecutionError(msg)
    with naming_the_first([node for node, _ in partitioned]):
        chosen = select_key_likes(space, [partition_key])
    for node, other in others:
        chosen.check_in(other, node.name)
    return chosen


def _not_empty(selection: Selection) -> Selection:
    if not selection.num_partitions:
        msg = "the set of partitions is empty; it must hold at least one"
        raise ExecutionError(msg)
    return selection


def drop_materialized(
    parts: Mapping[str, Selection], graph: Graph, materialized: Materialized
) -> dict[str, Selection]:
    """The partitions of each asset without those materialized for all assets that have the same ones.

    Args:
        parts: The partitions of each asset.
        graph: All assets.
        materialized: Looks up what is materialized.
    """
    groups: list[tuple[Selection, list[Node]]] = []
    for name, selection in parts.items():
        for other, nodes in groups:
            if other.equals(selection):
                nodes.append(graph[name])
                break
        else:
            groups.append((selection, [graph[name]]))
    return {
        node.name: missing
        for selection, nodes in groups
        for missing in [only_missing(selection, nodes, materialized)]
        for node in nodes
    }


def only_missing(
    selection: Selection, nodes: Sequence[Node], materialized: Materialized
) -> Selection:
    """The partitions that are not materialized for each of the assets, in the same order."""
    everywhere = selection
    for node in nodes:
        everywhere = everywhere.intersection(materialized(node.name, selection.space))
    return selection.difference(everywhere)


def only_defined(selection: Selection, spaces: Sequence[tuple[Node, Space]]) -> Selection:
    """The partitions of an earlier backfill that are still defined for each asset."""
    if not selection.num_partitions:
        return selection
    for node, space in spaces:
        try:
            selection.check_in(space, node.name)
        except PartitionValidationError:
            selection, num_undefined = selection.only_in(space)
            _log.warning(
                "%d partitions of the earlier backfill are no longer defined for %r and left out",
                num_undefined,
                node.name,
            )
    node, space = spaces[0]
    return selection.translate(space, node.name)
