"""`rivers cancel` and `check` in real processes."""

import json
import time


def test_cancel_from_another_process(shell):
    process = shell.begin_slow()
    assert "its process was told" in shell.run("cancel", "latest")
    time.sleep(1.5)  # It is seen within a second; from outside there is nothing to see of it.
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


def test_check_lists_the_assets_of_a_sound_repository(shell):
    out = shell.run("check", "cli_grid.py")
    assert "grid: 30 partitions (date x region)" in out
    assert "sound: 3 assets" in out
    told = json.loads(shell.run("check", "cli_grid.py", "--json"))
    assert [asset["partitions"] for asset in told] == [10, 30, 10]


def test_check_refuses_a_repository_that_is_not_well_formed(shell):
    (shell.folder / "cycle.py").write_text(
        "import rivers as rs\na = rs.Asset(lambda b: b, name='a')\nb = rs.Asset(lambda a: a, name='b')\n"
        "repo = rs.CodeRepository([a, b])\n"
    )
    assert "GraphValidationError" in shell.run("check", "cycle.py", code=2)
