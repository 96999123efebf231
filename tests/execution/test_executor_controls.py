"""What a user asks of a backfill while it runs: the same in threads, in processes and on a Ray cluster."""

import sys
import time

import cloudpickle
from tests.support import counts, letters, wait_until

import rivers as rs

cloudpickle.register_pickle_by_value(sys.modules[__name__])

EIGHT = letters(8)
ALL = rs.PartitionKeyRange.single("a", "h")


def waiting(notes, gate):
    """Makes an asset whose runs wait for a file."""

    def asset(context):
        notes.add(context.partition_key)
        deadline = time.monotonic() + 30
        while not gate.exists() and time.monotonic() < deadline:
            time.sleep(0.002)

    return rs.Asset(asset, partitions_def=EIGHT)


def test_a_cancel_lets_runs_in_flight_end_and_starts_none(on_each_executor, notes, tmp_path):
    gate = tmp_path / "gate"
    repo = on_each_executor(waiting(notes, gate))
    launched = repo.backfill(partition_range=ALL, max_concurrency=1, block=False)
    wait_until(notes.lines)
    assert repo.cancel_backfill(launched.backfill_id)
    time.sleep(0.1)
    gate.touch()
    status = repo.wait_backfill(launched.backfill_id)
    assert (status.status, counts(status)) == ("canceled", (1, 0, 7))
    assert [line[0] for line in notes.lines()] == ["a"]


def test_a_cancel_by_force_ends_runs_in_flight(on_each_executor, notes, tmp_path):
    repo = on_each_executor(waiting(notes, tmp_path / "never"))
    launched = repo.backfill(partition_range=ALL, max_concurrency=1, block=False)
    wait_until(notes.lines)
    repo.cancel_backfill(launched.backfill_id, force_after=0.1)
    status = repo.wait_backfill(launched.backfill_id, timeout=20)
    assert (status.status, counts(status)) == ("canceled", (0, 0, 8))
    (tmp_path / "never").touch()


def test_a_pause_lets_runs_in_flight_end_and_starts_none(on_each_executor, notes):
    @rs.Asset(partitions_def=rs.PartitionsDefinition.static_([str(n) for n in range(200)]))
    def slow(context):
        notes.add(context.partition_key)
        time.sleep(0.01)

    repo = on_each_executor(slow)
    span = rs.PartitionKeyRange.single("0", "199")
    launched = repo.backfill(partition_range=span, max_concurrency=2, block=False)
    wait_until(lambda: len(notes.lines()) > 5)
    repo.pause_backfill(launched.backfill_id)
    time.sleep(0.25)
    before = len(notes.lines())
    time.sleep(0.25)
    assert len(notes.lines()) == before < 200
    repo.unpause_backfill(launched.backfill_id)
    assert counts(repo.wait_backfill(launched.backfill_id)) == (200, 0, 0)
    assert len(notes.lines()) == 200


def test_a_slow_run_holds_back_none_of_those_behind_it(on_each_executor, notes, tmp_path):
    defined = rs.PartitionsDefinition.static_([str(number) for number in range(300)])
    gate = tmp_path / "gate"

    @rs.Asset(partitions_def=defined)
    def asset(context):
        if context.partition_key == "150":
            deadline = time.monotonic() + 30
            while not gate.exists() and time.monotonic() < deadline:
                time.sleep(0.002)
        notes.add(context.partition_key)

    repo = on_each_executor(asset)
    span = rs.PartitionKeyRange.single("0", "299")
    launched = repo.backfill(partition_range=span, max_concurrency=2, block=False)
    wait_until(lambda: len(notes.lines()) == 299)
    gate.touch()
    assert counts(repo.wait_backfill(launched.backfill_id)) == (300, 0, 0)


def test_an_urgent_backfill_starts_before_the_rest_of_another(on_each_executor, notes):
    def note(context):
        notes.add(context.asset_name)
        time.sleep(0.01)

    many = rs.PartitionsDefinition.static_([str(number) for number in range(200)])
    long = rs.Asset(note, name="long", partitions_def=many)
    urgent = rs.Asset(note, name="urgent", partitions_def=EIGHT)
    queue = rs.RunQueueConfig(max_concurrent_runs=2)
    repo = on_each_executor(long, urgent, run_queue=queue)
    span = rs.PartitionKeyRange.single("0", "199")
    launched = repo.backfill(["long"], partition_range=span, block=False)
    wait_until(notes.lines)
    result = repo.backfill(["urgent"], partition_range=ALL, tags=[("rivers/priority", "5")])
    assert counts(result) == (8, 0, 0)
    assert len(notes.lines()) < 150
    repo.cancel_backfill(launched.backfill_id)
    repo.wait_backfill(launched.backfill_id)


def test_a_call_that_takes_too_long_fails(on_each_executor, notes):
    @rs.Asset(partitions_def=EIGHT, timeout=0.3)
    def hangs(context):
        notes.add(context.partition_key)
        if context.partition_key in "be":
            time.sleep(20)

    repo = on_each_executor(hangs)
    result = repo.backfill(partition_range=ALL, max_concurrency=2)
    assert counts(result) == (6, 2, 0)
    assert repo.backfill_errors(result.backfill_id)["error_type"].to_list() == ["TimeoutError"]
    assert "0.3 s" in repo.get_backfill(result.backfill_id).error


def test_an_interrupt_that_a_cancel_causes_is_no_failure(on_each_executor, notes, tmp_path):
    gate = tmp_path / "gate"

    def interrupted(context):
        waiting(notes, gate).step.fn(context)
        raise KeyboardInterrupt

    repo = on_each_executor(rs.Asset(interrupted, name="asset", partitions_def=EIGHT))
    launched = repo.backfill(partition_range=ALL, max_concurrency=1, block=False)
    wait_until(notes.lines)
    repo.cancel_backfill(launched.backfill_id)
    gate.touch()
    status = repo.wait_backfill(launched.backfill_id)
    assert (status.status, counts(status)) == ("canceled", (0, 0, 8))
    assert repo.backfill_errors(launched.backfill_id).height == 0


def test_more_runs_are_in_flight_once_a_backfill_may_have_them(on_each_executor, notes, tmp_path):
    gate = tmp_path / "gate"
    repo = on_each_executor(waiting(notes, gate))
    launched = repo.backfill(partition_range=ALL, max_concurrency=1, block=False)
    wait_until(notes.lines)
    repo.update_backfill(launched.backfill_id, max_concurrency=2)
    wait_until(lambda: len(notes.lines()) == 2)
    gate.touch()
    assert counts(repo.wait_backfill(launched.backfill_id)) == (8, 0, 0)
