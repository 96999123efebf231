"""Attacks in a real browser: texts of users, what a script may insert, and addresses that are none."""

import os

import pytest
from tests.ui.conftest import HOSTILE, MISSING, Served, open_backfill, running

import rivers as rs

if os.environ.get("CI") == "true":
    from playwright.sync_api import expect
else:
    expect = pytest.importorskip("playwright.sync_api", reason=MISSING).expect

ADDRESS = "javascript:window.attacked=1"
TURNED = "invoice\u202egpj.exe"
"""A text whose end is shown from right to left, as `invoice` and `exe.jpg`."""
SHOWN = r"invoice\u202egpj.exe"
NAME = "javascript:attack()<b>%zz"
KEYS = rs.PartitionsDefinition.static_([ADDRESS, HOSTILE, TURNED, "50%zz"])


@pytest.fixture(scope="module")
def hostile(tmp_path_factory):
    """A server over a backfill in which every text that a user writes attacks the page."""

    def attack(context):
        context.add_output_metadata({TURNED: ADDRESS, "link": HOSTILE})
        if context.partition_key != "50%zz":
            raise ValueError(f"{HOSTILE} {ADDRESS} {TURNED}")

    asset = rs.Asset(attack, name=NAME, partitions_def=KEYS, metadata={TURNED: ADDRESS})
    storage = rs.Storage.open(tmp_path_factory.mktemp("hostile") / "rivers.db")
    with rs.CodeRepository([asset]).resolve(storage) as repository:
        tags = [("link", ADDRESS), ("name", TURNED), ("markup", HOSTILE)]
        result = repository.backfill(partition_keys=KEYS.select(), tags=tags)
        with running(rs.BackfillClient(storage), repository=repository, module="x.py") as server:
            yield Served(server, repository, result.backfill_id, set())


@pytest.fixture(scope="module")
def views(hostile):
    (run, *_) = hostile.api("GET", f"/backfills/{hostile.backfill_id}/runs?status=failed")
    name = NAME.replace("%", "%25").replace("<", "%3C").replace(">", "%3E")
    return [
        "", f"backfills/{hostile.backfill_id}", "assets", f"assets/{name}", "runs", f"runs/{run['run_id']}",
    ]  # fmt: skip


@pytest.fixture(scope="module")
def opened(browser, hostile):
    page = browser.new_page()
    page.set_default_timeout(15_000)
    page.goto(hostile.server.link)
    page.wait_for_selector("a.item")
    yield page
    page.close()


def test_texts_of_users_are_texts_in_every_view(opened, views):
    for view in views:
        opened.evaluate("view => { location.hash = `#/${view}` }", view)
        opened.wait_for_selector("main h1")
        if "backfills/" in view or "assets/" in view:
            opened.wait_for_selector("canvas[data-painted]")
        else:
            opened.wait_for_timeout(100)
        assert opened.locator("main img, main script, main b b, iframe").count() == 0, view
        links = opened.evaluate(
            "[...document.querySelectorAll('a')].map(a => a.getAttribute('href'))"
        )
        assert all(link.startswith("#/") for link in links), (view, links)
        text = opened.evaluate("document.body.innerText")
        assert "\u202e" not in text, view
        assert opened.evaluate("window.attacked") is None, view


def test_a_text_that_turns_is_shown_with_what_turns_it(opened, hostile):
    open_backfill(opened, hostile)
    expect(opened.locator(".facts-line")).to_contain_text(f"name={SHOWN}")
    opened.locator(".error").first.click()
    expect(opened.locator("#errors")).to_contain_text(SHOWN)
    expect(opened.locator("#errors")).to_contain_text(ADDRESS)
    # What is copied is the key itself.
    opened.keyboard.press("/")
    opened.get_by_role("searchbox", name="Partitions to show").fill(TURNED)
    opened.keyboard.press("Enter")
    expect(opened.locator("#selection")).to_contain_text("1 partition")
    assert opened.get_by_role("searchbox", name="Partitions to show").input_value() == TURNED


def test_what_a_script_inserts_is_not_run(opened):
    # The browser lets a debugger evaluate texts, though not what runs later.
    inserted = """async () => {
      await new Promise((later) => setTimeout(later));
      const script = document.createElement("script");
      try { script.textContent = "window.attacked = 2"; document.body.append(script); } catch { }
      try { document.body.insertAdjacentHTML("beforeend", "<img src=x onerror='window.attacked=3'>"); } catch { }
      try { setTimeout("window.attacked = 4"); } catch { }
      try { (0, eval)("window.attacked = 5"); } catch { }
      try { await import("data:text/javascript,window.attacked=6"); } catch { }
      const style = document.createElement("style");
      style.textContent = "body { visibility: hidden }";
      document.body.append(style);
      const frame = document.createElement("iframe");
      frame.src = "/";
      document.body.append(frame);
      const image = new Image();
      image.src = "http://127.0.0.1:9/?stolen";
      const sent = await fetch("http://127.0.0.1:9/?stolen").then(() => "sent", () => "refused");
      await new Promise((done) => setTimeout(done, 200));
      return [window.attacked, sent, frame.contentDocument?.querySelector("main") ?? null, getComputedStyle(document.body).visibility];
    }"""
    assert opened.evaluate(inserted) == [None, "refused", None, "visible"]
    opened.reload()


@pytest.mark.parametrize(
    "address", ["backfills/%", "runs/%zz", "assets/%ff", "%", "backfills/%00", "x/y/z"]
)
def test_an_address_that_is_no_text_is_shown_as_nothing(opened, address):
    wrong = []
    opened.on("pageerror", lambda error: wrong.append(str(error)))
    opened.evaluate("view => { location.hash = `#/${view}` }", address)
    said = "There is nothing here|could not be read" if "/%" in address else "Backfills"
    opened.wait_for_function(
        "said => new RegExp(said).test(document.querySelector('main').innerText)", arg=said
    )
    assert wrong == []
    opened.evaluate("() => { location.hash = '#/' }")
    opened.wait_for_selector("a.item")
