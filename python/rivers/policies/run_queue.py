"""The run queue's configuration."""

from __future__ import annotations

from dataclasses import dataclass, field

from rivers._validation import check_count
from rivers.exceptions import ConfigurationError

BACKFILL_PRIORITY = -10
"""The priority of backfill runs; other runs have 0."""


@dataclass(frozen=True)
class TagConcurrencyLimit:
    """How many runs with a tag may be in flight at once.

    Attributes:
        key: The tag's name.
        value: The tag's value; `None`: any value.
        limit: Most runs in flight; 0 holds them back.
        per_unique_value: With `value=None`: each distinct value has a limit of its own, rather
            than all values sharing one.

    Raises:
        ConfigurationError: The limit is no count, the tag is no text, or `per_unique_value` is asked
            of a single value.

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
    """One queue for all runs of a repository: higher priority first, then first come.

    Attributes:
        max_concurrent_runs: Most runs in flight, of all backfills and `materialize()` together.
        tag_concurrency_limits: Limits by tag; a run that is held back does not hold back others.

    Raises:
        ConfigurationError: `max_concurrent_runs` is no positive int, or a limit is none.

    Example:
        >>> from rivers import RunQueueConfig, TagConcurrencyLimit
        >>> RunQueueConfig(4, [TagConcurrencyLimit("warehouse", limit=2)]).max_concurrent_runs
        4
    """

    max_concurrent_runs: int = 10
    tag_concurrency_limits: list[TagConcurrencyLimit] = field(default_factory=list)

    def __post_init__(self) -> None:
        check_count("max_concurrent_runs", self.max_concurrent_runs)
        limits = self.tag_concurrency_limits
        if not isinstance(limits, list | tuple) or not all(
            isinstance(limit, TagConcurrencyLimit) for limit in limits
        ):
            msg = f"tag_concurrency_limits must be a list of TagConcurrencyLimit, got {limits!r}"
            raise ConfigurationError(msg)
