"""The storage, where everything is recorded."""

from rivers.storage.storage import Storage

__all__ = [
    "Storage",
]
