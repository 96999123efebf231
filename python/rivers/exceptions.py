"""Every error that rivers raises, under one root.

A message states what was given, what is allowed and, where there is one, the nearest valid choice. What
a user can do next is data, `RiversError.remedy`: in `str(error)` it is worded as calls of the library,
and the command line words it as commands.
"""

from __future__ import annotations

__all__ = [
    "AssetDefinitionError",
    "AssetNotFoundError",
    "BackfillNotFoundError",
    "ConfigurationError",
    "DynamicPartitionsError",
    "ExecutionError",
    "GraphValidationError",
    "MappingDefinitionError",
    "MappingValidationError",
    "MissingInputError",
    "NodeNotFoundError",
    "PartitionDefinitionError",
    "PartitionValidationError",
    "RiversError",
    "StorageError",
    "StrategyValidationError",
    "TaskDefinitionError",
]


_REMEDIES = {
    "rerun": "rerun_backfill({id}) runs what failed or was canceled again",
    "resume": "continue it with resume_backfill({id})",
    "cancel": "wait for it, or cancel it with cancel_backfill({id})",
    "cancel_or_resume": (
        "wait for it, cancel it with cancel_backfill({id}), or continue it with resume_backfill({id}) "
        "if its process died"
    ),
    "overlap": 'wait for it, end it with cancel_backfill({id}), or pass overlap="allow"',
    "list": "backfills() lists those there are",
    "migrate": "open it once with Storage.embedded({id})",
}
"""Each remedy as a call of the library; `{id}` is the backfill or, to migrate, the storage."""


class RiversError(Exception):
    r"""The root of all errors of this package: catch it to catch them all.

    Args:
        message: What went wrong.
        remedy: What can be done about it: a verb (`"rerun"`, `"resume"`, `"cancel"`,
            `"cancel_or_resume"`, `"overlap"`, `"list"` or `"migrate"`), followed by the id of the
            backfill, or the path of the storage, if it needs one.

    Attributes:
        message: What went wrong, without the remedy.
        remedy: The remedy, or `None` if there is none.

    Example:
        >>> import rivers as rs
        >>> repo = rs.CodeRepository([]).resolve(rs.Storage.memory())
        >>> try:
        ...     repo.pause_backfill("0190")
        ... except rs.exceptions.RiversError as error:
        ...     print(error.message, error.remedy, error, sep="\n")
        there is no backfill '0190'
        ('list',)
        there is no backfill '0190'; backfills() lists those there are
    """

    def __init__(self, message: object = "", *, remedy: tuple[str, ...] | None = None) -> None:
        super().__init__(message)
        self.message = str(message)
        self.remedy = remedy

    def __str__(self) -> str:
        if self.remedy is None:
            return self.message
        verb, *ids = self.remedy
        return f"{self.message}; {_REMEDIES[verb].format(id=repr(ids[0]) if ids else '')}"


class PartitionDefinitionError(RiversError, ValueError):
    """Raised when a partition definition or a partition key is wrong in itself.

    For example: no keys, a key twice, a reserved character, a format that cannot name its windows.
    """


class AssetDefinitionError(RiversError, ValueError):
    """Raised when an asset is declared wrongly: its name, its parameters or its options."""


class TaskDefinitionError(AssetDefinitionError):
    """Raised when a task is declared wrongly: its name, its parameters or its options."""


class GraphValidationError(RiversError):
    """Raised when the assets of a repository do not fit together: a cycle or a dangling input."""


class ConfigurationError(RiversError, ValueError):
    """Raised when an argument or a config value is not one of those allowed."""


class MissingInputError(GraphValidationError, ConfigurationError):
    """Raised when a parameter of an asset or a task names neither an asset nor a resource."""


class AssetNotFoundError(RiversError, KeyError):
    """Raised when a repository has no asset of the name given; suggests close spellings."""

    __str__ = RiversError.__str__  # KeyError's would show the message in quotation marks.


NodeNotFoundError = AssetNotFoundError
"""Another name of `AssetNotFoundError`, where the asset or task of `load_node` does not exist."""


class ExecutionError(RiversError):
    """Raised when something is refused at submission, or has failed while it ran."""


class PartitionValidationError(ExecutionError, ValueError):
    """Raised when a key, a range or an asset's output does not fit the partitions there are."""


class MappingDefinitionError(PartitionDefinitionError, PartitionValidationError):
    """Raised when a partition mapping is wrong in itself: empty, or one of products inside another."""


class MappingValidationError(GraphValidationError, PartitionValidationError):
    """Raised when a partition mapping, or none, cannot relate the partitions of two assets."""


class DynamicPartitionsError(PartitionDefinitionError, NotImplementedError):
    """Raised when the keys of dynamic partitions are needed without the storage that has them."""


class StrategyValidationError(ConfigurationError, ExecutionError):
    """Raised when a strategy does not fit the partitions of the selected assets."""


class BackfillNotFoundError(ExecutionError, KeyError):
    """Raised when the storage has no backfill of the id given."""

    __str__ = RiversError.__str__  # KeyError's would show the message in quotation marks.


class StorageError(RiversError):
    """Raised when the storage cannot be opened, read or written; names the file."""
