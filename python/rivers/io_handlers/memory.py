"""Values in the memory of this process; see `rivers.io.memory`."""

from rivers.io.memory import InMemoryIOHandler

__all__ = ["InMemoryIOHandler"]
