"""The page in a real browser: the list and the verbs of backfills, while another backfill runs beside them."""

import os
import re

import pytest
from tests.ui.conftest import GRID, HOSTILE, MISSING, launch, open_backfill, page_of

import rivers as rs
from rivers.repository.internals import abandon

if os.environ.get("CI") == "true":
    from playwright.sync_api import expect
else:
    expect = pytest.importorskip("playwright.sync_api", reason=MISSING).expect

pytestmark = pytest.mark.usefixtures("beside")


def test_the_link_opens_one_browser_and_leaves_no_token(page, served, browser):
    assert served.token not in page.url
    assert page.evaluate("document.cookie") == ""
    assert served.token not in page.evaluate("JSON.stringify({...localStorage, ...sessionStorage})")
    page.go_back()
    assert served.token not in page.url
    other = browser.new_page()
    other.goto(served.server.link)
    expect(other.locator("main")).to_contain_text("no session")
    other.close()
    page.goto(served.server.link)
    page.wait_for_selector("a.item")


def test_a_row_shows_shares_rate_time_left_liveness_and_limits(page, served, beside):
    row = page.locator(f"[data-id='{beside}']")
    shares = re.compile(r"\d completed, \d running, 36,\d{3} pending")
    expect(row.get_by_role("img")).to_have_attribute("aria-label", shares)
    expect(row).to_contain_text(re.compile(r"ticks.*(just now|ago) · multi_run\(\)running"))
    expect(row).to_contain_text(re.compile(r"\d of 36,524"))
    expect(row.locator("svg.spark path")).to_have_count(2)
    limits = r" left[\d.]+/s · 2 at once · stops at 9 failures · its process is alive"
    expect(row).to_contain_text(re.compile(limits))
    expect(row).not_to_contain_text(row.locator(".under").inner_text())
    ended = page.locator(f"[data-id='{served.backfill_id}']")
    expect(ended.get_by_role("img")).to_have_attribute("aria-label", "29 completed, 1 failed")
    expect(ended).to_contain_text(re.compile(r"took \d+ ms2 at once$"))


def test_the_list_shows_live_backfills_first_and_follows_them(page, served):
    expect(page.locator("a.item")).to_have_count(2)
    expect(page.locator("a.item").last).to_contain_text("30 of 30 · 1 failed")
    launched = launch(served)
    rows = page.locator("a.item")
    expect(rows.first).to_have_attribute("data-id", launched)
    expect(rows.first).to_contain_text("running")
    served.gate.set()
    # One still runs.
    expect(rows.nth(1)).to_have_attribute("data-id", launched)
    expect(rows.nth(1)).to_contain_text("30 of 30")
    expect(rows.nth(1).locator(".pill")).to_have_text("completed")


def test_the_list_is_filtered_and_its_address_can_be_shared(page, served):
    page.get_by_role("button", name="completed").click()
    expect(page.locator("main")).to_contain_text("No backfill fits")
    page.get_by_role("button", name="completed").click()
    page.keyboard.press("/")
    page.keyboard.type("report")
    expect(page.locator("a.item")).to_have_count(1)
    expect(page).to_have_url(re.compile("search=report"))
    page.reload()
    expect(page.locator("a.item")).to_have_count(1)
    expect(page.get_by_role("searchbox")).to_have_value("report")


def test_the_list_is_used_by_keyboard(page, served):
    page.keyboard.press("j")
    page.keyboard.press("j")
    page.keyboard.press("Enter")
    expect(page).to_have_url(re.compile(served.backfill_id))
    page.wait_for_selector("canvas[data-painted]")
    page.keyboard.press("g")
    page.keyboard.press("a")
    expect(page.locator("h1")).to_have_text("Assets")
    page.keyboard.press("?")
    expect(page.locator("dialog")).to_contain_text("select")
    page.keyboard.press("Escape")


def test_texts_of_users_are_shown_as_text(page, served):
    expect(page.locator("a.item").last).to_contain_text(HOSTILE)
    open_backfill(page, served)
    page.locator(".error").click()
    expect(page.locator("#errors")).to_contain_text(HOSTILE.replace("1", "…")[:9])
    expect(page.locator("#errors pre")).to_contain_text("Traceback")
    assert page.locator("main img").count() == 0


def test_the_buttons_of_a_backfill_control_it_while_it_runs(page, served):
    launched = launch(served)
    open_backfill(page, served, launched)
    expect(page.locator("main .pill").first).to_have_text("running")
    page.get_by_role("button", name="Pause", exact=True).click()
    expect(page.get_by_role("button", name="Unpause")).to_be_visible()
    assert served.repository.get_backfill(launched).paused
    page.get_by_role("button", name="Unpause").click()
    expect(page.get_by_role("button", name="Pause", exact=True)).to_be_visible()
    assert not served.repository.get_backfill(launched).paused
    page.get_by_role("button", name="Set…").click()
    page.get_by_label("Priority").fill("")
    page.get_by_label("Runs at once").fill("0")
    page.get_by_role("button", name="Set", exact=True).click()
    expect(page.locator("dialog")).to_be_visible()  # The browser says what is allowed.
    page.get_by_label("Runs at once").fill("7")
    page.get_by_role("button", name="Set", exact=True).click()
    expect(page.locator("main")).to_contain_text("7 at once")
    page.get_by_role("button", name="Cancel…").click()
    expect(page.locator("dialog")).to_contain_text("Cancel 30 partitions?")
    with page.expect_response("**/cancel"):
        page.get_by_role("button", name="Cancel backfill").click()
    served.gate.set()
    expect(page.locator("main .pill").first).to_have_text("canceled")
    assert served.repository.get_backfill(launched).status == "canceled"
    page.get_by_role("button", name=re.compile("^Rerun .* canceled")).click()
    expect(page).not_to_have_url(re.compile(launched))
    expect(page.locator("main .pill").first).to_have_text("completed")


def test_lanes_show_the_slots_of_a_backfill(page, served):
    open_backfill(page, served)
    expect(page.locator("#lanes svg")).to_have_attribute("data-lanes", re.compile("^[12]$"))
    expect(page.locator("#activity")).to_contain_text("1 failed")
    expect(page.locator("#activity")).to_contain_text("0 of 30 have not started")
    expect(page.locator("#lanes path.idle")).to_have_attribute("d", re.compile("^M0 0h100v7"))
    expect(page.locator("#longest tr")).to_have_count(10)


def test_every_verb_of_a_backfill_has_a_key(page, served):
    launched = launch(served)
    open_backfill(page, served, launched)
    page.keyboard.press("p")
    expect(page.get_by_role("button", name="Unpause")).to_be_visible()
    page.keyboard.press("p")
    expect(page.get_by_role("button", name="Pause", exact=True)).to_be_visible()
    page.keyboard.press("s")
    expect(page.locator("dialog")).to_be_visible()
    page.keyboard.type("3")
    page.keyboard.press("Escape")
    expect(page.locator("dialog")).to_be_empty()  # It is closed, and its event was seen.
    expect(page.locator("main")).to_contain_text("2 at once")
    page.keyboard.press("s")
    page.keyboard.press("Control+a")
    page.keyboard.type("3")
    page.keyboard.press("Enter")
    expect(page.locator("main")).to_contain_text("3 at once")
    assert served.repository.get_backfill(launched).status == "in_progress"
    page.keyboard.press("c")
    expect(page.locator("dialog")).to_contain_text("Cancel")
    with page.expect_response("**/cancel"):
        page.keyboard.press("Enter")
    served.gate.set()
    expect(page.locator("main .pill").first).to_have_text("canceled")
    page.keyboard.press("r")
    expect(page.locator("dialog")).to_contain_text("partitions")
    page.keyboard.press("Enter")
    expect(page).not_to_have_url(re.compile(launched))
    expect(page.locator("main .pill").first).to_have_text("completed")


def test_a_backfill_whose_process_died_is_resumed_by_its_key(page, served, tmp_path):
    assets = [node.asset for node in served.repository._graph.nodes.values()]
    storage = rs.Storage.open(served.repository.storage.path)
    served.gate.clear()
    served.bad.clear()
    dying = rs.CodeRepository(assets).resolve(storage)
    launched = dying.backfill(
        ["sales"], partition_keys=GRID.select(), block=False, max_concurrency=2
    ).backfill_id
    abandon(dying)
    served.gate.set()
    open_backfill(page, served, launched)
    expect(page.locator("main .pill").first).to_have_text("interrupted")
    page.keyboard.press("u")
    expect(page.locator("main .pill").first).to_have_text("completed")


def test_in_read_only_mode_there_are_no_verbs(serve, served, browser):
    launched = launch(served)
    server = serve(
        rs.BackfillClient(served.repository.storage), repository=served.repository, read_only=True
    )
    page = page_of(browser, server)
    expect(page.locator("#mode")).to_be_visible()
    for backfill_id in (launched, served.backfill_id):
        page.evaluate("id => { location.hash = `#/backfills/${id}` }", backfill_id)
        page.wait_for_selector("canvas[data-painted]")
        assert (
            page.locator("main button", has_text=re.compile("Pause|Cancel|Rerun|Set")).count() == 0
        )
    served.gate.set()
    page.close()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_phone_shows_every_view_without_scrolling_sideways(page, served, scheme):
    page.emulate_media(color_scheme=scheme)
    page.set_viewport_size({"width": 400, "height": 800})
    for view in ("", f"backfills/{served.backfill_id}", "assets", "assets/sales", "runs"):
        page.evaluate("view => { location.hash = `#/${view}` }", view)
        page.wait_for_selector("h1, a.item")
        page.wait_for_timeout(300)
        assert page.evaluate("document.documentElement.scrollWidth") <= 400, view


def test_the_page_is_small_and_loads_what_it_needs_alone(page, served):
    sizes = page.evaluate(
        "performance.getEntriesByType('resource').filter(r => r.name.includes('/static/'))"
        ".map(r => [r.name, r.decodedBodySize])"
    )
    assert sum(size for name, size in sizes if name.endswith((".js", ".css"))) < 100_000
    assert len(sizes) >= 10
