"""Values a user passes to say how runs are grouped, retried and queued: plain and frozen."""

from rivers.policies.retry import Backoff, RetryPolicy
from rivers.policies.run_queue import RunQueueConfig, TagConcurrencyLimit
from rivers.policies.strategy import BackfillStrategy

__all__ = [
    "BackfillStrategy",
    "Backoff",
    "RetryPolicy",
    "RunQueueConfig",
    "TagConcurrencyLimit",
]
