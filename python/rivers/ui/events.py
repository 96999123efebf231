"""Live updates: one thread reads the storage for all streams, and each stream sends what has changed.

Events are sent by SSE, a few per second. A stream whose reader is slow holds back nobody: it sends the newest
state when its reader is ready, never a queue of old ones, and is closed if its reader is not.
"""

from __future__ import annotations

import json
import threading
import time
from collections import deque
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import anyio
import anyio.to_thread
from starlette.responses import Response

from rivers.exceptions import StorageError
from rivers.ui.encoding import view_json
from rivers.ui.errors import RequestError, logger, response_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from starlette.requests import Request
    from starlette.types import Receive, Scope, Send

    from rivers.ui.backend import Backend

MAX_STREAMS = 32
"""Maximum number of streams at once."""

SEND_SECONDS = 20.0
"""Maximum time in which a reader takes an event."""

_POLL_SECONDS = 0.1
_LIST_SECONDS = 0.5
_EVENT_SECONDS = 0.15
"""Time between two reads of one backfill, of the list of live backfills, and between two events."""

_COMMENT_SECONDS = 10.0
"""Time after which a comment is sent, so that a connection without a reader is noticed."""

_SAMPLES = 60
"""Number of seconds that a sparkline shows."""


OPERATION: dict[str, Any] = {
    "operationId": "follow_events",
    "summary": "Streams how the live backfills stand, or one backfill.",
    "parameters": [
        {"name": "backfill", "in": "query", "required": False, "schema": {"type": "string"}}
    ],
    "responses": {
        "200": {
            "description": "An event for each change; its data is JSON.",
            "content": {"text/event-stream": {}},
        }
    },
}
"""The streams in the OpenAPI document."""


class Monitor:
    """Reads the live backfills while there are streams; the rates of a backfill are kept for a minute.

    Args:
        backend: What is read.
    """

    def __init__(self, backend: Backend) -> None:
        self._backend = backend
        self._lock = threading.Lock()
        self._listed: tuple[float, dict[str, Any]] = (-1e9, {})
        self._samples: dict[str, deque[tuple[float, int]]] = {}

    def live(self) -> dict[str, dict[str, Any]]:
        """Returns the live backfills by id, read at most once in `_LIST_SECONDS`."""
        with self._lock:
            now = time.monotonic()
            if now - self._listed[0] >= _LIST_SECONDS:
                views = self._backend.client.list_views(status="in_progress")
                self._sample(
                    now, {view.backfill_id: view.completed + view.failed for view in views}
                )
                live = {
                    view.backfill_id: view_json(view) | {"history": self._history(view.backfill_id)}
                    for view in views
                }
                self._listed = (time.monotonic(), live)
            return self._listed[1]

    def _sample(self, now: float, ended: dict[str, int]) -> None:
        self._samples = {key: own for key, own in self._samples.items() if key in ended}
        for backfill_id, count in ended.items():
            own = self._samples.setdefault(backfill_id, deque(maxlen=_SAMPLES + 1))
            if not own or now - own[-1][0] >= 1.0:
                own.append((now, count))

    def _history(self, backfill_id: str) -> list[float]:
        own = list(self._samples.get(backfill_id, ()))
        return [
            round((count - before) / (at - since), 1)
            for (since, before), (at, count) in pairwise(own)
        ]

    def one(self, backfill_id: str) -> dict[str, Any] | None:
        """Returns how one backfill stands; `None` if there is none with this id."""
        view = self._backend.client.get_view(backfill_id)
        return None if view is None else view_json(view)


class Streams:
    """The streams of events.

    Args:
        monitor: What they send.
        limiter: Limits the number of calls at once.
        is_closing: Whether the server ends, and with it all streams.
    """

    def __init__(
        self, monitor: Monitor, limiter: anyio.CapacityLimiter, is_closing: Callable[[], bool]
    ) -> None:
        self._monitor = monitor
        self._limiter = limiter
        self._is_closing = is_closing
        self._open = 0

    async def endpoint(self, request: Request) -> Response:
        """Streams how backfills stand: the live ones, or with `backfill=ID` that one."""
        if set(request.query_params) - {"backfill"}:
            return response_of(RequestError(400, "a stream takes the parameter backfill"))
        if self._open >= MAX_STREAMS:
            return response_of(RequestError(503, f"at most {MAX_STREAMS} streams are open at once"))
        return _Stream(self, request.query_params.get("backfill"))

    def read(self, backfill_id: str | None) -> Any:
        """Returns what a stream sends, or `None` if its backfill does not exist."""
        if backfill_id is None:
            return list(self._monitor.live().values())
        return self._monitor.one(backfill_id)

    async def run(self, backfill_id: str | None, receive: Receive, send: Send) -> None:
        """Sends events until the reader leaves, is too slow, or what it follows has ended."""
        self._open += 1
        try:
            async with anyio.create_task_group() as tasks:

                async def watch_reader() -> None:
                    while (await receive())["type"] != "http.disconnect":
                        pass
                    tasks.cancel_scope.cancel()

                tasks.start_soon(watch_reader)
                await self._send_events(backfill_id, send)
                tasks.cancel_scope.cancel()
        finally:
            self._open -= 1

    async def _send_events(self, backfill_id: str | None, send: Send) -> None:
        async def write(text: str) -> None:
            with anyio.fail_after(SEND_SECONDS):
                body = {"type": "http.response.body", "body": text.encode(), "more_body": True}
                await send(body)

        last, sent_at = "", time.monotonic()
        pause = _POLL_SECONDS if backfill_id is not None else _LIST_SECONDS
        try:
            await write("retry: 1000\n\n")
            while not self._is_closing():
                try:
                    state = await anyio.to_thread.run_sync(
                        self.read, backfill_id, limiter=self._limiter, abandon_on_cancel=True
                    )
                except StorageError as error:
                    logger.warning("live updates: %s", error.message)
                    await anyio.sleep(1.0)
                    continue
                text = json.dumps(state)
                if text != last:
                    last, sent_at = text, time.monotonic()
                    await write(f"data: {text}\n\n")
                    await anyio.sleep(max(_EVENT_SECONDS, pause))
                else:
                    if time.monotonic() - sent_at > _COMMENT_SECONDS:
                        sent_at = time.monotonic()
                        await write(":\n\n")
                    await anyio.sleep(pause)
        except TimeoutError:
            return


class _Stream(Response):
    """The response that streams events."""

    def __init__(self, streams: Streams, backfill_id: str | None) -> None:
        super().__init__(media_type="text/event-stream")
        self._streams = streams
        self._backfill_id = backfill_id

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Sends the events."""
        del scope
        headers = [
            (b"content-type", b"text/event-stream; charset=utf-8"),
            (b"x-accel-buffering", b"no"),
        ]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await self._streams.run(self._backfill_id, receive, send)
        await send({"type": "http.response.body", "body": b"", "more_body": False})
