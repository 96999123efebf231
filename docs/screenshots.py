"""Makes the pictures of the web UI: `python docs/screenshots.py`. It needs what the tests of the page need.

A year of sales in nine regions is backfilled; one region has no prices for some days, and one is slow.
"""

import tempfile
import threading
import time
from pathlib import Path

from playwright.sync_api import sync_playwright

import rivers as rs
from rivers.ui import Server

DRAWINGS = Path(__file__).parent / "drawings"
CHROMIUM = "/usr/bin/chromium"
GRID = rs.PartitionsDefinition.multi({
    "date": rs.PartitionsDefinition.daily("2024-01-01", end="2025-01-01"),
    "region": rs.PartitionsDefinition.static_(
        ["us-east", "us-west", "eu-north", "eu-west", "eu-south", "india", "japan", "brazil", "africa"]
    ),
})  # fmt: skip


@rs.Asset(partitions_def=GRID)
def sales(context: rs.AssetExecutionContext) -> None:
    """Takes a few milliseconds, and fails where there are no prices."""
    key = context.partition_key
    time.sleep(0.012 if "japan" in key else 0.004)
    if "brazil" in key and key.partition("|")[0][-1] in "36":
        raise ValueError(f"no prices for {key}")
    if "2024-03-1" in key and "eu" in key:
        raise ConnectionError("the exchange is closed")


def client_link(server: Server) -> str:
    """Another link: each opens one browser."""
    return f"{server.url}#token={server.sessions.new_link()}"


def main() -> None:
    """Runs the backfill and takes the pictures, one while it runs."""
    with (
        tempfile.TemporaryDirectory() as folder,
        rs.CodeRepository([sales]).resolve(rs.Storage.open(f"{folder}/rivers.db")) as repository,
        sync_playwright() as playwright,
    ):
        client = rs.BackfillClient(repository.storage)
        server = Server(client, repository=repository, module="shop.py", port=0)
        thread = threading.Thread(target=server.run)
        thread.start()
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        tags = [("team", "prices")]
        autumn = rs.PartitionKeyRange.multi({"date": ("2024-11", "2024-12")})
        repository.backfill(partition_range=autumn, tags=tags)
        page = browser.new_page(viewport={"width": 1280, "height": 860})
        phone = browser.new_page(viewport={"width": 400, "height": 560}, color_scheme="dark")
        for opened, link in ((page, server.link), (phone, client_link(server))):
            opened.goto(link)
            opened.wait_for_selector("a.item")
        everything = rs.PartitionKeyRange.multi({})
        running = repository.backfill(
            partition_range=everything, tags=tags, block=False
        ).backfill_id
        while client.get_view(running).completed < 0.6 * len(GRID):
            time.sleep(0.02)
        phone.screenshot(path=DRAWINGS / "ui-phone.png")
        repository.wait_backfill(running)
        page.evaluate("id => { location.hash = `#/backfills/${id}` }", running)
        page.wait_for_selector("#longest table")
        page.keyboard.press("/")
        page.keyboard.type("date=2024-02..2024-04|region=eu-north..eu-south")
        page.keyboard.press("Enter")
        page.wait_for_selector("#selection")
        page.wait_for_timeout(500)
        page.screenshot(path=DRAWINGS / "ui-range.png")
        page.keyboard.press("0")
        page.wait_for_timeout(500)
        page.evaluate("() => document.activeElement.blur()")
        page.screenshot(path=DRAWINGS / "ui-backfill.png", full_page=True)
        browser.close()
        server.stop()
        thread.join()


if __name__ == "__main__":
    main()
