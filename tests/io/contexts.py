"""What a handler is given when the partitions of the asset `a` are stored or loaded."""

import rivers as rs
from rivers.io import InputContext, OutputContext


def multi(*pairs):
    """Makes keys of the dimensions `day` and `region`."""
    return [rs.PartitionKey.multi({"day": day, "region": region}) for day, region in pairs]


def context(*partitions):
    """Makes the context of keys, which belong to dynamic definitions; None without keys."""
    if not partitions:
        return None
    names = getattr(partitions[0], "keys", None)
    of = rs.PartitionsDefinition.dynamic
    dimensions = {} if names is None else {name: of(name) for name in names}
    definition = rs.PartitionsDefinition.multi(dimensions) if dimensions else of("keys")
    return rs.PartitionContext(list(partitions), definition)


def storing(*partitions, failed=(), asset="a"):
    return OutputContext(asset, partition=context(*partitions), failed=list(failed))


def loading(*partitions, asset="a", downstream=None, type_hint=None):
    return InputContext(asset, downstream, partition=context(*partitions), type_hint=type_hint)
