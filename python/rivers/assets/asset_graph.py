"""The assets of a repository in dependency order, checked."""

from __future__ import annotations

import warnings
from dataclasses import dataclass, field
from functools import cached_property
from graphlib import CycleError, TopologicalSorter
from itertools import chain
from types import MappingProxyType
from typing import TYPE_CHECKING

from rivers._rivers import mapping_refusal
from rivers._text import did_you_mean, listed
from rivers.assets.asset import Asset
from rivers.exceptions import (
    AssetDefinitionError,
    AssetNotFoundError,
    ExecutionError,
    GraphValidationError,
    MappingValidationError,
    MissingInputError,
    PartitionDefinitionError,
)
from rivers.execution.outputs import Materialization
from rivers.partitions import PartitionMapping

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Mapping, Sequence

    from rivers._rivers import Selection
    from rivers.partitions import PartitionsDefinition

SAME_KEYS = PartitionMapping.identity()
_NO_MAPPINGS: Mapping[str, PartitionMapping] = MappingProxyType({})


@dataclass(slots=True, eq=False)
class Node:
    """An asset in the graph.

    Attributes:
        asset: The asset.
        name: Its name.
        definition: Its partitions definition, looked up if it was given by name; `None` if it has none.
        inputs: Names of the upstream assets whose values it takes; it may take its own.
        resources: Names of the resources that it takes.
        deps: Names of all upstream assets except itself.
        mappings: The declared partition mapping of each upstream that has one.
        unclear: Upstream assets without a declared mapping whose partitions do not have the same keys as
            this asset's, by the names of dimensions.
    """

    # Tuples, and shared empty containers: a repository may have ten thousand assets, and each container
    # of its own costs as much as all checks of an asset.
    asset: Asset
    name: str = field(init=False)
    definition: PartitionsDefinition | None
    inputs: tuple[str, ...] = ()
    resources: tuple[str, ...] = ()
    deps: tuple[str, ...] = ()
    mappings: Mapping[str, PartitionMapping] = field(init=False)
    unclear: frozenset[str] = frozenset()

    def __post_init__(self) -> None:
        self.name = self.asset.name
        self.mappings = _NO_MAPPINGS

    def mapping_to(self, upstream: str) -> PartitionMapping | None:
        """The mapping to an upstream; `None` if none is declared and names do not imply one."""
        return None if upstream in self.unclear else self.mappings.get(upstream, SAME_KEYS)

    def may_miss(self, upstream: str) -> bool:
        """Whether the asset does without partitions of an upstream that do not exist."""
        given = self.asset.upstream_defs.get(upstream)
        return given is not None and given.allow_missing


class Graph:
    """The assets of a repository, in the order given and in dependency order.

    Raises:
        AssetDefinitionError: Something is not an asset, two assets have the same name, or an asset names
            an unknown definition.
        GraphValidationError: An input or dependency does not exist, a mapping does not fit, or there is
            a cycle.
    """

    def __init__(
        self,
        assets: Iterable[Asset],
        partition_defs: Mapping[str, PartitionsDefinition],
        resources: Collection[str] = (),
    ) -> None:
        self._resources = resources
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
            if len(asset.assets) > 1:
                _check_shared_partitions([self.nodes[each.name] for each in asset.assets])
        for node in self.nodes.values():
            step = node.asset.step
            taken = self.nodes.get(step.name)
            if taken is not None and taken.asset.step is not step:
                msg = f"a multi-asset and an asset have the name {step.name!r}"
                raise AssetDefinitionError(msg)
            self._connect(node)
        self.order = self._sorted()

    def _connect(self, node: Node) -> None:
        asset = node.asset
        self._connect_parameters(node)
        for upstream in asset.deps:
            if upstream not in self.nodes:
                msg = (
                    f"the asset {asset.name!r} depends on {upstream!r}, but there is no asset of "
                    f"that name{did_you_mean(upstream, self.nodes)}"
                )
                raise GraphValidationError(msg)
        self._check_values(node)
        upstreams = node.inputs
        if asset.deps:
            upstreams = tuple(dict.fromkeys((*upstreams, *asset.deps)))
        if len(asset.step.outputs) > 1:
            self._check_siblings(node, upstreams)
        if asset.upstream_defs:
            node.mappings = asset.partition_mapping or _NO_MAPPINGS
        self._check_mappings(node, upstreams)
        node.deps = upstreams
        if asset.name in upstreams:
            node.deps = tuple(name for name in upstreams if name != asset.name)

    def _check_siblings(self, node: Node, upstreams: Iterable[str]) -> None:
        """Refuses an output of a multi-asset that depends on another one."""
        step = node.asset.step
        for upstream in upstreams:
            if self.nodes[upstream].asset.step is step:
                msg = f"the multi-asset {step.name!r} depends on its own output {upstream!r}"
                raise GraphValidationError(msg)

    def _connect_parameters(self, node: Node) -> None:
        """Finds the asset or the resource that each parameter takes."""
        asset, signature = node.asset, node.asset.step.signature
        inputs, resources = [], []
        for upstream in signature.inputs:
            if upstream in self.nodes:
                inputs.append(upstream)
                if upstream in self._resources:
                    _warn_of_two(asset, upstream)
            elif upstream in self._resources:
                resources.append(upstream)
            elif upstream not in signature.optional_inputs:
                known = [*self.nodes, *self._resources]
                msg = (
                    f"the asset {asset.name!r} has the parameter {upstream!r}, but there is no asset "
                    f"{'or resource ' if self._resources else ''}of that name"
                    f"{did_you_mean(upstream, known)}"
                )
                raise MissingInputError(msg)
        node.inputs, node.resources = tuple(inputs), tuple(resources)

    def _check_values(self, node: Node) -> None:
        """Refuses an input from an asset that is known to have no value."""
        for upstream in node.inputs:
            if self.nodes[upstream].asset.step.signature.return_hint is Materialization:
                msg = (
                    f"the asset {node.name!r} takes the value of {upstream!r}, which returns a "
                    f"Materialization: it stores its data itself, and has no value; use "
                    f"deps=[{upstream!r}], and read the data in the function"
                )
                raise GraphValidationError(msg)

    def _check_mappings(self, node: Node, upstreams: Iterable[str]) -> None:
        simplified = {}
        for upstream in upstreams:
            mapping = node.mappings.get(upstream)
            if mapping is not None:
                self._check_declared(node, self.nodes[upstream], mapping)
                simplified[upstream] = mapping.simplified()
            else:
                self._check_implied(node, self.nodes[upstream])
            if upstream == node.name and not (mapping and mapping.goes_back):
                msg = (
                    f"the asset {node.name!r} depends on itself; that needs an AssetDef with a mapping "
                    "that leads to earlier partitions in a time dimension, such as "
                    f"PartitionMapping.time_window(-1), got {mapping}"
                )
                raise GraphValidationError(msg)
        if simplified:
            node.mappings = {**node.mappings, **simplified}

    def _check_declared(self, node: Node, upstream: Node, mapping: PartitionMapping) -> None:
        """Refuses a declared mapping that does not fit the two definitions."""
        reason = _refusal(mapping, node, upstream)
        if reason is not None:
            msg = f"the asset {node.name!r} cannot depend on {upstream.name!r} through {mapping}: {reason}"
            raise MappingValidationError(msg)

    def _check_implied(self, node: Node, upstream: Node) -> None:
        """Refuses an input without a mapping if equal keys do not determine its partitions."""
        own, others = node.definition, upstream.definition
        if own is others or own is None or others is None:
            return
        reason = _refusal(SAME_KEYS, node, upstream)
        if reason is None:
            return
        if upstream.name in node.inputs:
            msg = (
                f"the asset {node.name!r} takes the value of {upstream.name!r}, but which partitions "
                f"belong together is not clear: {reason}; say it with "
                f"AssetDef.input({upstream.name!r}, partition_mapping=...)"
            )
            raise MappingValidationError(msg)
        node.unclear |= {upstream.name}

    def _sorted(self) -> list[str]:
        """Returns the names of all assets in dependency order, the outputs of a step side by side."""
        deps: Mapping[str, Sequence[str]] = {name: node.deps for name, node in self.nodes.items()}
        outputs: dict[str, list[str]] = {}
        if any(len(node.asset.step.outputs) > 1 for node in self.nodes.values()):
            deps, outputs = self._deps_of_steps()
        try:
            order = list(TopologicalSorter(deps).static_order())
        except CycleError as error:
            cycle = " -> ".join(map(repr, reversed(error.args[1])))
            msg = f"the assets depend on each other in a cycle: {cycle}"
            raise GraphValidationError(msg) from None
        return [name for step in order for name in outputs[step]] if outputs else order

    def _deps_of_steps(self) -> tuple[dict[str, list[str]], dict[str, list[str]]]:
        """Returns the steps that each step depends on, and the assets that it makes."""
        deps: dict[str, list[str]] = {}
        outputs: dict[str, list[str]] = {}
        for name, node in self.nodes.items():
            step = node.asset.step.name
            outputs.setdefault(step, []).append(name)
            needed = [self.nodes[dep].asset.step.name for dep in node.deps]
            deps.setdefault(step, []).extend(needed)
        return deps, outputs

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
        """Returns all assets that are not external."""
        return [node for node in self.nodes.values() if not node.asset.is_external]

    def to_run(self, names: Iterable[str]) -> list[Node]:
        """Returns the named assets.

        Raises:
            AssetNotFoundError: There is no asset of that name.
            ExecutionError: An asset is external.
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

    def in_order(self, names: Iterable[str]) -> list[Node]:
        """Returns the named assets in dependency order."""
        chosen = set(names)
        return [self.nodes[name] for name in self.order if name in chosen]

    def needs_among(self, names: Iterable[str]) -> dict[str, list[str]]:
        """Returns, for each named asset, the named assets that it needs.

        It may need them directly or through assets that are not named.
        """
        chosen = set(names)
        needs: dict[str, list[str]] = {}
        for name in self.order:
            # A named asset hides what it needs itself, so that each asset is visited once.
            direct = ([dep] if dep in chosen else needs[dep] for dep in self.nodes[name].deps)
            needs[name] = list(dict.fromkeys(chain.from_iterable(direct)))
        return {name: needs[name] for name in chosen}

    def all_upstream_of(self, names: Iterable[str]) -> set[str]:
        """Returns all assets that the named ones depend on, directly or through others."""
        return _reached(names, lambda name: self.nodes[name].deps)

    def downstream_of(self, name: str) -> list[str]:
        """Returns the assets that depend directly on an asset."""
        return self._downstream.get(name, [])

    @cached_property
    def _downstream(self) -> dict[str, list[str]]:
        """The assets that depend directly on each that has some; only some requests ask for it."""
        downstream: dict[str, list[str]] = {}
        for node in self.nodes.values():
            for name in node.deps:
                downstream.setdefault(name, []).append(node.name)
        return downstream

    def all_downstream_of(self, names: Iterable[str]) -> set[str]:
        """Returns all assets that depend on the named ones, directly or through others."""
        return _reached(names, self.downstream_of)


def _warn_of_two(asset: Asset, name: str) -> None:
    warnings.warn(
        f"the parameter {name!r} of the asset {asset.name!r} names both an asset and a resource: it "
        "takes the value of the asset",
        stacklevel=4,
    )


def _refusal(mapping: PartitionMapping, node: Node, upstream: Node) -> str | None:
    """Why a mapping cannot relate the partitions of two assets; `None` if it can."""
    names = (f"the asset {node.name!r}", f"its upstream {upstream.name!r}")
    return mapping_refusal(mapping, node.definition, upstream.definition, names)


def _reached(names: Iterable[str], neighbours: Callable[[str], Iterable[str]]) -> set[str]:
    found: set[str] = set()
    pending = [other for name in names for other in neighbours(name)]
    while pending:
        name = pending.pop()
        if name not in found:
            found.add(name)
            pending.extend(neighbours(name))
    return found


def _check_shared_partitions(nodes: list[Node]) -> None:
    """Checks that one step can make assets for the same partition.

    Raises:
        AssetDefinitionError: Their definitions differ in kind, or no key belongs to all of them.
    """
    first, *others = nodes
    shared: Selection | None = None
    for other in others:
        if other.definition == first.definition:
            continue
        reason = None
        if type(other.definition) is not type(first.definition) or (
            first.definition is None or other.definition is None
        ):
            reason = "are of different kinds"
        else:
            try:
                shared = shared or first.definition.resolve().all()
                shared = shared.only_in(other.definition.resolve())[0]
            except PartitionDefinitionError:
                continue  # The keys of dynamic partitions are not known yet.
            if not shared.num_partitions:
                reason = "share no key"
        if reason is not None:
            msg = (
                f"the outputs {first.name!r} and {other.name!r} of the multi-asset "
                f"{first.asset.step.name!r} are made in one run, but their partitions {reason}: "
                f"{first.definition} and {other.definition}"
            )
            raise AssetDefinitionError(msg)


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
