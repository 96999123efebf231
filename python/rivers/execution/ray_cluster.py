"""The connection of this process to a Ray cluster."""

from __future__ import annotations

import logging
import os
import re
import signal
import socket
import threading
from typing import TYPE_CHECKING, Any

import ray

from rivers.exceptions import ExecutionError
from rivers.execution.ray_actor import actor_class

if TYPE_CHECKING:
    from collections.abc import Mapping

    from rivers.execution.compute import Compute

_CONNECT_SECONDS = 5.0
"""Maximum time in which the head accepts a connection."""
_HOST_AND_PORT = re.compile(r"[^/]+:\d+")

_lock = threading.Lock()
_num_users = 0
"""Number of clusters of this process that use a connection which this module has opened."""


class Cluster:
    """A Ray cluster; this process connects to it when the first one is made.

    Args:
        address: The cluster, as `ray.init` takes it.
        runtime_env: Environment of the workers, as `ray.init` takes it.

    Attributes:
        options: Options that each actor needs.
    """

    def __init__(self, address: str | None, runtime_env: Mapping[str, Any] | None) -> None:
        global _num_users  # noqa: PLW0603  (it describes the process)
        self.options: dict[str, Any] = {}
        with _lock:
            self._shares = _num_users > 0 or not ray.is_initialized()
            if not ray.is_initialized():
                _connect(address, runtime_env)
            elif runtime_env:
                self.options["runtime_env"] = _of_workers(runtime_env)
            _num_users += self._shares

    def close(self) -> None:
        """Ends the connection, if this module has opened it and nothing else uses it."""
        global _num_users  # noqa: PLW0603  (it describes the process)
        with _lock:
            if self._shares:
                self._shares = False
                _num_users -= 1
                if _num_users == 0:
                    ray.shutdown()

    def nodes(self) -> list[dict[str, Any]]:
        """The nodes that are alive, as `ray.nodes` describes them.

        Raises:
            OSError: The head does not accept connections. Ray is not asked then: a question that is
                pending for a minute has Ray end this process.
        """
        _check_accepts(ray.get_runtime_context().gcs_address)
        return [node for node in ray.nodes() if node["Alive"]]  # type: ignore[no-untyped-call]


def _of_workers(runtime_env: Mapping[str, Any]) -> dict[str, Any]:
    """Returns the environment of single workers; Ray ships folders and files for all of a connection only.

    Raises:
        ExecutionError: Ray does not take it.
    """
    given = dict(runtime_env)
    try:
        actor_class().options(runtime_env=given)
    except (ValueError, TypeError) as error:
        msg = (
            f"this process is connected to Ray already, so runtime_env of Executor.ray() can only have what "
            f"Ray sets up for a single worker; give it to ray.init() instead: {error}"
        )
        raise ExecutionError(msg) from error
    return given


def unmet_by(nodes: list[dict[str, Any]], compute: Compute) -> str | None:
    """Why none of these nodes can have a worker with these resources; `None`: one can, if it is free."""
    missing = [compute.missing_of(node["Resources"]) for node in nodes]
    if any(not names for names in missing):
        return None
    if not missing:
        return "the cluster has no nodes"
    fewest = min(missing, key=len)
    of_all = {name: max(node["Resources"].get(name, 0.0) for node in nodes) for name in fewest}
    largest = " and ".join(f"{amount:g} {name}" for name, amount in of_all.items())
    return f"of {len(nodes)} nodes none has {compute}; the largest has {largest}"


def _check_accepts(address: str) -> None:
    """Raises an `OSError` if nothing accepts connections at `"host:port"`."""
    host, _, port = address.rpartition(":")
    socket.create_connection((host.strip("[]"), int(port)), _CONNECT_SECONDS).close()


def _connect(address: str | None, runtime_env: Mapping[str, Any] | None) -> None:
    """Connects as `ray.init` does, without its handler of SIGTERM: what a signal means is the program's.

    Raises:
        ExecutionError: There is no such cluster, or it cannot be used with these arguments.
    """
    named = address or os.environ.get("RAY_ADDRESS")
    is_main = threading.current_thread() is threading.main_thread()
    before = signal.getsignal(signal.SIGTERM) if is_main else None
    try:
        if named is not None and _HOST_AND_PORT.fullmatch(named):
            _check_accepts(named)  # Ray would try for minutes.
        ray.init(
            address=address,
            runtime_env=None if runtime_env is None else dict(runtime_env),
            logging_level=logging.WARNING,
        )
    except (OSError, RuntimeError, ValueError) as error:
        cluster = "a Ray cluster" if named is None else f"the Ray cluster {named!r}"
        text = " ".join(str(error).split())
        raise ExecutionError(f"{cluster} could not be used: {text[:500]}") from error
    finally:
        if is_main and before is not None:
            signal.signal(signal.SIGTERM, before)
