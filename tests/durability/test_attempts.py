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
