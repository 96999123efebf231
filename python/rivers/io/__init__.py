"""Where the values of assets are kept between runs."""

from rivers.io.base import BaseIOHandler, InputContext, OutputContext
from rivers.io.memory import InMemoryIOHandler
from rivers.io.parquet import ParquetIOHandler
from rivers.io.pickle import PickleIOHandler

__all__ = [
    "BaseIOHandler",
    "InMemoryIOHandler",
    "InputContext",
    "OutputContext",
    "ParquetIOHandler",
    "PickleIOHandler",
]
