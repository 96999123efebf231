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


def _definition_html(definition: PartitionsDefinition) -> str:
    from rivers.partitions.notebook import definition_html  # noqa: PLC0415  (notebooks alone need it)

    return definition_html(definition)


# The class comes from the binding, which knows no notebooks.
PartitionsDefinition._repr_html_ = _definition_html  # type: ignore[attr-defined]
