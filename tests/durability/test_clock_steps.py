"""The machine's clock is set forwards or back by an hour while backfills run."""

import pytest
from tests.stepped_clock import needs_compiler, preload

PROGRAM = """
step = int(sys.argv[2])

def set_clock():
    (folder / "step").write_text(str(step))

tries = []

@rs.Asset(
    partitions_def=rs.PartitionsDefinition.static_([str(n) for n in range(40)]),
    retry=rs.RetryPolicy(max_retries=1, backoff=rs.Backoff.constant(0.3)),
)
def work(context):
    if context.partition_key == "0" and not tries:
        tries.append(1)
        before = time.time()
        set_clock()
        assert abs(time.time() - before - step) < 60  # The step reaches this process.
        raise ValueError("once")
    time.sleep(0.01)

def main():
    repo = rs.CodeRepository([work], default_executor=EXECUTOR).resolve(
        rs.Storage.embedded(folder / "rivers.db")
    )
    began = time.monotonic()
    result = repo.backfill(partition_range=rs.PartitionKeyRange.single("0", "39"), max_concurrency=2)
    assert (result.status, result.completed) == ("completed", 40), result
    runs = repo.backfill_runs(result.backfill_id)
    durations = [took.total_seconds() for took in runs["duration"]]
    assert 0 <= min(durations) and max(durations) < 60, durations
    # A request of another process.
    held = repo.backfill(partition_range=rs.PartitionKeyRange.single("0", "39"), block=False, max_concurrency=1)
    repo.pause_backfill(held.backfill_id)
    (folder / "step").write_text(str(-step))
    note(held.backfill_id)
    status = repo.wait_backfill(held.backfill_id, timeout=40)
    assert status.status == "canceled", status
    assert time.monotonic() - began < 60
    print("ok")

EXECUTOR = rs.Executor.in_process()
main()
"""

CANCEL = """
repo = rs.CodeRepository([]).resolve(rs.Storage.embedded(folder / "rivers.db"))
repo.cancel_backfill(sys.argv[2])
"""


@needs_compiler
@pytest.mark.parametrize("step", [3600, -3600])
def test_a_step_of_the_clock_delays_nothing(processes, tmp_path, monkeypatch, step):
    preload(tmp_path, monkeypatch)
    process = processes.start(PROGRAM, step)
    processes.wait_for_notes(1)
    processes.end(processes.start(CANCEL, processes.notes()[0]))
    assert processes.end(process) == "ok"


ORDER = """
letters = rs.PartitionsDefinition.static_(["a", "b"])

@rs.Asset(partitions_def=letters)
def up(context):
    return 1

@rs.Asset(partitions_def=letters)
def down(context, up):
    return up

repo = rs.CodeRepository([up, down]).resolve(rs.Storage.embedded(folder / "rivers.db"))
keys = [rs.PartitionKey.single(key) for key in sys.argv[3]]
for name in sys.argv[2].split():
    if name == "forget":
        repo.forget_partitions("up", keys)
        print(repo.partition_status("up")["status"].to_list())
        sys.exit()
    repo.backfill([name], partition_keys=keys)
print(repo.partition_status("down")["stale_reason"].to_list())
"""


@needs_compiler
def test_what_happened_later_is_later_although_the_clock_was_set_back(
    processes, tmp_path, monkeypatch
):
    preload(tmp_path, monkeypatch)

    def after(step, names, keys):
        (tmp_path / "step").write_text(str(step))
        return processes.end(processes.start(ORDER, names, keys))

    assert after(3600, "up", "ab") == "[None, None]"
    # The clock is set back: what is made now is made of what was made before.
    assert after(0, "down", "ab") == "[None, None]"
    assert after(-3600, "up", "a") == "['upstream', None]"
    assert after(-7200, "down", "a") == "[None, None]"
    # What a user forgets now was made before, and what is made next is made later.
    assert after(-10800, "forget", "ab") == "['missing', 'missing']"
    assert after(-14400, "up down", "ab") == "[None, None]"
    (tmp_path / "step").write_text("0")
    assert processes.end(processes.start(ORDER, "down", "ab")) == "[None, None]"


WORKER = """
from rivers._rivers import now

@rs.Asset(partitions_def=rs.PartitionsDefinition.static_(["a"]))
def ahead():
    note(str(now() / 1e6 - time.time()))

executor = rs.Executor.parallel(max_workers=1)
repo = rs.CodeRepository([ahead], default_executor=executor).resolve(
    rs.Storage.embedded(folder / "rivers.db")
)
print(repo.backfill(partition_keys=["a"]).status)
"""


@needs_compiler
def test_the_clock_of_a_worker_process_goes_on_from_what_is_recorded_too(
    processes, tmp_path, monkeypatch
):
    preload(tmp_path, monkeypatch)
    for step in (3600, 0):
        (tmp_path / "step").write_text(str(step))
        assert processes.end(processes.start(WORKER)) == "completed"
    assert [round(float(ahead) / 3600) for ahead in processes.notes()] == [0, 1]
