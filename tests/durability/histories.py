"""What processes were answered while others ran and died, and the sequential model that all answers must fit.

Each process writes each answer that it was given to a file of its own, with the times before and after the call;
the clock is the same for all processes of a machine. `check` looks for an order of all calls, one after another,
that explains the answers: a call that began after another had returned must not know less than that one.
"""

import heapq
import json
import os
import time
from dataclasses import dataclass, field

from rivers.exceptions import ExecutionError

FINAL = frozenset("cfx")
"""Letters of partitions that have ended: completed, failed, canceled."""
LETTERS = {"completed": "c", "failed": "f", "canceled": "x", "running": "r"}


class Answers:
    """Writes the answers that this process is given; a process that dies has written all but the last."""

    def __init__(self, folder):
        (folder / "answers").mkdir(exist_ok=True)
        path = folder / "answers" / f"{os.getpid()}-{time.monotonic_ns()}"
        self._path = path

    def request(self, what, backfill_id):
        """Notes that a change is about to be requested."""
        self._write(what, backfill_id, time.monotonic_ns(), {})

    def launched(self, began, result):
        self._write("launched", result.backfill_id, began, {"total": result.num_partitions})

    def status(self, client, backfill_id):
        began = time.monotonic_ns()
        found = client.get_backfill(backfill_id)
        self._write("status", backfill_id, began, _stands(found))
        return found

    def wait(self, client, backfill_id, timeout):
        """Waits; neither a time that is over nor a dead owner is an error here."""
        began = time.monotonic_ns()
        try:
            stands = _stands(client.wait_backfill(backfill_id, timeout))
        except TimeoutError:
            return
        except ExecutionError:
            stands = {"interrupted": True}
        self._write("wait", backfill_id, began, stands)

    def table(self, client, backfill_id):
        began = time.monotonic_ns()
        states = client.backfill_partitions(backfill_id)["status"].to_list()
        letters = "".join(LETTERS.get(state, ".") for state in states)
        self._write("table", backfill_id, began, {"states": letters})

    def list(self, client):
        """Returns the ids of all backfills."""
        began = time.monotonic_ns()
        rows = client.backfills().to_dicts()
        self._write("list", None, began, {"ids": [row["backfill_id"] for row in rows]})
        for row in rows:
            counts = [row[end] for end in ("completed", "failed", "canceled", "num_partitions")]
            stands = {"status": row["status"], "counts": counts}
            self._write("row", row["backfill_id"], began, stands)
        return [row["backfill_id"] for row in rows]

    def _write(self, call, backfill_id, began, answer):
        line = [call, backfill_id, began, time.monotonic_ns(), answer]
        with self._path.open("ab", buffering=0) as file:
            file.write(json.dumps(line).encode() + b"\n")


def _stands(found):
    if found is None:
        return {"missing": True}
    ended = (found.completed_partitions, found.failed_partitions, found.canceled_partitions)
    return {"status": found.status, "counts": [*ended, found.total_partitions]}


def recorded(backfill_id, began, status, counts):
    """What was found by a look at the storage that began at a time, as an answer."""
    answer = {"status": status, "counts": list(counts)}
    return ["disk", backfill_id, began, time.monotonic_ns(), answer]


def read(folder):
    """All answers that processes wrote; a last line that is torn is left out."""
    lines = []
    for path in (folder / "answers").glob("*"):
        complete = path.read_bytes().rpartition(b"\n")[0]
        lines += [json.loads(line) for line in complete.splitlines()]
    return lines


@dataclass
class Known:
    """What is certain about a backfill, once the calls that said so have returned."""

    counts: list = field(default_factory=lambda: [0, 0, 0])
    ended: tuple | None = None  # Status and counts.
    states: str = ""  # A letter for each partition; only final ones matter.


class ImpossibleError(AssertionError):
    """No order of the calls explains an answer."""


def check(lines, begun, deaths, behind_ns=0):
    """Checks all answers against the model.

    Args:
        lines: What `read` returned and what was found on disk.
        begun: For each id the times at which functions began, with run and number of partitions.
        deaths: When processes were killed.
        behind_ns: How long the answer of `status` may be behind an earlier one.

    Returns:
        The number of answers.
    """
    known, returned, listed = {}, [], set()
    requests = {}
    for call, backfill_id, began, _, _ in lines:
        if call == "cancel":
            requests[backfill_id] = min(began, requests.get(backfill_id, began))

    def asked_at(line):
        return line[2] - behind_ns if line[0] == "status" else line[2]

    for number, line in enumerate(sorted(lines, key=asked_at)):
        call, backfill_id, _, ended, answer = line
        while returned and returned[0][0] < asked_at(line):
            _learn(heapq.heappop(returned)[2], known, listed)
        heapq.heappush(returned, (ended, number, line))
        try:
            if call == "list":
                _require(listed <= set(answer["ids"]), "a backfill is no longer listed")
                continue
            _check_order(answer, known.get(backfill_id))
            _check_causes(line, begun.get(backfill_id, ()), deaths, requests)
        except ImpossibleError as error:
            msg = f"{error}: {line} after {known.get(backfill_id)}"
            raise ImpossibleError(msg) from None
    return len(lines)


def _require(condition, what):
    if not condition:
        raise ImpossibleError(what)


def _learn(line, known, listed):
    """A call has returned: what it said binds all that begin from now on."""
    call, backfill_id, _, _, answer = line
    if backfill_id is None:
        listed.update(answer["ids"])
        return
    facts = known.setdefault(backfill_id, Known())
    if call == "launched":
        listed.add(backfill_id)
    if "counts" in answer:
        facts.counts = [max(pair) for pair in zip(facts.counts, answer["counts"][:3], strict=True)]
        if answer["status"] != "in_progress":
            facts.ended = answer["status"], answer["counts"]
    if "states" in answer:
        old = facts.states or "." * len(answer["states"])
        facts.states = "".join(
            before if before in FINAL else after
            for before, after in zip(old, answer["states"], strict=True)
        )
        counts = [facts.states.count(letter) for letter in "cfx"]
        facts.counts = [max(pair) for pair in zip(facts.counts, counts, strict=True)]


def _check_order(answer, facts):
    """An answer says no less than what was said before."""
    if facts is None:
        return
    _require("missing" not in answer, "a backfill has vanished")
    if "counts" in answer:
        less = any(now < old for now, old in zip(answer["counts"], facts.counts, strict=False))
        _require(not less, "a count went backwards")
        if facts.ended is not None:
            same = (answer["status"], answer["counts"]) == facts.ended
            _require(same, "an end was revoked")
    if "states" in answer:
        pairs = list(zip(facts.states, answer["states"], strict=False))
        _require(
            all(old not in FINAL or old == new for old, new in pairs), "a partition was revoked"
        )
        counts = [answer["states"].count(letter) for letter in "cfx"]
        less = any(now < old for now, old in zip(counts, facts.counts, strict=True))
        _require(not less, "a table knows less than a count")
    if "interrupted" in answer:
        _require(facts.ended is None, "what has ended is called interrupted")


def _check_causes(line, begun, deaths, requests):
    """What an answer says had happened before it was given."""
    call, backfill_id, _, ended, answer = line
    if "interrupted" in answer:
        _require(any(death < ended for death in deaths), "interrupted, and no process has died")
    if "states" in answer:
        counts = [answer["states"].count(letter) for letter in "cfx"]
    elif "counts" in answer:
        counts = answer["counts"][:3]
        all_ended = sum(counts) == answer["counts"][3]
        _require(sum(counts) <= answer["counts"][3], "more partitions ended than there are")
        is_over = answer["status"] != "in_progress"
        _require(not is_over or all_ended, "an end without all partitions")
        _require(call != "wait" or is_over, "a wait returned before the end")
    else:
        return
    sizes = {run: size for at, run, size in begun if at <= ended}
    _require(counts[0] + counts[1] <= sum(sizes.values()), "an outcome without a call")
    caused = counts[1] > 0 or requests.get(backfill_id, ended + 1) <= ended
    _require(counts[2] == 0 or caused, "canceled, and nobody asked for it")
