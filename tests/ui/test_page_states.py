"""The page when something is missing or changes under it: no assets, another server, no answer, no records."""

import os
import re
import shlex
import subprocess
import sys
import threading
from datetime import timedelta

import pytest
from tests.ui.conftest import MISSING, launch, open_backfill

import rivers as rs
from rivers._worker_counts import WorkerCounts
from rivers.ui import Server

if os.environ.get("CI") == "true":
    from playwright.sync_api import expect
else:
    expect = pytest.importorskip("playwright.sync_api", reason=MISSING).expect

SHOP = """
import os
import rivers as rs

grid = rs.PartitionsDefinition.daily("2024-01-01", end="2024-01-11")

@rs.Asset(partitions_def=grid, backfill_strategy=rs.BackfillStrategy.chunked(2))
def orders(context):
    if os.path.exists("broken") and "2024-01-03" in str(context.partition):
        raise ValueError("broken")

@rs.Asset(partitions_def=grid)
def other(context):
    return 1

repo = rs.CodeRepository([orders, other])
"""


def run(command, folder):
    """Runs a command of the page in a shell's words, and returns what it prints."""
    words = shlex.split(command)
    assert words.pop(0) == "rivers"
    return subprocess.run(
        [sys.executable, "-m", "rivers", *words], cwd=folder, capture_output=True, text=True, check=True, timeout=60
    ).stdout  # fmt: skip


@pytest.fixture
def shop(tmp_path):
    """A folder with a module, and a storage whose name has a space, in which a backfill has failed."""
    (tmp_path / "shop.py").write_text(SHOP)
    (tmp_path / "broken").touch()
    storage = tmp_path / "my rivers.db"
    words = [sys.executable, "-m", "rivers", "backfill", "shop.py", "--assets", "orders", "--from",
             "2024-01-01", "--storage", str(storage), "-q"]  # fmt: skip
    subprocess.run(words, cwd=tmp_path, check=False, timeout=60)
    (tmp_path / "broken").unlink()
    return tmp_path, rs.BackfillClient(rs.Storage.open(storage))


@pytest.fixture
def shop_page(browser, serve, shop):
    """The page of a server that knows no assets, at the one backfill."""
    folder, client = shop
    server = serve(client)
    context = browser.new_context(viewport={"width": 1200, "height": 900})
    context.grant_permissions(["clipboard-read", "clipboard-write"])
    page = context.new_page()
    page.goto(server.link)
    page.locator("a.item").click()
    page.wait_for_selector("canvas[data-painted]")
    yield page, folder, client
    context.close()


def test_a_server_without_assets_says_what_runs_the_rest(shop_page):
    page, folder, client = shop_page
    note = page.locator(".note")
    expect(note).to_contain_text("knows no assets")
    expect(page.get_by_role("button", name="Rerun")).to_have_count(0)
    note.get_by_role("button", name="Copy").click()
    expect(page.locator("#toasts")).to_contain_text("Copied")
    run(page.evaluate("navigator.clipboard.readText()"), folder)
    latest, earlier = client.list_views()
    assert (latest.completed, latest.failed) == (earlier.failed, 0)
    page.evaluate("() => { location.hash = '#/assets' }")
    expect(page.locator("main")).to_contain_text("rivers ui MODULE")


def test_a_copied_command_runs_the_part(shop_page):
    page, folder, client = shop_page
    page.keyboard.press("m")
    for key in ("ArrowRight", "ArrowRight", "Shift+ArrowRight", "Shift+ArrowRight"):
        page.keyboard.press(key)
    expect(page.locator("#selection")).to_contain_text("3 partitions")
    page.keyboard.press("Y")
    expect(page.locator("#toasts")).to_contain_text("rivers backfill")
    run(page.evaluate("navigator.clipboard.readText()"), folder)
    latest, earlier = client.list_views()
    assert (latest.completed, latest.assets) == (3, ["orders"])
    assert latest.strategy == earlier.strategy == "chunked(2)"


def test_copied_python_runs_the_part(shop_page):
    page, folder, client = shop_page
    page.keyboard.press("m")
    page.keyboard.press("ArrowRight")
    page.keyboard.press("Shift+ArrowRight")
    expect(page.locator("#selection")).to_contain_text("2 partitions")
    page.keyboard.press("y")
    expect(page.locator("#toasts")).to_contain_text("Copied")
    code = page.evaluate("navigator.clipboard.readText()")
    script = (
        f"from shop import repo, rs\nrepo.resolve(rs.Storage.open({client.storage.path!r}))\n{code}"
    )
    subprocess.run([sys.executable, "-c", script], cwd=folder, check=True, timeout=60)
    latest, _ = client.list_views()
    assert (latest.completed, latest.assets) == (2, ["orders"])


def test_how_many_workers_there_are_and_what_they_wait_for_is_shown(page, served):
    launched = launch(served)
    open_backfill(page, served, launched)
    head = page.locator(".card").first
    expect(head).not_to_contain_text("worker")
    # As an executor on a cluster does.
    engine = served.repository._runtime.connect().engine
    (key,) = engine.live()
    unmet = "of 3 nodes none has 1 CPU, 8 GPU; the largest has 0 GPU"
    for counts in (WorkerCounts(3, 2, None), WorkerCounts(0, 0, unmet)):
        engine.set_workers(key, counts.to_json())
        expect(head).to_contain_text("3 workers on 2 nodes" if counts.num_workers else unmet)
        answer = served.api("GET", f"/backfills/{launched}")
        assert WorkerCounts(**answer["workers"]) == counts
    served.gate.set()
    served.repository.wait_backfill(launched)
    expect(head).not_to_contain_text("none has")


def test_a_dialog_is_closed_when_another_view_is_shown(page, served):
    launched = launch(served)
    open_backfill(page, served, launched)
    page.keyboard.press("c")
    expect(page.locator("dialog")).to_contain_text("Cancel 30 partitions?")
    page.go_back()
    expect(page.locator("h1")).to_have_text("Backfills")
    expect(page.locator("dialog")).not_to_be_visible()
    served.gate.set()
    assert served.repository.wait_backfill(launched).status == "completed"


def test_a_server_that_does_not_answer_is_named_once_and_is_used_again(page, served):
    launched = launch(served)
    open_backfill(page, served, launched)
    # As if the cable was pulled: requests and the stream fail.
    page.context.set_offline(True)
    page.evaluate("() => document.dispatchEvent(new Event('visibilitychange'))")
    expect(page.locator("#lost")).to_be_visible()
    expect(page.locator("#toasts .bad")).to_have_count(0)
    expect(page.locator("canvas")).to_be_visible()
    page.context.set_offline(False)
    expect(page.locator("#lost")).to_be_hidden()
    served.gate.set()
    expect(page.locator("main .pill").first).to_have_text("completed")


def test_after_another_start_of_the_server_the_page_asks_for_its_link(browser, served):
    client = rs.BackfillClient(served.repository.storage)
    first = Server(client, port=0)
    thread = threading.Thread(target=first.run)
    thread.start()
    context = browser.new_context()
    page = context.new_page()
    page.goto(first.link)
    page.locator("a.item").click()
    page.wait_for_selector("canvas[data-painted]")
    first.stop()
    thread.join(20)
    second = Server(client, port=first.port)
    thread = threading.Thread(target=second.run)
    thread.start()
    try:
        page.get_by_role("button", name="Zoom in").click()
        expect(page.locator("main")).to_contain_text("This browser has no session")
        expect(page.locator("main")).to_contain_text("after the server was started anew")
        page.goto(second.link)
        expect(page.locator("a.item")).to_have_count(1)
    finally:
        context.close()
        second.stop()
        thread.join(20)


def test_a_backfill_that_was_removed_is_said_to_be_gone(page, served):
    open_backfill(page, served)
    served.repository.storage.prune(older_than=timedelta())
    page.evaluate("() => { location.hash = '#/' }")
    expect(page.locator("main")).to_contain_text("No backfills yet")
    page.evaluate("id => { location.hash = `#/backfills/${id}` }", served.backfill_id)
    expect(page.locator("main")).to_contain_text("There is nothing here")
    expect(page.locator("main")).to_contain_text(served.backfill_id)


def test_two_tabs_show_what_either_changes(page, served):
    launched = launch(served)
    open_backfill(page, served, launched)
    other = page.context.new_page()
    other.goto(page.url)
    other.wait_for_selector("canvas[data-painted]")
    other.keyboard.press("p")
    expect(page.locator("main .pill").first).to_have_text("paused")
    page.keyboard.press("p")
    expect(other.locator("main .pill").first).to_have_text("running")
    served.gate.set()
    expect(page.locator("main .pill").first).to_have_text("completed")
    expect(other.locator("main .pill").first).to_have_text("completed")


def test_a_tab_that_nobody_sees_holds_no_stream(page, served):
    hide = """hidden => {
      Object.defineProperty(document, "hidden", { configurable: true, get: () => hidden });
      document.dispatchEvent(new Event("visibilitychange"));
    }"""
    page.evaluate(hide, True)
    launched = launch(served)
    page.wait_for_timeout(1500)
    expect(page.locator("a.item")).to_have_count(1)
    page.evaluate(hide, False)
    expect(page.locator("a.item").first).to_have_attribute("data-id", launched)
    served.gate.set()


def test_a_clock_that_is_wrong_changes_no_ago(page, served):
    page.clock.install(time="2031-01-01T00:00:00Z")
    page.reload()
    page.wait_for_selector("a.item")
    expect(page.locator("a.item")).to_contain_text(re.compile(r"just now|\d s ago|\d min ago"))


def test_a_phone_controls_a_backfill_by_touch(browser, served):
    context = browser.new_context(
        viewport={"width": 390, "height": 800}, has_touch=True, is_mobile=True
    )
    launched = launch(served)
    page = context.new_page()
    page.goto(f"{served.server.url}#token={served.server.sessions.new_link()}")
    page.locator(f"[data-id='{launched}']").tap()
    page.wait_for_selector("canvas[data-painted]")
    page.get_by_role("button", name="Pause", exact=True).tap()
    expect(page.locator("main .pill").first).to_have_text("paused")
    page.get_by_role("button", name="Unpause").tap()
    expect(page.locator("main .pill").first).to_have_text("running")
    page.touchscreen.tap(*(sum(pair) for pair in zip(_corner(page), (100, 30), strict=True)))
    expect(page.locator("#selection")).to_contain_text("1 partition")
    served.gate.set()
    context.close()


def _corner(page):
    page.locator("canvas").scroll_into_view_if_needed()
    box = page.locator("canvas").bounding_box()
    return box["x"], box["y"]
