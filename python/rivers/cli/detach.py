"""`--detach`: runs the command in a separate process that outlives the terminal.

The process gets one end of a pipe, and writes the id of the backfill into it once that is recorded. If it
exits before that, the command was refused, and the log says why.
"""

import os
import sys
from pathlib import Path

import click

from rivers.cli.display import errors, output
from rivers.exceptions import ConfigurationError

_PIPE = "RIVERS_DETACHED_PIPE"
"""Internal variable with the file descriptor of the pipe."""


def start_detached(
    storage: str | None, *, dry_run: bool = False, reads_input: bool = False
) -> None:
    """Starts this command again without `--detach`, and returns when its backfill is recorded.

    Args:
        storage: The path that was given, if one was; logs are written to a folder `logs` beside it.
        dry_run: Whether nothing is to be executed.
        reads_input: Whether standard input has the keys.

    Raises:
        ConfigurationError: Of a dry run nothing would be seen; or keys would be read from a terminal.
    """
    if dry_run:
        raise ConfigurationError("give --detach or --dry-run, not both")
    if reads_input and (sys.stdin is None or sys.stdin.isatty()):
        raise ConfigurationError("with --detach, --keys - takes a file or a pipe, not a terminal")
    import subprocess  # noqa: PLC0415  (the help of all commands starts faster without it)

    from rivers.storage.location import StorageLocation  # noqa: PLC0415
    from rivers.storage.lookup import find_storage  # noqa: PLC0415

    found = StorageLocation.parse(storage) if storage else find_storage()
    folder = found.make_log_folder()
    log = folder / f"starting-{os.getpid()}.log"
    words = [word for word in sys.argv[1:] if word != "--detach"]
    environment = dict(os.environ)
    if storage and found.url is not None:
        # The arguments of a process that runs for hours are seen by all users of the machine.
        environment["RIVERS_STORAGE"] = storage
        words = _without_storage(words, storage)
    reading, writing = os.pipe()
    with os.fdopen(_create(log), "w", encoding="utf-8") as file:
        process = subprocess.Popen(  # noqa: S603  (the command that the user typed)
            [sys.executable, "-u", "-m", "rivers", *words],
            stdin=None if reads_input else subprocess.DEVNULL, stdout=file, stderr=file, pass_fds=[writing],
            start_new_session=True, env=environment | {_PIPE: str(writing)},
        )  # fmt: skip
    os.close(writing)
    with os.fdopen(reading, encoding="utf-8") as pipe:
        backfill_id = pipe.read()
    if not backfill_id:
        code = process.wait()
        errors.print(log.read_text(encoding="utf-8"), end="", markup=False, soft_wrap=True)
        log.unlink()
        raise click.exceptions.Exit(code)
    # Such as warnings: whoever reads them in the log later could have acted on them now.
    errors.print(log.read_text(encoding="utf-8"), end="", markup=False, soft_wrap=True)
    log = log.rename(folder / f"{backfill_id}.log")
    output.print(f"backfill {backfill_id}", f"log {log}", sep="\n", soft_wrap=True, markup=False)


def _without_storage(words: list[str], storage: str) -> list[str]:
    place = words.index(storage) if storage in words else None
    if place is not None:
        return words[: place - 1] + words[place + 1 :]
    return [word for word in words if not word.endswith(f"={storage}")]


def _create(log: Path) -> int:
    """Creates a file that nobody has prepared, such as a link to another one; returns its descriptor."""
    log.unlink(missing_ok=True)
    mode = log.parent.stat().st_mode & 0o666
    return os.open(log, os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_NOFOLLOW", 0), mode)


def announce(backfill_id: str) -> None:
    """Sends the id to the process that started this one with `--detach`, if one did."""
    pipe = os.environ.pop(_PIPE, None)
    if pipe is not None:
        with os.fdopen(int(pipe), "w", encoding="utf-8") as writing:
            writing.write(backfill_id)
