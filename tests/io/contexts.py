"""What a handler is given when the partitions of the asset `a` are stored or loaded."""

import rivers as rs
from rivers.io import InputContext, OutputContext


def multi(*pairs):
    """Makes keys of the dimensions `day` and `region`."""
    return [rs.PartitionKey.multi({"day": day, "region": region}) for day, region in pairs]


def storing(*partitions, failed=()):
    return OutputContext("a", list(partitions), "r1", failed=list(failed))


def loading(*partitions, asset="a", **options):
    return InputContext(asset, list(partitions), **options)
