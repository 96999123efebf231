"""The map in a real browser: followed, zoomed, arranged, selected and filtered, while a backfill runs beside it."""

import contextlib
import json
import os
import re
import sqlite3

import pytest
from tests.ui.conftest import GRID, MISSING, launch, open_backfill, page_of

import rivers as rs

if os.environ.get("CI") == "true":
    from playwright.sync_api import expect
else:
    expect = pytest.importorskip("playwright.sync_api", reason=MISSING).expect

pytestmark = pytest.mark.usefixtures("beside")


def cell(page, column, row, columns=10, rows=3):
    """The middle of a cell of the map, on the page."""
    canvas = page.locator("canvas")
    place = page.evaluate(
        "([x, y]) => { const c = document.querySelector('canvas'); const w = c.parentElement.clientWidth;"
        "const left = Math.min(130, Math.max(w * 0.22, 60)); const p = (w - left) / x;"
        "return [left, p, 20, Math.max(Math.min(440 / y, 22), 4)] }", [columns, rows]
    )  # fmt: skip
    canvas.scroll_into_view_if_needed()
    box = canvas.bounding_box()
    left, pitch, top, line = place
    return box["x"] + left + (column + 0.5) * pitch, box["y"] + top + (row + 0.5) * line


def drag(page, start, end):
    page.mouse.move(*start)
    page.mouse.down()
    page.mouse.move(*end, steps=4)
    page.mouse.up()


def test_the_map_follows_a_running_backfill(page, served):
    launched = launch(served)
    open_backfill(page, served, launched)
    expect(page.locator(".legend")).to_contain_text("pending")
    served.gate.set()
    expect(page.locator(".legend")).to_contain_text("30 completed")
    expect(page.locator(".legend")).not_to_contain_text("pending")


def test_a_dragged_rectangle_is_counted_and_what_failed_in_it_is_run_again(page, served):
    open_backfill(page, served)
    drag(page, cell(page, 1, 0), cell(page, 4, 1))
    expect(page.locator("#selection")).to_contain_text("8 partitions")
    expect(page.locator("#selection")).to_contain_text("1 failed")
    page.get_by_role("button", name="Copy Python").click()
    assert "2024-01-02" in page.evaluate("navigator.clipboard.readText()")
    page.get_by_role("button", name="Copy command").click()
    assert "--range region=us..eu" in page.evaluate("navigator.clipboard.readText()")
    sent = []
    page.on("request", lambda request: sent.append(request.post_data or ""))
    served.bad.clear()
    page.get_by_role("button", name="Rerun 1 failed here").click()
    expect(page).not_to_have_url(re.compile(served.backfill_id))
    expect(page.locator("main .pill").first).to_have_text("completed")
    assert served.repository.backfills().height == 3
    assert not any("2024-01" in body for body in sent)
    drag(page, cell(page, 0, 0, 5, 2), cell(page, 1, 0, 5, 2))
    page.get_by_role("button", name="Rerun all 1").click()
    expect(page.locator("#toasts")).to_contain_text("Launched 1 partition")


def test_a_rectangle_of_a_hundred_million_is_run_again_by_two_clicks(
    browser, serve, served, tmp_path
):
    side = 10_000
    plane = rs.PartitionsDefinition.multi({
        "x": rs.PartitionsDefinition.static_([f"x{at}" for at in range(side)]),
        "y": rs.PartitionsDefinition.static_([f"y{at}" for at in range(side)]),
    })  # fmt: skip

    @rs.Asset(partitions_def=plane, backfill_strategy=rs.BackfillStrategy.single_run())
    def points(context):
        raise ValueError("no data")

    repository, server = other_server(serve, served, [points], tmp_path / "plane.db")
    launched = repository.backfill(partition_range=rs.PartitionKeyRange.multi({})).backfill_id
    page = page_of(browser, server, viewport={"width": 1200, "height": 900})
    open_backfill(page, served, launched)
    box = page.locator("canvas").bounding_box()
    drag(page, (box["x"] + 400, box["y"] + 60), (box["x"] + 900, box["y"] + 300))
    button = page.locator("#rerun-failed")
    expect(button).to_contain_text(re.compile(r"Rerun \d\d,\d{3},\d{3} failed here"))
    with page.expect_request("**/rerun") as sent:
        button.click()
    body = sent.value.post_data
    assert len(body) < 120, body
    assert set(json.loads(body)) == {"where", "asset", "states"}
    expect(page).not_to_have_url(re.compile(launched))
    expect(page.locator("main .pill").first).to_have_text("failed")
    views = rs.BackfillClient(repository.storage).list_views()
    (rerun,) = (view for view in views if view.backfill_id != launched)
    assert f"{rerun.num_partitions:,}" in page.locator(".numbers").inner_text()
    assert rerun.num_partitions > 10**7
    with contextlib.closing(sqlite3.connect(repository.storage.path)) as stored:
        (plan,) = stored.execute("SELECT max(length(plan)) FROM backfill").fetchone()
    assert plan < 200  # Its ends are stored, not its partitions.
    page.close()
    repository.close()


def test_the_map_is_used_by_keyboard(page, served):
    open_backfill(page, served)
    page.keyboard.press("m")
    page.keyboard.press("ArrowRight")
    page.keyboard.press("ArrowRight")
    page.keyboard.press("ArrowRight")
    page.keyboard.press("ArrowDown")
    expect(page.locator(".tip")).to_contain_text("eu")
    page.keyboard.press("Shift+ArrowRight")
    expect(page.locator("#selection")).to_contain_text("2 partitions")
    page.keyboard.press("Escape")
    expect(page.locator("#selection")).to_have_count(0)
    page.keyboard.press("+")
    expect(page).to_have_url(re.compile("where=date"))
    page.keyboard.press("0")
    expect(page).not_to_have_url(re.compile("where="))


def test_partitions_are_named_in_the_map_s_field_by_keyboard_alone(page, served):
    open_backfill(page, served)
    field = page.get_by_role("searchbox", name="Partitions to show")
    page.keyboard.press("/")
    expect(field).to_be_focused()
    page.keyboard.type("2024-01")
    page.keyboard.press("Enter")
    expect(page.get_by_role("alert")).to_contain_text("date=2024-01")
    expect(field).to_have_attribute("aria-invalid", "true")
    field.fill("date=2024-01-02..2024-01-05|region=eu")
    page.keyboard.press("Enter")
    expect(page.locator("#selection")).to_contain_text("4 partitions")
    expect(page.locator("#selection")).to_contain_text("1 failed")
    expect(page.get_by_role("alert")).to_be_empty()
    expect(page).to_have_url(re.compile("where=date%3A1-5"))
    expect(field).to_have_value("date=2024-01-02..2024-01-05|region=eu")
    served.bad.clear()
    page.keyboard.press("r")
    expect(page.locator("dialog")).to_contain_text("Rerun 1 partition?")
    page.keyboard.press("Enter")
    expect(page).not_to_have_url(re.compile(served.backfill_id))
    expect(page.locator("main .pill").first).to_have_text("completed")


def test_the_wheel_zooms_and_rows_and_columns_are_chosen(page, served):
    open_backfill(page, served)
    page.mouse.move(*cell(page, 5, 1))
    page.mouse.wheel(0, -400)
    expect(page).to_have_url(re.compile("where=date%3A"))
    page.reload()
    page.wait_for_selector("canvas[data-painted]")
    expect(page.get_by_role("button", name="Show all")).to_be_enabled()
    page.get_by_role("button", name="Show all").click()
    page.get_by_label("Rows", exact=True).select_option("date")
    expect(page.get_by_label("Columns", exact=True)).to_have_value("region")
    expect(page).to_have_url(re.compile("rows=date"))


def other_server(serve, served, assets, storage):
    """Serves another repository in place of that of the fixture."""
    repository = rs.CodeRepository(assets).resolve(rs.Storage.open(storage))
    server = serve(rs.BackfillClient(repository.storage), repository=repository, module="other.py")
    return repository, server


def test_a_click_on_an_error_shows_every_partition_that_failed_with_it(
    browser, serve, served, tmp_path
):
    @rs.Asset(partitions_def=GRID)
    def rates(context):
        if "eu" in context.partition_key:
            raise ValueError(f"no rate for {context.partition_key}")
        if "2024-01-05" in context.partition_key:
            raise KeyError("asia")

    repository, server = other_server(serve, served, [rates], tmp_path / "other.db")
    launched = repository.backfill(partition_keys=GRID.select()).backfill_id
    page = page_of(browser, server)
    open_backfill(page, served, launched)
    expect(page.locator(".error")).to_have_count(2)
    seen = r"10ValueError: no rate for .*83%first 20\d\d-.*, last 20\d\d-.*, such as date=2024-.*\|region=eu"
    expect(page.locator(".error", has_text="ValueError")).to_have_text(re.compile(seen))
    page.locator(".error", has_text="ValueError").click()
    expect(page.locator(".legend")).to_contain_text("10 failed with ValueError")
    assert shown_failed(page) == {(1, column) for column in range(10)}
    page.locator(".error", has_text="KeyError").click()
    expect(page.locator(".legend")).to_contain_text("2 failed with KeyError")
    assert shown_failed(page) == {(0, 4), (2, 4)}
    expect(page).to_have_url(re.compile("error_type=KeyError"))
    page.reload()
    expect(page.locator(".legend")).to_contain_text("2 failed with KeyError")
    expect(page.locator(".error", has_text="KeyError")).to_have_attribute("aria-pressed", "true")
    page.locator(".error", has_text="KeyError").click()
    expect(page.locator(".legend")).to_contain_text("12 failed")
    page.close()
    repository.close()


def shown_failed(page):
    """The cells whose middle is painted red: row and column."""
    found = set()
    for row in range(3):
        for column in range(10):
            colour = page.evaluate(
                "([x, y]) => { const c = document.querySelector('canvas'), r = c.getBoundingClientRect();"
                "const s = devicePixelRatio; const d = c.getContext('2d').getImageData("
                "(x - r.left - 12) * s, (y - r.top - 5) * s, 1, 1).data; return [...d]; }",
                list(cell(page, column, row)),
            )
            red, green, blue, _ = colour
            if red > 180 and green < 120 and blue < 120:
                found.add((row, column))
    return found


def test_three_dimensions_are_arranged_and_the_third_is_chosen_with_a_slider(
    browser, serve, served, tmp_path
):
    cube = rs.PartitionsDefinition.multi({
        "date": rs.PartitionsDefinition.daily("2024-01-01", end="2024-01-05"),
        "region": rs.PartitionsDefinition.static_(["us", "eu", "asia"]),
        "kind": rs.PartitionsDefinition.static_(["a", "b"]),
    })  # fmt: skip

    @rs.Asset(partitions_def=cube)
    def parts(context):
        if "kind=b" in context.partition_key and "2024-01-02" in context.partition_key:
            raise ValueError("no data")

    repository, server = other_server(serve, served, [parts], tmp_path / "cube.db")
    launched = repository.backfill(partition_keys=cube.select()).backfill_id
    page = page_of(browser, server)
    open_backfill(page, served, launched)
    expect(page.locator(".legend")).to_contain_text("3 failed")
    slider = page.get_by_role("slider")
    expect(page.locator("label", has=slider)).to_contain_text("all 2")
    slider.focus()
    page.keyboard.press("ArrowRight")
    expect(page).to_have_url(re.compile("where=kind%3A0-1"))
    expect(page.locator("label", has=page.get_by_role("slider"))).to_contain_text("a")
    expect(page.locator(".legend")).not_to_contain_text("failed")
    page.get_by_role("slider").focus()
    page.keyboard.press("ArrowRight")
    expect(page).to_have_url(re.compile("where=kind%3A1-2"))
    expect(page.locator(".legend")).to_contain_text("9 completed")
    expect(page.locator(".legend")).to_contain_text("3 failed")
    page.get_by_label("Rows", exact=True).select_option("kind")
    expect(page).to_have_url(re.compile("rows=kind"))
    expect(page.get_by_label("Columns", exact=True)).to_have_value("date")
    expect(page.get_by_role("slider")).to_have_attribute("aria-label", re.compile("region"))
    page.get_by_role("button", name="Show all").click()
    page.get_by_label("Columns", exact=True).select_option("region")
    expect(page.get_by_role("slider")).to_have_attribute("aria-label", re.compile("date"))
    expect(page.locator(".legend")).to_contain_text("21 completed")
    page.reload()
    expect(page.get_by_label("Rows", exact=True)).to_have_value("kind")
    expect(page.get_by_label("Columns", exact=True)).to_have_value("region")
    page.close()
    repository.close()


def test_a_selection_is_run_again_and_copied_by_keyboard(page, served):
    open_backfill(page, served)
    page.keyboard.press("m")
    for key in ("ArrowRight", "ArrowRight", "ArrowRight", "ArrowDown", "Shift+ArrowRight"):
        page.keyboard.press(key)
    expect(page.locator("#selection")).to_contain_text("2 partitions")
    page.keyboard.press("y")
    expect(page.locator("#toasts")).to_contain_text("Copied")
    assert "partition_range" in page.evaluate("navigator.clipboard.readText()")
    page.keyboard.press("Y")
    expect(page.locator("#toasts")).to_contain_text("rivers backfill")
    assert "rivers backfill" in page.evaluate("navigator.clipboard.readText()")
    served.bad.clear()
    page.keyboard.press("r")
    expect(page.locator("dialog")).to_contain_text("1 partition")
    page.keyboard.press("Enter")
    expect(page).not_to_have_url(re.compile(served.backfill_id))
    expect(page.locator("main .pill").first).to_have_text("completed")
