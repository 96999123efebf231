"""A console that shows any text, and that fails nothing when its stream cannot be written."""

from __future__ import annotations

import io
import os
import sys
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.segment import Segment

from rivers._text import printable

if TYPE_CHECKING:
    from collections.abc import Iterable

    from rich.console import ConsoleOptions, RenderableType


class SafeConsole(Console):
    """Writes to standard output or standard error.

    Characters that a terminal would obey are shown as escapes, wherever they come from (keys, errors, log
    lines), and so are those that the stream's encoding does not have. When the stream cannot be written (a
    full disk, a closed terminal), the rest is dropped; what runs goes on.

    Args:
        stderr: Whether it writes to standard error.

    Attributes:
        failure: Why the stream could not be written; `None` if all was written.
    """

    def __init__(self, *, stderr: bool = False) -> None:
        super().__init__(stderr=stderr, highlight=False)
        stream = sys.stderr if stderr else sys.stdout
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
        self.failure: OSError | None = None

    def render(
        self, renderable: RenderableType, options: ConsoleOptions | None = None
    ) -> Iterable[Segment]:
        """Renders an object; control sequences remain only where rich itself has made them."""
        for segment in super().render(renderable, options):
            yield segment if segment.control else Segment(printable(segment.text), segment.style)

    def print(self, *objects: Any, **options: Any) -> None:
        """Prints objects, as `rich.console.Console.print` does; only a terminal has lines of a width."""
        options.setdefault("soft_wrap", not self.is_terminal)
        try:
            super().print(*objects, **options)
        except BrokenPipeError:
            raise
        except OSError as error:
            self._give_up(error)

    def write(self, text: str) -> None:
        """Writes a text as it is."""
        try:
            self.file.write(text)
            self.file.flush()
        except BrokenPipeError:
            raise
        except OSError as error:
            self._give_up(error)

    def on_broken_pipe(self) -> None:
        """Called by rich when the reader of the stream has closed it."""
        if not self.stderr:
            super().on_broken_pipe()
        self._give_up(BrokenPipeError())

    def _give_up(self, error: OSError) -> None:
        """Has the stream lead nowhere, so that Python does not try to write the rest at its exit."""
        self.failure = self.failure or error
        self.quiet = True
        stream = sys.stderr if self.stderr else sys.stdout
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, stream.fileno())
        os.close(nowhere)
