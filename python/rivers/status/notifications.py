"""Notifications of the ends of backfills: to functions, URLs and commands, at least once each.

What is to be notified is recorded in the storage in one transaction with the backfill, and removed once it
was notified. So a process that dies leaves it to the next one that opens the repository or ends the backfill.
"""

from __future__ import annotations

import datetime as dt
import inspect
import json
import logging
import os
import re
import threading
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from rivers._text import printable
from rivers.exceptions import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from rivers._rivers import Store
    from rivers._storage import BackfillRecord

    Hook = Callable[["BackfillEnd"], Any]
    """A function that is called when a backfill has ended; it may be `async`."""

_log = logging.getLogger("rivers.notifications")

_PENDING = "rivers/notifications"
"""The name under which the core keeps what is still to be notified, as `ID#hooks` or `ID#0`."""
_HOOKS = "hooks"

TIMEOUT_SECONDS = 10.0
"""Maximum duration of a request to a URL."""
COMMAND_TIMEOUT_SECONDS = 60.0
"""Maximum duration of a command."""
MAX_AGE = dt.timedelta(days=7)
"""Age of a backfill from which on a notification that fails is not tried again."""

_URL = re.compile(r"https?://", re.IGNORECASE)


@dataclass(frozen=True)
class BackfillEnd:
    """How a backfill ended: what functions, URLs and commands are notified of.

    Attributes:
        notification_id: Equal for all notifications of this end, so that repeats can be recognized.
        backfill_id: The id of the backfill.
        status: `"completed"`, `"failed"` or `"canceled"`.
        num_partitions: Number of its partitions.
        completed: Number of completed partitions.
        failed: Number of failed partitions.
        canceled: Number of canceled partitions.
        assets: Names of its assets.
        tags: Its tags.
        error: Its first failure, if it failed.
        created_at: When it was submitted (UTC).
        ended_at: When it ended (UTC).
    """

    notification_id: str
    backfill_id: str
    status: str
    num_partitions: int
    completed: int
    failed: int
    canceled: int
    assets: list[str]
    tags: list[tuple[str, str]]
    error: str | None
    created_at: dt.datetime
    ended_at: dt.datetime

    def to_json(self) -> str:
        """The attributes as JSON, times as ISO 8601: what is posted to URLs and passed to commands."""
        fields = asdict(self)
        times = {name: fields[name].isoformat() for name in ("created_at", "ended_at")}
        return json.dumps(fields | times)


def check_hooks(hooks: Sequence[Hook]) -> list[Hook]:
    """Returns the hooks of `on_backfill_end`.

    Raises:
        ConfigurationError: They are no list of functions.
    """
    given = [hooks] if callable(hooks) else hooks
    if isinstance(given, str) or not all(callable(hook) for hook in given):
        msg = f"on_backfill_end must be a list of functions, got {hooks!r}"
        raise ConfigurationError(msg)
    return list(given)


class Notifier:
    """Records what is to be notified of the ends of backfills, and notifies it.

    Args:
        store: The storage of the backfills.
        hooks: Functions to call.
        assets: The assets of the repository that has the hooks: they are called for backfills of these
            alone, since other repositories may use the same storage.
    """

    def __init__(
        self, store: Store, hooks: Sequence[Hook] = (), assets: Iterable[str] = ()
    ) -> None:
        self._store = store
        self._hooks = list(hooks)
        self._assets = frozenset(assets)

    def receivers(self, targets: Sequence[str]) -> list[str]:
        """Names whom to notify of the end of a backfill; the core records them together with it.

        Args:
            targets: URLs and commands.
        """
        return [_HOOKS] * bool(self._hooks) + [str(number) for number in range(len(targets))]

    def expect_again(self, backfill_id: str, targets: Sequence[str]) -> None:
        """Records whom to notify of a backfill that is about to be resumed, perhaps with other hooks.

        One that has ended is not resumed, and was notified of.
        """
        wanted = self.receivers(targets)
        record = self._store.backfill(backfill_id) if wanted else None
        if record is not None and record["ended_at"] is None:
            self._store.add_dynamic(_PENDING, [f"{backfill_id}#{name}" for name in wanted])

    def notify_ended(self, only: str | None = None) -> None:
        """Notifies of all backfills that have ended, or of one, as far as that is still to be done.

        What fails is logged, and left for a later call unless the backfill ended long ago.
        """
        for key in self._store.dynamic(_PENDING):
            backfill_id, _, name = key.partition("#")
            if only is not None and backfill_id != only:
                continue
            record = self._store.backfill(backfill_id)
            if record is not None and record["ended_at"] is None:
                continue
            if record is not None and not self._is_done(record, name):
                continue
            self._store.delete_dynamic(_PENDING, key)

    def _is_done(self, record: BackfillRecord, name: str) -> bool:
        """Notifies one receiver; returns whether it needs not be notified again."""
        if name == _HOOKS and not (self._hooks and set(record["assets"]) <= self._assets):
            return False  # For the repository that has the hooks.
        end = _end_of(self._store, record)
        if name == _HOOKS:
            for hook in self._hooks:
                _call(hook, end)
            return True
        targets = _targets(self._store, end.backfill_id)
        if int(name) >= len(targets):
            return True
        try:
            notify_target(targets[int(name)], end)
        except Exception as error:  # noqa: BLE001  (whatever a receiver does changes nothing)
            is_old = dt.datetime.now(dt.UTC) - end.ended_at > MAX_AGE
            # The text of a target may contain a password.
            _log.warning(
                "the end of backfill %s could not be notified (--notify number %d): %s%s",
                end.backfill_id, int(name) + 1, printable(str(error)),
                "" if is_old else "; it is tried again when the storage is opened for a backfill",
            )  # fmt: skip
            return is_old
        return True

    @property
    def has_pending(self) -> bool:
        """Whether anything is still to be notified, now or when a backfill ends."""
        return bool(self._store.dynamic(_PENDING))

    def notify_in_background(self) -> None:
        """Notifies in a thread of what processes that died have left."""
        if self.has_pending:
            threading.Thread(
                target=self._notify_safely, name="rivers-notifications", daemon=True
            ).start()

    def _notify_safely(self) -> None:
        try:
            self.notify_ended()
        except Exception:  # noqa: BLE001  (the storage may be closed meanwhile)
            _log.debug("notifications were not sent", exc_info=True)


def notify_target(target: str, end: BackfillEnd) -> None:
    """Posts to a URL, or runs a command with the JSON as its standard input.

    A command also has `RIVERS_BACKFILL_ID`, `RIVERS_STATUS` and `RIVERS_NOTIFICATION_ID` in its environment.

    Raises:
        OSError: The URL cannot be reached, or did not accept the request.
        subprocess.SubprocessError: The command failed, or took too long.
    """
    body = end.to_json().encode()
    if _URL.match(target):
        import urllib.request  # noqa: PLC0415  (few processes notify)

        headers = {"Content-Type": "application/json", "Idempotency-Key": end.notification_id}
        request = urllib.request.Request(target, body, headers)  # noqa: S310  (its scheme was checked)
        with urllib.request.urlopen(request, timeout=TIMEOUT_SECONDS) as answer:  # noqa: S310
            answer.read()
        return
    import subprocess  # noqa: PLC0415  (few processes notify)

    own = {
        "RIVERS_BACKFILL_ID": end.backfill_id,
        "RIVERS_STATUS": end.status,
        "RIVERS_NOTIFICATION_ID": end.notification_id,
    }
    done = subprocess.run(  # noqa: S602  (the command that the user gave, for a shell)
        target, shell=True, input=body, env=os.environ | own, timeout=COMMAND_TIMEOUT_SECONDS,
        check=False, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
    )  # fmt: skip
    if done.returncode:
        text = done.stderr.decode(errors="replace").strip()[-300:]
        msg = f"the command exited with {done.returncode}{f': {text}' if text else ''}"
        raise subprocess.SubprocessError(msg)


def _call(hook: Hook, end: BackfillEnd) -> None:
    try:
        result = hook(end)
        if inspect.isawaitable(result):
            _await_in_thread(result)
    except Exception:  # noqa: BLE001  (a hook fails nothing)
        name = getattr(hook, "__name__", repr(hook))
        _log.exception("the hook %s failed for backfill %s", name, end.backfill_id)


def _await_in_thread(awaitable: Any) -> None:
    """Awaits in a thread of its own, since this one may have a running event loop."""
    import asyncio  # noqa: PLC0415  (few processes notify)

    failure: list[BaseException] = []

    async def wait() -> None:
        await awaitable

    def work() -> None:
        try:
            asyncio.run(wait())
        except BaseException as error:  # noqa: BLE001  (raised again below)
            failure.append(error)

    thread = threading.Thread(target=work, name="rivers-hook", daemon=True)
    thread.start()
    thread.join()
    if failure:
        raise failure[0]


def _end_of(store: Store, record: BackfillRecord) -> BackfillEnd:
    backfill_id, ended_at = record["backfill_id"], record["ended_at"]
    if ended_at is None:
        raise AssertionError  # The caller has looked.
    return BackfillEnd(
        notification_id=f"{backfill_id}.end",
        backfill_id=backfill_id,
        status=record["status"],
        num_partitions=record["num_partitions"],
        completed=record["completed"],
        failed=record["failed"],
        canceled=record["canceled"],
        assets=list(record["assets"]),
        tags=list(record["tags"]),
        error=store.error(backfill_id),
        created_at=record["created_at"],
        ended_at=ended_at,
    )


def _targets(store: Store, backfill_id: str) -> list[str]:
    text = store.request(backfill_id)
    launch = None if text is None else json.loads(text).get("launch")
    return [] if launch is None else list(json.loads(launch).get("notify") or ())
