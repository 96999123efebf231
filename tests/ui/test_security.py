"""Attacks on the web UI: what other sites, other programs and broken clients may try.

| attack | refused in |
|---|---|
| from another machine | test_it_listens_on_this_machine_alone_unless_told_otherwise |
| DNS rebinding, two Host headers | test_a_rebound_name_is_no_name_of_the_server, test_two_hosts_are_refused |
| a page of another origin, `Origin: null`, also to a stream | test_another_origin_is_refused_also_with_a_session |
| `Sec-Fetch-Site` of another site: posts, embeds, links | test_a_page_of_another_site_changes_nothing and the two after it |
| forms, and other content types | test_a_form_is_no_request |
| no token, a wrong one, a token in the address or as a cookie | test_without_the_token_or_a_session_nothing_is_answered |
| a link opened twice, or by many at once | test_a_token_is_exchanged_once, test_one_of_many_threads_exchanges_a_link |
| a cookie read by scripts, sent by other sites or to other ports | test_the_cookie_is_for_this_server_alone |
| a session after its end, and too many of them | test_a_session_ends, test_sessions_are_limited_in_number |
| inline scripts and styles, frames, sniffed types | test_every_answer_forbids_what_is_inline_and_what_embeds_it |
| markup that a script inserts, in a browser | test_page_hostile.py |
| texts of users as markup, addresses and text direction | test_texts_of_users_are_sent_as_data_and_never_as_a_page, test_page_hostile.py |
| files of the machine | test_no_file_is_read_but_those_of_the_page |
| other methods, overridden methods | test_other_methods_are_refused, test_a_read_that_asks_to_be_a_write_changes_nothing |
| changes in read-only mode | test_nothing_is_changed_in_read_only_mode |
| large, slow, deep and wrong bodies | test_a_body_is_limited, test_a_body_that_comes_slowly_is_refused, test_a_body_that_is_no_request_is_refused |
| two lengths of one body | test_a_request_with_two_lengths_is_refused |
| large maps and headers | test_maps_are_limited, test_large_headers_are_refused |
| many streams, readers that take nothing | test_streams_are_limited_and_are_given_back, test_a_reader_that_takes_nothing_loses_its_stream |
| wrong `%` in an address | test_an_address_that_is_no_text_is_refused, test_page_hostile.py |
| garbage and upgrades | test_garbage_never_ends_the_server |
| what a failure or a log tells | test_a_failing_request_never_ends_the_server_and_says_nothing_about_it, test_no_log_has_a_token |
"""

import dataclasses
import json
import logging
import socket
import threading
import time

import anyio
import pytest
from tests.ui.conftest import serving

import rivers as rs
from rivers.exceptions import ConfigurationError
from rivers.ui import Server, endpoints, events
from rivers.ui.backend import Backend
from rivers.ui.endpoints import MAX_BODY
from rivers.ui.events import MAX_STREAMS, Monitor, Streams
from rivers.ui.security import MAX_SESSIONS, Sessions

VERB = "/api/v1/backfills/nothing/pause"
READ = "/api/v1/backfills"
STREAM = "/api/v1/events"


@pytest.fixture(scope="module")
def served(tmp_path_factory):
    """One server for all attacks: none may leave a trace."""
    with serving(rs.Storage.open(tmp_path_factory.mktemp("ui") / "rivers.db")) as found:
        yield found


def session_of(served, **headers):
    answer = served.send(
        "POST",
        "/api/v1/session",
        {"token": served.server.sessions.new_link()},
        auth=False,
        **headers,
    )
    assert answer.status == 204
    return answer.headers["set-cookie"]


def raw(served, data, timeout=10):
    """Sends bytes as they are, and returns what comes back until the server closes or is silent."""
    with socket.create_connection(("127.0.0.1", served.server.port), timeout=timeout) as opened:
        opened.sendall(data)
        received = b""
        try:
            while part := opened.recv(65536):
                received += part
                if b"\r\n\r\n" in received and b"HTTP/1.1 200" not in received:
                    break
        except TimeoutError:
            pass
        return received


def test_it_listens_on_this_machine_alone_unless_told_otherwise(serve, tmp_path):
    server = serve(rs.BackfillClient(rs.Storage.open(tmp_path / "a.db")))
    assert server._socket.getsockname()[0] == "127.0.0.1"
    assert server.url == f"http://127.0.0.1:{server.port}/"


@pytest.mark.parametrize(
    "host",
    [
        "evil.example", "evil.example:{port}", "localhost.evil.example:{port}", "127.0.0.1.evil.example",
        "192.168.0.7:{port}", "0.0.0.0:{port}", "user@127.0.0.1:{port}", "127.0.0.1:{port}/x", "", "[::2]",
        "127.0.0.1:port", "2130706433:{port}", "rivers", None,
    ],
)  # fmt: skip
@pytest.mark.parametrize("path", ["/", READ, "/static/main.js", "/api/v1/session"])
def test_a_rebound_name_is_no_name_of_the_server(served, host, path):
    host = host if host is None else host.format(port=served.server.port)
    assert served.send("GET", path, Host=host).status in (400, 421)


@pytest.mark.parametrize("host", ["127.0.0.1:{port}", "localhost:{port}", "[::1]:9", "LOCALHOST"])
def test_names_of_this_machine_are_answered_also_through_a_tunnel(served, host):
    assert served.send("GET", READ, Host=host.format(port=served.server.port)).status == 200


def test_two_hosts_are_refused(served):
    request = f"GET / HTTP/1.1\r\nHost: {served.host}\r\nHost: evil.example\r\n\r\n"
    assert raw(served, request.encode()).split(b" ")[1] in (b"400", b"421")


@pytest.mark.parametrize(
    "origin",
    [
        "null", "http://evil.example", "https://127.0.0.1", "http://127.0.0.1", "http://localhost:{other}",
        "http://127.0.0.1:{other}", "file://", "http://127.0.0.1:{port}.evil.example", "",
    ],
)  # fmt: skip
@pytest.mark.parametrize(
    ("method", "path"), [("POST", VERB), ("GET", READ), ("PATCH", VERB), ("GET", STREAM)]
)
def test_another_origin_is_refused_also_with_a_session(served, origin, method, path):
    cookie = session_of(served).split(";")[0]
    port = served.server.port
    answer = served.send(
        method, path, {} if method != "GET" else None, auth=False, Cookie=cookie,
        Origin=origin.format(port=port, other=port + 1),
    )  # fmt: skip
    assert answer.status == 403


@pytest.mark.parametrize("site", ["cross-site", "same-site", "none", "sometimes"])
def test_a_page_of_another_site_changes_nothing(served, site):
    cookie = session_of(served).split(";")[0]
    answer = served.send("POST", VERB, {}, auth=False, Cookie=cookie, Sec_Fetch_Site=site)
    assert answer.status == 403


@pytest.mark.parametrize("destination", ["image", "script", "iframe", "empty", "style"])
def test_a_page_of_another_site_embeds_and_reads_nothing(served, destination):
    cookie = session_of(served).split(";")[0]
    mode = "navigate" if destination == "iframe" else "no-cors"
    for path in (READ, "/", "/api/v1/info", STREAM):
        answer = served.send(
            "GET", path, auth=False, Cookie=cookie, Sec_Fetch_Site="cross-site",
            Sec_Fetch_Mode=mode, Sec_Fetch_Dest=destination,
        )  # fmt: skip
        assert answer.status == 403


def test_a_link_of_another_site_opens_the_page_but_not_the_api(served):
    cookie = session_of(served).split(";")[0]
    link = {
        "Sec_Fetch_Site": "cross-site",
        "Sec_Fetch_Mode": "navigate",
        "Sec_Fetch_Dest": "document",
    }
    assert served.send("GET", "/", auth=False, Cookie=cookie, **link).status == 200
    assert served.send("GET", READ, auth=False, Cookie=cookie, **link).status == 403


@pytest.mark.parametrize(
    "kind",
    [
        "text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x", None,
        "application/json, text/plain", "text/plain; application/json", "application/jsonp",
        "application/json; charset=utf-7",
    ],
)  # fmt: skip
def test_a_form_is_no_request(served, kind):
    for path in (VERB, "/api/v1/session"):
        assert served.send("POST", path, "{}", Content_Type=kind).status == 415


@pytest.mark.parametrize(
    "given",
    [
        {}, {"Authorization": "Bearer wrong"}, {"Authorization": "Basic {token}"},
        {"Authorization": "{token}"}, {"Authorization": "Bearer {token}x"}, {"Authorization": "Bearer "},
        {"Cookie": "rivers_session_{port}={token}"}, {"Cookie": "rivers_session_{port}="},
        {"Cookie": "rivers_session_{port}=\u00e9"}, {"X_Token": "{token}"}, {"Cookie": ";;=;\x7f"},
    ],
)  # fmt: skip
def test_without_the_token_or_a_session_nothing_is_answered(served, given):
    fill = {"token": served.token, "port": served.server.port}
    headers = {name: text.format(**fill) for name, text in given.items()}
    for method, path in (("GET", READ), ("POST", VERB), ("GET", "/api/v1/openapi.json"),
                         ("GET", "/api/v1/events"), ("POST", "/api/v1/links"),
                         ("GET", "/api/v1/nothing")):  # fmt: skip
        body = {} if method == "POST" else None
        assert served.send(method, path, body, auth=False, **headers).status == 401
    assert served.send("GET", f"{READ}?token={served.token}", auth=False).status == 401


def test_a_token_is_exchanged_once(served):
    exchange = ("POST", "/api/v1/session", {"token": served.token})
    assert served.send(*exchange, auth=False).status == 204
    assert served.send(*exchange, auth=False).status == 403
    for token in ("wrong", "\u00e9\ud800", served.token[:-1]):
        body = json.dumps({"token": token})
        assert served.send("POST", "/api/v1/session", body, auth=False).status in (400, 403)
    # Scripts use it further.
    assert served.send("GET", READ).status == 200


def test_one_of_many_threads_exchanges_a_link():
    sessions = Sessions()
    found = []
    start = threading.Barrier(8)

    def exchange():
        start.wait()
        found.append(sessions.exchange(sessions.token))

    threads = [threading.Thread(target=exchange) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sum(session is not None for session in found) == 1


def test_the_cookie_is_for_this_server_alone(served):
    cookie = session_of(served)
    assert cookie.startswith(f"rivers_session_{served.server.port}=")
    assert "httponly" in cookie.lower()
    assert "samesite=strict" in cookie.lower()
    assert served.token not in cookie
    assert "domain" not in cookie.lower()


def test_a_session_ends(served):
    cookie = session_of(served).split(";")[0]
    assert served.send("GET", READ, auth=False, Cookie=cookie).status == 200
    assert served.send("DELETE", "/api/v1/session", {}, auth=False, Cookie=cookie).status == 204
    assert served.send("GET", READ, auth=False, Cookie=cookie).status == 401


def test_sessions_are_limited_in_number():
    sessions = Sessions()
    opened = [sessions.exchange(sessions.new_link()) for _ in range(MAX_SESSIONS + 1)]
    assert not sessions.knows(opened[0])
    assert sessions.knows(opened[-1])


def test_every_answer_forbids_what_is_inline_and_what_embeds_it(served):
    for path in ("/", "/static/main.js", READ, "/nothing", "/api/v1/nothing"):
        headers = served.send("GET", path).headers
        policy = headers["content-security-policy"]
        assert "default-src 'none'" in policy
        assert "script-src 'self';" in policy
        assert "style-src 'self';" in policy
        assert "frame-ancestors 'none'" in policy
        assert "unsafe" not in policy
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["referrer-policy"] == "no-referrer"
        assert headers["cross-origin-resource-policy"] == "same-origin"
        assert "access-control-allow-origin" not in headers
        assert "server" not in headers


def test_the_page_has_nothing_inline_and_asks_no_other_host(served):
    page = served.send("GET", "/").body.decode().lower()
    assert "<script>" not in page
    assert "<style" not in page
    assert "style=" not in page
    assert "onclick" not in page
    assert "http://" not in page.replace("http://www.w3.org/", "")
    assert "https://" not in page


@pytest.mark.parametrize(
    "path",
    [
        "/static/../security.py", "/static/%2e%2e/security.py", "/static/..%2fsecurity.py", "/static/",
        "//etc/passwd", "/static//etc/passwd", "/static/%2fetc%2fpasswd", "/static/..\\security.py",
        "/static/main.js%00.css", "/static/__init__.py", "/..", "/%00",
    ],
)  # fmt: skip
def test_no_file_is_read_but_those_of_the_page(served, path):
    answer = served.send("GET", path)
    assert answer.status in (400, 404)
    assert b"import" not in answer.body
    assert b"root:" not in answer.body


@pytest.mark.parametrize("method", ["PUT", "OPTIONS", "TRACE", "CONNECT", "DELETE", "POST", "BREW"])
def test_other_methods_are_refused(served, method):
    body = {} if method in ("POST", "DELETE") else None
    assert served.send(method, "/", body).status in (400, 405)


def test_nothing_is_changed_in_read_only_mode(served, serve):
    server = serve(
        rs.BackfillClient(served.repository.storage), repository=served.repository, read_only=True
    )
    shown = dataclasses.replace(served, server=server)
    before = served.repository.backfills().height
    verbs = [
        (method.upper(), path.format(id=served.backfill_id, asset="sales"))
        for path, methods in shown.api("GET", "/openapi.json")["paths"].items()
        for method in methods
        if method != "get" and not path.endswith("/session")
    ]
    assert len(verbs) == 10
    for method, path in verbs:
        assert shown.send(method, path, {}).status == 403, path
    assert shown.send("GET", READ).status == 200
    assert served.repository.backfills().height == before
    assert served.repository.partition_status("sales", status="missing").height == 0
    assert shown.api("GET", "/info")["read_only"]


def test_a_read_that_asks_to_be_a_write_changes_nothing(served):
    before = served.api("GET", f"/backfills/{served.backfill_id}")
    for name in ("X_HTTP_Method_Override", "X_HTTP_Method", "X_Method_Override"):
        headers = {name: "POST"}
        assert served.send("GET", VERB, **headers).status == 405
        served.send("GET", f"{READ}?_method=POST", **headers)
    assert served.send("HEAD", VERB).status == 405
    assert served.api("GET", f"/backfills/{served.backfill_id}") == before


def test_a_body_is_limited(served):
    large = json.dumps({"force_after": 1, "x": "a" * MAX_BODY})
    assert served.send("POST", VERB, large).status == 413
    answer = served.send("POST", VERB, b"", Content_Length="99999999999999999999")
    assert answer.status == 413
    head = (
        f"POST {VERB} HTTP/1.1\r\nHost: {served.host}\r\nAuthorization: Bearer {served.token}\r\n"
        "Content-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n"
    )
    chunk = f"{0x4000:x}\r\n{'a' * 0x4000}\r\n"
    assert raw(served, (head + chunk * 8).encode()).split(b" ")[1] == b"413"


def test_a_body_that_comes_slowly_is_refused(served, monkeypatch):
    monkeypatch.setattr(endpoints, "BODY_SECONDS", 0.1)
    head = (
        f"POST {VERB} HTTP/1.1\r\nHost: {served.host}\r\nAuthorization: Bearer {served.token}\r\n"
        'Content-Type: application/json\r\nContent-Length: 9\r\n\r\n{"a'
    )
    assert raw(served, head.encode()).split(b" ")[1] == b"408"


def test_a_request_with_two_lengths_is_refused(served):
    head = (
        f"POST {VERB} HTTP/1.1\r\nHost: {served.host}\r\nAuthorization: Bearer {served.token}\r\n"
        "Content-Type: application/json\r\n"
    )
    hidden = f"GET /api/v1/info HTTP/1.1\r\nHost: {served.host}\r\n\r\n"
    for lengths in ("Content-Length: 2\r\nContent-Length: 90\r\n",
                    "Content-Length: 2\r\nTransfer-Encoding: chunked\r\n"):  # fmt: skip
        received = raw(served, f"{head}{lengths}\r\n{{}}{hidden}".encode(), timeout=3)
        assert received.count(b"HTTP/1.1 ") == 1, received
        assert received.split(b" ")[1] == b"400"


@pytest.mark.parametrize(
    "path", ["%", "%zz", "%ff%fe", "a%00b", "%ED%A0%80", "%2e%2e%2f", "x" * 3000]
)
def test_an_address_that_is_no_text_is_refused(served, path):
    for about in ("backfills/", "runs/", "assets/"):
        answer = served.send("GET", f"/api/v1/{about}{path}" + "/grid" * (about == "assets/"))
        assert answer.status in (400, 404), answer.body
        assert answer.json["error"]["message"]


@pytest.mark.parametrize(
    "body",
    ["{", "[" * 60_000, '{"a":NaN}', "null", "[]", '"x"', "1", '{"force_after": Infinity}',
     '{"force_after": -1}', '{"force_after": "1"  "2"}', b"\xff\xfe", '{"other": 1}', '{"a":1e999}'],
)  # fmt: skip
def test_a_body_that_is_no_request_is_refused(served, body):
    answer = served.send("POST", f"/api/v1/backfills/{served.backfill_id}/cancel", body)
    assert answer.status == 400
    assert answer.json["error"]["message"]


@pytest.mark.parametrize(
    "query",
    ["width=0", "width=99999999", "height=5000", "width=1.5", "where=date:5-1", "where=date", "rows=nothing",
     "where=date:0-4294967296", "where=date:0-99999999999", "where=city:0-1", "other=1", "width=1&width=2",
     "where=" + "x" * 5000 + ":0-1", "rows=date&columns=date", "format=xml"],
)  # fmt: skip
def test_maps_are_limited(served, query):
    answer = served.send("GET", f"/api/v1/backfills/{served.backfill_id}/cells?{query}")
    assert answer.status == 400


def test_large_headers_are_refused(served):
    assert served.send("GET", READ, X_Large="a" * 100_000).status in (400, 431)


def test_streams_are_limited_and_are_given_back(served):
    opened = []
    try:
        for _ in range(MAX_STREAMS):
            stream = socket.create_connection(("127.0.0.1", served.server.port), timeout=10)
            stream.sendall(
                f"GET /api/v1/events HTTP/1.1\r\nHost: {served.host}\r\n"
                f"Authorization: Bearer {served.token}\r\n\r\n".encode()
            )
            assert stream.recv(12) == b"HTTP/1.1 200"
            opened.append(stream)
        assert served.send("GET", "/api/v1/events").status == 503
        # Readers that take nothing hold back nobody.
        started = time.monotonic()
        assert served.send("GET", READ).status == 200
        assert time.monotonic() - started < 10
    finally:
        for stream in opened:
            stream.close()
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        request = (
            f"GET /api/v1/events HTTP/1.1\r\nHost: {served.host}\r\n"
            f"Authorization: Bearer {served.token}\r\n\r\n"
        )
        with socket.create_connection(("127.0.0.1", served.server.port), timeout=10) as stream:
            stream.sendall(request.encode())
            if stream.recv(12) == b"HTTP/1.1 200":
                return
        time.sleep(0.1)
    pytest.fail("the streams were not given back")


def test_a_reader_that_takes_nothing_loses_its_stream(served, monkeypatch):
    monkeypatch.setattr(events, "SEND_SECONDS", 0.05)
    backend = Backend(rs.BackfillClient(served.repository.storage))

    async def follow():
        streams = Streams(Monitor(backend), anyio.CapacityLimiter(1), lambda: False)

        async def receive():
            await anyio.sleep_forever()

        async def send(message):
            await anyio.sleep_forever()

        with anyio.fail_after(10):
            await streams.run(None, receive, send)
        assert streams._open == 0

    anyio.run(follow)


def test_a_failing_request_never_ends_the_server_and_says_nothing_about_it(
    served, monkeypatch, caplog
):
    def fail(*_, **__):
        raise RuntimeError("/secret/path")

    monkeypatch.setattr(rs.BackfillClient, "list_views", fail)
    answer = served.send("GET", READ)
    assert answer.status == 500
    assert "secret" not in answer.body.decode()
    assert "a request failed" in caplog.text
    monkeypatch.undo()
    assert served.send("GET", READ).status == 200


def test_garbage_never_ends_the_server(served):
    for data in (
        b"\x00" * 100,
        b"GET\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00",
        b"GET / HTTP/9.9\r\n\r\n",
    ):
        raw(served, data, timeout=3)
    upgrade = (
        f"GET /api/v1/events HTTP/1.1\r\nHost: {served.host}\r\nConnection: Upgrade\r\n"
        "Upgrade: websocket\r\nSec-WebSocket-Key: x\r\nSec-WebSocket-Version: 13\r\n\r\n"
    )
    assert raw(served, upgrade.encode()).split(b" ")[1] == b"401"
    assert served.send("GET", READ).status == 200


def test_no_log_has_a_token(served, caplog):
    caplog.set_level(logging.DEBUG)
    session = session_of(served).split(";")[0].split("=")[1]
    served.send("GET", READ)
    served.send("GET", f"{READ}?token={served.token}")
    served.send("POST", "/api/v1/session", {"token": served.token}, auth=False)
    served.send("POST", "/api/v1/session", {"token": "x", "more": served.token}, auth=False)
    served.send("GET", READ, Authorization=f"Bearer {served.token} x")
    raw(served, b"GET\r\nAuthorization: Bearer " + served.token.encode() + b"\r\n\r\n", timeout=3)
    for secret in (served.token, session):
        assert secret not in caplog.text


def test_texts_of_users_are_sent_as_data_and_never_as_a_page(served):
    for path in ("", f"/{served.backfill_id}", f"/{served.backfill_id}/errors",
                 f"/{served.backfill_id}/partitions"):  # fmt: skip
        answer = served.send("GET", f"{READ}{path}")
        assert answer.headers["content-type"] == "application/json"
    answer = served.send("GET", "/api/v1/backfills/<script>alert(1)</script>")
    assert answer.status == 404
    assert answer.headers["content-type"] == "application/json"


def test_a_port_that_is_taken_is_named(served):
    with pytest.raises(ConfigurationError, match=f"port {served.server.port}"):
        Server(rs.BackfillClient(rs.Storage.memory()), port=served.server.port)
    with pytest.raises(ConfigurationError, match="cannot listen on"):
        Server(rs.BackfillClient(rs.Storage.memory()), host="host.invalid", port=0)
