"""How runs are grouped, retried and queued: plain, frozen values that a user passes."""

from rivers.policies.backoff import Backoff
from rivers.policies.retry import FailureReason, RetryOn, RetryPolicy
from rivers.policies.run_queue import RunQueueConfig, TagConcurrencyLimit
from rivers.policies.strategy import BackfillStrategy

__all__ = [
    "BackfillStrategy",
    "Backoff",
    "FailureReason",
    "RetryOn",
    "RetryPolicy",
    "RunQueueConfig",
    "TagConcurrencyLimit",
]
