"""The one object that users hold."""

from rivers.repository.repository import CodeRepository

__all__ = [
    "CodeRepository",
]
