"""Which failures a retry policy covers: presets, reasons and exception types."""

import asyncio
import concurrent.futures
import os
import signal

import pytest

import rivers as rs
from rivers import FailureReason, RetryOn, RetryPolicy
from rivers.exceptions import ConfigurationError

KEY = [rs.PartitionKey.single("a")]
LETTERS = rs.PartitionsDefinition.static_(["a"])
TRANSIENT = [MemoryError(), TimeoutError(), concurrent.futures.BrokenExecutor()]
CANCELLATIONS = [asyncio.CancelledError(), concurrent.futures.CancelledError(), KeyboardInterrupt()]


def is_retried(error, retry_on):
    return RetryPolicy(1, retry_on=retry_on).wait(error, 1) is not None


@pytest.mark.parametrize("error", [ValueError(), *TRANSIENT], ids=repr)
def test_all_covers_every_exception_and_is_the_default(error):
    assert is_retried(error, RetryOn.ALL)
    assert RetryPolicy(1, retry_on=RetryOn.ALL) == RetryPolicy(1)


@pytest.mark.parametrize("error", TRANSIENT, ids=repr)
def test_transient_covers_memory_timeout_and_dead_workers(error):
    assert is_retried(error, RetryOn.TRANSIENT)


@pytest.mark.parametrize("error", [ValueError(), OSError(), SystemExit()], ids=repr)
def test_transient_covers_nothing_else(error):
    assert not is_retried(error, RetryOn.TRANSIENT)


@pytest.mark.parametrize("error", CANCELLATIONS, ids=repr)
@pytest.mark.parametrize(
    "retry_on", [None, RetryOn.ALL, [FailureReason.CANCELLED], [BaseException]], ids=repr
)
def test_a_cancellation_is_never_retried(error, retry_on):
    assert not is_retried(error, retry_on)


def test_a_list_mixes_types_names_and_reasons():
    mixed = [KeyError, "builtins.ZeroDivisionError", FailureReason.TIMEOUT]
    covered = [KeyError(), ZeroDivisionError(), TimeoutError()]
    assert all(is_retried(error, mixed) for error in covered)
    assert not any(is_retried(error, mixed) for error in (IndexError(), MemoryError()))


def test_error_is_every_exception_without_a_reason_of_its_own():
    assert is_retried(ValueError(), [FailureReason.ERROR])
    assert not any(is_retried(error, [FailureReason.ERROR]) for error in TRANSIENT)


@pytest.mark.parametrize(
    "retry_on", [None, RetryOn.TRANSIENT, [KeyError, FailureReason.TIMEOUT]], ids=repr
)
def test_a_policy_survives_being_stored(retry_on):
    policy = RetryPolicy(2, rs.Backoff.linear(1), retry_on)
    assert RetryPolicy.from_json(policy.to_json()) == policy


@pytest.mark.parametrize(
    "given", [[], [3], 3, "builtins.OSError", ValueError, "transient"], ids=repr
)
def test_anything_else_is_refused(given):
    with pytest.raises(ConfigurationError, match="retry_on"):
        RetryPolicy(1, retry_on=given)


def test_a_dead_worker_process_is_retried_as_transient(repo, tmp_path):
    def dies_once():
        if not (tmp_path / "died").exists():
            (tmp_path / "died").touch()
            os.kill(os.getpid(), signal.SIGKILL)

    asset = rs.Asset(
        dies_once, partitions_def=LETTERS, retry=RetryPolicy(1, retry_on=RetryOn.TRANSIENT)
    )
    repository = repo(asset, default_executor=rs.Executor.parallel(1))
    assert repository.backfill(partition_keys=KEY).completed == 1


def test_a_timeout_is_retried_as_transient_and_a_value_error_is_not(repo):
    calls = []

    def fails():
        calls.append(1)
        raise TimeoutError if len(calls) == 1 else ValueError

    asset = rs.Asset(
        fails, partitions_def=LETTERS, retry=RetryPolicy(5, retry_on=RetryOn.TRANSIENT)
    )
    assert repo(asset).backfill(partition_keys=KEY).failed == 1
    assert len(calls) == 2
