"""`--detach`: runs the command in a separate process that outlives the terminal.

The process gets one end of a pipe, and writes the id of the backfill into it once that is recorded. If it
exits before that, the command was refused, and the log says why.
"""

import os
import subprocess
import sys

import click

from rivers.cli.display import output

_PIPE = "RIVERS_DETACHED_PIPE"
"""Internal variable with the file descriptor of the pipe."""


def start_detached(storage: str | None) -> None:
    """Starts this command again without `--detach`, and returns when its backfill is recorded.

    Args:
        storage: The path that was given, if one was; logs are written to a folder `logs` beside it.
    """
    from rivers.storage.location import DEFAULT_PATH, StorageLocation  # noqa: PLC0415

    folder = StorageLocation.parse(storage or DEFAULT_PATH).log_folder
    folder.mkdir(parents=True, exist_ok=True)
    log = folder / f"starting-{os.getpid()}.log"
    words = [word for word in sys.argv[1:] if word != "--detach"]
    reading, writing = os.pipe()
    with log.open("w", encoding="utf-8") as file:
        process = subprocess.Popen(  # noqa: S603  (the command that the user typed)
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
        raise click.exceptions.Exit(code)
    log = log.rename(folder / f"{backfill_id}.log")
    output.print(f"backfill {backfill_id}", f"log {log}", sep="\n", soft_wrap=True, markup=False)


def announce(backfill_id: str) -> None:
    """Sends the id to the process that started this one with `--detach`, if one did."""
    pipe = os.environ.pop(_PIPE, None)
    if pipe is not None:
        with os.fdopen(int(pipe), "w", encoding="utf-8") as writing:
            writing.write(backfill_id)
