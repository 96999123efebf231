"""Recorded attempts of runs survive the death of the process."""

from tests.support import wait_until

SCRIPT = """
letters = rs.PartitionsDefinition.static_(["a", "b"])
backoff = rs.Backoff.fixed({backoff})


@rs.Asset(partitions_def=letters, retry=rs.RetryPolicy(5, backoff))
def flaky(context: rs.AssetExecutionContext):
    note(f"{{context.partition_key}}{{context.attempt}}")
    if context.partition_key == "b":
        if context.attempt == 4 and len(sys.argv) == 2:
            wait_for("never")
        raise ConnectionError("away")


repo = rs.CodeRepository([flaky]).resolve(rs.Storage.embedded(folder / "rivers.db"))
if len(sys.argv) == 2:
    repo.backfill(partition_range=rs.PartitionKeyRange.single("a", "b"), max_concurrency=1)
else:
    result = repo.resume_backfill(sys.argv[2], block=False)
    {then}
    runs = repo.backfill_runs(sys.argv[2])
    print(runs["status"].to_list(), runs["attempts"].to_list())
"""


SEVERAL = """
def keys(context):
    return "".join(str(key) for key in context.partition.keys)


letters = rs.PartitionsDefinition.static_(["a", "b", "c"])
mode = sys.argv[2]


@rs.Asset(partitions_def=letters)
def kept(context: rs.AssetExecutionContext):
    note(f"kept{keys(context)}")
    context.add_output_metadata({"attempt": context.attempt})
    return 1


@rs.Asset(partitions_def=letters, io_handler=rs.InMemoryIOHandler())
def gone(context: rs.AssetExecutionContext):
    note(f"gone{keys(context)}")
    return 1


@rs.Asset(partitions_def=letters, retry=rs.RetryPolicy(2, rs.Backoff.fixed([3_600 if mode == "wait" else 0])))
def yielding(context: rs.AssetExecutionContext, kept: dict):
    note(f"yielding{keys(context)}")
    for key in context.partition.keys:
        if str(key) == "b" and context.attempt == 1:
            raise ConnectionError("away")
        if str(key) == "c" and mode == "block":
            note("blocked")
            wait_for("never")
        yield key, f"{key}{context.attempt}"


@rs.Asset(partitions_def=letters)
def last(context: rs.AssetExecutionContext, yielding: dict, gone):
    note(f"last{keys(context)}")
    return {key: f"{yielding[str(key)]}{gone}" for key in context.partition.keys}


repo = rs.CodeRepository([kept, gone, yielding, last]).resolve(rs.Storage.embedded(folder / "rivers.db"))
if mode in ("block", "wait"):
    repo.backfill(
        partition_range=rs.PartitionKeyRange.single("a", "c"), strategy=rs.BackfillStrategy.single_run()
    )
elif mode == "resume":
    print(repo.resume_backfill(sys.argv[3]).status)
else:
    repo.cancel_backfill(sys.argv[3])
    for name in ("kept", "gone", "yielding"):
        table = repo.partition_status(name, metadata=True)
        print(table["status"].to_list(), table["metadata"].to_list())
    print(repo.rerun_backfill(sys.argv[3]).status)
if mode in ("resume", "rerun"):
    print([repo.load_node("last", rs.PartitionKey.single(key)) for key in "abc"])
"""


def test_what_an_earlier_attempt_materialized_is_not_executed_again_after_a_kill(processes):
    process = processes.start(SEVERAL, "block")
    processes.wait_for_notes(5)
    wait_until(lambda: processes.sql("SELECT count(*) FROM attempt") == [[1]])
    processes.kill(process)
    assert processes.notes() == ["keptabc", "goneabc", "yieldingabc", "yieldingbc", "blocked"]
    backfill_id = processes.sql("SELECT id FROM backfill")[0][0]
    told = processes.end(processes.start(SEVERAL, "resume", backfill_id))
    assert told.splitlines() == ["completed", "['a11', 'b21', 'c21']"]
    # The values of `gone` were in the memory of the process; what the second attempt yielded is not recorded.
    assert processes.notes()[5:] == ["goneabc", "yieldingbc", "lastabc"]
    processes.check_integrity()


def test_a_rerun_executes_what_the_attempts_of_a_canceled_run_left(processes):
    process = processes.start(SEVERAL, "wait")
    processes.wait_for_notes(3)
    wait_until(lambda: processes.sql("SELECT count(*) FROM attempt") == [[1]])
    processes.kill(process)
    backfill_id = processes.sql("SELECT id FROM backfill")[0][0]
    told = processes.end(processes.start(SEVERAL, "rerun", backfill_id))
    facts = '{"attempt": 1}'
    assert told.splitlines() == [
        f"{['materialized'] * 3} {[facts] * 3}",
        f"{['missing'] * 3} {[None] * 3}",
        f"{['materialized', 'missing', 'missing']} {[None] * 3}",
        "completed",
        "['a11', 'b21', 'c21']",
    ]
    assert processes.notes()[3:] == ["goneabc", "yieldingbc", "yieldingbc", "lastabc"]


def _killed(processes, script, notes):
    process = processes.start(script)
    processes.wait_for_notes(notes)
    # A noted attempt is committed once the next run is in flight.
    asked = "SELECT (SELECT count(*) FROM attempt), (SELECT sum(runs) FROM segment)"
    wait_until((processes.folder / "rivers.db").exists)
    attempts = notes - 2 if notes > 2 else 1
    wait_until(lambda: processes.sql(asked) == [[attempts, 1]])
    processes.kill(process)
    return processes.sql("SELECT id FROM backfill")[0][0]


def test_attempts_are_counted_on_after_a_kill(processes):
    script = SCRIPT.format(backoff=[0], then="repo.close()")
    backfill_id = _killed(processes, script, notes=5)
    before = processes.notes()
    assert sorted(before) == ["a1", "b1", "b2", "b3", "b4"]
    told = processes.end(processes.start(script, backfill_id))
    # The attempt during which the process died is repeated; ended ones are not.
    assert processes.notes()[len(before) :] == ["b4", "b5", "b6"]
    assert told == "['completed', 'failed'] [1, 6]"
    processes.check_integrity()


def test_what_waited_for_its_next_attempt_waits_on(processes):
    then = "repo.get_backfill(sys.argv[2]).status == 'in_progress' or sys.exit(1)"
    leave = "\nrepo.cancel_backfill(sys.argv[2])\n"
    script = SCRIPT.format(backoff=[3_600], then=then) + leave
    backfill_id = _killed(processes, script, notes=2)
    assert processes.end(processes.start(script, backfill_id)) == "['completed', 'waiting'] [1, 1]"
    assert sorted(processes.notes()) == ["a1", "b1"]
