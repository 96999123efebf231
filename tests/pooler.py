"""Starts PgBouncer before a PostgreSQL server: in transaction mode, so that few connections serve many clients."""

import contextlib
import shutil
import subprocess
from collections.abc import Iterator

from tests.postgres_server import OWNER, Server, free_port, missing, server_folder

POOL_SIZE = 2
SETTINGS = """
[databases]
postgres = host=127.0.0.1 port={server} user=rivers
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = {own}
unix_socket_dir =
auth_type = any
pool_mode = transaction
default_pool_size = {size}
max_client_conn = 200
"""


class Pooler:
    """A server and the pooler before it."""

    def __init__(self, server: Server, program: str):
        self.server, self.program, self.port = server, program, free_port()
        self.settings = server.folder / "pgbouncer.ini"
        text = SETTINGS.format(server=server.port, own=self.port, size=POOL_SIZE)
        self.settings.write_text(text)
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        with (self.server.folder / "pgbouncer.log").open("ab") as log:
            self.process = subprocess.Popen(
                [self.program, str(self.settings)], stderr=log, user=OWNER, group=OWNER
            )

    def kill(self) -> None:
        assert self.process is not None
        self.process.kill()
        self.process.wait()

    @property
    def url(self) -> str:
        return self.server.url.replace(f":{self.server.port}/", f":{self.port}/")


@contextlib.contextmanager
def pooled_server() -> Iterator[Pooler]:
    """A new server behind a pooler; the tests are skipped where there is none."""
    program = shutil.which("pgbouncer") or shutil.which("pgbouncer", path="/usr/sbin")
    if program is None:
        missing("Debian's package pgbouncer")
    with server_folder() as folder, contextlib.ExitStack() as ends:
        server = Server(folder)
        server.initialize()
        server.start("fsync=off")
        ends.callback(server.stop)
        own = Pooler(server, str(program))
        own.start()
        ends.callback(own.kill)
        yield own
