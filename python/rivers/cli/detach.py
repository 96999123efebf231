"""`--detach`: the same command in a process of its own, which the terminal does not take with it.

The process is given one end of a pipe, and writes the backfill's id into it when that is recorded. Ends
it before, then what it was told is refused, and its log says why.
"""

import os
import subprocess
import sys

import typer

from rivers.cli.display import output
from rivers.storage.location import DEFAULT_PATH, StorageLocation

_PIPE = "RIVERS_DETACHED_PIPE"
"""The variable with the number of the pipe's end; it is not for users."""


def start_detached(storage: str | None) -> None:
    """Starts this command again, without `--detach`, and leaves when its backfill is recorded.

    Args:
        storage: The file that was named; the logs are in a folder `logs` beside it.
    """
    folder = StorageLocation.parse(storage or DEFAULT_PATH).log_folder
    folder.mkdir(parents=True, exist_ok=True)
    log = folder / f"starting-{os.getpid()}.log"
    words = [word for word in sys.argv[1:] if word != "--detach"]
    reading, writing = os.pipe()
    with log.open("w", encoding="utf-8") as file:
        process = subprocess.Popen(  # noqa: S603  (it is this very command)
            [sys.executable, "-u", "-m", "rivers", *words],
            stdin=subprocess.DEVNULL, stdout=file, stderr=file, pass_fds=[writing],
            start_new_session=True, env=os.environ | {_PIPE: str(writing)},
        )  # fmt: skip
    os.close(writing)
    with os.fdopen(reading, encoding="utf-8") as pipe:
        backfill_id = pipe.read()
    if not backfill_id:
        code = process.wait()
        sys.stderr.write(log.read_text(encoding="utf-8"))
        log.unlink()
        raise typer.Exit(code)
    log = log.rename(folder / f"{backfill_id}.log")
    output.print(f"backfill {backfill_id}", f"log {log}", sep="\n", soft_wrap=True, markup=False)


def announce(backfill_id: str) -> None:
    """Tells the process that started this one, if it did so with `--detach`."""
    pipe = os.environ.pop(_PIPE, None)
    if pipe is not None:
        with os.fdopen(int(pipe), "w", encoding="utf-8") as writing:
            writing.write(backfill_id)
