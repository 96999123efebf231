"""What an IO handler is; see `rivers.io.base`."""

from rivers.io.base import BaseIOHandler, InputContext, OutputContext

__all__ = ["BaseIOHandler", "InputContext", "OutputContext"]
