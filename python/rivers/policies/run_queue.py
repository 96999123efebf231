"""Configuration of the run queue."""

from __future__ import annotations

from dataclasses import dataclass, field

from rivers._validation import check_count, check_duration
from rivers.exceptions import ConfigurationError

BACKFILL_PRIORITY = -10
"""Priority of backfill runs; other runs have 0."""


@dataclass(frozen=True)
class TagConcurrencyLimit:
    """Limits how many runs with a tag may be in flight at once.

    Attributes:
        key: Name of the tag.
        value: Value of the tag; `None`: any value.
        limit: Maximum number of runs in flight; 0 holds all of them back.
        per_unique_value: Whether each distinct value has a limit of its own instead of sharing one;
            only without `value`.

    Raises:
        ConfigurationError: `limit` is not a count, `key` or `value` is not a `str`, or both `value` and
            `per_unique_value` are given.

    Example:
        >>> from rivers import TagConcurrencyLimit
        >>> TagConcurrencyLimit("warehouse", limit=2).limit
        2
    """

    key: str
    value: str | None = None
    limit: int = field(kw_only=True)
    per_unique_value: bool = False

    def __post_init__(self) -> None:
        check_count("TagConcurrencyLimit.limit", self.limit, least=0)
        for name, given in (("key", self.key), ("value", self.value)):
            if not isinstance(given, str) and (name == "key" or given is not None):
                msg = f"TagConcurrencyLimit.{name} must be a str, got {given!r}"
                raise ConfigurationError(msg)
        if self.per_unique_value and self.value is not None:
            msg = (
                f"per_unique_value limits each value of the tag {self.key!r} by itself, so leave out "
                f"value={self.value!r}"
            )
            raise ConfigurationError(msg)


@dataclass(frozen=True)
class RunQueueConfig:
    """Configures one queue for all runs of a repository: higher priority first, then first come.

    The queue starts a run as soon as it may start. That satisfies every `dequeue_interval`, because
    nothing waits for the next interval, and every `start_timeout`, because a run that leaves the queue
    starts at once. The two are checked and kept, and change nothing.

    Attributes:
        max_concurrent_runs: Maximum number of runs in flight, of all backfills and `materialize()`
            together.
        tag_concurrency_limits: Limits by tag. A run that is held back does not hold back others.
        dequeue_interval: Longest time between two looks at the queue: a duration such as `"250ms"`,
            `"30s"`, `"5m"` or `"1h30m"`.
        start_timeout: Longest time between leaving the queue and starting: a duration.

    Raises:
        ConfigurationError: `max_concurrent_runs` is not a positive int, `tag_concurrency_limits` contains
            something else than limits, or a duration is not one.

    Example:
        >>> from rivers import RunQueueConfig, TagConcurrencyLimit
        >>> RunQueueConfig(4, [TagConcurrencyLimit("warehouse", limit=2)]).max_concurrent_runs
        4
    """

    max_concurrent_runs: int = 10
    tag_concurrency_limits: list[TagConcurrencyLimit] = field(default_factory=list)
    dequeue_interval: str = "250ms"
    start_timeout: str = "180s"

    def __post_init__(self) -> None:
        check_count("max_concurrent_runs", self.max_concurrent_runs)
        limits = self.tag_concurrency_limits
        if not isinstance(limits, list | tuple) or not all(
            isinstance(limit, TagConcurrencyLimit) for limit in limits
        ):
            msg = f"tag_concurrency_limits must be a list of TagConcurrencyLimit, got {limits!r}"
            raise ConfigurationError(msg)
        check_duration("dequeue_interval", self.dequeue_interval)
        check_duration("start_timeout", self.start_timeout)
