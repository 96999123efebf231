"""Delays between attempts."""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from rivers.exceptions import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Sequence

MAX_DELAY_SECONDS = 366 * 86_400.0
"""Maximum delay: a year."""


@dataclass(frozen=True)
class Backoff:
    """The delay before the next attempt; `constant`, `linear`, `exponential` and `fixed` make it.

    Attributes:
        kind: Name of the method that made it.
        delays: The delay; `initial` and `step`; `initial` and `factor`; or the schedule.
        jitter: Fraction, from 0 to 1, by which each delay is lengthened or shortened at random, so that
            runs that failed together are not retried at the same instant.
        max_delay: Maximum delay in seconds, before jitter; `None`: a year.

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
        limits = (("a delay", MAX_DELAY_SECONDS), ("jitter", 1.0), ("max_delay", MAX_DELAY_SECONDS))
        values = (self.delays, (self.jitter,), () if self.max_delay is None else (self.max_delay,))
        for (name, maximum), given in zip(limits, values, strict=True):
            for value in given:
                number = isinstance(value, int | float) and not isinstance(value, bool)
                if not number or not 0 <= value <= maximum:
                    what = f"{name} of Backoff.{self.kind}"
                    msg = f"{what} must be a number from 0 to {maximum:g}, got {value!r}"
                    raise ConfigurationError(msg)

    @classmethod
    def constant(
        cls, delay: float, *, jitter: float = 0.0, max_delay: float | None = None
    ) -> Backoff:
        """Waits equally long each time.

        Args:
            delay: Delay in seconds.
            jitter: Fraction, from 0 to 1, by which the delay varies at random.
            max_delay: Maximum delay in seconds.

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
        """Waits `initial + step` after the first failure, and `step` more after each further one.

        Args:
            step: Increase per failure, in seconds.
            initial: Delay in seconds before the first increase.
            jitter: Fraction, from 0 to 1, by which the delay varies at random.
            max_delay: Maximum delay in seconds.

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
        """Waits `initial` after the first failure, and `factor` times as long after each further one.

        Args:
            initial: First delay in seconds.
            factor: Ratio of each delay to the one before.
            jitter: Fraction, from 0 to 1, by which the delay varies at random.
            max_delay: Maximum delay in seconds.

        Raises:
            ConfigurationError: A number is out of its range.
        """
        return cls("exponential", (initial, factor), jitter, max_delay)

    @classmethod
    def fixed(cls, schedule: Sequence[float], *, jitter: float = 0.0) -> Backoff:
        """Waits as listed after each failure, and like the last entry after all further ones.

        Args:
            schedule: Delays in seconds.
            jitter: Fraction, from 0 to 1, by which the delay varies at random.

        Raises:
            ConfigurationError: The list is empty, or a number is out of its range.
        """
        return cls("fixed", tuple(schedule), jitter)

    def seconds(self, failures: int) -> float:
        """Returns the delay in seconds after the given number of failures, which is at least 1."""
        match self.kind, self.delays:
            case "linear", (initial, step):
                wait = initial + step * failures
            case "exponential", (initial, factor):
                # No power of a float: it overflows after some hundred failures.
                wait = float(initial)
                for _ in range(failures - 1):
                    if not 0 < wait < MAX_DELAY_SECONDS:
                        break
                    wait *= factor
            case _, delays:
                wait = delays[min(failures, len(delays)) - 1]
        wait = min(wait, MAX_DELAY_SECONDS if self.max_delay is None else self.max_delay)
        return float(wait * random.uniform(1 - self.jitter, 1 + self.jitter))  # noqa: S311
