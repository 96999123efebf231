"""A killed backfill whose runs depend on each other resumes in dependency order."""

import pytest

import rivers as rs

SCRIPT = """
days = rs.PartitionsDefinition.daily("2024-01-01", "2024-03-01")
files = rs.PickleIOHandler(folder / "values")


def raw(context):
    note(f"raw {context.partition_key}")
    return 1


def total(context, raw, total=None):
    note(f"total {context.partition_key}")
    time.sleep(0.004)
    if context.partition_key == "2024-02-20":
        raise ValueError("told to")
    return (total or 0) + raw


before = rs.PartitionMapping.time_window(-1)
assets = [
    rs.Asset(raw, partitions_def=days, io_handler=files),
    rs.Asset(total, partitions_def=days, io_handler=files, deps=[rs.AssetDef.input("total", before)]),
]
executor = rs.Executor.parallel(2) if sys.argv[3] == "processes" else None
repo = rs.CodeRepository(assets, default_executor=executor).resolve(
    rs.Storage.embedded(folder / "rivers.db")
)
if __name__ == "__main__":
    if sys.argv[2] == "start":
        repo.backfill(partition_keys=days.get_partition_keys())
    else:
        result = repo.resume_backfill(sys.argv[2])
        last = repo.load_node("total", rs.PartitionKey.single("2024-02-19"))
        print(result.completed, result.failed, last)
"""


@pytest.mark.parametrize("executor", ["threads", "processes"])
def test_what_was_recorded_is_not_repeated_and_the_order_holds(processes, executor):
    first = processes.start(SCRIPT, "start", executor)
    processes.wait_for_notes(80)
    processes.kill(first)
    (backfill_id, ended), *_ = processes.sql(
        "SELECT backfill.id, segment.runs_ended FROM backfill JOIN segment ON backfill = key ORDER BY seq DESC"
    )
    before = processes.notes()
    assert 0 < ended < 120
    recorded = set(processes.recorded_runs())
    assert len(recorded) == ended

    out = processes.end(processes.start(SCRIPT, backfill_id, executor))

    # Each asset has 60 days; the 51st total fails, and so do the nine after it.
    assert out == "110 10 50"
    again = processes.notes()[len(before) :]
    days = rs.PartitionsDefinition.daily("2024-01-01", "2024-03-01").get_partition_keys()
    names = [f"raw {key}" for key in days] + [f"total {key}" for key in days]
    assert not {names[run] for run in recorded} & set(again)
    totals = [note for note in again if note.startswith("total")]
    assert totals == sorted(totals)
    assert totals[-1] == "total 2024-02-20"
    assert sorted(processes.recorded_runs()) == list(range(120))
