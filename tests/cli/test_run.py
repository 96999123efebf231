"""`rivers backfill`, `rerun`, `resume` in real processes: arguments, output and exit codes."""

import json
import signal
import subprocess
import sys
import time
from pathlib import Path
from uuid import uuid4

import polars as pl
import pytest
from tests.postgres_server import running_server
from tests.support import wait_until

import rivers as rs

DAYS = ("--from", "2024-01-01", "--to", "2024-01-04")


def planned(shell, *words):
    out = shell.run("backfill", "grid.py", "--dry-run", *words)
    return out.removeprefix("dry run: ").partition(" of ")[0].strip()


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["--assets", "daily", *DAYS], "4 partitions in 4 runs"),
        (["--assets", "daily,slow", *DAYS, "--strategy", "single_run"], "4 partitions in 1 run"),
        (["--assets", "daily", *DAYS, "--strategy", "chunked(3)"], "4 partitions in 2 runs"),
        (["--assets", "daily", "--partitions", "2024-01-01,2024-01-03"], "2 partitions in 2 runs"),
        (["--assets", "daily", "--from", "2024-01-08"], "3 partitions in 3 runs"),
        (["--assets", "daily", "--from", "-9999d", "--to", "2024-01-02"], "2 partitions in 2 runs"),
        (["--assets", "daily", "--to", "2024-01-03"], "3 partitions in 3 runs"),
        (["--assets", "daily", "--from", "2024-01", "--to", "2024-01"], "10 partitions in 10 runs"),
        (["--assets", "grid", "--range", "date=2024-01-02..", "--range", "region=us"], "9 partitions in 9 runs"),
        (["--assets", "grid", "--range", "date=2024-01", "--range", "region=us"], "10 partitions in 10 runs"),
        (["--assets", "daily", "--only-missing"], "10 partitions in 10 runs"),
        (["--assets", "grid", "--range", "date=2024-01-01..2024-01-02"], "6 partitions in 6 runs"),
        (
            ["--assets", "grid", "--range", "date=2024-01-01..2024-01-02", "--range", "region=us,eu",
             "--strategy", "date=multi,region=single"],
            "4 partitions in 2 runs",
        ),
        (["--assets", "grid", "--partitions", "date=2024-01-01|region=us,eu"], "2 partitions in 2 runs"),
    ],
)  # fmt: skip
def test_each_way_to_name_partitions(shell, words, expected):
    assert planned(shell, *words) == expected


GRAPH = """
import rivers as rs

days = rs.PartitionsDefinition.daily("2024-01-01", "2024-01-11")
hours = rs.PartitionsDefinition.hourly("2024-01-01", "2024-01-11")
whole = rs.PartitionMapping.time_window()
repo = rs.CodeRepository([
    rs.Asset(lambda: None, name="hourly", partitions_def=hours),
    rs.Asset(lambda: None, name="daily", partitions_def=days, deps=[rs.AssetDef.dep("hourly", whole)]),
])
"""


def test_a_selection_is_widened_along_the_graph(shell):
    (shell.folder / "graph.py").write_text(GRAPH)
    words = ["backfill", "graph.py", "--dry-run", "--assets"]
    out = shell.run(*words, "daily", *DAYS, "--include-upstream")
    assert out.split("\n")[:3] == [
        "dry run: 100 partitions in 100 runs", "  hourly: 96 partitions", "  daily: 4 partitions",
    ]  # fmt: skip
    hour = ["--partitions", "2024-01-03T05:00"]
    assert "2 partitions" in shell.run(*words, "hourly", *hour, "--include-downstream")


FLAKY = """
import rivers as rs

def flaky(context: rs.AssetExecutionContext):
    if context.attempt < 3:
        raise ConnectionError("away")

letters = rs.PartitionsDefinition.static_(["a", "b"])
repo = rs.CodeRepository([rs.Asset(flaky, partitions_def=letters)])
"""


def test_what_raises_is_tried_again_so_often(shell):
    (shell.folder / "flaky.py").write_text(FLAKY)
    words = ["backfill", "flaky.py", "--from", "a", "--to", "b", "--retry"]
    shell.run(*words, "1", code=1)
    shell.run(*words, "2")
    assert "Invalid value for '--retry'" in shell.run(*words, "-1", code=2)


@pytest.mark.parametrize("kind", ["csv", "parquet"])
def test_a_file_of_keys(shell, kind):
    table = pl.DataFrame({"date": ["2024-01-01", "2024-01-09"], "region": ["us", "asia"]})
    path = shell.folder / f"keys.{kind}"
    getattr(table, f"write_{kind}")(path)
    assert planned(shell, "--assets", "grid", "--keys", path.name) == "2 partitions in 2 runs"


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ([], "name the partitions in one way"),
        ([*DAYS, "--range", "date=a"], "not --from and --to with --range"),
        (["--assets", "dayly", *DAYS], "did you mean 'daily'"),
        (["--assets", "daily", "--from", "2024-01-01", "--to", "2025-01-01"], "2025-01-01"),
        (["--assets", "daily", *DAYS, "--strategy", "both"], "--strategy is multi_run, single_run"),
        (["--assets", "daily", *DAYS, "--on-failure", "retry"], "retry"),
        (
            ["--assets", "daily", *DAYS, "--max-concurrency", "0"],
            "Invalid value for '--max-concurrency'",
        ),
        (["--assets", "daily", *DAYS, "--max-failures", "few"], "a count such as 10 or a fraction"),
        (["--assets", "daily", *DAYS, "--max-failures", "0"], "--max-failures': must be a count"),
        (
            ["--assets", "daily", *DAYS, "--max-starts-per-second", "0"],
            "--max-starts-per-second': 0.0 is not",
        ),
        (
            ["--assets", "daily", *DAYS, "--overlap", "deny"],
            "--overlap': 'deny' is not one of 'allow', 'refuse'",
        ),
        (["--assets", "daily", *DAYS, "--canary", "0"], "--canary': 0 is not in the range"),
        (["--assets", "daily", *DAYS, "--tag", "team"], "--tag takes name=value, got 'team'"),
        (["--assets", "daily", *DAYS, "--config", "none.json"], "'none.json' cannot be read"),
        (["--assets", "daily", "--keys", "keys.txt"], "a table is a .csv or .parquet file"),
        (["--assets", "daily", "--keys", "keys.csv"], "'keys.csv' cannot be read"),
        (["--assets", "grid", "--range", "date"], "--range takes name=value"),
        (
            ["--assets", "grid", "--from", "2024-01"],
            "have date, region; give --range date=2024-01..",
        ),
        (["--assets", "grid", "--only-missing", "--order", "-dat"], 'did you mean "date"'),
        (["--colour"], "No such option"),
    ],
)
def test_wrong_usage_prints_a_paragraph_and_stores_nothing(shell, words, expected):
    assert expected in shell.run("backfill", "grid.py", *words, code=2)
    assert not shell.records()


def test_the_module_and_its_repository(shell):
    (shell.folder / "two.py").write_text(
        "from grid import daily, grid\nimport rivers as rs\n"
        "one, other = rs.CodeRepository([daily]), rs.CodeRepository([grid])\n"
    )
    (shell.folder / "broken.py").write_text("import rivers\n\n1 / 0\n")
    (shell.folder / "empty.py").write_text("")
    assert "two:one or two:other" in shell.run("backfill", "two", *DAYS, code=2)
    assert "it has: one, other" in shell.run("backfill", "two.py:three", *DAYS, code=2)
    assert "4 partitions" in shell.run("backfill", "two.py:one", "--dry-run", *DAYS)
    refused = shell.run("backfill", "broken.py", *DAYS, code=2)
    assert "ZeroDivisionError: division by zero" in refused
    assert "broken.py, line 3" in refused
    assert "empty has no CodeRepository" in shell.run("backfill", "empty", *DAYS, code=2)
    assert "there is no file 'gone.py'" in shell.run("backfill", "gone.py", *DAYS, code=2)


def test_an_order_of_dimensions(shell):
    shell.run(
        "backfill", "grid.py", "--assets", "grid", "--only-missing", "--order", "-date,region"
    )
    (record,) = shell.records()
    first = shell.storage()._store.plan(record["key"]).run(0)
    assert str(first.key(0)) == "date=2024-01-10|region=us"
    assert (
        planned(shell, "--assets", "daily", *DAYS, "--order", "reverse") == "4 partitions in 4 runs"
    )


def test_a_bound_on_starts(shell):
    words = ("--assets", "daily", *DAYS, "--max-starts-per-second", 2.5)
    shell.run("backfill", "grid.py", *words)
    assert shell.records()[0]["max_starts_per_second"] == 2.5


def test_what_another_process_holds_can_be_refused(shell):
    process = shell.begin_slow()
    (record,) = shell.records()
    words = ("backfill", "grid.py", "--assets", "slow", *DAYS, "--overlap", "refuse")
    refused = shell.run(*words, code=2)
    assert f'the backfill "{record["backfill_id"]}" has not ended and holds 4 of' in refused
    shell.open_gate()
    shell.end(process, 0)


def test_a_canary_that_fails_stops_it_and_the_summary_says_so(shell):
    config = shell.folder / "config.json"
    config.write_text(json.dumps({"daily": {"bad": ["2024-01-03"]}}))
    out = shell.run(
        "backfill", "grid.py", "--assets", "daily", "--only-missing", "--config", "config.json",
        "--max-concurrency", 1, "--canary", 2, code=1,
    )  # fmt: skip
    assert "failed: 0 completed, 1 failed, 9 canceled of 10 partitions" in out
    assert "stopped since canary=2 failed, 9 canceled" in out


def test_a_failure_ends_with_1_and_the_command_that_runs_the_rest(shell):
    config = shell.folder / "config.json"
    config.write_text(json.dumps({"daily": {"bad": ["2024-01-02"]}}))
    out = shell.run(
        "backfill", "grid.py", "--assets", "daily", *DAYS, "--config", "config.json",
        "--tag", "team=sales", "--storage", "here.db", code=1,
    )  # fmt: skip
    (record,) = shell.records("here.db")
    assert record["tags"] == [("team", "sales")]
    assert "4 partitions in 4 runs of daily, at most 4 at a time" in out
    assert "failed: 3 completed, 1 failed of 4 partitions" in out
    assert "no data for 2024-01-02" in out
    rerun = f"rivers rerun {record['backfill_id']} grid.py --storage here.db"
    assert f"run the rest with: {rerun}" in out
    out = shell.run(*rerun.split()[1:], code=1)  # The config is kept, so it fails again.
    assert "1 partition in 1 run" in out
    refused = shell.run("rerun", "0", "grid.py", "--storage", "here.db", code=2)
    assert "2 backfills begin with '0'" in refused


def test_too_many_failures_stop_it_and_the_summary_says_so(shell):
    config = shell.folder / "config.json"
    bad = [f"2024-01-0{day}" for day in range(1, 8)]
    config.write_text(json.dumps({"daily": {"bad": bad}}))
    out = shell.run(
        "backfill", "grid.py", "--assets", "daily", "--only-missing", "--config", "config.json",
        "--max-concurrency", 1, "--max-failures", 3, code=1,
    )  # fmt: skip
    assert "failed: 0 completed, 3 failed, 7 canceled of 10 partitions" in out
    assert "stopped at max_failures=3, 7 canceled" in out


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupt_cancels_the_rest_and_a_rerun_does_it(shell, number):
    process = shell.begin_slow()
    process.send_signal(number)
    wait_until(lambda: "canceling: nothing new starts" in process.stderr.readline())
    shell.open_gate()
    out, _ = shell.end(process, 130)
    assert "canceled: 2 completed, 8 canceled of 10 partitions" in out
    assert f"rivers rerun {shell.records()[0]['backfill_id']} grid.py" in out
    assert "8 partitions in 8 runs" in shell.run("rerun", "latest", "grid.py")


def test_a_second_interrupt_leaves_at_once_and_a_resume_goes_on(shell):
    process = shell.begin_slow()
    process.send_signal(signal.SIGINT)
    wait_until(lambda: "canceling" in process.stderr.readline())
    time.sleep(0.3)  # The cancel is applied now, which cannot be observed from here.
    process.send_signal(signal.SIGINT)
    out, _ = shell.end(process, 130)
    backfill_id = shell.records()[0]["backfill_id"]
    assert "interrupted: 0 completed of 10 partitions" in out
    assert f"go on with: rivers resume {backfill_id} grid.py" in out
    shell.open_gate()
    out = shell.run("resume", "latest", "grid.py")
    assert "completed: 10 completed of 10 partitions" in out
    assert [record["backfill_id"] for record in shell.records()] == [backfill_id]


def test_a_detached_backfill_outlives_its_terminal_and_writes_a_log(shell):
    words = ("backfill", "grid.py", "--assets", "slow", "--only-missing", "--detach")
    first, second = shell.run(*words).splitlines()
    (record,) = shell.records()
    assert (first, record["status"]) == (f"backfill {record['backfill_id']}", "in_progress")
    log = Path(second.removeprefix("log "))
    assert log.name == f"{record['backfill_id']}.log"
    shell.open_gate()
    wait_until(lambda: "completed: 10 completed of 10 partitions" in log.read_text())
    assert shell.records()[0]["status"] == "completed"


@pytest.mark.parametrize("flags", [[], ["--detach"]])
def test_values_that_end_with_a_command_are_announced_and_missing_afterwards(shell, flags):
    """A server keeps no values, so an asset without a handler keeps them in memory."""
    with running_server() as server:
        url = f"{server}?schema=t_{uuid4().hex}"
        words = ["backfill", "grid.py", "--assets", "daily", *DAYS, "--only-missing"]
        for _ in range(2):
            told = shell.end(shell.start(*words, *flags, RIVERS_STORAGE=url), 0)
            assert "values of 'daily' are kept in memory and cannot be loaded after" in told[1]
            wait_until(lambda: "in_progress" not in shell.run("list", RIVERS_STORAGE=url))
        table = rs.BackfillClient(url).backfills()
        assert table["num_partitions"].to_list() == [4, 4], "they were missing again"
        rows = shell.run("partitions", "grid.py:daily", "--json", RIVERS_STORAGE=url)
        assert {row["status"] for row in json.loads(rows)} == {"missing"}


def detached(shell, *words):
    """Waits for a detached backfill; returns its id and its log."""
    first, second = shell.run(*words, "--detach").splitlines()
    log = Path(second.removeprefix("log "))
    wait_until(lambda: "of 10 partitions" in log.read_text() or "of 1 partition" in log.read_text())
    return first.removeprefix("backfill "), log.read_text()


def test_a_resume_and_a_rerun_can_be_detached(shell):
    process = shell.begin_slow()
    process.kill()
    process.wait()
    shell.open_gate()
    (record,) = shell.records()
    backfill_id, log = detached(shell, "resume", "latest", "grid.py")
    assert backfill_id == record["backfill_id"]
    assert "completed: 10 completed of 10 partitions" in log
    (shell.folder / "config.json").write_text(json.dumps({"daily": {"bad": ["2024-01-02"]}}))
    words = ["backfill", "grid.py", "--assets", "daily", *DAYS, "--config", "config.json"]
    shell.run(*words, code=1)
    backfill_id, log = detached(shell, "rerun", "latest", "grid.py")
    assert backfill_id == shell.records()[0]["backfill_id"]
    assert "failed: 0 completed, 1 failed of 1 partition" in log
    words = ["rerun", "latest", "grid.py", "--detach", "--dry-run"]
    assert "not both" in shell.run(*words, code=2)


def test_a_rerun_of_one_error_type(shell):
    (shell.folder / "config.json").write_text(json.dumps({"daily": {"bad": ["2024-01-02"]}}))
    words = ["backfill", "grid.py", "--assets", "daily", *DAYS, "--config", "config.json"]
    shell.run(*words, code=1)
    again = ["rerun", "latest", "grid.py", "--dry-run", "--error-type"]
    assert "1 partition in 1 run" in shell.run(*again, "ValueError")
    assert "the types are 'ValueError'" in shell.run(*again, "KeyError", code=2)


def test_messages_of_the_library_name_commands(shell):
    process = shell.begin_slow()
    refused = shell.run("rerun", "latest", "grid.py", code=2)
    (record,) = shell.records()
    backfill_id = record["backfill_id"]
    ways = f"cancel it with 'rivers cancel {backfill_id}', or continue it with 'rivers resume {backfill_id}"
    assert ways in refused
    refused = shell.run("resume", "latest", "grid.py", code=2)
    assert f"cancel it with 'rivers cancel {backfill_id}'" in refused
    process.kill()
    process.wait()
    shell.open_gate()
    shell.run("backfill", "grid.py", "--assets", "daily", *DAYS)
    other = shell.start("backfill", "grid.py", "--assets", "daily", *DAYS)
    _, told = shell.end(other, 0)
    assert "_backfill(" not in told
    shell.run("resume", record["backfill_id"], "grid.py")
    refused = shell.run("resume", record["backfill_id"], "grid.py", code=2)
    assert f"'rivers rerun {backfill_id}' runs what failed or was canceled again" in refused


def test_a_detached_backfill_that_is_refused_says_why_and_leaves_no_log(shell):
    words = ("backfill", "grid.py", "--assets", "dayly", "--only-missing", "--detach")
    assert "did you mean 'daily'" in shell.run(*words, code=2)
    assert not list(shell.folder.glob(".rivers/logs/*"))
    assert "not both" in shell.run(*words, "--dry-run", code=2)


def test_settings_come_from_flags_then_variables_then_the_project(shell):
    project = shell.folder / "pyproject.toml"
    project.write_text('[tool.rivers]\nmodule = "grid.py"\nstorage = "p.db"\nmax_concurrency = 7\n')
    words = ["backfill", "--assets", "daily", *DAYS]
    assert "at most 7 at a time" in shell.run(*words)
    assert len(shell.records("p.db")) == 1
    variables = {"RIVERS_MAX_CONCURRENCY": "5", "RIVERS_STORAGE": "v.db"}
    assert "at most 5 at a time" in shell.run(*words, **variables)
    assert len(shell.records("v.db")) == 1
    flags = ["--max-concurrency", "3", "--storage", "f.db"]
    assert "at most 3 at a time" in shell.run(*words, *flags, **variables)
    assert len(shell.records("f.db")) == 1
    project.write_text('[tool.rivers]\nstorag = "p.db"\n')
    assert "did you mean 'storage'" in shell.run(*words, code=2)


@pytest.mark.parametrize("command", ["backfill", "rerun", "resume"])
def test_the_help_of_each_command_has_an_example(shell, command):
    assert f"Example: rivers {command}" in shell.run(command, "--help")


def test_the_shell_completes_commands(shell):
    def completed(words):
        last = str(len(words.split()) - 1)
        asked = {"_RIVERS_COMPLETE": "bash_complete", "COMP_WORDS": words, "COMP_CWORD": last}
        return [line.removeprefix("plain,") for line in shell.run(**asked).split()]

    assert completed("rivers backf") == ["backfill"]
    assert completed("rivers db mi") == ["migrate"]
    assert completed("rivers backfill --on-f") == ["--on-failure"]


def test_importing_rivers_imports_neither_click_nor_rich():
    code = "import rivers, sys; print({'click', 'rich'} & {name.split('.')[0] for name in sys.modules})"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"
