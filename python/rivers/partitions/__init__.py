"""Which partitions there are, and how a user names some of them."""

from rivers._rivers import PartitionKey, PartitionMapping, PartitionsDefinition
from rivers.partitions.key_range import PartitionKeyRange
from rivers.partitions.partition_set import PartitionSet, exclude

__all__ = [
    "PartitionKey",
    "PartitionKeyRange",
    "PartitionMapping",
    "PartitionSet",
    "PartitionsDefinition",
    "exclude",
]
