"""The ASGI application: the page's files, the REST interface and the streams, behind the guard."""

from __future__ import annotations

from functools import partial
from importlib.metadata import version
from importlib.resources import files
from typing import TYPE_CHECKING, Any

import anyio
from starlette.applications import Starlette
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from rivers.status.metrics import prometheus_text
from rivers.ui import backfills, events, maps, runs
from rivers.ui.backend import Backend
from rivers.ui.endpoints import MAX_CALLS, Endpoint, openapi
from rivers.ui.errors import RequestError, error_response, response_of
from rivers.ui.events import Monitor, Streams
from rivers.ui.schemas import Empty, SessionBody
from rivers.ui.security import API, Guard, Sessions, cookie_name

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

    from starlette.requests import Request
    from starlette.types import ASGIApp

    from rivers.client import BackfillClient
    from rivers.repository.repository import CodeRepository
    from rivers.ui.endpoints import Call

PROMETHEUS = "text/plain; version=0.0.4; charset=utf-8"
"""The media type of metrics."""

_TYPES = {
    ".html": "text/html", ".js": "text/javascript", ".css": "text/css", ".svg": "image/svg+xml",
}  # fmt: skip


def create_app(
    client: BackfillClient,
    *,
    repository: CodeRepository | None = None,
    module: str | None = None,
    read_only: bool = False,
    sessions: Sessions | None = None,
    hosts: Collection[str] = (),
    loopback_only: bool = True,
    is_closing: Callable[[], bool] = lambda: False,
) -> ASGIApp:
    """Returns the web UI of a storage as an ASGI application.

    Args:
        client: Reads and controls the backfills of the storage.
        repository: The assets, to launch, rerun and resume as well.
        module: What the user named the repository as, for commands that are copied.
        read_only: Whether nothing can be changed.
        sessions: The token and the sessions; a new token by default.
        hosts: Names under which the server may be addressed, besides addresses and `localhost`.
        loopback_only: Whether only addresses of this machine are names of the server.
        is_closing: Whether the server ends; its streams then end by themselves.
    """
    backend = Backend(client, repository, module, read_only)
    sessions = sessions or Sessions()
    limiter = anyio.CapacityLimiter(MAX_CALLS)
    streams = Streams(Monitor(backend), limiter, is_closing)
    endpoints = [*backfills.ENDPOINTS, *maps.ENDPOINTS, *runs.ENDPOINTS, *_own(sessions)]
    document = openapi(endpoints, API, version("rivers"))
    document["paths"] |= {f"{API}/events": {"get": events.OPERATION}}
    app = Starlette(
        routes=[
            *(endpoint.route(API, backend, limiter) for endpoint in endpoints),
            Route(f"{API}/events", streams.endpoint, methods=["GET"]),
            Route(f"{API}/openapi.json", partial(_document, document), methods=["GET"]),
            *_pages(),
        ],
        exception_handlers={404: _not_found, 405: _not_allowed, Exception: _failed},
    )
    # An address is right or wrong; no answer sends a browser elsewhere.
    app.router.redirect_slashes = False
    return Guard(app, sessions, hosts=hosts, loopback_only=loopback_only, read_only=read_only)


def _own(sessions: Sessions) -> list[Endpoint]:
    """The endpoints about the server itself and its sessions."""

    def get_info(call: Call) -> Any:
        """Returns which storage is shown, and what the server can do."""
        backend = call.backend
        return {
            "version": version("rivers"),
            "storage": backend.client.storage.path,
            "read_only": backend.read_only,
            "module": backend.module if backend.repository is not None else None,
            "has_assets": backend.repository is not None,
        }

    def create_session(call: Call) -> Response:
        """Exchanges the token of a link, once, for the cookie of a session."""
        session = sessions.exchange(call.body.token)
        if session is None:
            raise RequestError(403, "the link is wrong, or was used already")
        response = Response(status_code=204)
        response.set_cookie(
            cookie_name(call.request.headers), session, httponly=True, samesite="strict", path="/"
        )
        return response

    def end_session(call: Call) -> Response:
        """Ends the session."""
        session = call.request.scope.get("rivers.session")
        if session is not None:
            sessions.end(session)
        response = Response(status_code=204)
        response.delete_cookie(cookie_name(call.request.headers), httponly=True, samesite="strict")
        return response

    def create_link(call: Call) -> Any:
        """Returns another link, which one browser can open."""
        return {"url": f"http://{call.request.headers['host']}/#token={sessions.new_link()}"}

    def get_metrics(call: Call) -> Response:
        """Returns counts of backfills and of the partitions of live ones in the text format of Prometheus."""
        return Response(prometheus_text(call.backend.client.list_views()), media_type=PROMETHEUS)

    return [
        Endpoint("GET", "/metrics", "Returns metrics for Prometheus.", get_metrics,
                 media=(PROMETHEUS,)),
        Endpoint("GET", "/info", "Returns what the server shows.", get_info),
        Endpoint("POST", "/session", "Exchanges a token for a session.", create_session,
                 body=SessionBody, status=204),
        Endpoint("DELETE", "/session", "Ends the session.", end_session, body=Empty, status=204),
        Endpoint("POST", "/links", "Returns a link for another browser.", create_link, body=Empty),
    ]  # fmt: skip


def _pages() -> list[Route]:
    """The page and its files, all read now: no request names a file of this machine."""
    found = {
        entry.name: (entry.read_bytes(), _TYPES[entry.name[entry.name.rindex(".") :]])
        for entry in files("rivers.ui").joinpath("static").iterdir()
        if entry.is_file() and entry.name[entry.name.rindex(".") :] in _TYPES
    }

    def page(name: str, request: Request) -> Response:
        del request
        body, kind = found[name]
        return Response(body, media_type=kind, headers={"Cache-Control": "no-cache"})

    routes = [Route(f"/static/{name}", partial(page, name)) for name in found]
    return [Route("/", partial(page, "index.html")), *routes]


async def _document(document: dict[str, Any], request: Request) -> Response:
    del request
    return JSONResponse(document)


async def _not_found(request: Request, error: Exception) -> Response:
    del request, error
    return error_response(404, "NotFound", "there is nothing at this address")


async def _not_allowed(request: Request, error: Exception) -> Response:
    del request
    headers = getattr(error, "headers", None)
    response = error_response(405, "NotAllowed", "the method is not allowed at this address")
    response.headers.update(headers or {})
    return response


async def _failed(request: Request, error: Exception) -> Response:
    del request
    return response_of(error)
