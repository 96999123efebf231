"""What reaches a terminal: no control sequences of users' texts, and nothing fails because of a stream."""

import os
import stat
import string
import subprocess
import sys
from pathlib import Path

import pytest
from tests.cli.shell import on_terminal

EVIL = "\x1b]52;c;aGk=\x07\x1b[2J\x1b]8;;http://evil\x1b\\x\x9b31m\u202eabc\u2066\rfake\x08\x00\x7f"
PROGRAM = f"""
import logging
import rivers as rs
EVIL = {EVIL!r}
KEY = "k" + EVIL.replace("\\0", "")

@rs.Asset(partitions_def=rs.PartitionsDefinition.static_([KEY, "b"]))
def evil(context):
    context.log.warning("says %s", EVIL)
    logging.getLogger("rivers").warning("library %s", EVIL)
    if context.partition_key != "b":
        raise ValueError(EVIL)

@rs.Asset(partitions_def=rs.PartitionsDefinition.static_(["a"]))
def wrong(context):
    context.log.warning("%d", "x")
    context.log.warning("fine")

repo = rs.CodeRepository([evil, wrong])
"""


@pytest.fixture
def program(shell):
    (shell.folder / "evil.py").write_text(PROGRAM)
    return shell


def assert_harmless(text):
    raw = set(text) & set(EVIL) - set(string.printable[:95])
    assert not raw, f"{raw} in {text!r}"


@pytest.mark.parametrize("terminal", [False, True])
def test_no_command_writes_control_sequences_of_texts(program, terminal):
    words = ["backfill", "evil.py", "--assets", "evil", "--only-missing", "--tag", f"t=x{EVIL[:8]}"]
    out, err = program.end(program.start(*words), 1)
    assert_harmless(out.replace("\x1b[?25h", ""))
    assert_harmless(err)
    assert "\\x1b]52;c;aGk=" in err
    seen = 0
    for command in (
        ["errors", "latest"], ["status", "latest"], ["list"], ["partitions", "latest"],
        ["grid", "latest"], ["errors", "latest", "--json"], ["partitions", "latest", "--json"],
        ["status", "latest", "--json"], ["list", "--json"], ["check", "evil.py"],
    ):  # fmt: skip
        if not terminal:
            process = program.start(*command)
            out, err = process.communicate(timeout=60)
            assert_harmless(out + err)
            seen += "\\x1b" in out or "\\u001b" in out
        else:
            out, _ = on_terminal(command, program.folder, program.environment)
            # Colours and cursor movements of our own remain.
            for part in ("\x1b]", "\x1b[2J", "\x07", "\x9b", "\u202e", "\u2066", "\x08"):
                assert part not in out, (command, part)
    assert terminal or seen >= 3


def test_a_log_of_a_backfill_without_a_command_line_is_harmless(program):
    script = "import evil, rivers as rs; r = rs.CodeRepository([evil.evil]); r.backfill(partition_keys=[rs.PartitionKey.single(evil.KEY)])"
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=program.folder, capture_output=True, text=True,
        env=program.environment
        | {"PYTHONPATH": f"{program.folder}:{os.environ.get('PYTHONPATH', '')}"},
        check=True,
    )  # fmt: skip
    line = next(line for line in done.stderr.splitlines() if line.startswith("backfill "))
    assert_harmless(line)
    assert "\\x1b]52" in line


def test_a_wrong_log_line_fails_nothing(program):
    process = program.start("backfill", "evil.py", "--assets", "wrong", "--only-missing")
    out, err = process.communicate(timeout=60)
    assert process.returncode == 0, out + err
    assert "1 completed" in out
    assert "fine" in err


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="the system has no /dev/full")
@pytest.mark.parametrize("stream", ["2>/dev/full", "2>&-", "2</dev/null", "2>/dev/null"])
def test_an_unwritable_error_stream_fails_nothing(program, stream):
    command = f"{sys.executable} -m rivers backfill evil.py --assets wrong --only-missing {stream}"
    done = subprocess.run(
        command, shell=True, cwd=program.folder, env=program.environment, capture_output=True,
        text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "1 completed" in done.stdout


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="the system has no /dev/full")
@pytest.mark.parametrize(
    "words", ["list", "list --json", "backfill grid.py --assets daily --only-missing"]
)
def test_an_unwritable_output_is_an_error_in_one_line(program, words):
    if not words.startswith("backfill"):
        program.run("backfill", "grid.py", "--assets", "daily", "--only-missing")
    done = subprocess.run(
        f"{sys.executable} -m rivers {words} > /dev/full", shell=True, cwd=program.folder,
        env=program.environment, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 1
    assert "the output cannot be written: No space left on device" in done.stderr
    assert "Traceback" not in done.stderr
    if words.startswith("backfill"):
        assert [row["status"] for row in program.records()] == ["completed"]


@pytest.mark.parametrize(
    ("settings", "name"),
    [
        ("max_concurrency = 'four'", "max_concurrency"),
        ("max_concurrency = true", "max_concurrency"),
        ("max_concurrency = 1.5", "max_concurrency"),
        ("module = 3", "module"),
        ("module = ['a.py']", "module"),
        ("storage = 5", "storage"),
        ("storage = {}", "storage"),
        ("on_failure = 1", "on_failure"),
    ],
)
def test_a_setting_of_the_wrong_type_is_refused_by_name(shell, settings, name):
    (shell.folder / "pyproject.toml").write_text(f"[tool.rivers]\n{settings}\n")
    error = shell.run("list", code=2)
    assert f"{name} in [tool.rivers]" in error
    assert "pyproject.toml" in error


@pytest.mark.parametrize("text", ["tool = 3", "[tool]\nrivers = 3", "[tool]\nrivers = ['a']"])
def test_settings_that_are_no_table_are_refused(shell, text):
    (shell.folder / "pyproject.toml").write_text(text)
    process = shell.start("list")
    out, err = process.communicate(timeout=60)
    assert "Traceback" not in err
    assert process.returncode == 2, out + err
    assert ("must be a table of settings" in err) == ("rivers" in text)


def test_a_detached_backfill_does_not_write_through_a_planted_link(shell):
    logs = shell.folder / ".rivers" / "logs"
    logs.mkdir(parents=True)
    victim = shell.folder / "victim"
    victim.write_text("precious")
    # The number of the next processes is not known: plant links for many.
    for pid in range(os.getpid(), os.getpid() + 3000):
        (logs / f"starting-{pid}.log").symlink_to(victim)
    shell.run("backfill", "grid.py", "--assets", "daily", "--only-missing", "--detach")
    assert victim.read_text() == "precious"


@pytest.mark.skipif(sys.platform == "win32", reason="modes are those of Unix")
def test_what_is_created_for_a_detached_backfill_is_private(shell):
    before = os.umask(0o022)
    try:
        shell.run("backfill", "grid.py", "--assets", "daily", "--only-missing", "--detach")
    finally:
        os.umask(before)
    made = [shell.folder / ".rivers", *(shell.folder / ".rivers").rglob("*")]
    for path in made:
        expected = 0o700 if path.is_dir() else 0o600
        assert stat.S_IMODE(path.stat().st_mode) == expected, path
    assert {path.name for path in made if path.is_dir()} >= {".rivers", "logs"}
