"""Exceptions made to do harm fail the run that raised them, and no other."""

import os
import shutil

import pytest

import rivers as rs
from rivers.exceptions import ExecutionError


class ExitingError(Exception):
    def __str__(self):
        raise SystemExit(3)


class InterruptingError(Exception):
    def __str__(self):
        raise KeyboardInterrupt


class NumberError(Exception):
    def __str__(self):
        return 5  # noqa: PLE0307  (that is the harm)


class SecretiveError(Exception):
    def __getattribute__(self, name):
        raise RuntimeError(name)


class Nameless(type):
    __name__ = property(lambda _: 1 / 0)


class NamelessError(Exception, metaclass=Nameless):
    pass


class OwnBaseError(BaseException):
    pass


def in_a_cycle():
    one, two = ValueError("one"), ValueError("two")
    one.__cause__, two.__cause__ = two, one
    return one


def in_a_chain():
    error = ValueError("first")
    for number in range(5_000):
        following = ValueError(str(number))
        following.__cause__, error = error, following
    return error


def in_groups():
    error = ValueError("innermost")
    for _ in range(2_000):
        error = ExceptionGroup("group", [error])
    return error


ERRORS = {
    "exits": ExitingError,
    "interrupts": InterruptingError,
    "number": NumberError,
    "secretive": SecretiveError,
    "nameless": NamelessError,
    "base": OwnBaseError,
    "cycle": in_a_cycle,
    "chain": in_a_chain,
    "groups": in_groups,
    "generator": GeneratorExit,
    "stop": StopIteration,
    "stop async": StopAsyncIteration,
}


def work(context):
    if context.partition_key in ERRORS:
        error = ERRORS[context.partition_key]()
        raise error


async def work_later(context):
    work(context)


@pytest.mark.parametrize("fn", [work, work_later])
def test_an_exception_made_to_do_harm_fails_its_run_only(fn, repo):
    keys = [key for name in ERRORS for key in (name, f"beside {name}")]
    asset = rs.Asset(fn, name="work", partitions_def=rs.PartitionsDefinition.static_(keys))
    made = repo(asset)
    result = made.backfill(partition_range=rs.PartitionKeyRange.single(keys[0], keys[-1]))
    assert (result.status, result.completed, result.failed) == ("failed", 12, 12)
    table = made.backfill_partitions(result.backfill_id)
    failed = table.filter(table["status"] == "failed")
    assert failed["partition"].to_list() == list(ERRORS)
    assert made.backfill_errors(result.backfill_id).height > 1


def test_a_working_directory_that_was_deleted_is_named(tmp_path, monkeypatch):
    asset = rs.Asset(work, name="work", partitions_def=rs.PartitionsDefinition.static_(["a", "b"]))
    everything = rs.PartitionKeyRange.single("a", "b")
    (tmp_path / "gone").mkdir()
    with rs.CodeRepository([asset], default_executor=rs.Executor.parallel(1)).resolve(
        rs.Storage.memory()
    ) as made:
        monkeypatch.chdir(tmp_path / "gone")
        shutil.rmtree(tmp_path / "gone")
        with pytest.raises(ExecutionError, match="working directory of this process does not"):
            made.backfill(partition_range=everything)
        assert made.backfills().height == 0
        os.chdir(tmp_path)
        assert made.backfill(partition_range=everything).completed == 2
