"""Frames, in a Delta Lake table per asset; see `rivers.io.delta`."""

from rivers.io.delta import DeltaIOHandler

__all__ = ["DeltaIOHandler"]
