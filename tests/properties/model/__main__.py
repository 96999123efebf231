"""Checks sequences: `python -m tests.properties.model FIRST COUNT`.

Prints the first sequence at which the processes and the dictionary disagree, and then fails.
"""

import sys
import traceback

from tests.properties.model.shown import DisagreementError
from tests.properties.model.world import World


def main(first, count):
    """Checks `count` sequences from a seed on; returns the exit status."""
    for seed in range(first, first + count):
        world = World(seed)
        try:
            world.run()
        except DisagreementError as error:
            print(*world.history, error, sep="\n")
            return 1
        except Exception:  # noqa: BLE001  (the history says at which step)
            print(*world.history, traceback.format_exc(), sep="\n")
            return 2
        finally:
            world.close()
    print(f"{count} sequences agree")
    return 0


if __name__ == "__main__":
    numbers = [int(text) for text in sys.argv[1:3]]
    sys.exit(main(*numbers))
