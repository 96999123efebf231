"""`rivers cancel`, `pause`, `unpause`, `set` and `check` in real processes."""

import json
import time

from tests.support import wait_until


def test_cancel_from_another_process(shell):
    process = shell.begin_slow()
    assert "runs in flight end first" in shell.run("cancel", "latest")
    time.sleep(1.5)  # The request is applied within a second, which cannot be observed from here.
    shell.open_gate()
    out, _ = shell.end(process, 1)
    assert "canceled: 2 completed, 8 canceled of 10 partitions" in out
    assert "has ended: canceled; nothing to cancel" in shell.run("cancel", "latest")
    assert "there is no backfill 'other'" in shell.run("cancel", "other", code=2)


def test_cancel_ends_what_a_dead_process_has_left(shell):
    process = shell.begin_slow()
    process.kill()
    process.wait()
    (record,) = shell.records()
    assert shell.run("cancel", "latest").strip() == f"{record['backfill_id']}: canceled"


def test_pause_and_unpause_from_another_process(shell):
    process = shell.begin_slow()
    assert "paused; the process that runs it sees it" in shell.run("pause", "latest")
    assert shell.records()[0]["paused"]
    time.sleep(1.5)  # The request is applied within a second, which cannot be observed from here.
    shell.open_gate()
    wait_until(lambda: shell.records()[0]["completed"] == 2)
    assert "goes on; the process that runs it sees it" in shell.run("unpause", "latest")
    out, _ = shell.end(process, 0)
    assert "completed: 10 completed of 10 partitions" in out
    for verb in ("pause", "unpause"):
        assert "has ended (completed)" in shell.run(verb, "latest", code=2)


def test_set_changes_a_backfill_of_another_process(shell):
    (shell.folder / "pyproject.toml").write_text("[tool.rivers]\nmax_concurrency = 9\n")
    process = shell.begin_slow()
    assert "priority 5; the process that runs it" in shell.run("set", "latest", "--priority", 5)
    # The project's settings for new backfills do not change this one.
    (record,) = shell.records()
    assert (record["max_concurrency"], record["priority"]) == (2, 5)
    told = shell.run("set", "latest", "--max-concurrency", 4)
    assert told.startswith(f"{record['backfill_id']}: max_concurrency 4;")
    wait_until(lambda: len(shell.waiting()) == 4)
    assert "max_failures 0.5;" in shell.run("set", "latest", "--max-failures", 0.5)
    assert shell.records()[0]["max_failures"] == 0.5
    shell.open_gate()
    shell.end(process, 0)
    refused = shell.run("set", "latest", "--max-concurrency", 0, code=2)
    assert "max_concurrency must be an int of at least 1" in refused
    assert "there is nothing to change" in shell.run("set", "latest", code=2)


def test_check_lists_the_assets_of_a_valid_repository(shell):
    out = shell.run("check", "grid.py")
    assert "grid: 30 partitions (date x region)" in out
    assert "ok: 3 assets" in out
    told = json.loads(shell.run("check", "grid.py", "--json"))
    assert [asset["partitions"] for asset in told] == [10, 30, 10]


def test_check_refuses_a_repository_that_is_not_well_formed(shell):
    (shell.folder / "cycle.py").write_text(
        "import rivers as rs\na = rs.Asset(lambda b: b, name='a')\nb = rs.Asset(lambda a: a, name='b')\n"
        "repo = rs.CodeRepository([a, b])\n"
    )
    assert "GraphValidationError" in shell.run("check", "cycle.py", code=2)
