"""What differs while the command line imports a user's file: nothing is executed, and its options apply.

A file that calls `backfill()` at its top level would run it whenever a command loads the file, even for
`rivers check` or a dry run.
"""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

from rivers.exceptions import ExecutionError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rivers.execution.executor import Executor

_executors: list[Executor | None] = []
"""Where the runs of the repositories of these files are executed; `None`: where each says."""
_importing: list[str] = []
"""The files that are being imported, also by threads that they start: no context variable."""


@contextmanager
def importing(name: str, executor: Executor | None = None) -> Iterator[None]:
    """Marks that the command line imports a module.

    Args:
        name: The module, as the user named it.
        executor: Where the runs of its repositories are executed; `None`: where each says.
    """
    _importing.append(name)
    _executors.append(executor)
    try:
        yield
    finally:
        _importing.pop()
        _executors.pop()


def executor_of_command() -> Executor | None:
    """Where the command line has the runs of a repository executed that is being made; `None`: as it says."""
    return _executors[-1] if _executors else None


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
