"""The assets of a repository in dependency order, checked."""

from __future__ import annotations

from dataclasses import dataclass, field
from graphlib import CycleError, TopologicalSorter
from itertools import chain
from typing import TYPE_CHECKING

from rivers._rivers import mapping_refusal
from rivers._text import did_you_mean, listed
from rivers.assets.asset import Asset
from rivers.exceptions import (
    AssetDefinitionError,
    AssetNotFoundError,
    ExecutionError,
    GraphValidationError,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from rivers.partitions import PartitionMapping, PartitionsDefinition


@dataclass
class Node:
    """An asset in its graph.

    Attributes:
        asset: The asset.
        definition: Its partitions, with a name looked up; `None` if it has none.
        inputs: Upstream assets whose values it takes, by parameter; it may be one itself.
        deps: All upstream assets but itself.
        mappings: How the partitions of upstream assets follow from its own, where that is declared.
    """

    asset: Asset
    definition: PartitionsDefinition | None
    inputs: list[str] = field(default_factory=list)
    deps: list[str] = field(default_factory=list)
    mappings: dict[str, PartitionMapping] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """The asset's name."""
        return self.asset.name


class Graph:
    """All assets, in the order given and in dependency order.

    Raises:
        AssetDefinitionError: Something is no asset, two have one name, or a name of a definition is
            unknown.
        GraphValidationError: An input or dependency does not exist, a mapping does not fit, or there is
            a cycle.
    """

    def __init__(
        self, assets: Iterable[Asset], partition_defs: Mapping[str, PartitionsDefinition]
    ) -> None:
        self.nodes: dict[str, Node] = {}
        for asset in assets:
            if not isinstance(asset, Asset) or not asset.is_declared:
                msg = (
                    f"CodeRepository takes assets (functions decorated with @Asset), got {asset!r}"
                )
                raise AssetDefinitionError(msg)
            for each in asset.assets:
                if each.name in self.nodes:
                    msg = f"two assets have the name {each.name!r}"
                    raise AssetDefinitionError(msg)
                self.nodes[each.name] = Node(each, _definition(each, partition_defs))
        for node in self.nodes.values():
            step = node.asset.step
            taken = self.nodes.get(step.name)
            if taken is not None and taken.asset.step is not step:
                msg = f"a multi-asset and an asset have the name {step.name!r}"
                raise AssetDefinitionError(msg)
            self._connect(node)
        self.order = self._sorted()
        self._downstream: dict[str, list[str]] = {}
        for node in self.nodes.values():
            for name in node.deps:
                self._downstream.setdefault(name, []).append(node.name)

    def _connect(self, node: Node) -> None:
        asset = node.asset
        signature = asset.step.signature
        for upstream in signature.inputs:
            if upstream in self.nodes:
                node.inputs.append(upstream)
            elif upstream not in signature.optional_inputs:
                msg = (
                    f"the asset {asset.name!r} has the parameter {upstream!r}, but there is no asset of "
                    f"that name{did_you_mean(upstream, self.nodes)}"
                )
                raise GraphValidationError(msg)
        for upstream in asset.deps:
            if upstream not in self.nodes:
                msg = (
                    f"the asset {asset.name!r} depends on {upstream!r}, but there is no asset of "
                    f"that name{did_you_mean(upstream, self.nodes)}"
                )
                raise GraphValidationError(msg)
        upstreams = list(dict.fromkeys([*node.inputs, *asset.deps]))
        for upstream in upstreams:
            if len(asset.step.outputs) > 1 and self.nodes[upstream].asset.step is asset.step:
                msg = f"the multi-asset {asset.step.name!r} depends on its own output {upstream!r}"
                raise GraphValidationError(msg)
        for upstream, given in asset.upstream_defs.items():
            if given.partition_mapping is not None:
                node.mappings[upstream] = given.partition_mapping
        self._check_mappings(node, upstreams)
        node.deps = [name for name in upstreams if name != asset.name]

    def _check_mappings(self, node: Node, upstreams: Iterable[str]) -> None:
        for upstream in upstreams:
            mapping = node.mappings.get(upstream)
            if mapping is not None:
                self._check_declared(node, self.nodes[upstream])
            elif upstream in node.inputs:
                self._check_by_name(node, self.nodes[upstream])
            if upstream == node.name and not (mapping and mapping.goes_back):
                msg = (
                    f"the asset {node.name!r} depends on itself; that needs an AssetDef with a mapping "
                    "that leads to earlier partitions in a time dimension, such as "
                    f"PartitionMapping.time_window(-1), got {mapping}"
                )
                raise GraphValidationError(msg)

    def _check_declared(self, node: Node, upstream: Node) -> None:
        """Refuses a mapping that cannot relate the two definitions."""
        mapping = node.mappings[upstream.name]
        reason = mapping_refusal(mapping, node.definition, upstream.definition)
        if reason is not None:
            msg = f"the asset {node.name!r} cannot depend on {upstream.name!r} through {mapping}: {reason}"
            raise GraphValidationError(msg)

    def _check_by_name(self, node: Node, upstream: Node) -> None:
        """Refuses an input whose partitions do not follow from the asset's by dimension name."""
        reason = unclear_by_name(node.definition, upstream.definition)
        if reason is not None:
            msg = (
                f"the asset {node.name!r} takes the value of {upstream.name!r}, but which partitions "
                f"belong together is not clear: {reason}; say it with "
                f"AssetDef.input({upstream.name!r}, partition_mapping=...)"
            )
            raise GraphValidationError(msg)

    def _sorted(self) -> list[str]:
        sorter = TopologicalSorter({name: node.deps for name, node in self.nodes.items()})
        try:
            return list(sorter.static_order())
        except CycleError as error:
            cycle = " -> ".join(map(repr, reversed(error.args[1])))
            msg = f"the assets depend on each other in a cycle: {cycle}"
            raise GraphValidationError(msg) from None

    def __getitem__(self, name: str) -> Node:
        node = self.nodes.get(name)
        if node is None:
            msg = (
                f"there is no asset {name!r}; the assets are {listed(self.nodes)}"
                f"{did_you_mean(str(name), self.nodes)}"
            )
            raise AssetNotFoundError(msg)
        return node

    def runnable(self) -> list[Node]:
        """All assets but those that are made elsewhere."""
        return [node for node in self.nodes.values() if not node.asset.is_external]

    def to_run(self, names: Iterable[str]) -> list[Node]:
        """The named assets.

        Raises:
            AssetNotFoundError: There is no such asset.
            ExecutionError: One is made elsewhere.
        """
        nodes = [self[name] for name in names]
        for node in nodes:
            if node.asset.is_external:
                msg = (
                    f"the asset {node.name!r} is external: it is made elsewhere, and cannot be run here; "
                    "select the assets that take it"
                )
                raise ExecutionError(msg)
        return nodes

    def with_siblings(self, nodes: Iterable[Node]) -> list[Node]:
        """The assets, and those that are made in one step with them."""
        names = (name for node in nodes for name in (node.name, *node.asset.step.outputs))
        return [self.nodes[name] for name in dict.fromkeys(names)]

    def in_order(self, names: Iterable[str]) -> list[Node]:
        """The named assets in dependency order."""
        chosen = set(names)
        return [self.nodes[name] for name in self.order if name in chosen]

    def needs_among(self, names: Iterable[str]) -> dict[str, list[str]]:
        """Of each named asset, the named ones that it needs, directly or through others that are not."""
        chosen = set(names)
        needs: dict[str, list[str]] = {}
        for name in self.order:
            # A named asset stands for all that it needs itself: each is looked at once.
            near = ([dep] if dep in chosen else needs[dep] for dep in self.nodes[name].deps)
            needs[name] = list(dict.fromkeys(chain.from_iterable(near)))
        return {name: needs[name] for name in chosen}

    def all_upstream_of(self, names: Iterable[str]) -> set[str]:
        """All assets that some of these depend on, near and far."""
        return _reached(names, lambda name: self.nodes[name].deps)

    def downstream_of(self, name: str) -> list[str]:
        """The assets that depend on an asset, near ones only."""
        return self._downstream.get(name, [])

    def all_downstream_of(self, names: Iterable[str]) -> set[str]:
        """All assets that depend on some of these, near and far."""
        return _reached(names, self.downstream_of)


def unclear_by_name(
    here: PartitionsDefinition | None, there: PartitionsDefinition | None
) -> str | None:
    """Why partitions of an upstream do not follow from those here by dimension name; `None`: they do.

    Dimensions of one name belong together, and further ones of the upstream are taken whole; which
    partitions of a single dimension belong to which of another, no rule can tell.
    """
    if here is None or there is None or here == there:
        return None
    if bool(here.dimensions) != bool(there.dimensions):
        return "one has named dimensions, the other has not"
    if not here.dimensions:
        return "they have different definitions"
    if set(here.dimensions) & set(there.dimensions):
        return None
    return f"they share no dimension ({here.dimensions} and {there.dimensions})"


def _reached(names: Iterable[str], near: Callable[[str], Iterable[str]]) -> set[str]:
    found: set[str] = set()
    ahead = [other for name in names for other in near(name)]
    while ahead:
        name = ahead.pop()
        if name not in found:
            found.add(name)
            ahead.extend(near(name))
    return found


def _definition(
    asset: Asset, partition_defs: Mapping[str, PartitionsDefinition]
) -> PartitionsDefinition | None:
    given = asset.partitions_def
    if not isinstance(given, str):
        return given
    if given not in partition_defs:
        msg = (
            f"the asset {asset.name!r} has the partitions_def {given!r}, but partition_defs has "
            f"{listed(partition_defs) or 'no entry'}{did_you_mean(given, partition_defs)}"
        )
        raise AssetDefinitionError(msg)
    return partition_defs[given]
