"""Records what users say about assets: that partitions are materialized, or missing."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rivers._rivers import Space
from rivers.exceptions import ExecutionError
from rivers.io.metadata_value import to_json
from rivers.io.output_metadata import metadata_values
from rivers.planning.selection import select_partitions

if TYPE_CHECKING:
    from collections.abc import Mapping

    from rivers._rivers import Selection
    from rivers.assets.asset_graph import Node
    from rivers.partitions import PartitionKeyRange
    from rivers.partitions.key_forms import KeyLikes
    from rivers.repository.launch import Launcher


def report_materialized(
    launcher: Launcher,
    asset: str,
    partition_keys: KeyLikes | None,
    partition_range: PartitionKeyRange | None,
    metadata: Mapping[str, Any] | None,
) -> int:
    """See `CodeRepository.report_materialized`."""
    node = launcher.graph[asset]
    facts = to_json(metadata_values(metadata)) if metadata else None
    chosen = chosen_partitions(launcher, node, partition_keys, partition_range)
    launcher.runtime.store.report(asset, chosen, True, node.asset.code_version, facts)
    return chosen.num_partitions


def forget_partitions(
    launcher: Launcher,
    asset: str,
    partition_keys: KeyLikes | None,
    partition_range: PartitionKeyRange | None,
) -> int:
    """See `CodeRepository.forget_partitions`."""
    node = launcher.graph[asset]
    chosen = chosen_partitions(launcher, node, partition_keys, partition_range)
    launcher.runtime.store.report(asset, chosen, False, None, None)
    return chosen.num_partitions


def chosen_partitions(
    launcher: Launcher,
    node: Node,
    partition_keys: KeyLikes | None,
    partition_range: PartitionKeyRange | None,
) -> Selection:
    """The partitions of an asset that a call names.

    Raises:
        ExecutionError: None are named, or some of an asset that has none.
    """
    if node.definition is not None:
        return select_partitions(launcher.spaces()(node), partition_keys, partition_range)
    if partition_keys is not None or partition_range is not None:
        msg = f"the asset {node.name!r} is not partitioned: leave partition_keys and partition_range out"
        raise ExecutionError(msg)
    return Space.unpartitioned().all()
