"""The page of `rivers ui` in Chromium: how soon it is painted, and what it costs."""

import contextlib
import functools
import shutil
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from support import EVERYTHING, Row, checked, folder, grid, noop_asset

import rivers as rs

pytestmark = pytest.mark.timeout(1800)

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
SIDES = {10**6: (10_000, 100), 10**8: (10_000, 10_000)}

_PAINTED = "() => Number(document.querySelector('canvas')?.dataset.painted || 0) > 0"
_LONG_TASKS = """
    window.longest = 0;
    new PerformanceObserver((list) => {
      for (const task of list.getEntries()) window.longest = Math.max(window.longest, task.duration);
    }).observe({ type: "longtask", buffered: true });
"""


def main(storage):
    """Serves a storage: prints the link, and at the end of the input the peak of its memory."""
    from rivers.ui import Server

    server = Server(rs.BackfillClient(rs.Storage.open(storage)), port=0)
    print(server.link, flush=True)
    threading.Thread(target=server.run, daemon=True).start()
    sys.stdin.read()
    status = Path("/proc/self/status").read_text()
    peak = next(line for line in status.splitlines() if line.startswith("VmHWM"))
    print(int(peak.split()[1]) * 1024, flush=True)


@contextlib.contextmanager
def served(storage):
    """A server in a process of its own, and a function that ends it and returns its peak of memory."""
    command = [sys.executable, __file__, str(storage)]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    ended = []

    def peak():
        ended.append(True)
        return float(process.communicate(timeout=60)[0])

    try:
        yield process.stdout.readline().strip(), peak
    finally:
        if not ended:
            peak()
        process.wait()


@contextlib.contextmanager
def opened(link):
    """The page, by its link, in a browser."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": 1600, "height": 1000})
        page.set_default_timeout(120_000)
        page.add_init_script(_LONG_TASKS)
        page.goto(link)
        page.wait_for_selector("a.item")
        yield page
        browser.close()


@functools.cache
def stored(partitions):
    """The folder with a backfill of this many partitions, in as many runs; it is made once."""
    kept = contextlib.ExitStack()
    path = kept.enter_context(folder())
    with rs.CodeRepository([noop_asset(grid(*SIDES[partitions]))]).resolve(
        rs.Storage.open(path / "rivers.db")
    ) as repo:
        checked(repo.backfill(partition_range=EVERYTHING, max_concurrency=2), partitions)
    return path / "rivers.db", kept


@contextlib.contextmanager
def page_of(partitions):
    with served(stored(partitions)[0]) as (link, peak), opened(link) as page:
        yield page, peak


def click(page):
    """Opens the one backfill by a click; the seconds until its map is painted."""
    began = time.perf_counter()
    page.locator("a.item").first.click()
    page.wait_for_function(_PAINTED, polling="raf")
    return time.perf_counter() - began


@contextlib.contextmanager
def painted(partitions):
    with page_of(partitions) as (page, _):
        yield lambda: click(page)


@contextlib.contextmanager
def blocked(partitions):
    """The longest time for which the main thread was blocked."""
    with page_of(partitions) as (page, _):

        def work():
            click(page)
            page.wait_for_selector("#longest table")
            return page.evaluate("window.longest") / 1000

        yield work


@contextlib.contextmanager
def zoomed(partitions):
    with page_of(partitions) as (page, _):
        click(page)
        page.wait_for_selector("#longest table")
        page.keyboard.press("m")

        def work():
            before = page.evaluate("Number(document.querySelector('canvas').dataset.painted)")
            began = time.perf_counter()
            page.keyboard.press("+")
            changed = f"Number(document.querySelector('canvas').dataset.painted) > {before + 1}"
            page.wait_for_function(f"() => {changed}", polling="raf")
            return time.perf_counter() - began

        yield work


@contextlib.contextmanager
def peak_of_server(partitions):
    with page_of(partitions) as (page, peak):
        click(page)
        page.wait_for_selector("#longest table")
        yield peak


ROWS = [
    Row("1,000,000 partitions painted after the click", "1 s", lambda: painted(10**6)),
    Row("1,000,000: the main thread blocked at most", "50 ms", lambda: blocked(10**6)),
    Row("100,000,000 partitions painted after the click", "500 ms", lambda: painted(10**8)),
    Row("100,000,000: a zoom step", "100 ms", lambda: zoomed(10**8)),
    Row("100,000,000: peak of the server", "300 MB", lambda: peak_of_server(10**8),
        is_memory=True, rounds=1),
]  # fmt: skip


@pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium and Playwright")
@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.work)
def test_page(measured, row):
    measured(row)


if __name__ == "__main__":
    main(sys.argv[1])
