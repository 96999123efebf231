"""Retry policies: whether and when a failed asset is executed again."""

from __future__ import annotations

import asyncio
import concurrent.futures
import enum
import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from rivers._text import did_you_mean, listed
from rivers._validation import check_count
from rivers.exceptions import ConfigurationError
from rivers.policies.backoff import Backoff

if TYPE_CHECKING:
    from collections.abc import Mapping


class FailureReason(enum.Enum):
    """A class of failures, for `RetryPolicy(retry_on=[...])`."""

    ERROR = "error"
    """Any exception that has no reason of its own below."""
    OUT_OF_MEMORY = "out_of_memory"
    """A `MemoryError`."""
    TIMEOUT = "timeout"
    """A `TimeoutError`."""
    INFRASTRUCTURE = "infrastructure"
    """A worker process died."""
    CANCELLED = "cancelled"
    """A cancellation, which is never retried."""


class RetryOn(enum.Enum):
    """Presets for `RetryPolicy(retry_on=...)`."""

    ALL = "all"
    """Every `Exception`, as without `retry_on`."""
    TRANSIENT = "transient"
    """Out of memory, timeouts and infrastructure: failures that another attempt may not have."""


_TRANSIENT = (FailureReason.OUT_OF_MEMORY, FailureReason.TIMEOUT, FailureReason.INFRASTRUCTURE)

_REASONS: list[tuple[FailureReason, tuple[type[BaseException], ...]]] = [
    (
        FailureReason.CANCELLED,
        (asyncio.CancelledError, concurrent.futures.CancelledError, KeyboardInterrupt),
    ),
    (FailureReason.OUT_OF_MEMORY, (MemoryError,)),
    (FailureReason.TIMEOUT, (TimeoutError,)),
    (FailureReason.INFRASTRUCTURE, (concurrent.futures.BrokenExecutor,)),
    (FailureReason.ERROR, (Exception,)),
]


def reason_of(error: BaseException) -> FailureReason | None:
    """Returns the reason that an exception belongs to; `None` for one that is no `Exception`."""
    return next((reason for reason, kinds in _REASONS if isinstance(error, kinds)), None)


@dataclass(frozen=True)
class RetryPolicy:
    """How often an asset that raises is retried, and after which exceptions.

    A run that waits for its next attempt holds no slot and no pool. The next attempt executes only the
    failed assets and those that depend on them. Partitions marked with
    `context.mark_partition_failed` are not retried, and neither is a cancellation.

    Attributes:
        max_retries: Maximum number of attempts after the first.
        backoff: Delay before each retry; `None`: no delay.
        retry_on: A preset, such as `RetryOn.TRANSIENT`, or a list of exception types, their names
            (`"builtins.OSError"`) and `FailureReason`s. Subclasses are included. `None`: every
            `Exception`.

    Raises:
        ConfigurationError: `max_retries` is not a count, `backoff` is not a `Backoff`, or `retry_on`
            contains something else.

    Example:
        >>> import rivers as rs
        >>> calls = []
        >>> @rs.Asset(retry=rs.RetryPolicy(2, retry_on=[ConnectionError, rs.FailureReason.TIMEOUT]))
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
    retry_on: RetryOn | Iterable[type[BaseException] | FailureReason | str] | None = None

    def __post_init__(self) -> None:
        check_count("max_retries", self.max_retries, least=0)
        if self.backoff is not None and not isinstance(self.backoff, Backoff):
            msg = f"backoff must be a Backoff, such as Backoff.constant(5), got {self.backoff!r}"
            raise ConfigurationError(msg)
        # Exceptions by name, so that the policy can be stored and used in another process.
        object.__setattr__(self, "retry_on", _selectors(self.retry_on))

    def wait(self, error: BaseException, failures: int) -> float | None:
        """Returns the delay in seconds until the next attempt; `None` if there is none.

        Args:
            error: The exception of the last attempt.
            failures: Number of failed attempts, including the last.
        """
        if failures > self.max_retries or not self._covers(error):
            return None
        return self.backoff.seconds(failures) if self.backoff else 0.0

    def _covers(self, error: BaseException) -> bool:
        reason = reason_of(error)
        if reason is FailureReason.CANCELLED:
            return False
        selectors: Any = self.retry_on
        if selectors is None:
            return isinstance(error, Exception)
        names = {_selector(kind) for kind in type(error).__mro__[:-1]}
        return any(selector is reason or selector in names for selector in selectors)

    def to_json(self) -> str:
        """Returns the policy as JSON."""
        fields = asdict(self)
        if self.retry_on is not None:
            fields["retry_on"] = [
                {"reason": each.value} if isinstance(each, FailureReason) else each
                for each in fields["retry_on"]
            ]
        return json.dumps(fields)

    @classmethod
    def from_json(cls, text: str) -> RetryPolicy:
        """Reads what `to_json` wrote."""
        fields: dict[str, Any] = json.loads(text)
        backoff = fields.pop("backoff")
        if fields["retry_on"] is not None:
            fields["retry_on"] = [
                FailureReason(each["reason"]) if isinstance(each, dict) else each
                for each in fields["retry_on"]
            ]
        return cls(**fields, backoff=backoff and Backoff(**backoff))


def check_retry(
    argument: str, value: object, retries: Mapping[str, RetryPolicy] | None = None
) -> RetryPolicy | None:
    """Returns the policy that an argument means: itself, the one of a name, or `None`.

    Args:
        argument: Name of the argument, for messages.
        value: The policy, a name in `retries`, or `None`.
        retries: The repository's policies by name.

    Raises:
        ConfigurationError: It is something else, or there is no policy of that name.
    """
    if value is None or isinstance(value, RetryPolicy):
        return value
    known = retries or {}
    if isinstance(value, str):
        if value in known:
            return known[value]
        msg = (
            f"{argument} names the retry policy {value!r}, but retries of the repository has "
            f"{listed(known) or 'no entry'}{did_you_mean(value, known)}"
        )
        raise ConfigurationError(msg)
    msg = f"{argument} must be a RetryPolicy, such as RetryPolicy(max_retries=3), got {value!r}"
    raise ConfigurationError(msg)


def check_retries(retries: object) -> dict[str, RetryPolicy]:
    """Returns the policies of `CodeRepository(retries=)` by name.

    Raises:
        ConfigurationError: It is not a dict of name to policy.
    """
    if retries is None:
        return {}
    if not isinstance(retries, dict) or not all(
        isinstance(name, str) and isinstance(policy, RetryPolicy)
        for name, policy in retries.items()
    ):
        msg = f"retries must be a dict of name to RetryPolicy, got {retries!r}"
        raise ConfigurationError(msg)
    return dict(retries)


def _selectors(given: object) -> tuple[FailureReason | str, ...] | None:
    """Returns what a policy compares exceptions with; `None`: every `Exception`."""
    if given is None or given is RetryOn.ALL:
        return None
    if given is RetryOn.TRANSIENT:
        return _TRANSIENT
    if isinstance(given, type | str) or not isinstance(given, Iterable):
        msg = (
            f"retry_on must be a list of exception types and FailureReasons, or RetryOn.ALL or "
            f"RetryOn.TRANSIENT, got {given!r}"
        )
        raise ConfigurationError(msg)
    selectors = tuple(map(_selector, given))
    if not selectors:
        msg = "retry_on is empty; leave it out to retry on every exception"
        raise ConfigurationError(msg)
    return selectors


def _selector(kind: object) -> FailureReason | str:
    if isinstance(kind, FailureReason) or (isinstance(kind, str) and kind):
        return kind
    if isinstance(kind, type) and issubclass(kind, BaseException):
        return f"{kind.__module__}.{kind.__qualname__}"
    msg = f"retry_on must hold exception types, their names or FailureReasons, got {kind!r}"
    raise ConfigurationError(msg)
