"""`rivers ui`: it says where the page is, serves it, and ends on Ctrl-C."""

import json
import re
import signal
import urllib.request

import pytest
from tests.support import wait_until

pytest.importorskip("starlette")

DAYS = ("--from", "2024-01-01", "--to", "2024-01-04")


def opened(process):
    """The address and the token that the command prints."""
    line = process.stdout.readline()
    found = re.fullmatch(r"(http://127\.0\.0\.1:\d+/)#token=([\w-]{40,})\n", line)
    assert found, line
    return found.groups()


def read(url, token, path, body=None):
    headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(f"{url}api/v1{path}", data, headers)
    with urllib.request.urlopen(request, timeout=20) as answer:
        return json.loads(answer.read())


@pytest.mark.parametrize("module", [(), ("grid.py",)])
def test_it_prints_a_link_serves_and_ends(shell, module):
    shell.run("backfill", "grid.py", "--assets", "daily", *DAYS)
    process = shell.start("ui", *module, "--no-browser", "--port", "0", "--read-only")
    url, token = opened(process)
    assert read(url, token, "/backfills")["total"] == 1
    info = read(url, token, "/info")
    assert (info["has_assets"], info["read_only"]) == (bool(module), True)
    with urllib.request.urlopen(url, timeout=20) as page:
        assert b"<title>rivers</title>" in page.read()
    process.send_signal(signal.SIGINT)
    shell.end(process, 0)


def test_wrong_usage(shell):
    shell.run("backfill", "grid.py", "--assets", "daily", *DAYS)
    assert "nothing.invalid" in shell.run("ui", "--host", "nothing.invalid", "--port", "0", code=2)
    assert "there is no storage" in shell.run("ui", "--storage", "gone.db", code=2)
    assert "there is no file" in shell.run("ui", "gone.py", code=2)


def test_a_backfill_whose_process_died_is_resumed_from_the_page(shell):
    running = shell.begin_slow()
    running.kill()
    running.wait()
    process = shell.start("ui", "grid.py", "--no-browser", "--port", "0")
    url, token = opened(process)
    (view,) = read(url, token, "/backfills")["backfills"]
    assert view["state"] == "interrupted"
    resumed = read(url, token, f"/backfills/{view['backfill_id']}/resume", {})
    assert resumed["state"] == "in_progress"
    shell.open_gate()
    wait_until(lambda: read(url, token, "/backfills?status=completed")["total"] == 1)
    process.send_signal(signal.SIGINT)
    shell.end(process, 0)
