"""Where the values of assets are kept between runs."""

from typing import TYPE_CHECKING

from rivers.io.base import BaseIOHandler, InputContext, OutputContext
from rivers.io.memory import InMemoryIOHandler
from rivers.io.pickle import PickleIOHandler

if TYPE_CHECKING:
    from rivers.io.delta import DeltaIOHandler
    from rivers.io.parquet import ParquetIOHandler

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
    """Loads Polars where frames are kept: it takes longer than all the rest of the package."""
    if name == "DeltaIOHandler":
        from rivers.io.delta import DeltaIOHandler  # noqa: PLC0415

        return DeltaIOHandler
    if name == "ParquetIOHandler":
        from rivers.io.parquet import ParquetIOHandler  # noqa: PLC0415

        return ParquetIOHandler
    msg = f"module {__name__!r} has no attribute {name!r}"
    raise AttributeError(msg)
