"""How runs are grouped, retried, queued and followed by hooks: plain values that a user passes."""

from rivers.policies.backoff import Backoff
from rivers.policies.hook import Hook, HookContext
from rivers.policies.retry import FailureReason, RetryOn, RetryPolicy
from rivers.policies.run_queue import RunQueueConfig, TagConcurrencyLimit
from rivers.policies.strategy import BackfillStrategy

__all__ = [
    "BackfillStrategy",
    "Backoff",
    "FailureReason",
    "Hook",
    "HookContext",
    "RetryOn",
    "RetryPolicy",
    "RunQueueConfig",
    "TagConcurrencyLimit",
]
