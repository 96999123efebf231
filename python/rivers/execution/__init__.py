"""Executes runs: the only folder that calls the user's functions."""

from rivers.execution.executor import Executor

__all__ = [
    "Executor",
]
