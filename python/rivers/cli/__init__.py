"""The command `rivers`: backfills from a shell.

No other part of the library imports this package, which imports click and rich when it is called. The
commands import the parts of the library that they use inside functions, so that they start quickly.
"""


def main() -> None:
    """Runs the command line, and exits with its code.

    0: completed. 1: failed or canceled. 2: wrong usage. 130: interrupted.
    """
    from rivers.cli.app import run  # noqa: PLC0415  (click is loaded for the command alone)

    run()
