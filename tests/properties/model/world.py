"""Random sequences of verbs, executed by processes and by the dictionary, which must agree after every step."""

from __future__ import annotations

import contextlib
import datetime as dt
import json
import os
import random as randoms
import shutil
import signal
import tempfile
import traceback
from multiprocessing import Pipe
from pathlib import Path

from tests.properties.model.compare import Comparison
from tests.properties.model.dictionary import Backfill, Dictionary
from tests.properties.model.functions import key_of
from tests.properties.model.graphs import START, random_graph
from tests.properties.model.real import Session
from tests.properties.model.shown import DisagreementError

from rivers.io.paths import partition_path

BEHAVIOURS = ["ok"] * 6 + ["fail", "fail", "flaky", "mark", "skip", "none"]
CLOCK_STEPS = (-100_000, -3600, 0, 3600, 100_000)
STEPS = 10
"""Maximum number of steps of a sequence."""


class Process:
    """A forked process with a session."""

    def __init__(self, graph, folder):
        ours, theirs = Pipe()
        self.pid = os.fork()
        if self.pid == 0:
            status = 1
            with contextlib.suppress(EOFError):
                ours.close()
                _serve(Session(graph, folder), theirs)
                status = 0
            os._exit(status)
        theirs.close()
        self.pipe = ours

    def call(self, request):
        """Has the session execute a request; `None`: the process died."""
        self.pipe.send(request)
        try:
            answer = self.pipe.recv()
        except (EOFError, ConnectionResetError):
            self.end(by_force=True)
            return None
        if "crashed" in answer:
            raise DisagreementError(answer["crashed"])
        return answer

    def end(self, *, by_force):
        """Ends the process, and waits until it is gone."""
        if by_force:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, signal.SIGKILL)
        self.pipe.close()
        os.waitpid(self.pid, 0)


def _serve(session, pipe):
    while True:
        try:
            request = pipe.recv()
        except EOFError:
            session.close()
            return
        try:
            session.prepare(request["now"], request["versions"], request["behaviour"])
            answer = {"result": session.execute(request["verb"], request["arguments"])}
            named = [*request["backfills"], *filter(None, [answer["result"].get("id")])]
            answer["seen"] = session.observe(named)
        except BaseException:  # noqa: BLE001  (the driver reports it)
            answer = {"crashed": traceback.format_exc()}
        pipe.send(answer)


class World:
    """A graph, its dictionary, and the process that has its repository."""

    def __init__(self, seed):
        self.random = randoms.Random(seed)
        self.accidents = randoms.Random(f"accidents {seed}")
        self.clocks = randoms.Random(f"clocks {seed}")
        self.graph = random_graph(self.random, randoms.Random(f"pairs {seed}"))
        self.folder = Path(tempfile.mkdtemp(prefix="rivers-model-"))
        now = START + dt.timedelta(days=2, hours=self.random.choice([6, 12, 18]))
        self.dictionary = Dictionary(self.graph, now)
        self.history = [f"seed {seed}", *map(str, self.graph.assets)]
        self._set_clock()
        self.process = Process(self.graph, self.folder)
        self.order = 0
        self.interrupted: list[str] = []
        self.rows: dict[str, dict] = {}
        self.policies: dict[str, str] = {}
        self.arguments: dict = {}
        self.seen: dict = {}
        self.read = 0

    def close(self):
        self.process.end(by_force=True)
        shutil.rmtree(self.folder, ignore_errors=True)

    def run(self, steps=STEPS):
        """Executes steps, and compares after each.

        Raises:
            DisagreementError: What the process shows differs from the dictionary.
        """
        for _ in range(self.random.randint(3, steps)):
            self.step()

    def step(self):
        self.order += 1
        self._pass_time()
        self._delete_files()
        verb, arguments, comparison = self._choose()
        behaviour = self._behaviour(verb)
        if comparison.lost:
            # Whether what is made again was recorded could not be seen afterwards.
            behaviour = {at: what for at, what in behaviour.items() if what != "kill"}
        self.arguments = arguments
        self.history.append(f"{self.order}. {self.dictionary.now} {verb} {arguments} {behaviour}")
        answer = self._call(verb, arguments, behaviour)
        is_dead = answer is None
        if is_dead:
            self._set_clock()
            self.process = Process(self.graph, self.folder)
            # The new process only looks at what the old one left.
            answer = self._call("look", {}, {})
        self.seen = answer["seen"]
        comparison.check(answer, self._events(), is_dead=is_dead)
        self.interrupted = answer["seen"]["interrupted"]

    def _call(self, verb, arguments, behaviour):
        known = self.dictionary
        return self.process.call({
            "verb": verb, "arguments": arguments, "behaviour": behaviour, "now": known.now,
            "versions": dict(known.versions), "backfills": self.interrupted,
        })  # fmt: skip

    def _new_process(self):
        self._set_clock()
        self.process = Process(self.graph, self.folder)
        self.dictionary.new_process()

    def _set_clock(self):
        """Sets the machine's clock, as the next process sees it, if there is one that can be set."""
        if "CLOCK_STEP" in os.environ:
            step = self.clocks.choice(CLOCK_STEPS)
            Path(os.environ["CLOCK_STEP"]).write_text(str(step))
            self.history.append(f"   the clock is set to {step} s from the true time")

    def _events(self):
        path = self.folder / "calls.jsonl"
        if not path.exists():
            return []
        lines = path.read_text().splitlines()[self.read :]
        self.read += len(lines)
        return [json.loads(line) for line in lines]

    def shown(self, name, key):
        """The status that the table of an asset shows; for one without partitions, that of its value."""
        table = self.seen["tables"].get(name)
        if table is not None:
            return table[key][0]
        return "skipped" if self.seen["loads"][name, key][0] == "error" else "failed"

    # -- choices -----------------------------------------------------------------------------------

    def _pass_time(self):
        known, random = self.dictionary, self.random
        if random.random() < 0.25:
            hours = random.choice([-30, -12, 6, 12, 24, 36])
            known.now = min(
                max(known.now + dt.timedelta(hours=hours), START), START + dt.timedelta(days=6)
            )
        if random.random() < 0.15:
            name = random.choice(self.graph.assets).name
            known.versions = {**known.versions, name: random.choice([None, "1", "2"])}
        if random.random() < 0.15:
            self.process.end(by_force=random.random() < 0.7)
            self._new_process()
            self.history.append("   a new process")

    def _delete_files(self):
        """Deletes the files of some values, as somebody who tidies up does."""
        known, random = self.dictionary, self.accidents
        for spec in self.graph.assets:
            for key in known.keys(spec.name) if spec.handler == "pickle" else ():
                path = self.file_of(spec.name, key)
                if random.random() < 0.08 and path.exists():
                    path.unlink()
                    known.delete(spec.name, key)
                    self.history.append(f"   the file of {spec.name} {key} is deleted")

    def file_of(self, name, key):
        """The file of a value that the pickle handler stores."""
        partition = None if key is None else key_of(key)
        return partition_path(self.folder / "pickles", name, partition, ".pickle")

    def _behaviour(self, verb):
        if verb not in ("backfill", "rerun", "resume") or self.random.random() < 0.3:
            return {}
        kills = self.random.random() < 0.2 and not self.graph.in_processes
        options = [*BEHAVIOURS, "kill"] if kills else BEHAVIOURS
        return {
            (spec.name, key): chosen
            for spec in self.graph.assets
            for key in self.dictionary.keys(spec.name)
            if (chosen := self.random.choice(options)) != "ok"
        }

    def _choose(self):
        """A verb, its arguments, and what compares its effect."""
        random = self.random
        ended = [key for key, each in self.dictionary.backfills.items() if each.ended]
        if self.interrupted and random.random() < 0.6:
            chosen = random.choice(self.interrupted)
            verb = random.choice(["resume", "resume", "cancel"])
            if any(key not in self.dictionary.keys(name) for name, key in self.rows[chosen]):
                verb = "cancel"
            return verb, {"backfill_id": chosen}, Comparison(self, verb, chosen)
        if ended and random.random() < 0.25:
            chosen = random.choice(ended)
            return "rerun", {"backfill_id": chosen}, Comparison(self, "rerun", chosen)
        if random.random() < 0.2:
            name = random.choice(self.graph.assets).name
            keys = self._some(self.dictionary.keys(name))
            verb = random.choice(["report", "forget"])
            return verb, {"asset": name, "keys": keys}, Comparison(self, verb, (name, keys))
        return self._choose_backfill()

    def _choose_backfill(self):
        random = self.random
        partitioned = [spec for spec in self.graph.assets if spec.grid != "none"]
        if not partitioned:
            return "look", {}, Comparison(self, "look", None)
        first = random.choice(partitioned)
        alike = [spec.name for spec in partitioned if spec.grid == first.grid]
        names = random.sample(alike, k=random.randint(1, len(alike)))
        keys = self._some(self.dictionary.keys(first.name))
        only = random.choice(["all", "all", "missing", "missing", "stale", "stale"])
        options = {
            "include_upstream": random.random() < 0.5, "include_downstream": random.random() < 0.4,
        }  # fmt: skip
        covered, executed = self.dictionary.plan(
            dict.fromkeys(names, keys),
            only,
            options["include_upstream"],
            options["include_downstream"],
        )
        needs_itself = any(
            need.mapping == "previous" for spec in self.graph.assets for need in spec.needs
        )
        strategies = ["multi_run", "multi_run"]
        if not needs_itself:
            strategies += ["single_run"]
        if all(self.graph[name].grid == "squares" for name in [*covered, *names]):
            strategies += ["per_dimension"]
        strategy = random.choice(strategies)
        arguments = {
            "selection": names, "keys": keys, "strategy": strategy, **options,
            "only_missing": only == "missing", "only_stale": only == "stale",
            "failure_policy": random.choice(["continue", "continue", "stop_on_failure"]),
            "max_concurrency": random.choice([1, 1, 2, 4]),
        }  # fmt: skip
        plan = Backfill(
            executed,
            covered,
            [],
            self.order,
            dict(self.dictionary.versions),
            strategy != "multi_run",
        )
        return "backfill", arguments, Comparison(self, "backfill", plan)

    def _some(self, keys):
        if self.random.random() < 0.4:
            return list(keys)
        return [key for key in keys if self.random.random() < 0.5] or [self.random.choice(keys)]
