"""The page and the REST interface on a storage in a PostgreSQL server."""

import os
import re
import threading
import uuid

import pytest
from tests.postgres_server import running_server
from tests.support import wait_until
from tests.ui.conftest import GRID, MISSING, Served

import rivers as rs

if os.environ.get("CI") == "true":
    from playwright.sync_api import expect
else:
    expect = pytest.importorskip("playwright.sync_api", reason=MISSING).expect


@pytest.fixture(scope="module")
def url():
    with running_server() as url:
        yield f"{url}?schema=s{uuid.uuid4().hex}"


def test_a_storage_in_a_server_is_shown_and_controlled(url, serve, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    bad = {"date=2024-01-03|region=eu"}

    @rs.Asset(partitions_def=GRID, io_handler=rs.PickleIOHandler(tmp_path / "values"))
    def sales(context):
        if context.partition_key in bad:
            raise ValueError(f"no data for {context.partition_key}")
        return 1

    with rs.CodeRepository([sales]).resolve(rs.Storage.open(url)) as repository:
        result = repository.backfill(partition_keys=GRID.select(), max_concurrency=2)
        client = rs.BackfillClient(repository.storage)
        server = serve(client, repository=repository, module="sales.py")
        served = Served(server, repository, result.backfill_id, bad)
        base = f"/backfills/{result.backfill_id}"
        assert served.api("GET", "/backfills")["backfills"][0]["failed"] == 1
        cells = served.api("GET", f"{base}/cells?width=10&height=3")
        assert (cells["totals"]["completed"], cells["totals"]["failed"]) == (29, 1)
        (group,) = served.api("GET", f"{base}/errors")
        only = served.api("GET", f"{base}/cells?error_type={group['error_type']}")
        assert only["totals"]["failed"] == 1
        activity = served.api("GET", f"{base}/activity")
        assert sum(ended for ended, _ in activity["bins"]) == 30
        assert 1 <= activity["num_lanes"] <= 2
        (row,) = served.api("GET", f"{base}/runs?status=failed")
        assert "date=2024-01-03" in served.api("GET", f"/runs/{row['run_id']}/error")["traceback"]
        assert served.api("GET", f"/runs/{row['run_id']}/log") == []
        assert served.api("GET", "/assets/sales/cells")["totals"]["failed"] == 1
        assert served.send("GET", "/api/v1/metrics").status == 200
        bad.clear()
        body = {"where": {"date": [1, 5], "region": [0, 2]}, "states": ["failed"]}
        launched = served.api("POST", f"{base}/rerun", body)["backfill_id"]
        path = f"/backfills/{launched}"
        wait_until(lambda: served.api("GET", path)["status"] != "in_progress")
        assert served.api("GET", path)["completed"] == 1
        info = served.api("GET", "/info")
        assert info["storage"].startswith("postgresql://")


def test_the_page_shows_and_controls_a_storage_in_a_server(browser, url, serve, tmp_path):
    """What differs from a file: where counts, live changes and verbs come from."""
    gate, bad = threading.Event(), {"date=2024-01-03|region=eu"}

    @rs.Asset(partitions_def=GRID, io_handler=rs.PickleIOHandler(tmp_path / "values"))
    def prices(context):
        gate.wait(20)
        if context.partition_key in bad:
            raise ValueError("no data")

    with rs.CodeRepository([prices]).resolve(rs.Storage.open(url)) as repository:
        launched = repository.backfill(
            partition_keys=GRID.select(), block=False, max_concurrency=2
        ).backfill_id
        client = rs.BackfillClient(repository.storage)
        page = browser.new_page()
        page.goto(serve(client, repository=repository, module="prices.py").link)
        page.locator(f"[data-id='{launched}']").click()
        page.wait_for_selector("canvas[data-painted]")
        state = page.locator("main .pill").first
        for expected in ("paused", "running"):
            page.keyboard.press("p")
            expect(state).to_have_text(expected)
        gate.set()
        expect(state).to_have_text("failed")
        expect(page.locator("#errors")).to_contain_text("ValueError")
        bad.clear()
        page.keyboard.press("/")
        page.keyboard.type("date=2024-01-02..2024-01-05|region=eu")
        page.keyboard.press("Enter")
        expect(page.locator("#selection")).to_contain_text("1 failed")
        page.locator("#rerun-failed").click()
        expect(page).not_to_have_url(re.compile(launched))
        expect(state).to_have_text("completed")
        page.keyboard.press("g")
        page.keyboard.press("a")
        page.get_by_role("link", name="prices", exact=True).click()
        expect(page.locator(".legend")).to_contain_text("30 materialized")
        page.keyboard.press("F")
        page.locator("dialog").get_by_label("Partitions").fill("region=us")
        expect(page.locator("dialog")).to_contain_text("10 partitions")
        page.keyboard.press("Enter")
        expect(page.locator(".legend")).to_contain_text("20 materialized")
        page.close()
