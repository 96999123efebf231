"""Where the instructions of a run go, for each shape that `make guard` watches: `make profile`.

Valgrind counts them by thread and by library. What a function asks of its context is counted with the function,
although part of it is ours.
"""

from __future__ import annotations

import re
import sys
from collections import Counter
from pathlib import Path

from guard import FEW, dumps
from shapes import SHAPES

_COST = re.compile(r"^[+*-]?\d* (\d+)$")
_NAME = re.compile(r"^(c?)(ob|fn)=\((\d+)\)(?: (.*))?$")
# What the extension calls a user's function by.
_CALLS = ("PyObject_Vectorcall", "PyIter_Send")

PARTS = {
    "function": "the user's function",
    "interpreter": "Python and C libraries around it: the boundary, and our Python code",
    "core": "our Rust code in the same thread",
    "commit": "the writer thread",
}


class Profile:
    """What Valgrind wrote of a thread.

    Attributes:
        own: The instructions of each library.
        function: Those of the functions that the extension calls, with all that they call.
    """

    def __init__(self, text: str) -> None:
        self.own: Counter[str] = Counter()
        self.function = 0
        self._names: dict[tuple[str, str], str] = {}
        self._at = {"ob": "", "fn": "", "cob": "", "cfn": ""}
        is_call = False
        for line in text.splitlines():
            if named := _NAME.match(line):
                self._enter(*named.groups())
            elif line.startswith("calls="):
                is_call = True
            elif cost := _COST.match(line):
                self._add(int(cost[1]), is_call=is_call)
                is_call = False

    def _enter(self, callee: str, kind: str, number: str, name: str | None) -> None:
        if name is not None:
            self._names[kind, number] = name
        self._at[callee + kind] = self._names[kind, number]

    def _add(self, cost: int, *, is_call: bool) -> None:
        if not is_call:
            self.own[self._at["ob"]] += cost
        elif "_rivers" in self._at["ob"] and self._at["cfn"].partition("'")[0] in _CALLS:
            self.function += cost

    @property
    def parts(self) -> Counter[str]:
        """The instructions by part of the path."""
        if not any("python" in Path(library).name for library in self.own):
            return Counter(commit=self.own.total())
        core = sum(cost for library, cost in self.own.items() if "_rivers" in library)
        rest = self.own.total() - self.function - core
        return Counter(function=self.function, core=core, interpreter=rest)


def main() -> None:
    """Prints the table."""
    print(f"| shape | {' | '.join(PARTS)} |\n|---|{'---|' * len(PARTS)}")
    for shape in sys.argv[1:] or SHAPES:
        total: Counter[str] = Counter()
        for label, sign in (("many", 1), ("few", -1)):
            runs, profiles = dumps([shape], "--separate-threads=yes", rounds=(label,))
            threads = [
                text for text in profiles[""] if re.search(r"^thread: (?!1$)", text, re.MULTILINE)
            ]
            for thread in threads:
                for part, cost in Profile(thread).parts.items():
                    total[part] += sign * cost
        per_run = [f"{total[part] / (runs[shape] - FEW):,.0f}" for part in PARTS]
        print(f"| {shape} | {' | '.join(per_run)} |", flush=True)


if __name__ == "__main__":
    main()
