"""From the arguments of a call to a plan that can be executed.

Everything is checked here, before anything is stored or run.
"""

from __future__ import annotations

import json
import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from rivers._text import is_storable
from rivers._validation import LARGEST_PRIORITY
from rivers.exceptions import ConfigurationError, ExecutionError, PartitionValidationError
from rivers.partitions import PartitionKey, PartitionKeyRange, PartitionMapping
from rivers.partitions.from_table import select_rows
from rivers.partitions.partition_set import PartitionSet
from rivers.policies.retry import RetryPolicy
from rivers.policies.strategy import BackfillStrategy
from rivers.storage.storage import PRIORITY_TAG

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from rivers._rivers import Selection, Space, Store
    from rivers._storage import BackfillRecord
    from rivers.assets.asset_graph import Graph, Node
    from rivers.execution.executor import Isolation
    from rivers.io.base import BaseIOHandler, Reach

_log = logging.getLogger("rivers")

RERUN_TAG = "rivers/rerun_of"
"""The tag of a rerun: the id of the backfill it repeats."""

_RESERVED = "rivers/"


@dataclass
class Submission:
    """What is recorded of a request; the fields are those of the binding's struct of the same name.

    Attributes:
        manual: Whether `materialize()` asked.
        assets: Name, code version, and whether it has the plan's partitions; in dependency order.
        stop_on_failure: The failure policy.
        max_concurrency: Most runs in flight.
        priority: Place in the queue.
        tags: Attached to each run.
        config: As JSON.
        retry: How failures are tried again, as JSON, where the request says so itself.
        max_starts_per_second: Most runs that start in a second.
        refuse_overlap: Whether it is refused while another holds some of its partitions.
        canary: How many runs go first; the others when those have succeeded.
        max_failures: So many failed partitions, or a fraction of those that have ended, that it stops.
    """

    manual: bool
    assets: list[tuple[str, str | None, bool]]
    stop_on_failure: bool
    max_concurrency: int
    priority: int
    tags: list[tuple[str, str]]
    config: str | None
    retry: str | None
    max_failures: float | None = None
    max_starts_per_second: float | None = None
    refuse_overlap: bool = False
    canary: int | None = None


def select_assets(graph: Graph, selection: Sequence[str] | None) -> list[Node]:
    """The assets to backfill, in the order given, each once, and what is made with them.

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
    nodes = graph.to_run(asset_names(selection))
    for node in nodes:
        if node.definition is None:
            msg = (
                f"the asset {node.name!r} is not partitioned, so it cannot be backfilled; "
                "use materialize()"
            )
            raise ExecutionError(msg)
    return graph.with_siblings(nodes)


def asset_names(selection: Sequence[str]) -> list[str]:
    """The names of a selection, each once.

    Raises:
        TypeError: It is no list of names.
        ExecutionError: It is empty.
    """
    names = [] if isinstance(selection, str) else list(selection)
    if isinstance(selection, str) or not all(isinstance(name, str) for name in names):
        msg = f"selection must be a list of asset names, got {selection!r}"
        raise TypeError(msg)
    if not names:
        msg = "selection is empty; leave it out to select all assets"
        raise ExecutionError(msg)
    return list(dict.fromkeys(names))


def select_partitions(
    space: Space,
    partition_keys: Sequence[PartitionKey] | None,
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
    if hasattr(partition_keys, "__arrow_c_stream__"):
        return _not_empty(select_rows(space, partition_keys))
    if isinstance(partition_keys, str | PartitionKey):
        msg = f"partition_keys must be a list of PartitionKey, got {partition_keys!r}"
        raise TypeError(msg)
    keys = list(partition_keys or ())
    if not keys:
        msg = "partition_keys is empty; name at least one partition, or use partition_range"
        raise ExecutionError(msg)
    return space.select_keys(keys)


def _not_empty(selection: Selection) -> Selection:
    if not selection.num_partitions:
        msg = "the set of partitions is empty; it must hold at least one"
        raise ExecutionError(msg)
    return selection


def check_others(selection: Selection, others: Sequence[tuple[Node, Space]]) -> None:
    """Every partition must be one of each asset of a manual run.

    Raises:
        PartitionValidationError: Naming the asset and the first key that it does not have.
    """
    for node, space in others:
        selection.check_in(space, node.name)


def choose_strategy(given: BackfillStrategy | None, nodes: Sequence[Node]) -> BackfillStrategy:
    """The argument; else the assets' own where those that declare one agree; else one run each."""
    if given is not None:
        if not isinstance(given, BackfillStrategy):
            msg = f"strategy must be a BackfillStrategy, such as BackfillStrategy.multi_run(), got {given!r}"
            raise TypeError(msg)
        return given
    declared = {
        node.asset.backfill_strategy: node.name
        for node in nodes
        if node.asset.backfill_strategy is not None
    }
    if len(declared) > 1:
        wishes = ", ".join(f"{name!r}: {strategy}" for strategy, name in declared.items())
        _log.warning(
            "the selected assets declare different strategies (%s); each partition gets a run of its "
            "own, pass strategy= to say otherwise",
            wishes,
        )
        return BackfillStrategy.multi_run()
    return next(iter(declared), BackfillStrategy.multi_run())


def check_tags(
    tags: Sequence[tuple[str, str]] | None, default_priority: int
) -> tuple[list[tuple[str, str]], int]:
    """The tags, and the priority that they ask for.

    Raises:
        ConfigurationError: A tag is no pair of texts, has a reserved name, or is no priority.
    """
    priority: int | None = None
    checked: list[tuple[str, str]] = []
    if isinstance(tags, dict):
        msg = f"tags must be a list of (name, value), got the dict {tags!r}; use list(tags.items())"
        raise ConfigurationError(msg)
    for tag in tags or ():
        match tag:
            case (str() as name, str() as value):
                if not is_storable(name) or not is_storable(value):
                    msg = f"the tag {tag!r} cannot be stored: it holds half of a surrogate pair"
                    raise ConfigurationError(msg)
                checked.append((name, value))
            case _:
                msg = f"a tag must be a (name, value) pair of str, got {tag!r}"
                raise ConfigurationError(msg)
        if name == PRIORITY_TAG:
            if priority is not None:
                msg = f"the tag {PRIORITY_TAG!r} is given twice"
                raise ConfigurationError(msg)
            priority = _priority(value)
        elif name.startswith(_RESERVED):
            msg = (
                f"the tag name {name!r} is reserved; of those with {_RESERVED!r}, "
                f"{PRIORITY_TAG!r} can be given"
            )
            raise ConfigurationError(msg)
    return checked, default_priority if priority is None else priority


def _priority(text: str) -> int:
    try:
        priority = int(text)
    except ValueError:
        priority = None
    if priority is None or abs(priority) > LARGEST_PRIORITY:
        msg = f"the tag {PRIORITY_TAG!r} must be an integer as text, such as '5', got {text!r}"
        raise ConfigurationError(msg)
    return priority


def check_one_run(
    graph: Graph, nodes: Sequence[Node], chosen: Selection, space_of: Callable[[Node], Space]
) -> None:
    """Refuses a manual run that would need partitions which it is itself to make.

    Raises:
        ExecutionError: Naming both assets and what to do instead.
    """
    selected = {node.name for node in nodes if node.definition is not None}
    for node in nodes:
        for name, mapping in node.mappings.items():
            if node.name not in selected or name not in selected:
                continue
            if mapping == PartitionMapping.identity():
                continue
            space = space_of(graph[name])
            own = chosen.translate(space_of(node), node.name)
            needed = own.upstream(space, mapping)
            if needed.intersection(chosen.translate(space, name)).num_partitions:
                whose = "its own partitions" if name == node.name else f"partitions of {name!r}"
                msg = (
                    f"the asset {node.name!r} needs, through {mapping}, {whose} which the same run is "
                    "to make; use backfill(), which executes runs in the order that they need"
                )
                raise ExecutionError(msg)


_SUFFICIENT: dict[Isolation, tuple[Reach, ...]] = {
    "none": ("process", "machine", "anywhere"),
    "process": ("machine", "anywhere"),
    "machine": ("anywhere",),
}
"""The reach of handlers whose values get from one worker to another, by what separates those."""

_KEPT: dict[Reach, str] = {
    "process": "in the memory of one process",
    "machine": "on one machine",
    "anywhere": "where every machine reaches it",
}
_NEEDED: dict[Isolation, str] = {
    "none": "of any kind",
    "process": "that processes share, such as PickleIOHandler or ParquetIOHandler",
    "machine": "that all machines reach, such as PickleIOHandler over an object store",
}


def check_memory_inputs(
    graph: Graph,
    nodes: Sequence[Node],
    layers: Sequence[Sequence[int]],
    handler_of: Callable[[Node, Node], BaseIOHandler],
    isolation: Isolation,
) -> None:
    """Checks that each input that comes from another run reaches the workers.

    Args:
        graph: All assets.
        nodes: Those that are executed, in order.
        layers: Places of those that share runs.
        handler_of: What loads the value of one for another.
        isolation: What separates the executor's workers from each other.

    Raises:
        ExecutionError: Naming the asset, the input and a handler that would do.
    """
    layer_of = {nodes[place].name: number for number, layer in enumerate(layers) for place in layer}
    for node in nodes:
        for upstream in map(graph.__getitem__, node.inputs):
            same_partitions = upstream.definition == node.definition and (
                node.mappings.get(upstream.name) in (None, PartitionMapping.identity())
            )
            handler = handler_of(node, upstream)
            same_run = layer_of.get(upstream.name) == layer_of[node.name]
            if (same_run and same_partitions) or handler.reach in _SUFFICIENT[isolation]:
                continue
            msg = (
                f"the asset {node.name!r} takes the value of {upstream.name!r} from another run, but "
                f"{type(handler).__name__} keeps it {_KEPT[handler.reach]}; give {upstream.name!r} an "
                f"io_handler {_NEEDED[isolation]}"
            )
            raise ExecutionError(msg)


def stored_config(record: BackfillRecord) -> dict[str, Any] | None:
    """The configuration kept with a backfill."""
    return None if record["config"] is None else json.loads(record["config"])


def stored_retry(record: BackfillRecord) -> RetryPolicy | None:
    """The retry policy kept with a backfill."""
    return None if record["retry"] is None else RetryPolicy.from_json(record["retry"])


def left_out(parts: Mapping[str, Selection], graph: Graph, store: Store) -> dict[str, Selection]:
    """Without what is materialized for each of the assets that have the same partitions."""
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
        for missing in [only_missing(selection, nodes, store)]
        for node in nodes
    }


def only_missing(selection: Selection, nodes: Sequence[Node], store: Store) -> Selection:
    """The partitions that are not materialized for each of the assets, in the same order."""
    everywhere = selection
    for node in nodes:
        materialized = store.materialized(node.name, selection.space)
        everywhere = everywhere.intersection(materialized)
    return selection.difference(everywhere)


def only_defined(selection: Selection, spaces: Sequence[tuple[Node, Space]]) -> Selection:
    """Of the partitions of an earlier backfill, those that are still defined for each asset.

    Raises:
        ExecutionError: None is.
    """
    if not selection.num_partitions:
        return selection
    for node, space in spaces:
        try:
            selection.check_in(space, node.name)
        except PartitionValidationError:
            selection, gone = selection.only_in(space)
            if not selection.num_partitions:
                msg = "none of the partitions to run again is defined any more"
                raise ExecutionError(msg) from None
            _log.warning(
                "%d partitions of the earlier backfill are no longer defined for %r and left out",
                gone,
                node.name,
            )
    node, space = spaces[0]
    return selection.translate(space, node.name)
