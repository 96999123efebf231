"""The command `rivers`: backfills from a shell.

Nothing of the library imports this package, and it imports typer and rich when it is called.
"""


def main() -> None:
    """Runs the command line, and leaves with its exit code.

    0: completed. 1: failed or canceled. 2: wrong usage. 130: interrupted.
    """
    from rivers.cli.app import run  # noqa: PLC0415  (typer is loaded for the command alone)

    run()
