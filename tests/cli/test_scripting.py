"""What scripts rely on: JSON of every command, ids and modules that are remembered, keys from a pipe."""

import json
import re
import signal
import subprocess
import sys
import time

import polars as pl
import pytest
from tests.support import wait_until

import rivers as rs
from rivers.cli import parse
from rivers.exceptions import ConfigurationError

DAYS = ("--from", "2024-01-01", "--to", "2024-01-04")
DAILY = ("backfill", "grid.py", "--assets", "daily", *DAYS)


@pytest.fixture
def failed(shell):
    (shell.folder / "config.json").write_text(json.dumps({"daily": {"bad": ["2024-01-02"]}}))
    shell.run(*DAILY, "--config", "config.json", code=1)
    return shell


def latest(shell):
    return shell.records()[0]["backfill_id"]


def test_the_module_is_remembered_and_the_latest_is_meant(failed):
    first = latest(failed)
    out = failed.run("rerun", code=1)
    assert "1 partition in 1 run" in out
    assert f"run the rest with: rivers rerun {latest(failed)} " in out
    for words in (["@2"], [first], [first[:-1]], ["grid.py"], ["@2", "grid.py"]):
        plan = json.loads(failed.run("rerun", *words, "-n", "--json"))
        assert (plan["num_partitions"], plan["is_dry_run"]) == (1, True), words
    assert "@9 is none of the 2 backfills" in failed.run("status", "@9", code=2)


def test_the_module_is_found_from_another_folder(failed):
    other = failed.folder / "below"
    other.mkdir()
    done = subprocess.run(
        [sys.executable, "-m", "rivers", "rerun", "--json", "-n"],
        cwd=other, env=failed.environment, capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert json.loads(done.stdout)["num_partitions"] == 1


def test_a_backfill_of_python_has_no_module(shell):
    import rivers as rs

    @rs.Asset(partitions_def=rs.PartitionsDefinition.static_(["a"]))
    def odd():
        raise ValueError("odd")

    with rs.CodeRepository([odd]).resolve(shell.storage()) as repo:
        repo.backfill(partition_keys=["a"])
    assert "its module is not known; name it: rivers rerun" in shell.run("rerun", code=2)


def test_a_rerun_takes_other_limits(failed):
    out = failed.run("rerun", "--max-concurrency", 2, "--max-failures", 1, "--json", code=1)
    assert json.loads(out)["max_concurrency"] == 2
    assert failed.records()[0]["max_concurrency"] == 2
    assert failed.records()[0]["max_failures"] == 1


def test_a_resume_takes_other_limits(shell):
    process = shell.begin_slow()
    process.send_signal(signal.SIGKILL)
    process.wait()
    shell.open_gate()
    out = shell.run("resume", "--max-concurrency", 1, "--json")
    told = json.loads(out)
    assert (told["status"], told["completed"], told["max_concurrency"]) == ("completed", 10, 1)


def test_json_of_commands_that_act(shell):
    process = shell.begin_slow()
    backfill_id = latest(shell)
    for command, expected in (
        (["pause"], {"paused": True}),
        (["unpause"], {"paused": False}),
        (["set", "--priority", "3"], {"priority": 3}),
        (["cancel"], {"status": "in_progress"}),
    ):
        told = json.loads(shell.run(*command, "--json"))
        assert told["backfill_id"] == backfill_id
        assert told | expected == told, command
        assert told["total_partitions"] == told["num_partitions"] == 10
    time.sleep(1)  # The process looks for such requests five times a second.
    shell.open_gate()
    shell.end(process, 1)
    assert json.loads(shell.run("cancel", "--json"))["status"] == "canceled"


def test_json_of_a_backfill_is_all_of_the_output(shell):
    told = json.loads(shell.run(*DAILY, "--json"))
    assert (told["status"], told["completed"], told["num_partitions"]) == ("completed", 4, 4)
    plan = json.loads(shell.run(*DAILY, "--json", "-n"))
    assert plan["partitions_per_asset"] == {"daily": 4}


def test_quiet_and_verbose(shell):
    out, err = shell.end(shell.start(*DAILY, "-q"), 0)
    assert (out, err) == ("", "")
    out, err = shell.end(shell.start(*DAILY, "-v"), 0)
    assert "4 partitions in 4 runs" in out


@pytest.mark.parametrize(
    ("words", "option"),
    [
        (["--max-concurrency", "0"], "--max-concurrency"),
        (["--max-concurrency", "many"], "--max-concurrency"),
        (["--on-failure", "retry"], "--on-failure"),
        (["--overlap", "deny"], "--overlap"),
        (["--canary", "0"], "--canary"),
        (["--retry", "-1"], "--retry"),
        (["--timeout", "0"], "--timeout"),
        (["--max-starts-per-second", "0"], "--max-starts-per-second"),
        (["--max-failures", "0"], "--max-failures"),
        (["--max-failures", "few"], "--max-failures"),
        (["--log-format", "xml"], "--log-format"),
    ],
)
def test_a_message_names_the_option(shell, words, option):
    refused = shell.run(*DAILY, *words, code=2)
    assert f"Invalid value for '{option}'" in refused
    argument = option.strip("-").replace("-", "_")
    # The fixed words are no names of arguments: 'stop_on_failure'.
    words = re.findall(r"\w+", refused)
    assert "_" not in argument or argument not in words


# -- keys from a pipe ----------------------------------------------------------------------------------


def planned(shell, text, *words, module="grid.py"):
    done = subprocess.run(
        [sys.executable, "-m", "rivers", "backfill", module, *words, "--keys", "-", "-n", "--json"],
        cwd=shell.folder, env=shell.environment, input=text, capture_output=True, text=True,
        check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)["num_partitions"]


def test_keys_are_read_from_standard_input(failed):
    rows = failed.run("partitions", "--failed")
    assert rows.splitlines()[0].startswith("partition\t")
    assert planned(failed, rows, "--assets", "daily") == 1
    rows = failed.run("partitions", "--json", "--status", "completed")
    assert planned(failed, rows, "--assets", "daily") == 3
    assert planned(failed, "2024-01-02\n2024-01-05\n", "--assets", "daily") == 2
    assert planned(failed, '["2024-01-02"]', "--assets", "daily") == 1
    grid = "region,date\nus,2024-01-02\neu,2024-01-03\n"
    assert planned(failed, grid, "--assets", "grid") == 2
    assert planned(failed, "date=2024-01-02|region=us\n", "--assets", "grid") == 1


@pytest.mark.parametrize("flags", [[], ["--detach"]])
def test_a_closed_standard_input_has_no_keys(failed, flags):
    words = ["backfill", "grid.py", "--assets", "daily", "--keys", "-", *flags]
    done = subprocess.run(
        ["bash", "-c", '"$@" <&-', "bash", sys.executable, "-m", "rivers", *words],
        cwd=failed.folder, env=failed.environment, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 2
    assert "--keys -" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_detached_backfill_reads_them_too(failed):
    words = ("backfill", "grid.py", "--assets", "daily", "--keys", "-", "--detach")
    done = subprocess.run(
        [sys.executable, "-m", "rivers", *words],
        cwd=failed.folder, env=failed.environment, input=b"2024-01-02\n2024-01-05\n",
        capture_output=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    wait_until(lambda: failed.records()[0]["status"] != "in_progress")
    assert failed.records()[0]["num_partitions"] == 2


@pytest.mark.parametrize(
    ("data", "keys"),
    [
        (b"\xef\xbb\xbfa\r\n\r\n-b\r\n", ["a", "-b"]),
        (b'\xef\xbb\xbfpartition,n\r\na,1\r\n"c,d",2\r\n', ["a", "c,d"]),
        (b"n\tpartition\n1\t'q\"\n2\t lead\n3\tv\x0bt\n", ["'q\"", " lead", "v\x0bt"]),
        (b'\xef\xbb\xbf["a", {"partition": "c=d", "run": 1}]', ["a", "c=d"]),
        ("\u65e5\u672c\u2028x\n".encode(), ["\u65e5\u672c\u2028x"]),
    ],
)
def test_keys_as_other_programs_write_them(data, keys):
    found = parse.read_keys(data, [])
    found = found["partition"].to_list() if hasattr(found, "columns") else found
    assert found == keys or found == [rs.PartitionKey.single(key) for key in keys]


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (b"", "has no keys"),
        (b"\xef\xbb\xbf \r\n", "has no keys"),
        (b"\xff\xfea\x00", "is not UTF-8"),
        (b"partition\tn\na\n", "line 2 has 1 cell, the first 2"),
        (b"partition,n\na,1,2,3\n", "this is no csv table"),
        (b'["a"', "this is no JSON"),
        (b"[[1]]", "names no partition: \\[1\\]"),
    ],
)
def test_what_is_no_list_of_keys_is_refused(data, expected):
    with pytest.raises(ConfigurationError, match=expected):
        parse.read_keys(data, [])


ODD = ["-b", "c=d", "e  f ", "\u65e5\u672c\u8a9e", "[b]bold[/b]", "'q\"", " lead", "5 %"]
ODD_MODULE = f"""
import rivers as rs
@rs.Asset(name="-odd", partitions_def=rs.PartitionsDefinition.static_({ODD!r}))
def odd(context):
    if context.partition_key == {ODD[3]!r}:
        raise ValueError("no text")
repo = rs.CodeRepository([odd])
"""


def test_odd_keys_go_through_pipes_and_names_may_begin_with_a_dash(shell):
    (shell.folder / "odd.py").write_text(ODD_MODULE)
    shell.run("backfill", "odd.py", "--assets", "-odd", "--only-missing", code=1)
    assert planned(shell, shell.run("partitions"), module="odd.py") == len(ODD)
    assert "no text" in shell.run("log", "latest", ODD[3])
    # A stream whose encoding does not have all characters gets escapes, and a map without blocks.
    assert "-b ###X####" in shell.run("grid", PYTHONIOENCODING="ascii")
    assert "such as \\u65e5\\u672c\\u8a9e" in shell.run("errors", PYTHONIOENCODING="ascii")
    reader = f"{sys.executable} -m rivers partitions | head -n 1"
    done = subprocess.run(
        ["bash", "-o", "pipefail", "-c", reader], cwd=shell.folder, env=shell.environment,
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.stdout == "partition\tstatus\trun\tattempts\terror\n"
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("words", "kind", "expected"),
    [
        (["status", "zz"], "StorageError", "there is no storage"),
        (["list", "--lmit", "3"], "NoSuchOption", "--limit"),
        (["lst"], "UsageError", "did you mean 'list'"),
        ([*DAILY, "--canary", "0"], "BadParameter", "--canary"),
        (["backfill", "gird.py"], "ConfigurationError", "no file"),
    ],
)
def test_with_json_an_error_is_json(shell, words, kind, expected):
    out, err = shell.end(shell.start(*words, "--json"), 2)
    told = json.loads(err.splitlines()[-1])["error"]
    assert (out, told["type"]) == ("", kind)
    assert expected in told["message"]


def test_a_file_that_has_moved_is_asked_for(failed):
    (failed.folder / "grid.py").rename(failed.folder / "moved.py")
    refused = failed.run("rerun", code=2)
    assert "is gone; say where it is now: rivers rerun " in refused
    failed.run("rerun", "latest", "moved.py", "-n")


def test_no_keys_are_refused(shell):
    done = shell.run("backfill", "grid.py", "--assets", "daily", "--keys", "-", code=2)
    assert "standard input has no keys" in done


# -- assets, partitions, materialize, log --------------------------------------------------------------


def test_assets_and_partitions_show_the_data(failed):
    lines = [line.split("\t") for line in failed.run("assets", "grid.py").splitlines()]
    assert lines[0][0].startswith("storage: ")
    assert lines[1][:3] == ["asset", "partitions", "materialized"]
    assert ["daily", "10", "3"] in [line[:3] for line in lines]
    told = {row["asset"]: row for row in json.loads(failed.run("assets", "--json"))}
    assert (told["daily"]["partitions"], told["daily"]["materialized"]) == (10, 3)

    def days(*words):
        rows = json.loads(failed.run("partitions", "grid.py:daily", *words, "--json"))
        return [row["partition"] for row in rows]

    assert len(days()) == 10
    assert days("--failed") == ["2024-01-02"]
    assert days("--missing") == ["2024-01-02", *(f"2024-01-{day:02}" for day in range(5, 11))]
    assert days("--status", "materialized") == ["2024-01-01", "2024-01-03", "2024-01-04"]
    assert "are about an asset" in failed.run("partitions", "latest", "--missing", code=2)
    assert "did you mean 'daily'" in failed.run("partitions", "grid.py:dayly", code=2)


def test_json_of_what_is_reported_and_forgotten(shell):
    two = ("grid.py", "daily", "--from", "2024-01-01", "--to", "2024-01-02", "--json")
    for command in ("report", "forget"):
        told = json.loads(shell.run(command, *two))
        path = shell.storage().path
        assert told == {"asset": "daily", "num_partitions": 2, "storage": path}
        remedy = f"name the asset after the module: rivers {command} grid.py daily"
        assert remedy in shell.run(command, "grid.py:daily", "--all", code=2)


def test_a_selector_on_the_command_line(shell):
    plan = shell.run("backfill", "grid.py", "--select", "+daily", *DAYS, "-n", "--json")
    assert json.loads(plan)["partitions_per_asset"] == {"daily": 4}
    told = shell.run("backfill", "grid.py", "--select", "+daily", *DAYS, "-n")
    assert told == "dry run: 4 partitions in 4 runs of daily\n"


def test_materialize_executes_one_run(shell):
    words = ("materialize", "grid.py", "--assets", "daily", "--partition")
    assert "completed: daily" in shell.run(*words, "2024-01-01")
    told = json.loads(shell.run(*words, "2024-01-03", "--json"))
    assert (told["success"], told["materialized_assets"]) == (True, ["daily"])
    (shell.folder / "config.json").write_text(json.dumps({"daily": {"bad": ["2024-01-04"]}}))
    out = shell.run(*words, "2024-01-04", "--config", "config.json", code=1)
    assert "daily: ValueError: no data for 2024-01-04" in out
    assert "2025-01-01" in shell.run(*words, "2025-01-01", code=2)


LOGGING = """
import logging
import rivers as rs

letters = rs.PartitionsDefinition.static_(["a", "b"])

def talk(context: rs.AssetExecutionContext) -> None:
    context.log.info("context %s", context.partition_key)
    logging.getLogger("mylib").info("library %s", context.partition_key)
    if context.partition_key == "b":
        raise ValueError("odd")

talks = rs.Asset(talk, name="talk", partitions_def=letters)
repo = rs.CodeRepository([talks])
workers = rs.CodeRepository([talks], default_executor=rs.Executor.parallel(1))
"""


@pytest.mark.parametrize("name", ["repo", "workers"])
def test_log_lines_of_partitions_are_kept(shell, name):
    (shell.folder / "logs.py").write_text(LOGGING)
    shell.run("backfill", f"logs.py:{name}", "--only-missing", "--keep-logs", code=1)
    out = shell.run("log", "latest", "a")
    assert "INFO talk a: context a" in out
    assert "context b" not in out
    out = shell.run("log")
    assert "context a" in out
    assert "ValueError: odd" in out
    records = json.loads(shell.run("log", "latest", "a", "--json"))["records"]
    assert [record["message"] for record in records] == ["context a", "library a"]
    assert {record["run"] for record in records} == {f"{latest(shell)}.0"}
    assert "has no partition 'c'" in shell.run("log", "latest", "c", code=2)


GRIDDED = """
import rivers as rs

grid = rs.PartitionsDefinition.multi({
    "date": rs.PartitionsDefinition.daily("2024-01-01", end="2024-01-03"),
    "date_start": rs.PartitionsDefinition.static_(["a", "b"]),
})

@rs.Asset(partitions_def=grid)
def odd(context: rs.AssetExecutionContext) -> None:
    if context.partition_key == "date=2024-01-02|date_start=b":
        raise ValueError("broken")

repo = rs.CodeRepository([odd])
"""


def test_the_log_of_a_partition_with_several_dimensions(shell):
    # A dimension may have the name that the start of another one's windows has in the table.
    (shell.folder / "gridded.py").write_text(GRIDDED)
    shell.run("backfill", "gridded.py", "--only-missing", code=1)
    for key in ("date=2024-01-02|date_start=b", "date_start=b|date=2024-01-02"):
        assert "ValueError: broken" in shell.run("log", "latest", key)
        assert json.loads(shell.run("log", "latest", key, "--json"))["error"] == "broken"
    assert "no log lines" in shell.run("log", "latest", "date=2024-01-01|date_start=b")
    for key in ("date=2024-01-02", "2024-01-02|b", "date=2024-01-02|date_start=c"):
        assert "has no partition" in shell.run("log", "latest", key, code=2)


def test_log_lines_of_a_failure_are_shown_without_being_kept(shell):
    (shell.folder / "logs.py").write_text(LOGGING)
    shell.run("backfill", "logs.py:repo", "--only-missing", code=1)
    out = shell.run("log", "latest", "b")
    assert "ValueError: odd" in out
    assert "INFO: context b" in out
    assert "no log lines are kept" in shell.run("log", "latest", "a")
    assert "Traceback" in shell.run("errors", "-v")


@pytest.mark.parametrize("name", ["repo", "workers"])
def test_log_lines_as_json(shell, name):
    (shell.folder / "logs.py").write_text(LOGGING)
    process = shell.start(
        "backfill", f"logs.py:{name}", "--only-missing", "--log-format", "json", "--json"
    )
    out, err = process.communicate(timeout=60)
    assert process.returncode == 1
    assert json.loads(out)["failed"] == 1
    records = pl.DataFrame(
        [json.loads(line) for line in err.splitlines()], infer_schema_length=None
    )
    own = records.filter(pl.col("asset") == "talk").sort("message")
    assert own["message"].to_list() == ["context a", "context b", "library a", "library b"]
    assert own["partition"].to_list() == ["a", "b", "a", "b"]
    assert own["backfill"].unique().to_list() == [latest(shell)]


# -- completion ----------------------------------------------------------------------------------------


def completed(shell, *words):
    line = " ".join(("rivers", *words))
    done = subprocess.run(
        [sys.executable, "-m", "rivers"],
        cwd=shell.folder, capture_output=True, text=True, check=False,
        env=shell.environment
        | {"_RIVERS_COMPLETE": "bash_complete", "COMP_WORDS": line, "COMP_CWORD": str(len(words))},
    )  # fmt: skip
    return [text.partition(",")[2] for text in done.stdout.splitlines()]


def test_a_shell_completes_ids_assets_and_words(failed):
    assert completed(failed, "status", "l") == ["latest"]
    assert completed(failed, "status", latest(failed)[:4]) == [latest(failed)]
    assert "daily" in completed(failed, "backfill", "grid.py", "--assets", "d")
    assert completed(failed, "backfill", "grid.py", "--range", "re") == ["region="]
    assert completed(failed, "backfill", "grid.py", "--on-failure", "s") == ["stop_on_failure"]
    assert completed(failed, "list", "--status", "fa") == ["failed"]
    assert completed(failed, "rer") == ["rerun"]
    assert completed(failed, "grid", "grid.py:da") == ["grid.py:daily"]
    assert completed(failed, "forget", "grid.py", "da") == ["daily"]


@pytest.mark.parametrize(
    ("words", "reply"),
    [
        (["partitions", "grid.py", ":", "da"], "daily"),
        (["partitions", "grid.py", ":"], "daily"),
        (["partitions", "grid.py:da"], "grid.py:daily"),
        (["status", "l"], "latest"),
    ],
)
def test_bash_completes_what_follows_a_colon(failed, words, reply):
    """Bash takes a line apart at colons, and replaces what follows the last."""
    command = failed.folder / "bin" / "rivers"
    command.parent.mkdir(exist_ok=True)
    command.write_text(f'#!/bin/sh\nexec {sys.executable} -m rivers "$@"\n')
    command.chmod(0o755)
    script = """PATH="$PWD/bin:$PATH"; eval "$(_RIVERS_COMPLETE=bash_source rivers)"
        COMP_WORDS=(rivers "$@"); COMP_CWORD=$#; _rivers_completion rivers; echo "${COMPREPLY[@]}" """
    done = subprocess.run(
        ["bash", "-c", script, "bash", *words],
        cwd=failed.folder, capture_output=True, text=True, check=True, env=failed.environment,
    )  # fmt: skip
    assert reply in done.stdout.split()
