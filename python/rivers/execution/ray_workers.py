"""Workers on a Ray cluster: ranges of runs go there, outcomes come back, values never do."""

from __future__ import annotations

import itertools
import logging
import threading
import time
from typing import TYPE_CHECKING, Any

from rivers.execution.compute import Compute
from rivers.execution.ray_batch import RayBatch
from rivers.execution.ray_cluster import Cluster
from rivers.execution.ray_losses import Losses
from rivers.execution.ray_monitor import CHECK_SECONDS, Monitor
from rivers.execution.ray_pool import RayPool
from rivers.execution.ray_programs import Programs
from rivers.execution.workers import Workers

if TYPE_CHECKING:
    from collections.abc import Mapping

    from rivers._rivers import Batch, Engine
    from rivers.execution.runner import Program

_log = logging.getLogger("rivers")

_LEAVE_SECONDS = 10.0
"""Maximum time in which threads leave a cluster that is given up."""
_WATCH_SECONDS = 0.01
"""Time between two looks at which runs workers are to give up."""


class RayWorkers(Workers):
    """Actors on a Ray cluster, requested when they are needed and replaced when they die.

    Args:
        engine: The engine whose runs they execute.
        address: The cluster, as `ray.init` takes it.
        max_workers: Maximum number of actors of each kind; `None`: as many as the cluster has room for.
        max_deaths: Number of actors that a run may take down before it fails.
        runtime_env: Environment of the actors, as `ray.init` takes it.
    """

    def __init__(
        self,
        engine: Engine,
        address: str | None,
        max_workers: int | None,
        max_deaths: int,
        runtime_env: Mapping[str, Any] | None,
    ) -> None:
        super().__init__(engine)
        self._address = address
        self._max_workers = max_workers
        self._max_deaths = max_deaths
        self._runtime_env = runtime_env
        self._lock = threading.Lock()
        self._cluster: Cluster | None = None
        self._pools: dict[Compute, RayPool] = {}
        self._programs = Programs()
        self._losses = Losses()
        self._numbers = itertools.count()
        self._batches: dict[int, RayBatch] = {}
        self._has_batches = threading.Event()
        self._monitor: Monitor | None = None

    def prepare(self) -> None:
        """Connects to the cluster."""
        self._connected()

    def execute(self, batch: Batch, program: Program) -> None:
        """Executes a batch on actors of the cluster."""
        cluster = self._connected()
        live = {batch.key, *self._engine.live()}
        for ended in self._programs.keys() - live:
            self._forget_program(ended)
        number = next(self._numbers)
        executed = RayBatch(
            batch, program, self._programs.loaded(program, batch), number, self._losses,
            self._max_deaths,
        )  # fmt: skip
        with self._lock:
            self._batches[number] = executed
            self._has_batches.set()
        try:
            while (following := batch.next_unsent()) is not None:
                needed = Compute.of_all(step.compute for step in program.layers[following[1]])
                executed.execute_layer(self._pool(cluster, needed))
        finally:
            with self._lock:
                del self._batches[number]

    def cancel(self, backfill_key: int) -> None:
        """Kills the actors that execute runs of a backfill."""
        with self._lock:
            batches = [each for each in self._batches.values() if each.key == backfill_key]
        for executed in batches:
            actor = executed.actor
            if actor is not None:
                _log.info("a Ray worker is killed, since its backfill has been ended")
                actor.kill()

    def forget(self, backfill_key: int) -> None:
        """Has actors forget the program of a backfill, and kills those that still execute it."""
        self.cancel(backfill_key)
        self._losses.forget(backfill_key)
        monitor = self._monitor
        if monitor is not None:
            monitor.forget(backfill_key)
        self._forget_program(backfill_key)

    def close(self) -> None:
        """Ends all actors, and the connection to the cluster."""
        with self._lock:
            self._has_batches.set()
            cluster, self._cluster = self._cluster, None
            monitor, self._monitor = self._monitor, None
            pools, self._pools = list(self._pools.values()), {}
        if monitor is not None:
            monitor.close()
        for pool in pools:
            pool.close()
        if cluster is not None:
            cluster.close()

    def _connected(self) -> Cluster:
        with self._lock:
            if self._cluster is None:
                self._cluster = Cluster(self._address, self._runtime_env)
                monitor = Monitor(self._engine, self._cluster, self._all_pools, self._all_batches)
                self._monitor = monitor
                threading.Thread(
                    target=self._watch, args=(monitor,), name="rivers-ray", daemon=True
                ).start()
            return self._cluster

    def _pool(self, cluster: Cluster, compute: Compute) -> RayPool:
        with self._lock:
            if compute not in self._pools:
                self._pools[compute] = RayPool(cluster, compute, self._max_workers)
            return self._pools[compute]

    def _all_pools(self) -> list[RayPool]:
        with self._lock:
            return list(self._pools.values())

    def _all_batches(self) -> list[RayBatch]:
        with self._lock:
            return list(self._batches.values())

    def _forget_program(self, key: int) -> None:
        number = self._programs.drop(key)
        if number is not None:
            for actor in [actor for pool in self._all_pools() for actor in pool.actors()]:
                actor.drop(number)

    def _give_up_cluster(self, reason: str) -> None:
        """Stops all backfills, resumable, and leaves the cluster: a later submission connects again."""
        with self._lock:
            cluster, self._cluster = self._cluster, None
            monitor, self._monitor = self._monitor, None
            pools, self._pools = list(self._pools.values()), {}
        if monitor is not None:
            monitor.close()
        for key in self._engine.live():
            self._engine.abort(key, f"{reason}; resume it when there is a cluster")
        for pool in pools:
            pool.abandon()
        deadline = time.monotonic() + _LEAVE_SECONDS
        while (batches := self._all_batches()) and time.monotonic() < deadline:
            for executed in batches:
                actor = executed.actor
                if actor is not None:
                    actor.abandon()
            time.sleep(_WATCH_SECONDS)
        if cluster is not None:
            cluster.close()

    # -- the thread that asks workers for runs -----------------------------------------------------

    def _watch(self, monitor: Monitor) -> None:
        while self._monitor is monitor:
            with self._lock:
                batches = list(self._batches.values())
                if not batches:
                    self._has_batches.clear()
            problem = monitor.problem()
            if problem is not None:
                self._give_up_cluster(problem)
                return
            try:
                for executed in batches:
                    self._recall(executed)
            except Exception:  # noqa: BLE001  (the next round may work; what waits must not wait for ever)
                _log.debug("workers could not be asked for runs", exc_info=True)
            if batches:
                time.sleep(_WATCH_SECONDS)
            else:
                self._has_batches.wait(CHECK_SECONDS)

    def _recall(self, executed: RayBatch) -> None:
        """Asks the worker of a batch to give up the runs that are wanted elsewhere, or not at all."""
        actor, pool = executed.actor, executed.pool
        if actor is None:
            if pool is not None and not executed.watch.has_next():
                pool.wake_waiting()
            return
        recalled = executed.watch.recall()
        if recalled is None:
            return
        stream, is_forced = recalled
        executed.recall(actor, stream, is_forced=is_forced)
