"""What holds a backfill in check: the checks of those arguments, and what of them a rerun keeps."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rivers._validation import check_count, check_max_failures
from rivers.exceptions import ConfigurationError, ExecutionError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from rivers._rivers import Plan, Selection

_POLICIES = ("continue", "stop_on_failure")
_OVERLAPS = ("allow", "refuse")
_FASTEST = 1e9
_MOST_CANARY = 1_000
_KEPT = (
    "stop_on_failure", "max_concurrency", "priority", "max_failures", "max_starts_per_second",
    "refuse_overlap", "canary",
)  # fmt: skip


def checked(
    *,
    failure_policy: str,
    max_concurrency: int,
    max_failures: float | None,
    max_starts_per_second: float | None,
    overlap: str,
    canary: int | None,
) -> dict[str, Any]:
    """The arguments of `backfill()` as a `Submission` takes them.

    Raises:
        ConfigurationError: One has a value that is not allowed.
    """
    if failure_policy not in _POLICIES:
        msg = f"failure_policy must be one of {_POLICIES}, got {failure_policy!r}"
        raise ConfigurationError(msg)
    if overlap not in _OVERLAPS:
        msg = f"overlap must be one of {_OVERLAPS}, got {overlap!r}"
        raise ConfigurationError(msg)
    return {
        "stop_on_failure": failure_policy == "stop_on_failure",
        "max_concurrency": check_count("max_concurrency", max_concurrency),
        "max_failures": None if max_failures is None else check_max_failures(max_failures),
        "max_starts_per_second": _check_rate(max_starts_per_second),
        "refuse_overlap": overlap == "refuse",
        "canary": _check_canary(canary),
    }


def in_order(selection: Selection, order: str | list[str]) -> Selection:
    """The same partitions, in the order that `backfill()` was asked for.

    Raises:
        ConfigurationError: There is no such order, or a dimension does not exist.
    """
    match order:
        case "definition":
            return selection
        case "reverse":
            return selection.reversed()
        case [_, *_] if all(isinstance(name, str) for name in order):
            return selection.arranged(list(order))
    msg = (
        'order must be "definition", "reverse" or a list of dimensions, such as ["-date", "region"], '
        f"got {order!r}"
    )
    raise ConfigurationError(msg)


def kept(record: Mapping[str, Any]) -> dict[str, Any]:
    """What a rerun of a backfill does as the backfill did, as a `Submission` takes it."""
    return {name: record[name] for name in _KEPT}


def check_plan(plan: Plan, canary: int | None) -> None:
    """Refuses a canary where there is nothing that could wait for it, or cannot.

    Raises:
        ExecutionError: Saying what to do instead.
    """
    if canary is None:
        return
    if plan.is_one_run and plan.num_partitions > 1:
        msg = "canary needs several runs, but single_run() executes all partitions in one; use chunked(n)"
        raise ExecutionError(msg)
    if plan.layers[0][2] is not None:
        msg = (
            "canary is for runs that need nothing of each other; here a mapping between the selected assets "
            "has some wait for others: backfill a few partitions first, and then the rest"
        )
        raise ExecutionError(msg)


def _check_canary(value: int | None) -> int | None:
    if value is not None and check_count("canary", value) > _MOST_CANARY:
        msg = f"canary must be at most {_MOST_CANARY} partitions, got {value!r}"
        raise ConfigurationError(msg)
    return value


def _check_rate(value: float | None) -> float | None:
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value <= _FASTEST:
        msg = f"max_starts_per_second must be a number above 0, such as 0.5 or 20, got {value!r}"
        raise ConfigurationError(msg)
    return float(value)
