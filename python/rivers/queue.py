"""The run queue's configuration (SEMANTICS 10)."""

from __future__ import annotations

from dataclasses import dataclass, field

from rivers.exceptions import ConfigurationError

BACKFILL_PRIORITY = -10
"""The priority of backfill runs; other runs have 0."""


def check_count(name: str, value: object, *, least: int = 1) -> int:
    """The value, if it is a whole number of at least `least` that fits 32 bits.

    Raises:
        ConfigurationError: It is not.
    """
    if isinstance(value, bool) or not isinstance(value, int) or not least <= value < 1 << 32:
        msg = f"{name} must be an int of at least {least}, got {value!r}"
        raise ConfigurationError(msg)
    return value


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
        ConfigurationError: The limit is no count.

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


@dataclass(frozen=True)
class RunQueueConfig:
    """One queue for all runs of a repository: higher priority first, then first come.

    Attributes:
        max_concurrent_runs: Most runs in flight, of all backfills and `materialize()` together.
        tag_concurrency_limits: Limits by tag; a run that is held back does not hold back others.

    Raises:
        ConfigurationError: `max_concurrent_runs` is no positive int.

    Example:
        >>> from rivers import RunQueueConfig, TagConcurrencyLimit
        >>> RunQueueConfig(4, [TagConcurrencyLimit("warehouse", limit=2)]).max_concurrent_runs
        4
    """

    max_concurrent_runs: int = 10
    tag_concurrency_limits: list[TagConcurrencyLimit] = field(default_factory=list)

    def __post_init__(self) -> None:
        check_count("max_concurrent_runs", self.max_concurrent_runs)
