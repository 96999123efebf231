"""A server of the web UI over a storage with backfills, and a way to send it any request."""

import contextlib
import http.client
import json
import os
import shutil
import threading
import time
from dataclasses import dataclass, field

import pytest

import rivers as rs

pytest.importorskip("starlette")

from rivers.ui import Server

GRID = rs.PartitionsDefinition.multi({
    "date": rs.PartitionsDefinition.daily("2024-01-01", end="2024-01-11"),
    "region": rs.PartitionsDefinition.static_(["us", "eu", "asia"]),
})  # fmt: skip
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
MISSING = "needs Chromium (Debian's package chromium) and Playwright"
HOSTILE = '<img src=x onerror="window.attacked=1">'


@dataclass
class Answer:
    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self):
        return json.loads(self.body)


@dataclass
class Served:
    """A running server, and the backfill that failed for one partition."""

    server: Server
    repository: rs.CodeRepository
    backfill_id: str
    bad: set[str]
    cookie: str | None = None
    gate: threading.Event = field(default_factory=threading.Event)

    @property
    def host(self):
        return f"127.0.0.1:{self.server.port}"

    @property
    def token(self):
        return self.server.sessions.token

    def send(self, method, path, body=None, *, auth=True, **headers):
        """Sends a request with exactly these headers, besides Host, the content type and the token."""
        sent = {"Host": self.host} | {
            name.replace("_", "-"): text for name, text in headers.items()
        }
        if auth:
            sent.setdefault("Authorization", f"Bearer {self.token}")
        if body is not None:
            sent.setdefault("Content-Type", "application/json")
            body = body if isinstance(body, bytes | str) else json.dumps(body)
        connection = http.client.HTTPConnection("127.0.0.1", self.server.port, timeout=20)
        try:
            connection.putrequest(method, path, skip_host=True, skip_accept_encoding=True)
            for name, text in sent.items():
                if text is not None:
                    connection.putheader(name, text)
            data = body.encode() if isinstance(body, str) else body
            if data is not None and "Content-Length" not in sent:
                connection.putheader("Content-Length", str(len(data)))
            connection.endheaders(data)
            response = connection.getresponse()
            found = {name.lower(): text for name, text in response.getheaders()}
            return Answer(response.status, found, response.read())
        finally:
            connection.close()

    def api(self, method, path, body=None, **headers):
        """Sends a request of a script, and returns the JSON of its answer."""
        if method != "GET" and body is None:
            body = {}
        answer = self.send(method, f"/api/v1{path}", body, **headers)
        assert answer.status in (200, 204), answer.body
        return answer.json if answer.body else None


@contextlib.contextmanager
def running(client, **options):
    """A server in a thread, which ends with the block."""
    server = Server(client, port=0, **options)
    thread = threading.Thread(target=server.run)
    thread.start()
    try:
        yield server
    finally:
        server.stop()
        thread.join(20)
        assert not thread.is_alive()


@contextlib.contextmanager
def serving(storage):
    """A server over a storage with one backfill, of which one partition has failed."""
    bad, gate = {"date=2024-01-03|region=eu"}, threading.Event()
    gate.set()

    @rs.Asset(partitions_def=GRID, metadata={"owner": HOSTILE})
    def sales(context):
        gate.wait(20)
        context.add_output_metadata({"rows": 5, "note": HOSTILE})
        if context.partition_key in bad:
            raise ValueError(f"no data {HOSTILE}")
        return 1

    @rs.Asset(partitions_def=GRID)
    def report(sales):
        return sales

    with rs.CodeRepository([sales, report]).resolve(storage) as repository:
        result = repository.backfill(
            partition_keys=GRID.select(), tags=[("team", HOSTILE)], max_concurrency=2
        )
        client = rs.BackfillClient(storage)
        with running(client, repository=repository, module="sales.py") as server:
            yield Served(server, repository, result.backfill_id, bad, gate=gate)
        gate.set()


@pytest.fixture
def serve():
    """Starts servers; all of them are ended."""
    with contextlib.ExitStack() as stack:
        yield lambda client, **options: stack.enter_context(running(client, **options))


@pytest.fixture
def served(tmp_path):
    with serving(rs.Storage.open(tmp_path / "rivers.db")) as found:
        yield found


@pytest.fixture(scope="module")
def browser():
    if CHROMIUM is None and os.environ.get("CI") != "true":
        pytest.skip(MISSING)
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        opened = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield opened
        opened.close()


@contextlib.contextmanager
def backfill_beside(storage):
    """A backfill of many short runs, which still runs when the block ends."""

    @rs.Asset(partitions_def=rs.PartitionsDefinition.daily("1900-01-01", end="2000-01-01"))
    def ticks(context):
        time.sleep(0.01)

    with rs.CodeRepository([ticks]).resolve(storage) as repository:
        backfill_id = repository.backfill(
            partition_range=rs.PartitionKeyRange.single(None, None),
            block=False,
            max_concurrency=2,
            max_failures=9,
        ).backfill_id
        yield backfill_id
        view = rs.BackfillClient(storage).get_view(backfill_id)
        assert (view.status, view.failed, view.completed > 0) == ("in_progress", 0, True)
        repository.cancel_backfill(backfill_id)


@pytest.fixture
def beside(served):
    """The id of a backfill that runs in the same storage meanwhile."""
    with backfill_beside(rs.Storage.open(served.repository.storage.path)) as backfill_id:
        yield backfill_id


@pytest.fixture
def page(browser, served):
    """The list of backfills, opened by the link; nothing may be written to the console as an error."""
    context = browser.new_context(viewport={"width": 1200, "height": 900})
    context.grant_permissions(["clipboard-read", "clipboard-write"])
    page = context.new_page()
    page.set_default_timeout(15_000)
    wrong = []
    page.on("pageerror", lambda error: wrong.append(str(error)))
    page.on("console", lambda line: wrong.append(line.text) if line.type == "error" else None)
    page.on(
        "request",
        lambda request: wrong.append(request.url) if served.host not in request.url else None,
    )
    page.goto(served.server.link)
    page.wait_for_selector("a.item")
    yield page
    assert page.evaluate("window.attacked") is None
    expected = ("status of 4", "ERR_INTERNET_DISCONNECTED")
    assert [line for line in wrong if not any(text in line for text in expected)] == []
    context.close()


def page_of(browser, server, **options):
    """A new page that shows the backfills of a server."""
    page = browser.new_page(**options)
    page.goto(server.link)
    page.wait_for_selector("a.item")
    return page


def open_backfill(page, served, backfill_id=None):
    page.evaluate(
        "id => { location.hash = `#/backfills/${id}` }", backfill_id or served.backfill_id
    )
    page.wait_for_selector("canvas[data-painted]")


def launch(served, **options):
    """Starts a backfill of `sales` whose functions wait for the gate."""
    served.gate.clear()
    served.bad.clear()
    return served.repository.backfill(
        ["sales"], partition_keys=GRID.select(), block=False, max_concurrency=2, **options
    ).backfill_id
