"""Any value, in a file per partition; see `rivers.io.pickle`."""

from rivers.io.pickle import PickleIOHandler

__all__ = ["PickleIOHandler"]
