"""What partitions need of a storage: the keys of dynamic dimensions."""

from typing import Protocol


class DynamicKeySource(Protocol):
    """Has the keys of dynamic partitions: a `rivers.Storage`.

    Partitions are defined below the storage, so they name what they need of it instead of importing it.
    """

    def get_dynamic_partitions(self, name: str) -> list[str]:
        """Returns the keys registered under a name, in the order of registration."""
        ...
