"""A backfill in the background goes on when its repository is dropped, and is released at its end."""

import gc
import weakref

import pytest
from tests.support import letters, run_script, wait_until

import rivers as rs

ALL = rs.PartitionKeyRange.single("a", "h")

SCRIPT = """
import gc, sys, time
import rivers as rs

def make():
    letters = rs.PartitionsDefinition.static_([str(number) for number in range(60)])

    @rs.Asset(partitions_def=letters)
    def letter():
        time.sleep(0.01)

    executor = rs.Executor.parallel(2) if sys.argv[1] == "processes" else rs.Executor.in_process()
    return rs.CodeRepository([letter], default_executor=executor).resolve(rs.Storage.embedded("storage.db"))

everything = rs.PartitionKeyRange.single("0", "59")
if sys.argv[2] == "backfill":
    make().backfill(partition_range=everything, block=False)
else:
    make().submit(partition_key=rs.PartitionKey.single([str(number) for number in range(60)]))
gc.collect()
"""


@pytest.mark.parametrize("executor", ["threads", "processes"])
@pytest.mark.parametrize("verb", ["backfill", "submit"])
def test_the_interpreter_waits_for_a_repository_without_a_reference(
    tmp_path, monkeypatch, executor, verb
):
    monkeypatch.chdir(tmp_path)
    done = run_script(SCRIPT, executor, verb)
    assert (done.returncode, done.stderr) == (0, "")
    storage = rs.Storage.embedded("storage.db")
    assert len(storage.get_materialized_partitions("letter")) == 60


def test_a_dropped_repository_is_released_after_its_last_backfill():
    asset = rs.Asset(lambda: None, name="a", partitions_def=letters(8))
    repository = rs.CodeRepository([asset]).resolve(rs.Storage.memory())
    released = weakref.ref(repository._launcher.runtime)
    result = repository.backfill(partition_range=ALL, block=False)
    repository.wait_backfill(result.backfill_id)
    del repository

    def is_released():
        gc.collect()
        return released() is None

    wait_until(is_released)
