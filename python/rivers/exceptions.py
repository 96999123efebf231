"""Every error that rivers raises, under one root.

A message says what was given, what is allowed and, where there is one, the nearest right thing.
"""

__all__ = [
    "AssetDefinitionError",
    "AssetNotFoundError",
    "BackfillNotFoundError",
    "ConfigurationError",
    "ExecutionError",
    "GraphValidationError",
    "PartitionDefinitionError",
    "PartitionValidationError",
    "RiversError",
    "StorageError",
]


class RiversError(Exception):
    """The root of all errors of this package: catch it to catch them all."""


class PartitionDefinitionError(RiversError, ValueError):
    """Raised when a partition definition or a partition key is wrong in itself.

    For example: no keys, a key twice, a reserved character, a format that cannot name its windows.
    """


class AssetDefinitionError(RiversError, ValueError):
    """Raised when an asset is declared wrongly: its name, its parameters or its options."""


class GraphValidationError(RiversError):
    """Raised when the assets of a repository do not fit together: a cycle or a dangling input."""


class ConfigurationError(RiversError, ValueError):
    """Raised when an argument or a config value is not one of those allowed."""


class AssetNotFoundError(RiversError, KeyError):
    """Raised when a repository has no asset of the name given; suggests close spellings."""

    __str__ = Exception.__str__  # KeyError's would show the message in quotation marks.


class ExecutionError(RiversError):
    """Raised when something is refused at submission, or has failed while it ran."""


class PartitionValidationError(ExecutionError, ValueError):
    """Raised when a key, a range or an asset's output does not fit the partitions there are."""


class BackfillNotFoundError(ExecutionError, KeyError):
    """Raised when the storage has no backfill of the id given."""

    __str__ = Exception.__str__  # KeyError's would show the message in quotation marks.


class StorageError(RiversError):
    """Raised when the storage cannot be opened, read or written; names the file."""
