"""Functions, URLs and commands learn of the ends of backfills, at least once, from whichever process ends them."""

import asyncio
import http.server
import json
import os
import signal
import subprocess
import sys
import threading
import time

import pytest
from tests.support import wait_until

import rivers as rs
from rivers.exceptions import ConfigurationError
from rivers.status.notifications import Notifier

LETTERS = rs.PartitionsDefinition.static_(["a", "b"])
EVERYTHING = rs.PartitionKeyRange.single("a", "b")


def asset(context: rs.AssetExecutionContext) -> None:
    if context.partition_key == "b":
        raise ValueError("odd")


@pytest.fixture
def made(repo):
    """A repository whose hook appends to a list, and the list."""
    ends = []
    x = rs.Asset(asset, name="x", partitions_def=LETTERS)
    return repo(x, on_backfill_end=[ends.append]), ends


def test_a_hook_is_called_before_the_call_returns(made):
    repository, ends = made
    result = repository.backfill(partition_range=EVERYTHING, tags=[("team", "sales")])
    (end,) = ends
    assert (end.backfill_id, end.status) == (result.backfill_id, "failed")
    assert (end.num_partitions, end.completed, end.failed, end.canceled) == (2, 1, 1, 0)
    assert (end.assets, end.tags) == (["x"], [("team", "sales")])
    assert "odd" in end.error
    assert json.loads(end.to_json())["notification_id"] == end.notification_id


def test_in_the_background_async_and_after_a_rerun(made):
    repository, ends = made
    first = repository.backfill(partition_range=EVERYTHING, block=False)
    repository.wait_backfill(first.backfill_id)
    wait_until(lambda: len(ends) == 1)
    asyncio.run(repository.backfill_async(partition_range=EVERYTHING))
    assert len(ends) == 2
    repository.rerun_backfill(first.backfill_id)
    assert len(ends) == 3
    assert len({end.notification_id for end in ends}) == 3


def test_what_has_ended_is_not_notified_of_again_because_somebody_resumes_it(made):
    repository, ends = made
    result = repository.backfill(partition_range=EVERYTHING)
    with pytest.raises(rs.exceptions.ExecutionError, match="has ended"):
        repository.resume_backfill(result.backfill_id)
    Notifier(repository.storage._store, [ends.append], ["x"]).notify_ended()
    assert len(ends) == 1


def test_close_waits_for_hooks(repo):
    ends, go_on = [], threading.Event()

    def slow(end):
        go_on.wait(10)
        ends.append(end)

    repository = repo(LETTERS, on_backfill_end=[slow])
    repository.backfill(partition_range=EVERYTHING, block=False)
    threading.Timer(0.2, go_on.set).start()
    repository.close()
    assert len(ends) == 1


def test_what_a_hook_raises_is_logged_and_changes_nothing(repo, caplog):
    ends = []

    def broken(end):
        raise RuntimeError("no mail")

    async def later(end):
        await asyncio.sleep(0)
        ends.append(end)

    repository = repo(LETTERS, on_backfill_end=[broken, later])
    assert repository.backfill(partition_range=EVERYTHING).status == "completed"
    assert len(ends) == 1
    assert "the hook broken failed" in caplog.text
    assert "no mail" in caplog.text


def test_a_hook_may_launch_a_backfill(repo):
    statuses = []

    def again(end):
        statuses.append(end.status)
        if len(statuses) < 3:
            repository.backfill(partition_range=EVERYTHING)

    repository = repo(LETTERS, on_backfill_end=[again])
    repository.backfill(partition_range=EVERYTHING)
    assert statuses == ["completed"] * 3


@pytest.mark.parametrize("hooks", ["mail", [3], [None]])
def test_other_things_are_refused(hooks):
    with pytest.raises(ConfigurationError, match="on_backfill_end must be a list of functions"):
        rs.CodeRepository([], on_backfill_end=hooks)


def test_a_dry_run_and_a_manual_run_are_no_backfills(made):
    repository, ends = made
    repository.backfill(partition_range=EVERYTHING, dry_run=True)
    repository.materialize(partition_key=rs.PartitionKey.single("a"))
    assert ends == []


# -- URLs and commands, through processes --------------------------------------------------------------

PROGRAM = """
import os, pathlib, time
import rivers as rs

def wait(context: rs.AssetExecutionContext) -> None:
    pathlib.Path("started").touch()
    while os.path.exists("hold"):
        time.sleep(0.01)

letters = rs.PartitionsDefinition.static_(["a", "b"])

def note(end):
    with open("hooks.txt", "a") as file:
        file.write(f"{end.notification_id} {end.status}\\n")

repo = rs.CodeRepository([rs.Asset(wait, name="x", partitions_def=letters)], on_backfill_end=[note])
"""
COMMAND = "cat >> ends.jsonl; echo $RIVERS_STATUS >> words.txt"


@pytest.fixture
def program(shell):
    (shell.folder / "program.py").write_text(PROGRAM)
    return shell


def ends_of(shell):
    text = (shell.folder / "ends.jsonl").read_text()
    return [json.loads(line) for line in text.replace("}{", "}\n{").splitlines()]


def launch(shell, *words):
    return shell.start("backfill", "program.py", "--only-missing", "--notify", COMMAND, *words)


def test_a_command_gets_json_and_variables(program):
    program.end(launch(program), 0)
    (end,) = ends_of(program)
    assert (end["status"], end["completed"]) == ("completed", 2)
    assert (program.folder / "words.txt").read_text() == "completed\n"
    (line,) = (program.folder / "hooks.txt").read_text().splitlines()
    assert line == f"{end['notification_id']} completed"


def killed(program):
    """Kills the process of a backfill while it runs."""
    (program.folder / "hold").touch()
    process = launch(program)
    wait_until((program.folder / "started").exists)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    (program.folder / "hold").unlink()


def test_after_a_crash_the_process_that_resumes_notifies(program):
    killed(program)
    program.run("resume")
    assert [end["status"] for end in ends_of(program)] == ["completed"]
    assert (program.folder / "hooks.txt").read_text().endswith(".end completed\n")


def test_after_a_crash_the_process_that_cancels_notifies(program):
    killed(program)
    program.run("cancel")
    assert [end["status"] for end in ends_of(program)] == ["canceled"]
    assert not (program.folder / "hooks.txt").exists()
    # The function is called by the next process that loads the repository.
    script = "import time, program; program.repo.resolve()\nfor _ in range(200):\n"
    script += "    time.sleep(0.05)\n    import os\n    if os.path.exists('hooks.txt'): break"
    subprocess.run(
        [sys.executable, "-c", script], cwd=program.folder, env=program.environment, check=True
    )
    assert (program.folder / "hooks.txt").read_text().endswith(".end canceled\n")


def dies_after(call):
    """A line of a program, whose process is killed as soon as the engine has answered a call."""
    return (
        "from rivers.status.event_log import EventLog\n"
        "import signal\n"
        f"EventLog.{call} = lambda *words: os.kill(os.getpid(), signal.SIGKILL)\n"
    )


@pytest.mark.parametrize("ended_by", ["cancel", "resume"])
def test_a_process_killed_right_after_it_recorded_a_backfill_is_notified_of(program, ended_by):
    file = program.folder / "program.py"
    file.write_text(dies_after("observe") + PROGRAM)
    process = launch(program)
    assert process.wait(timeout=30) == -signal.SIGKILL
    file.write_text(PROGRAM)
    program.run(ended_by)
    status = "canceled" if ended_by == "cancel" else "completed"
    assert [end["status"] for end in ends_of(program)] == [status]


def test_a_process_killed_right_after_it_resumed_a_backfill_leaves_a_note_for_its_hooks(program):
    file = program.folder / "program.py"
    for text in (PROGRAM.replace(", on_backfill_end=[note]", ""), PROGRAM):
        file.write_text(dies_after("observe") + text)
        words = (
            ("resume",)
            if "on_backfill_end" in text
            else ("backfill", "program.py", "--only-missing")
        )
        assert program.start(*words).wait(timeout=30) == -signal.SIGKILL
    program.run("cancel")
    ends = []
    storage = program.storage()
    Notifier(storage._store, [ends.append], ["x"]).notify_ended()
    assert [end.status for end in ends] == ["canceled"]


def test_a_cancel_from_elsewhere_is_notified_by_the_process_that_runs_it(program):
    (program.folder / "hold").touch()
    process = launch(program, "--max-concurrency", "1")
    wait_until((program.folder / "started").exists)
    program.run("cancel")
    time.sleep(1)  # The process looks for such requests five times a second.
    (program.folder / "hold").unlink()
    program.end(process, 1)
    assert [end["status"] for end in ends_of(program)] == ["canceled"]


def test_a_command_that_fails_is_run_again_later_and_its_text_is_not_shown(program):
    words = ("backfill", "program.py", "--only-missing", "--notify", "test -e ok && echo >> secret")
    _, err = program.end(program.start(*words), 0)
    assert "could not be notified" in err
    assert "secret" not in err
    (program.folder / "ok").touch()
    program.run("backfill", "program.py", "--partitions", "a")
    wait_until((program.folder / "secret").exists)


def test_a_url_gets_a_post_with_an_id(program):
    got = []

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_POST(self):
            body = self.rfile.read(int(self.headers["Content-Length"]))
            got.append((self.headers["Idempotency-Key"], json.loads(body)))
            self.send_response(204)
            self.end_headers()

        def log_message(self, *words):
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        url = f"http://127.0.0.1:{server.server_port}/hook"
        program.run("backfill", "program.py", "--only-missing", "--notify", url)
        server.shutdown()
    ((key, end),) = got
    assert (key, end["status"]) == (end["notification_id"], "completed")
