"""Refuses to execute anything while the command line imports a user's file.

A file that calls `backfill()` at its top level would run it whenever a command loads the file, even for
`rivers check` or a dry run.
"""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

from rivers.exceptions import ExecutionError

if TYPE_CHECKING:
    from collections.abc import Iterator

_importing: list[str] = []
"""The files that are being imported, also by threads that they start: no context variable."""


@contextmanager
def importing(name: str) -> Iterator[None]:
    """Marks that the command line imports a module.

    Args:
        name: The module, as the user named it.
    """
    _importing.append(name)
    try:
        yield
    finally:
        _importing.pop()


def refuse_while_importing(call: str) -> None:
    """Refuses a call that would execute assets while the command line imports a file.

    Args:
        call: The name of the method.

    Raises:
        ExecutionError: A file is being imported.
    """
    if _importing:
        msg = (
            f"{call}() was called while the command line was importing {_importing[-1]}; put such calls "
            f'below if __name__ == "__main__": and leave the repository above it'
        )
        raise ExecutionError(msg)
