"""Runs and assets in a real browser, and the verbs of assets, while a backfill runs beside them."""

import json
import os
import re
import threading

import pytest
from tests.ui.conftest import GRID, HOSTILE, MISSING, launch

import rivers as rs
from rivers.storage.location import StorageLocation

if os.environ.get("CI") == "true":
    from playwright.sync_api import expect
else:
    expect = pytest.importorskip("playwright.sync_api", reason=MISSING).expect

pytestmark = pytest.mark.usefixtures("beside")


def test_a_backfill_of_typed_partitions_is_counted_and_launched_by_keyboard_alone(page, served):
    page.evaluate("() => { location.hash = '#/assets/sales' }")
    page.wait_for_selector("canvas[data-painted]")
    served.bad.clear()
    page.keyboard.press("b")
    dialog = page.locator("dialog")
    expect(dialog).to_contain_text("1 partition in 1 run")
    dialog.get_by_label("Partitions").fill("date=2024-02")
    expect(dialog.get_by_role("status")).to_contain_text("2024-02")
    expect(page.get_by_role("button", name="Launch")).to_be_disabled()
    page.keyboard.press("Enter")
    expect(dialog).to_be_visible()
    dialog.get_by_label("Partitions").fill("date=..2024-01-03|region=eu,us")
    page.get_by_label("Of these").select_option("all of them, again")
    expect(dialog).to_contain_text("6 partitions in 6 runs")
    assert served.repository.backfills().height == 2
    page.keyboard.press("Enter")
    expect(page.locator("main .pill").first).to_have_text("completed")
    expect(page.locator(".numbers")).to_contain_text("6partitions")


def test_partitions_are_forgotten_and_reported_by_keyboard_alone(page, served):
    page.evaluate("() => { location.hash = '#/assets/sales' }")
    page.wait_for_selector("canvas[data-painted]")
    legend, dialog = page.locator(".legend"), page.locator("dialog")
    expect(legend).to_contain_text("29 materialized")
    for key, typed, said, shown in (
        ("F", "date=2024-01-03", "3 partitions will count as missing", "27 materialized"),
        ("R", "date=2024-01-03|region=eu", "1 partition will count as materialized", "28 materialized"),
    ):  # fmt: skip
        page.keyboard.press(key)
        dialog.get_by_label("Partitions").fill("")
        expect(dialog.get_by_role("status")).to_contain_text(
            "all of the asset 'sales' are 'date=..'"
        )
        dialog.get_by_label("Partitions").fill(typed)
        expect(dialog.get_by_role("status")).to_contain_text(said)
        page.keyboard.press("Enter")
        expect(legend).to_contain_text(shown)
        expect(dialog).to_be_empty()
    assert served.repository.backfills().height == 2


def test_what_is_missing_of_an_asset_is_made_by_keyboard(page, served):
    page.keyboard.press("g")
    page.keyboard.press("a")
    page.get_by_role("link", name="sales", exact=True).focus()
    page.keyboard.press("Enter")
    page.wait_for_selector("canvas[data-painted]")
    served.bad.clear()
    page.keyboard.press("b")
    expect(page.locator("dialog")).to_contain_text("1 partition in 1 run")
    page.keyboard.press("Enter")
    expect(page.locator("main .pill").first).to_have_text("completed")


def test_a_run_shows_steps_inputs_log_error_and_metadata(page, served):
    (row,) = served.api("GET", f"/backfills/{served.backfill_id}/runs?status=failed")
    folder = StorageLocation.parse(served.repository.storage.path).log_folder
    folder.mkdir(exist_ok=True)
    line = {"time": "2024-01-01T00:00:00+00:00", "level": "WARNING", "run": row["run_id"]}
    line |= {"message": f"few rows {HOSTILE}"}
    (folder / f"{served.backfill_id}.jsonl").write_text(json.dumps(line) + "\n")
    page.evaluate("id => { location.hash = `#/runs/${id}` }", row["run_id"])
    expect(page.locator("#log")).to_contain_text(HOSTILE)
    expect(page.locator("#inputs")).to_contain_text("date=2024-01-03|region=eu")
    expect(page.locator("#inputs")).to_contain_text("made in this run")
    expect(page.locator("#traceback")).to_contain_text("ValueError")
    expect(page.locator("#events")).to_contain_text("StepFailure")
    facts = re.compile(r"Started20\d\d-\d\d-\d\d [\d:]+Took\d+ msAttempts1Steps2 of 2")
    expect(page.locator(".facts")).to_contain_text(facts)
    (done, *_) = served.api("GET", f"/backfills/{served.backfill_id}/runs?status=completed&limit=1")
    page.evaluate("id => { location.hash = `#/runs/${id}` }", done["run_id"])
    expect(page.locator("#events")).to_contain_text("rows: 5")


def test_a_run_and_its_retry_are_followed_to_the_end(page, serve, tmp_path):
    gate, tried = threading.Event(), []

    @rs.Asset(
        retry=rs.RetryPolicy(max_retries=1, backoff=rs.Backoff.constant(1.5)),
        partitions_def=GRID,
    )
    def prices(context):
        tried.append(context.partition_key)
        if len(tried) == 1:
            raise ValueError("not yet")
        gate.wait(20)

    repository = rs.CodeRepository([prices]).resolve(rs.Storage.open(tmp_path / "other.db"))
    key = rs.PartitionKeyRange.multi({"date": ("2024-01-03",) * 2, "region": ("eu", "eu")})
    launched = repository.backfill(partition_range=key, block=False).backfill_id
    other = page.context.new_page()
    other.goto(serve(rs.BackfillClient(repository.storage)).link)
    other.locator("a.item").click()
    expect(other.locator("#retries")).to_have_text(re.compile("run 0attempt 1 failed"))
    other.locator("#retries a").focus()
    other.keyboard.press("Enter")
    expect(other.locator("main .pill")).to_have_text("running")
    expect(other.locator(".facts")).to_contain_text("Attempts2Steps0 of 1")
    gate.set()
    expect(other.locator("main .pill")).to_have_text("completed")
    expect(other.locator(".facts")).to_contain_text("Attempts2Steps1 of 1")
    expect(other.locator("#run-errors")).to_contain_text("attempt 1")
    assert repository.wait_backfill(launched).status == "completed"
    repository.close()


def test_the_latest_runs_are_those_of_what_runs_now(page, served, beside):
    page.evaluate("() => { location.hash = '#/runs' }")
    expect(page.locator("h1")).to_have_text("Latest runs")
    first = page.locator("td a").first
    before = first.inner_text()
    expect(first).not_to_have_text(before)
    expect(page.locator("main")).to_contain_text("ticks")
    page.get_by_label("Status").select_option("failed")
    expect(page).to_have_url(re.compile("status=failed"))
    expect(page.locator("main")).to_contain_text("ValueError: no data")
    page.locator("td a").focus()
    page.keyboard.press("Enter")
    expect(page.locator("#traceback")).to_contain_text("ValueError")


def test_an_asset_shows_what_runs_and_what_is_stale(page, served):
    launch(served)
    page.evaluate("() => { location.hash = '#/assets' }")
    graph = page.get_by_role("img", name="Graph of assets")
    expect(graph.locator("a")).to_have_text(["sales30 partitions", "report30 partitions"])
    expect(graph.locator("path")).to_have_count(1)
    graph.locator("a", has_text="sales").click()
    legend = page.locator(".legend")
    expect(legend).to_contain_text("30 in progress")
    served.gate.set()
    expect(legend).to_contain_text("30 materialized")
    page.get_by_role("link", name="report").click()
    expect(legend).to_contain_text("1 failed")
    expect(legend).to_contain_text("29 stale")
    page.keyboard.press("b")
    page.get_by_label("Of these").select_option("what is missing or stale")
    expect(page.locator("dialog")).to_contain_text("30 partitions in 30 runs")
    page.get_by_label("Runs at once").fill("3")
    expect(page.get_by_role("button", name="Launch")).to_be_enabled()
    page.keyboard.press("Enter")
    expect(page.locator("main .pill").first).to_have_text("completed")
    expect(page.locator("main")).to_contain_text("3 at once")


def test_what_is_missing_of_an_asset_is_planned_and_made(page, served):
    page.evaluate("() => { location.hash = '#/assets' }")
    page.get_by_role("link", name="sales", exact=True).click()
    page.wait_for_selector("canvas[data-painted]")
    expect(page.locator(".legend")).to_contain_text("29 materialized")
    served.bad.clear()
    page.get_by_role("button", name="Backfill…").click()
    expect(page.locator("dialog")).to_contain_text("1 partition in 1 run")
    page.get_by_role("button", name="Launch").click()
    expect(page.locator("main .pill").first).to_have_text("completed")
