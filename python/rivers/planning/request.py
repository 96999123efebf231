"""The options of `backfill()` and `materialize()`: checked, typed, to and from what is stored."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, TypeAlias, TypedDict, get_args

from rivers._rivers import process_id
from rivers._text import is_storable
from rivers._validation import LARGEST_PRIORITY, check_count, check_max_failures, check_timeout
from rivers.exceptions import ConfigurationError
from rivers.planning.launch_info import NO_LAUNCH_INFO, LaunchInfo
from rivers.planning.selection import asset_names
from rivers.policies.retry import RetryPolicy, check_retry
from rivers.policies.run_queue import BACKFILL_PRIORITY
from rivers.policies.strategy import BackfillStrategy
from rivers.storage.storage import PRIORITY_TAG

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from rivers.assets.asset_graph import Node
    from rivers.partitions import PartitionKeyRange
    from rivers.partitions.key_forms import KeyLikes

FailurePolicy: TypeAlias = Literal["continue", "stop_on_failure"]
"""What a failed partition means for the runs that have not started."""

Overlap: TypeAlias = Literal["allow", "refuse"]
"""Whether two unfinished backfills may cover the same partition of an asset."""

Order: TypeAlias = Literal["definition", "reverse"] | list[str]
"""The order in which partitions are run; a list names dimensions, the slowest first."""

Kept: TypeAlias = Literal["stored", "process", "run"]
"""Where values are kept: where others find them, in the memory of a process, or until a run ends."""


class Keeping(NamedTuple):
    """How the values of an asset are kept.

    Attributes:
        where: Where they are.
        facts: What is known of each of them, as JSON; `None`: nothing.
    """

    where: Kept
    facts: str | None


RERUN_TAG = "rivers/rerun_of"
"""The tag of a rerun: the id of the backfill whose partitions it runs again."""

MAX_STARTS_PER_SECOND = 1e9
MAX_CANARY = 1_000
_RESERVED = "rivers/"
_FAILURE_POLICIES: tuple[str, ...] = get_args(FailurePolicy)
_OVERLAPS: tuple[str, ...] = get_args(Overlap)
_STORED_POLICIES: dict[FailurePolicy, str] = {
    "continue": "Continue",
    "stop_on_failure": "StopOnFailure",
}


class MoreOptions(TypedDict, total=False):
    """The arguments of `CodeRepository.backfill()` that have names only."""

    only_missing: bool
    include_upstream: bool
    include_downstream: bool
    retry: RetryPolicy | str | None
    max_failures: float | None
    order: Order
    max_starts_per_second: float | None
    overlap: Overlap
    canary: int | None
    timeout: float | None
    only_stale: bool


class BackfillOptions(MoreOptions, total=False):
    """The arguments of `CodeRepository.backfill()` by name, all but `block`."""

    selection: Sequence[str] | None
    partition_keys: KeyLikes | None
    partition_range: PartitionKeyRange | None
    strategy: BackfillStrategy | str | None
    failure_policy: FailurePolicy
    max_concurrency: int
    tags: Sequence[tuple[str, str]] | None
    config: Mapping[str, Mapping[str, Any]] | None
    dry_run: bool


@dataclass(frozen=True)
class BackfillRequest:
    """Every option of `CodeRepository.backfill()`, checked when the request is made.

    `block` and `dry_run` are no part of it: they say what the caller does with the request.

    Attributes:
        selection: Names of the assets; `None` for all partitioned ones.
        partition_keys: The partitions, as `select_partitions()` takes them.
        partition_range: Or a range of them.
        strategy: How partitions are grouped into runs; `None` for what the assets declare.
        failure_policy: Whether runs still start after a failure.
        max_concurrency: Maximum number of runs in flight.
        tags: Attached to each run.
        config: Values of the assets' config models, by asset.
        only_missing: Whether to leave out materialized partitions.
        include_upstream: Whether to add all partitions that the selected ones need.
        include_downstream: Whether to add all partitions that need the selected ones.
        retry: How failing assets are retried; `None` for what the assets or the repository declare.
        max_failures: Number of failed partitions, or their fraction, that stops the backfill.
        order: The order in which partitions are run.
        max_starts_per_second: Maximum number of runs that start in a second.
        overlap: Whether another unfinished backfill may cover the same partitions.
        canary: Number of runs that go first; the others start when those have succeeded.
        timeout: Maximum duration of a call, in seconds; `None` for what the assets declare.
        only_stale: Whether to leave out partitions that are materialized and up to date.
        rerun_of: Id of the backfill whose partitions this one runs again.
        priority: Place in the queue, higher first; by default the tag `rivers/priority`, else -10.

    Raises:
        ConfigurationError: An option has a value that is not allowed.
        ExecutionError: `selection` is empty.
        TypeError: `selection` or `strategy` has a wrong type.
    """

    selection: Sequence[str] | None = None
    partition_keys: KeyLikes | None = None
    partition_range: PartitionKeyRange | None = None
    strategy: BackfillStrategy | None = None
    failure_policy: FailurePolicy = "continue"
    max_concurrency: int = 4
    tags: Sequence[tuple[str, str]] | None = None
    config: Mapping[str, Mapping[str, Any]] | None = None
    only_missing: bool = False
    include_upstream: bool = False
    include_downstream: bool = False
    retry: RetryPolicy | None = None
    max_failures: float | None = None
    order: Order = "definition"
    max_starts_per_second: float | None = None
    overlap: Overlap = "allow"
    canary: int | None = None
    timeout: float | None = None
    only_stale: bool = False
    rerun_of: str | None = None
    priority: int = BACKFILL_PRIORITY

    def __post_init__(self) -> None:
        _check_word("failure_policy", self.failure_policy, _FAILURE_POLICIES)
        _check_word("overlap", self.overlap, _OVERLAPS)
        check_count("max_concurrency", self.max_concurrency)
        if self.selection is not None:
            object.__setattr__(self, "selection", asset_names(self.selection))
        if isinstance(self.strategy, str):
            object.__setattr__(self, "strategy", BackfillStrategy.parse(self.strategy))
        if self.strategy is not None and not isinstance(self.strategy, BackfillStrategy):
            msg = (
                "strategy must be a BackfillStrategy, such as BackfillStrategy.multi_run(), "
                f"got {self.strategy!r}"
            )
            raise TypeError(msg)
        if self.max_failures is not None:
            check_max_failures(self.max_failures)
        _check_rate(self.max_starts_per_second)
        _check_canary(self.canary)
        check_timeout("timeout", self.timeout)
        _check_order(self.order)
        check_retry("retry", self.retry)
        tags, priority = check_tags(self.tags, self.priority)
        object.__setattr__(self, "tags", tags)
        object.__setattr__(self, "priority", priority)

    def to_json(
        self,
        nodes: Sequence[Node],
        config: str | None,
        kept: Sequence[Keeping],
        clock_ahead: int,
        launch: LaunchInfo = NO_LAUNCH_INFO,
        notified: Sequence[str] = (),
    ) -> str:
        """The request as it is stored; which partitions and runs it has is stored as its plan.

        Args:
            nodes: The assets that are executed, in order.
            config: `config` as JSON, checked against the assets.
            kept: How the values of each asset are kept.
            clock_ahead: How far the repository's clock is ahead of the machine's, in microseconds.
            launch: How it was launched.
            notified: Who is to be notified of its end, as `Notifier.receivers` names them.
        """
        max_failures = self.max_failures
        kind = "Count" if isinstance(max_failures, int) else "Share"
        rate = self.max_starts_per_second
        rerun = [] if self.rerun_of is None else [(RERUN_TAG, self.rerun_of)]
        return json.dumps({
            "kind": "Backfill",
            "assets": _stored_assets(nodes, kept),
            "sessions": _session(clock_ahead),
            "failure_policy": _STORED_POLICIES[self.failure_policy],
            "max_concurrency": self.max_concurrency,
            "priority": self.priority,
            "tags": [*(self.tags or ()), *rerun],
            "config": config,
            "retry": None if self.retry is None else self.retry.to_json(),
            "launch": launch.to_json(),
            "notified": list(notified),
            "control": {
                "max_failures": None if max_failures is None else {kind: max_failures},
                "max_starts_per_second": None if rate is None else float(rate),
                "refuse_overlap": self.overlap == "refuse",
                "canary": self.canary,
                "timeout": None if self.timeout is None else float(self.timeout),
            },
        })  # fmt: skip

    @classmethod
    def from_json(cls, text: str) -> BackfillRequest:
        """The request that is stored: `to_json()` without the partitions, which the plan has.

        Args:
            text: As `Store.request()` returns it: options that were updated have their new values.
        """
        stored: dict[str, Any] = json.loads(text)
        control = stored["control"]
        tags = [(name, value) for name, value in stored["tags"]]
        return cls(
            selection=[asset["name"] for asset in stored["assets"]],
            failure_policy=next(
                policy
                for policy, name in _STORED_POLICIES.items()
                if name == stored["failure_policy"]
            ),
            max_concurrency=stored["max_concurrency"],
            tags=[tag for tag in tags if tag[0] != RERUN_TAG],
            config=None if stored["config"] is None else json.loads(stored["config"]),
            retry=None if stored["retry"] is None else RetryPolicy.from_json(stored["retry"]),
            max_failures=next(iter((control["max_failures"] or {}).values()), None),
            max_starts_per_second=control["max_starts_per_second"],
            overlap="refuse" if control["refuse_overlap"] else "allow",
            canary=control["canary"],
            timeout=control["timeout"],
            rerun_of=dict(tags).get(RERUN_TAG),
            priority=stored["priority"],
        )

    def rerun_options(
        self,
        backfill_id: str,
        max_concurrency: int | None = None,
        max_failures: float | None = None,
    ) -> BackfillRequest:
        """The request of a rerun of the backfill that was made with this request.

        Args:
            backfill_id: The backfill that is run again.
            max_concurrency: Another maximum number of runs in flight; `None` keeps it.
            max_failures: Another limit of failures; `None` keeps it.
        """
        changed: dict[str, Any] = {"max_concurrency": max_concurrency, "max_failures": max_failures}
        changed = {name: value for name, value in changed.items() if value is not None}
        return replace(self, rerun_of=backfill_id, **changed)


@dataclass(frozen=True)
class RunRequest:
    """The options of `CodeRepository.materialize()` that are stored, checked when it is made.

    Attributes:
        tags: Attached to the run.
        config: Values of the assets' config models, by asset.
        priority: Place in the queue, higher first; by default the tag `rivers/priority`, else 0.
        retry: How failing assets are retried; `None` for what the assets or the repository declare.
        max_concurrency: Maximum number of runs in flight.

    Raises:
        ConfigurationError: An option has a value that is not allowed.
    """

    tags: Sequence[tuple[str, str]] | None = None
    config: Mapping[str, Mapping[str, Any]] | None = None
    priority: int = 0
    retry: RetryPolicy | None = None
    max_concurrency: int = 1
    timeout: None = None

    def __post_init__(self) -> None:
        check_retry("retry", self.retry)
        tags, priority = check_tags(self.tags, self.priority)
        object.__setattr__(self, "tags", tags)
        object.__setattr__(self, "priority", priority)

    def to_json(
        self,
        nodes: Sequence[Node],
        config: str | None,
        kept: Sequence[Keeping],
        clock_ahead: int,
        launch: LaunchInfo = NO_LAUNCH_INFO,
        notified: Sequence[str] = (),
    ) -> str:
        """The request as it is stored; the arguments are those of `BackfillRequest.to_json`."""
        del launch, notified  # A run by hand is not continued, and nobody is notified of its end.
        return json.dumps({
            "kind": "Manual",
            "assets": _stored_assets(nodes, kept),
            "sessions": _session(clock_ahead),
            "failure_policy": "Continue",
            "max_concurrency": self.max_concurrency,
            "priority": self.priority,
            "tags": list(self.tags or ()),
            "config": config,
        })  # fmt: skip


def check_tags(
    tags: Sequence[tuple[str, str]] | None, default_priority: int
) -> tuple[list[tuple[str, str]], int]:
    """Returns the checked tags, and the priority that they ask for or `default_priority`.

    Raises:
        ConfigurationError: A tag is no pair of `str`, has a reserved name, or is no priority.
    """
    priority: int | None = None
    checked: list[tuple[str, str]] = []
    if isinstance(tags, dict):
        msg = f"tags must be a list of (name, value), got the dict {tags!r}; use list(tags.items())"
        raise ConfigurationError(msg)
    for tag in tags or ():
        match tag:
            case (str() as name, str() as value):
                if not is_storable(name) or not is_storable(value):
                    msg = f"the tag {tag!r} cannot be stored: it holds half of a surrogate pair"
                    raise ConfigurationError(msg)
                checked.append((name, value))
            case _:
                msg = f"a tag must be a (name, value) pair of str, got {tag!r}"
                raise ConfigurationError(msg)
        if name == PRIORITY_TAG:
            if priority is not None:
                msg = f"the tag {PRIORITY_TAG!r} is given twice"
                raise ConfigurationError(msg)
            priority = _priority(value)
        elif name.startswith(_RESERVED):
            msg = (
                f"the tag name {name!r} is reserved; of those with {_RESERVED!r}, "
                f"{PRIORITY_TAG!r} can be given"
            )
            raise ConfigurationError(msg)
    return checked, default_priority if priority is None else priority


def _priority(text: str) -> int:
    try:
        priority = int(text)
    except ValueError:
        priority = None
    if priority is None or abs(priority) > LARGEST_PRIORITY:
        msg = f"the tag {PRIORITY_TAG!r} must be an integer as text, such as '5', got {text!r}"
        raise ConfigurationError(msg)
    return priority


def _check_word(name: str, value: object, allowed: tuple[str, ...]) -> None:
    if value not in allowed:
        msg = f"{name} must be one of {allowed}, got {value!r}"
        raise ConfigurationError(msg)


def _check_canary(value: int | None) -> None:
    if value is not None and check_count("canary", value) > MAX_CANARY:
        msg = f"canary must be at most {MAX_CANARY} partitions, got {value!r}"
        raise ConfigurationError(msg)


def _check_rate(value: float | None) -> None:
    if value is None:
        return
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    if not is_number or not 0 < value <= MAX_STARTS_PER_SECOND:
        msg = f"max_starts_per_second must be a number above 0, such as 0.5 or 20, got {value!r}"
        raise ConfigurationError(msg)


def _check_order(value: object) -> None:
    match value:
        case "definition" | "reverse":
            return
        case [_, *_] if all(isinstance(name, str) for name in value):
            return
    msg = (
        'order must be "definition", "reverse" or a list of dimensions, such as ["-date", "region"], '
        f"got {value!r}"
    )
    raise ConfigurationError(msg)


def _session(clock_ahead: int) -> list[dict[str, Any]]:
    """Which process runs the request: what it keeps in memory ends with it."""
    return [{"process": process_id(), "clock_ahead": clock_ahead}]


def _stored_assets(nodes: Sequence[Node], kept: Sequence[Keeping]) -> list[dict[str, Any]]:
    return [
        {
            "name": node.name,
            "code_version": node.asset.code_version,
            "partitioned": node.definition is not None,
            "step": node.asset.step.name if node.asset.step.kind == "multi" else None,
            "kept": keeping.where,
            "facts": keeping.facts,
        }
        for node, keeping in zip(nodes, kept, strict=True)
    ]


def stored_assets_json(nodes: Sequence[Node], kept: Sequence[Keeping]) -> str:
    """How assets are declared, as a request stores it."""
    return json.dumps(_stored_assets(nodes, kept))
