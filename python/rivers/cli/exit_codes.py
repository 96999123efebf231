"""The exit codes of the command line."""

INTERRUPTED = 130
"""Ctrl-C, or SIGTERM."""
WRONG_USAGE = 2
"""The command was refused."""
UNHEALTHY = 1
"""`rivers db check` found something wrong."""

_OF_STATUS = {"completed": 0}


def of_status(status: str) -> int:
    """Returns the exit code of a command that followed a backfill to its end: 0 if it completed."""
    return _OF_STATUS.get(status, 1)
