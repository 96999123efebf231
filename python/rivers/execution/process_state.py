"""What the user has set up in the calling process, captured there and applied in a worker process.

A function sees the same in a worker process as in a thread: environment variables, the working directory,
the import path, the locale, warning filters, and the levels of loggers. Handlers and filters of loggers
stay in the calling process, where `log_forwarding` brings the records.
"""

from __future__ import annotations

import contextlib
import locale
import logging
import os
import pickle
import re
import sys
import warnings
from typing import Any, TypedDict

import cloudpickle


class ProcessState(TypedDict):
    """What is passed on.

    Attributes:
        environ: All environment variables.
        folder: The working directory; `None` if it no longer exists.
        path: `sys.path`.
        locale: The locale of all categories.
        levels: Level of each logger that has one, by name; the root logger's is that of `""`.
        disabled: Names of the loggers that are disabled.
        disabled_level: The level of `logging.disable`.
        level_names: Names of levels.
        warning_filters: `warnings.filters`.
    """

    environ: dict[str, str]
    folder: str | None
    path: list[str]
    locale: str
    levels: dict[str, int]
    disabled: list[str]
    disabled_level: int
    level_names: dict[str, int]
    warning_filters: list[Any]


def capture() -> bytes:
    """Captures the state of this process for `apply`."""
    loggers = [
        (name, logger)
        for name, logger in list(logging.root.manager.loggerDict.items())
        if isinstance(logger, logging.Logger)
    ]
    state = ProcessState(
        environ=dict(os.environ),
        folder=_folder(),
        path=list(sys.path),
        locale=locale.setlocale(locale.LC_ALL),
        levels={"": logging.root.level}
        | {name: logger.level for name, logger in loggers if logger.level},
        disabled=[name for name, logger in loggers if logger.disabled],
        disabled_level=logging.root.manager.disable,
        level_names=logging.getLevelNamesMapping(),
        warning_filters=list(warnings.filters),
    )
    try:
        return cloudpickle.dumps(state)  # type: ignore[no-any-return]
    except Exception:  # noqa: BLE001  (a category of warnings may be local to a function)
        return pickle.dumps(state | {"warning_filters": []})


_applied: bytes | None = None
_set_levels: set[str] = set()


def apply(captured: bytes, *, is_elsewhere: bool = False) -> None:
    """Applies what `capture` returned in the calling process; does nothing if that has not changed.

    What a function changes itself stays until then.

    Args:
        captured: What `capture` returned.
        is_elsewhere: Whether this process may be on another machine: it keeps the variables that
            describe its machine, its own import path behind the caller's, and its folder if the
            caller's does not exist here.

    Raises:
        OSError: The working directory cannot be entered.
    """
    global _applied  # noqa: PLW0603  (it describes this process)
    if captured == _applied:
        return
    state: ProcessState = pickle.loads(captured)  # noqa: S301  (the calling process made it)
    if is_elsewhere:
        _apply_elsewhere(state)
    else:
        for name in os.environ.keys() - state["environ"].keys():
            del os.environ[name]
        os.environ.update(state["environ"])
        if state["folder"] is not None and state["folder"] != _folder():
            os.chdir(state["folder"])
        sys.path[:] = state["path"]
    with contextlib.suppress(locale.Error):
        locale.setlocale(locale.LC_ALL, state["locale"])
    _apply_levels(state)
    if state["warning_filters"]:
        warnings.filters[:] = state["warning_filters"]  # type: ignore[index]
        warnings._filters_mutated()  # type: ignore[attr-defined]  # noqa: SLF001  (as `simplefilter` does)
    _applied = captured


_OF_MACHINE = re.compile(
    "(RAY|CUDA|NVIDIA|ROCR|HIP|SLURM|KUBERNETES|LD)_.*|(OMP|MKL|OPENBLAS|NUMEXPR)_NUM_THREADS"
    "|PATH|HOME|USER|LOGNAME|HOSTNAME|SHELL|PWD|OLDPWD|TMPDIR|VIRTUAL_ENV|PYTHONPATH|PYTHONHOME|_"
)
"""Environment variables that describe a machine, or the share of it that a process may use."""
_own_path: list[str] = []
_set_variables: set[str] = set()


def _apply_elsewhere(state: ProcessState) -> None:
    if not _own_path:
        _own_path.extend(sys.path)
    given = {
        name: value for name, value in state["environ"].items() if not _OF_MACHINE.fullmatch(name)
    }
    for name in _set_variables - given.keys():
        os.environ.pop(name, None)
    os.environ.update(given)
    _set_variables.clear()
    _set_variables.update(given)
    if state["folder"] is not None and state["folder"] != _folder():
        with contextlib.suppress(OSError):
            os.chdir(state["folder"])
    sys.path[:] = dict.fromkeys([*state["path"], *_own_path])


def _apply_levels(state: ProcessState) -> None:
    for name, level in state["level_names"].items():
        logging.addLevelName(level, name)
    logging.disable(state["disabled_level"])
    for name in _set_levels - state["levels"].keys():
        logging.getLogger(name).setLevel(logging.NOTSET)
    for name, level in state["levels"].items():
        logging.getLogger(name).setLevel(level)
    _set_levels.clear()
    _set_levels.update(state["levels"])
    disabled = set(state["disabled"])
    for name in disabled:
        logging.getLogger(name)
    for name, logger in list(logging.root.manager.loggerDict.items()):
        if isinstance(logger, logging.Logger):
            logger.disabled = name in disabled


def _folder() -> str | None:
    try:
        return os.getcwd()  # noqa: PTH109  (a text is what is compared and passed on)
    except FileNotFoundError:
        return None
