"""Serves the web UI: opens a port, says where it is, and ends without waiting for its readers."""

from __future__ import annotations

import ipaddress
import logging
import socket
from typing import TYPE_CHECKING

import uvicorn

from rivers.exceptions import ConfigurationError
from rivers.ui.app import create_app
from rivers.ui.security import Sessions

if TYPE_CHECKING:
    from rivers.client import BackfillClient
    from rivers.repository.repository import CodeRepository

DEFAULT_HOST = "127.0.0.1"
DEFAULT_PORT = 8321

_MAX_CONNECTIONS = 256
_IDLE_SECONDS = 30
_GRACE_SECONDS = 2
_MAX_HEADERS = 16 * 1024


class Server:
    """The web UI on a port of this machine.

    The port is open once it is made, so that its address is known before it serves.

    Args:
        client: Reads and controls the backfills of the storage.
        repository: The assets, to launch, rerun and resume as well.
        module: What the user named the repository as.
        host: The address to listen on.
        port: The port; 0 takes a free one. By default 8321, or a free one if that is taken.
        read_only: Whether nothing can be changed.

    Attributes:
        url: The address of the page.
        link: The address with the token, which one browser can open.

    Raises:
        ConfigurationError: The address cannot be used.
    """

    def __init__(
        self,
        client: BackfillClient,
        *,
        repository: CodeRepository | None = None,
        module: str | None = None,
        host: str = DEFAULT_HOST,
        port: int | None = None,
        read_only: bool = False,
    ) -> None:
        self._socket = _listen(host, port)
        self.sessions = Sessions()
        at = self._socket.getsockname()
        self.port: int = at[1]
        shown = "127.0.0.1" if at[0] in ("0.0.0.0", "::") else at[0]  # noqa: S104
        self.url = f"http://{f'[{shown}]' if ':' in shown else shown}:{self.port}/"
        self.link = f"{self.url}#token={self.sessions.token}"
        loopback_only = ipaddress.ip_address(at[0].partition("%")[0]).is_loopback
        names = () if loopback_only else (host, socket.gethostname())
        guard = create_app(
            client,
            repository=repository,
            module=module,
            read_only=read_only,
            sessions=self.sessions,
            hosts=names,
            loopback_only=loopback_only,
            is_closing=lambda: self._server.should_exit,
        )
        config = uvicorn.Config(
            guard,
            log_config=None,
            log_level=logging.WARNING,
            access_log=False,
            server_header=False,
            proxy_headers=False,
            lifespan="off",
            ws="none",
            http="h11",
            h11_max_incomplete_event_size=_MAX_HEADERS,
            limit_concurrency=_MAX_CONNECTIONS,
            timeout_keep_alive=_IDLE_SECONDS,
            timeout_graceful_shutdown=_GRACE_SECONDS,
        )
        self._server = uvicorn.Server(config)

    def run(self) -> None:
        """Serves until the process is interrupted or `stop()` is called."""
        try:
            self._server.run(sockets=[self._socket])
        except KeyboardInterrupt:
            pass  # It has ended as it should.
        finally:
            self._socket.close()

    def stop(self) -> None:
        """Ends `run()`, which may run in another thread."""
        self._server.should_exit = True


def _listen(host: str, port: int | None) -> socket.socket:
    ports = [DEFAULT_PORT, 0] if port is None else [port]
    failure: OSError | None = None
    for wanted in ports:
        try:
            found = socket.getaddrinfo(
                host, wanted, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
            )
            family, kind, protocol, _, address = found[0]
            opened = socket.socket(family, kind, protocol)
            try:
                opened.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                opened.bind(address)
                opened.listen(128)
            except OSError:
                opened.close()
                raise
        except OSError as error:
            failure = error
        except OverflowError:
            break
        else:
            return opened
    reason = f": {failure.strerror}" if failure is not None else ""
    msg = f"cannot listen on {host} port {port}{reason}"
    raise ConfigurationError(msg)
