"""The IO handlers, under module names that existing programs import; `rivers.io` has the same classes."""

from typing import TYPE_CHECKING

from rivers import io
from rivers.io import (
    BaseIOHandler,
    InMemoryIOHandler,
    InputContext,
    OutputContext,
    PickleIOHandler,
)

if TYPE_CHECKING:
    from rivers.io import DeltaIOHandler, ParquetIOHandler

__all__ = [
    "BaseIOHandler",
    "DeltaIOHandler",
    "InMemoryIOHandler",
    "InputContext",
    "OutputContext",
    "ParquetIOHandler",
    "PickleIOHandler",
]


def __getattr__(name: str) -> object:
    """Loads the handlers of frames when they are used, as `rivers.io` does."""
    if name in __all__:
        return getattr(io, name)
    msg = f"module {__name__!r} has no attribute {name!r}"
    raise AttributeError(msg)
