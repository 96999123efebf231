"""Decides which requests are answered: where they come from, what they carry, and who sends them.

A page on any other site can make a browser send requests to this machine. So each request is checked
before any of it is read:

* `Host` must be an address or a name of this server, which a rebound DNS name is not;
* `Origin` and `Sec-Fetch-Site`, which only browsers send, must be those of the page itself;
* a request that changes something must be JSON, which no form of another site can send;
* everything but the page's own files needs a session cookie, or the token as a bearer header.
"""

from __future__ import annotations

import hmac
import ipaddress
import secrets
import threading
from http.cookies import CookieError, SimpleCookie
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders

from rivers.ui.errors import RequestError, response_of

if TYPE_CHECKING:
    from collections.abc import Collection

    from starlette.types import ASGIApp, Message, Receive, Scope, Send

API = "/api/v1"
EXCHANGE = f"{API}/session"
"""Where a link's token is exchanged for a session: the one request that needs no session."""

MAX_SESSIONS = 64
"""Maximum number of sessions; the oldest one ends where there would be more."""

MAX_HEADERS = 32 * 1024
"""Maximum size of the headers and the address of a request, in bytes."""

_HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
        "manifest-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; "
        "require-trusted-types-for 'script'; trusted-types 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
}
_READS = ("GET", "HEAD")
_METHODS = (*_READS, "POST", "PATCH", "DELETE")


class Sessions:
    """The token of a server, its links and the sessions that they were exchanged for.

    Args:
        token: The token of scripts and of the first link; a random one by default.
    """

    def __init__(self, token: str | None = None) -> None:
        self.token = token or secrets.token_urlsafe(32)
        self._lock = threading.Lock()
        self._links = [self.token]
        self._sessions: list[str] = []

    def new_link(self) -> str:
        """Returns the token of another link, which is exchanged once."""
        token = secrets.token_urlsafe(32)
        with self._lock:
            self._links = [*self._links[-MAX_SESSIONS:], token]
        return token

    def exchange(self, token: str) -> str | None:
        """Returns a new session for the token of a link, which is then used up; `None` if it is none."""
        session = secrets.token_urlsafe(32)
        with self._lock:
            left = [link for link in self._links if not _equal(link, token)]
            if len(left) == len(self._links):
                return None
            self._links = left
            self._sessions = [*self._sessions[-(MAX_SESSIONS - 1) :], session]
        return session

    def end(self, session: str) -> None:
        """Ends a session."""
        with self._lock:
            self._sessions = [known for known in self._sessions if not _equal(known, session)]

    def knows(self, session: str) -> bool:
        """Whether a session exists."""
        with self._lock:
            return any(_equal(known, session) for known in self._sessions)

    def is_token(self, given: str) -> bool:
        """Whether a bearer header carries the token."""
        return _equal(self.token, given)


def _equal(known: str, given: str) -> bool:
    return hmac.compare_digest(known.encode(), given.encode("utf-8", "surrogatepass"))


class Guard:
    """The application behind the checks of this module; it adds the headers that protect the page.

    Args:
        app: The application.
        sessions: Who may send requests.
        hosts: The names under which the server may be addressed, besides addresses and `localhost`.
        loopback_only: Whether only addresses of this machine are names of the server.
        read_only: Whether requests that change something are refused.
    """

    def __init__(
        self,
        app: ASGIApp,
        sessions: Sessions,
        *,
        hosts: Collection[str] = (),
        loopback_only: bool = True,
        read_only: bool = False,
    ) -> None:
        self._app = app
        self._sessions = sessions
        self._hosts = frozenset(host.lower() for host in hosts)
        self._loopback_only = loopback_only
        self._read_only = read_only

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answers a request, or refuses it."""
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return
        if scope["type"] != "http":
            await _refuse_socket(receive, send)
            return

        async def send_guarded(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in _HEADERS.items():
                    headers.setdefault(name, value)
                headers.setdefault("Cache-Control", "no-store")
            await send(message)

        try:
            self._check(scope)
        except RequestError as error:
            await response_of(error)(scope, receive, send_guarded)
            return
        await self._app(scope, receive, send_guarded)

    def _check(self, scope: Scope) -> None:
        headers, path, method = Headers(scope=scope), scope["path"], scope["method"]
        size = sum(len(name) + len(value) for name, value in scope["headers"])
        if size + len(scope["raw_path"]) + len(scope["query_string"]) > MAX_HEADERS:
            raise RequestError(431, f"the headers of a request have at most {MAX_HEADERS:,} bytes")
        if method not in _METHODS:
            raise RequestError(405, f"the method {method[:20]!r} is not allowed")
        host = self._check_host(headers)
        _check_origin(headers, host, is_page=not path.startswith("/api/"), method=method)
        if method not in _READS:
            _check_content_type(headers)
        if not path.startswith("/api/"):
            if method not in _READS:
                raise RequestError(405, "the page's files are only read")
            return
        if path == EXCHANGE and method == "POST":
            return
        scope["rivers.session"] = self._authenticate(headers)
        if self._read_only and method not in _READS and path != EXCHANGE:
            raise RequestError(403, "the server is read-only")

    def _check_host(self, headers: Headers) -> str:
        given = headers.getlist("host")
        if len(given) != 1 or not self._is_own(_hostname(given[0])):
            raise RequestError(421, "the server does not answer to this Host")
        return given[0].lower()

    def _is_own(self, name: str | None) -> bool:
        if not name:
            return False
        if name == "localhost" or name in self._hosts:
            return True
        try:
            address = ipaddress.ip_address(name)
        except ValueError:
            return False
        return address.is_loopback or not self._loopback_only

    def _authenticate(self, headers: Headers) -> str | None:
        """Returns the session of the request; `None` for a script.

        Raises:
            RequestError: The request has neither a session nor the token.
        """
        given = headers.getlist("authorization")
        if given:
            scheme, _, token = given[0].partition(" ")
            if len(given) == 1 and scheme.lower() == "bearer" and self._sessions.is_token(token):
                return None
            raise RequestError(401, "the token is wrong")
        session = session_of(headers)
        if session is None or not self._sessions.knows(session):
            raise RequestError(401, "open the link that rivers ui printed, or send the token")
        return session


def cookie_name(headers: Headers) -> str:
    """The name of the cookie of a session; cookies do not tell ports apart, so the name does."""
    host = headers.get("host", "")
    port = urlsplit(f"//{host}").port or 80
    return f"rivers_session_{port}"


def session_of(headers: Headers) -> str | None:
    """The session in the cookies of a request, if there is one."""
    try:
        cookies = SimpleCookie(headers.get("cookie", ""))
    except CookieError:
        return None
    found = cookies.get(cookie_name(headers))
    return None if found is None else found.value


def _hostname(host: str) -> str | None:
    try:
        parts = urlsplit(f"//{host}")
        parts.port  # noqa: B018  (it raises for a port that is no number)
    except ValueError:
        return None
    if parts.username is not None or parts.path or parts.query or parts.fragment:
        return None
    return parts.hostname


def _check_origin(headers: Headers, host: str, *, is_page: bool, method: str) -> None:
    """Refuses what a browser sends for another site, also for one on another port of this machine."""
    origins = headers.getlist("origin")
    if origins and (len(origins) > 1 or origins[0].lower() != f"http://{host}"):
        raise RequestError(403, "the request comes from another origin")
    site = headers.get("sec-fetch-site", "same-origin")
    if site == "same-origin":
        return
    # A link in another page may open this one; the address bar may also read the API.
    is_navigation = headers.get("sec-fetch-mode") == "navigate" and method in _READS
    is_top = headers.get("sec-fetch-dest") == "document"
    if is_navigation and is_top and (is_page or site == "none"):
        return
    raise RequestError(403, "the request comes from another site")


def _check_content_type(headers: Headers) -> None:
    kind, _, rest = headers.get("content-type", "").partition(";")
    charset = rest.strip().lower()
    if kind.strip().lower() != "application/json" or charset not in ("", "charset=utf-8"):
        raise RequestError(415, "the body of a request is JSON: Content-Type: application/json")


async def _refuse_socket(receive: Receive, send: Send) -> None:
    await receive()
    await send({"type": "websocket.close", "code": 1008})
