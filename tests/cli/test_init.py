"""`rivers init`, and files that run something while the command line imports them."""

import json
import subprocess
import sys
from pathlib import Path

import pytest


def python(shell, name, code=0):
    done = subprocess.run(
        [sys.executable, name],
        cwd=shell.folder, env=shell.environment, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == code, done.stdout + done.stderr
    return done.stdout


def test_python_and_rivers_accept_the_file_that_init_writes(shell):
    out = shell.run("init")
    assert "rivers backfill sales.py --range date=2024-01-01..2024-01-31" in out
    assert "failed, 93 partitions in 93 runs, 92 completed, 1 failed" in python(shell, "sales.py")
    assert "ok: 2 assets" in shell.run("check", "sales.py")
    words = ("backfill", "sales.py", "--range", "date=2024-01-01..2024-01-31")
    assert "dry run: 93 partitions in 93 runs" in shell.run(*words, "--dry-run")
    assert "failed: 92 completed, 1 failed" in shell.run(*words, code=1)
    assert "the register was broken" in shell.run("errors", "latest")
    path = shell.folder / "sales.py"
    lines = path.read_text().splitlines(keepends=True)
    path.write_text("".join(line for line in lines if "01-17" not in line and "broken" not in line))
    assert "completed: 1 completed of 1 partition" in shell.run("rerun", "latest", "sales.py")


def test_an_existing_file_is_left_as_it_is(shell):
    (shell.folder / "sales.py").write_text("mine")
    assert "'sales.py' exists and is left as it is" in shell.run("init", code=2)
    assert (shell.folder / "sales.py").read_text() == "mine"
    shell.run("init", "other.py")
    assert (shell.folder / "other.py").exists()
    assert "must be called .py" in shell.run("init", "other", code=2)
    assert "cannot be written" in shell.run("init", "none/other.py", code=2)


def test_what_init_wrote_as_json(shell):
    told = json.loads(shell.run("init", "a file.py", "--json"))
    assert told["path"] == "a file.py"
    assert told["next"][0] == "rivers check 'a file.py'"
    assert (shell.folder / "a file.py").exists()


PROGRAM = """
import rivers as rs

letters = rs.PartitionsDefinition.static_(["a", "b"])

def touch(context: rs.AssetExecutionContext) -> None:
    open("ran", "w").close()

asset = rs.Asset(touch, name="x", partitions_def=letters)
repo = rs.CodeRepository([asset])
keys = [rs.PartitionKey.single("a")]
"""
CALLS = {
    "backfill": "repo.backfill(partition_keys=keys)",
    "a dry run": "repo.backfill(partition_keys=keys, dry_run=True)",
    "in the background": "repo.backfill(partition_keys=keys, block=False)",
    "async": "import asyncio; asyncio.run(repo.backfill_async(partition_keys=keys))",
    "with": "with rs.CodeRepository([asset]) as other: other.backfill(partition_keys=keys)",
    "rerun": "repo.rerun_backfill('0190')",
    "resume": "repo.resume_backfill('0190')",
    "materialize": "repo.materialize(partition_key=keys[0])",
    "submit": "repo.submit(partition_key=keys[0])",
}


@pytest.mark.parametrize("call", CALLS)
@pytest.mark.parametrize("words", [["check", "file.py"], ["backfill", "file.py", "--only-missing"]])
def test_nothing_is_executed_while_a_file_is_imported(shell, call, words):
    (shell.folder / "file.py").write_text(PROGRAM + CALLS[call])
    refused = shell.run(*words, code=2)
    assert "was called while the command line was importing file.py" in refused
    assert '__name__ == "__main__"' in refused
    assert "file.py, line 12" in refused
    assert not (shell.folder / "ran").exists()
    if (shell.folder / ".rivers").exists():
        assert not shell.records()


def test_the_readme_begins_with_the_file_that_init_writes(shell):
    shell.run("init")
    readme = (Path(__file__).parents[2] / "README.md").read_text(encoding="utf-8")
    assert (shell.folder / "sales.py").read_text() in readme.partition("## From a shell")[0]
