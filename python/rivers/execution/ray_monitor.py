"""Looks after the workers of a cluster while there are backfills: what is idle, lacking, or lost."""

from __future__ import annotations

import logging
import threading
import time
import weakref
from typing import TYPE_CHECKING

from rivers._worker_counts import WorkerCounts
from rivers.exceptions import RiversError

if TYPE_CHECKING:
    from collections.abc import Callable

    from rivers._rivers import Engine
    from rivers.execution.ray_batch import RayBatch
    from rivers.execution.ray_cluster import Cluster
    from rivers.execution.ray_pool import RayPool

_log = logging.getLogger("rivers")

CHECK_SECONDS = 1.0
"""Time between two checks."""
HEAD_SECONDS = 30.0
"""Time without an answer of the head after which the cluster is given up: after 60 s Ray would end this
process."""

_monitors: weakref.WeakSet[Monitor] = weakref.WeakSet()
"""Those of all repositories of this process: the workers of one may wait for the room of another's."""


class Monitor:
    """Checks the pools once a second, in a thread that may have to wait for the head or the storage.

    Args:
        engine: Where the workers of each backfill are recorded.
        cluster: The cluster.
        pools: Returns the pools.
        batches: Returns what is being executed.
    """

    def __init__(
        self,
        engine: Engine,
        cluster: Cluster,
        pools: Callable[[], list[RayPool]],
        batches: Callable[[], list[RayBatch]],
    ) -> None:
        self._engine = engine
        self._cluster = cluster
        self._pools = pools
        self._batches = batches
        self._recorded: dict[int, str] = {}
        self._looked_at = time.monotonic()
        self._silent_seconds = 0.0
        self._closed = threading.Event()
        _monitors.add(self)
        threading.Thread(target=self._check_forever, name="rivers-ray-monitor", daemon=True).start()

    def problem(self) -> str | None:
        """Why the cluster is to be given up: its head has not answered for long.

        Called about once a second. Time in which this process was suspended does not count.
        """
        now = time.monotonic()
        self._silent_seconds += min(now - self._looked_at, 2 * CHECK_SECONDS)
        self._looked_at = now
        if self._silent_seconds < HEAD_SECONDS:
            return None
        return f"the head of the Ray cluster has not answered for {self._silent_seconds:.0f} s"

    def close(self) -> None:
        """Ends the checks."""
        self._closed.set()
        _monitors.discard(self)

    def end_idle(self, but_for: set[RayPool]) -> None:
        """Ends the workers that have nothing to do in all pools but some, which wait for the room."""
        for pool in self._pools():
            if pool not in but_for:
                pool.end_idle()

    def forget(self, backfill_key: int) -> None:
        """Forgets a backfill, which has ended."""
        self._recorded.pop(backfill_key, None)

    def _check_forever(self) -> None:
        while not self._closed.wait(CHECK_SECONDS):
            try:
                self._check()
            except Exception:  # noqa: BLE001  (the next check may work)
                _log.debug("the workers could not be checked", exc_info=True)

    def _check(self) -> None:
        nodes = self._cluster.nodes()
        self._silent_seconds = 0.0
        pools = self._pools()
        starved = {pool for pool in pools if pool.check(nodes)}
        if starved:
            for monitor in list(_monitors):
                monitor.end_idle(but_for=starved)
        by_key: dict[int, list[RayBatch]] = {}
        for batch in self._batches():
            by_key.setdefault(batch.key, []).append(batch)
        for key, batches in by_key.items():
            self._record(key, _counts(batches).to_json())

    def _record(self, key: int, counts: str) -> None:
        if self._recorded.get(key) == counts:
            return
        try:
            self._engine.set_workers(key, counts)
        except RiversError:
            return  # What records outcomes reports it.
        self._recorded[key] = counts


def _counts(batches: list[RayBatch]) -> WorkerCounts:
    """Counts the workers of a backfill."""
    started = [batch.actor.started for batch in batches if batch.actor is not None]
    nodes = {each.node for each in started if each is not None}
    waiting = [batch.pool for batch in batches if batch.actor is None and batch.pool is not None]
    unmet = next((pool.unmet for pool in waiting if pool.unmet is not None), None)
    return WorkerCounts(len(started), len(nodes), unmet)
