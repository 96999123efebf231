"""The storage, where everything is recorded."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rivers.storage.storage import Storage

__all__ = [
    "Storage",
]


def __getattr__(name: str) -> object:
    """Imports the class on first access: the help of all commands only looks for settings here."""
    if name == "Storage":
        from rivers.storage.storage import Storage  # noqa: PLC0415

        return Storage
    msg = f"module {__name__!r} has no attribute {name!r}"
    raise AttributeError(msg)
