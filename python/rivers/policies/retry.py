"""Whether and when what has failed is tried again."""

from __future__ import annotations

import json
import random
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

from rivers._validation import check_count
from rivers.exceptions import ConfigurationError

_LONGEST = 366 * 86_400.0
"""Seconds that a wait may take at the most."""


@dataclass(frozen=True)
class Backoff:
    """How long to wait before the next attempt; made with `constant`, `linear`, `exponential` or `fixed`.

    Attributes:
        kind: Which of the four.
        delays: Its numbers: the delay; `initial` and `step`; `initial` and `factor`; the schedule.
        jitter: The share, from 0 to 1, by which a wait is made longer or shorter at random, so that
            what failed together does not come back together.
        max_delay: Most seconds, before jitter; `None`: a year.

    Example:
        >>> import rivers as rs
        >>> growing = rs.Backoff.exponential(1, max_delay=5)
        >>> [growing.seconds(failures) for failures in (1, 2, 3, 4)]
        [1.0, 2.0, 4.0, 5.0]
    """

    kind: Literal["constant", "linear", "exponential", "fixed"]
    delays: tuple[float, ...]
    jitter: float = 0.0
    max_delay: float | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "delays", tuple(self.delays))
        if not self.delays:
            msg = f"Backoff.{self.kind} needs at least one delay"
            raise ConfigurationError(msg)
        limits = (("a delay", _LONGEST), ("jitter", 1.0), ("max_delay", _LONGEST))
        values = (self.delays, (self.jitter,), () if self.max_delay is None else (self.max_delay,))
        for (name, most), given in zip(limits, values, strict=True):
            for value in given:
                number = isinstance(value, int | float) and not isinstance(value, bool)
                if not number or not 0 <= value <= most:
                    what = f"{name} of Backoff.{self.kind}"
                    msg = f"{what} must be a number from 0 to {most:g}, got {value!r}"
                    raise ConfigurationError(msg)

    @classmethod
    def constant(
        cls, delay: float, *, jitter: float = 0.0, max_delay: float | None = None
    ) -> Backoff:
        """The same wait each time.

        Args:
            delay: Seconds.
            jitter: Share of the wait, from 0 to 1, that is left to chance.
            max_delay: Most seconds.

        Raises:
            ConfigurationError: A number is out of its range.
        """
        return cls("constant", (delay,), jitter, max_delay)

    @classmethod
    def linear(
        cls,
        step: float,
        *,
        initial: float = 0.0,
        jitter: float = 0.0,
        max_delay: float | None = None,
    ) -> Backoff:
        """`initial + step` after the first failure, and `step` more after each further one.

        Args:
            step: Seconds.
            initial: Seconds.
            jitter: Share of the wait, from 0 to 1, that is left to chance.
            max_delay: Most seconds.

        Raises:
            ConfigurationError: A number is out of its range.
        """
        return cls("linear", (initial, step), jitter, max_delay)

    @classmethod
    def exponential(
        cls,
        initial: float,
        *,
        factor: float = 2.0,
        jitter: float = 0.0,
        max_delay: float | None = None,
    ) -> Backoff:
        """`initial` after the first failure, and `factor` times as long after each further one.

        Args:
            initial: Seconds.
            factor: How many times longer each wait is than the one before.
            jitter: Share of the wait, from 0 to 1, that is left to chance.
            max_delay: Most seconds.

        Raises:
            ConfigurationError: A number is out of its range.
        """
        return cls("exponential", (initial, factor), jitter, max_delay)

    @classmethod
    def fixed(cls, schedule: Sequence[float], *, jitter: float = 0.0) -> Backoff:
        """A wait after each failure as listed; the last one for all further ones.

        Args:
            schedule: Seconds.
            jitter: Share of the wait, from 0 to 1, that is left to chance.

        Raises:
            ConfigurationError: The list is empty, or a number is out of its range.
        """
        return cls("fixed", tuple(schedule), jitter)

    def seconds(self, failures: int) -> float:
        """The wait after so many failures, from 1."""
        match self.kind, self.delays:
            case "linear", (initial, step):
                wait = initial + step * failures
            case "exponential", (initial, factor):
                # No power of a float: it overflows after some hundred failures.
                wait = float(initial)
                for _ in range(failures - 1):
                    if not 0 < wait < _LONGEST:
                        break
                    wait *= factor
            case _, delays:
                wait = delays[min(failures, len(delays)) - 1]
        wait = min(wait, _LONGEST if self.max_delay is None else self.max_delay)
        return float(wait * random.uniform(1 - self.jitter, 1 + self.jitter))  # noqa: S311


@dataclass(frozen=True)
class RetryPolicy:
    """How often an asset that raises is tried again, and for which exceptions.

    A run that waits for its next attempt holds no slot and no pool. The next attempt executes what
    failed and what needs it, not what is done. What `context.mark_partition_failed` marks is not
    tried again.

    Attributes:
        max_retries: Most attempts after the first.
        backoff: How long to wait; `None`: not at all.
        retry_on: Exception types, or their names (`"builtins.OSError"`); subclasses count. `None`:
            every `Exception`.

    Raises:
        ConfigurationError: `max_retries` is no count, `backoff` no `Backoff`, or `retry_on` holds
            something else.

    Example:
        >>> import rivers as rs
        >>> calls = []
        >>> @rs.Asset(retry=rs.RetryPolicy(2, retry_on=[ConnectionError]))
        ... def fetched() -> str:
        ...     calls.append("call")
        ...     if len(calls) < 3:
        ...         raise ConnectionResetError("try again")
        ...     return "data"
        >>> repo = rs.CodeRepository([fetched]).resolve(rs.Storage.memory())
        >>> repo.materialize().success, len(calls)
        (True, 3)
    """

    max_retries: int = 1
    backoff: Backoff | None = None
    retry_on: Iterable[type[BaseException] | str] | None = None

    def __post_init__(self) -> None:
        check_count("max_retries", self.max_retries, least=0)
        if self.backoff is not None and not isinstance(self.backoff, Backoff):
            msg = f"backoff must be a Backoff, such as Backoff.constant(5), got {self.backoff!r}"
            raise ConfigurationError(msg)
        if self.retry_on is None:
            return
        given = self.retry_on
        if isinstance(given, type) or not isinstance(given, Iterable) or isinstance(given, str):
            msg = f"retry_on must be a list of exception types, got {given!r}"
            raise ConfigurationError(msg)
        names = tuple(map(_name_of, given))
        if not names:
            msg = "retry_on is empty; leave it out to retry on every exception"
            raise ConfigurationError(msg)
        # By name, so that a policy can be kept with its backfill and used in another process.
        object.__setattr__(self, "retry_on", names)

    def wait(self, error: BaseException, failures: int) -> float | None:
        """Seconds until the next attempt after so many failures, this one included; `None`: no more."""
        if failures > self.max_retries or not self._covers(error):
            return None
        return self.backoff.seconds(failures) if self.backoff else 0.0

    def _covers(self, error: BaseException) -> bool:
        if self.retry_on is None:
            return isinstance(error, Exception)
        return any(_name_of(kind) in self.retry_on for kind in type(error).__mro__[:-1])

    def to_json(self) -> str:
        """The policy as JSON."""
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str) -> RetryPolicy:
        """The policy that `to_json` wrote."""
        fields: dict[str, Any] = json.loads(text)
        backoff = fields.pop("backoff")
        return cls(**fields, backoff=backoff and Backoff(**backoff))


def check_retry(name: str, value: object) -> RetryPolicy | None:
    """The value, if it is a policy or `None`.

    Raises:
        ConfigurationError: It is something else.
    """
    if value is not None and not isinstance(value, RetryPolicy):
        msg = f"{name} must be a RetryPolicy, such as RetryPolicy(max_retries=3), got {value!r}"
        raise ConfigurationError(msg)
    return value


def _name_of(kind: object) -> str:
    if isinstance(kind, str) and kind:
        return kind
    if isinstance(kind, type) and issubclass(kind, BaseException):
        return f"{kind.__module__}.{kind.__qualname__}"
    msg = f"retry_on must hold exception types or their names, got {kind!r}"
    raise ConfigurationError(msg)
