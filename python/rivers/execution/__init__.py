"""Calls the user's functions: the only place that does."""

from rivers.execution.executor import Executor

__all__ = [
    "Executor",
]
