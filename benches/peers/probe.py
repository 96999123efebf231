"""What the script of each tool shares; only the standard library, since each has its own packages.

`SCRIPT WORK SIZE` does the work and prints one line of JSON: seconds, how many, peak memory.
"""

import json
import os
import sys
import tempfile
import time
from pathlib import Path


def _status(name):
    for line in Path("/proc/self/status").read_text(encoding="ascii").splitlines():
        if line.startswith(name):
            return int(line.split()[1]) * 1024
    raise LookupError(name)


def silence():
    """Where the line of JSON goes; everything else that is printed or logged goes nowhere."""
    os.environ["RUST_LOG"] = "off"
    answer = os.fdopen(os.dup(1), "w")
    nowhere = os.open(os.devnull, os.O_WRONLY)
    for descriptor in (1, 2):
        os.dup2(nowhere, descriptor)
    return answer


def measured(prepare, size):
    """Prepares the work, does it, and says what it took: seconds, and memory at the peak."""
    work = prepare(size)
    Path("/proc/self/clear_refs").write_text("5", encoding="ascii")
    before = _status("VmRSS")
    began = time.perf_counter()
    count = work()
    seconds = time.perf_counter() - began
    return {"seconds": seconds, "count": count, "bytes": _status("VmHWM") - before}


def main(works):
    """Does the work that the command line names."""
    answer = silence()
    name, size = sys.argv[1:]
    with tempfile.TemporaryDirectory(prefix="rivers-peers-") as folder:
        os.chdir(folder)
        found = measured(works()[name], int(size))
        print(json.dumps(found), file=answer, flush=True)
        os.chdir("/")
        # Some tools have threads that keep the interpreter from leaving.
        os._exit(0)
