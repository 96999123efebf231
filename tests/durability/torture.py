"""Kills the process of backfills again and again, and checks that nothing is lost.

A child runs backfills, in threads or in worker processes; at a random moment it gets SIGKILL, and the next
child resumes what it left, at once: the worker processes outlive their parent for a moment. The parent reads
the storage with SQLite alone, so that it does not trust what it tests. Another child only reads, and dies now
and then, too. Whatever any of them was answered, at any time, must fit one sequential model: see histories.py.
"""

import argparse
import collections
import contextlib
import importlib
import logging
import os
import random
import signal
import sqlite3
import sys
import tempfile
import threading
import time
import traceback
from pathlib import Path

import rivers as rs
from rivers.exceptions import ExecutionError, StorageError

sys.path.insert(0, str(Path(__file__).parents[2]))  # It is started as a file.
from tests.durability import histories
from tests.segments import recorded_runs

KILLS_A_ROUND = 50
LONGEST_LIFE = 0.4
LONGEST_LIFE_OF_PROCESSES = 1.5  # Starting the first takes half a second.
LONGEST_START = 60.0  # On a busy machine.
SLOWEST_RUN = 0.002
SLOWEST_OF_SOME = 0.1  # Long enough for an orphan to be running when its backfill is resumed.
RETRY = rs.RetryPolicy(2, rs.Backoff.constant(0.003, jitter=1))
IN_PROGRESS = 0
STATUSES = ("in_progress", "completed", "failed", "canceled")
ENDS = STATUSES[1:]

DEFINITION = rs.PartitionsDefinition.multi(
    {
        "date": rs.PartitionsDefinition.daily("2024-01-01", end="2024-01-11"),
        "region": rs.PartitionsDefinition.static_(["us", "eu", "asia", "africa"]),
    }
)
STRATEGIES = [
    rs.BackfillStrategy.multi_run(),
    rs.BackfillStrategy.single_run(),
    rs.BackfillStrategy.per_dimension(multi_run=["date"], single_run=["region"]),
    rs.BackfillStrategy.per_dimension(multi_run=["region"], single_run=["date"]),
]


@contextlib.contextmanager
def call(folder, context):
    """What each asset does: it says when it begins and ends, marks some keys, and may fail; how long it works."""
    size, now = len(context.partition.keys), time.monotonic_ns()
    note(folder, f"begin {context.run_id} {os.getpid()} {size} {now}")
    try:
        yield work(context)
    finally:
        note(folder, f"end {context.run_id} {os.getpid()} 0 0")


def note(folder, line):
    with (folder / "calls").open("ab", buffering=0) as log:
        log.write(f"{line}\n".encode())


def work(context):
    chance = random.Random(context.run_id)
    if random.Random(context.run_id.rpartition(".")[0]).random() < 0.7:
        for key in context.partition.keys:
            if chance.random() < 0.05:
                context.mark_partition_failed(key, f"marked {key}")
        if chance.random() < 0.1:
            raise ValueError(context.run_id)
    return chance.random() * (SLOWEST_OF_SOME if chance.random() < 0.05 else SLOWEST_RUN)


def assets(folder):
    """Returns one asset that runs in threads and one that runs on the event loop."""

    def threaded(context):
        with call(folder, context) as seconds:
            time.sleep(seconds)
        return context.run_id

    async def looping(context):
        import asyncio

        with call(folder, context) as seconds:
            await asyncio.sleep(seconds)
        return context.run_id

    handler = rs.PickleIOHandler(folder / "values")
    return [
        rs.Asset(fn, name=fn.__name__, partitions_def=DEFINITION, io_handler=handler)
        for fn in (threaded, looping)
    ]


def open_storage(folder):
    """The storage of a round: a file, or what the file `url` names."""
    url = folder / "url"
    return rs.Storage.open(url.read_text() if url.exists() else folder / "rivers.db")


def live(folder, seed, executor, interrupted, ended):
    """Resumes interrupted backfills, then runs new ones until it is killed or asked to finish."""
    choose, answers = random.Random(seed), histories.Answers(folder)
    with rs.CodeRepository(assets(folder), default_executor=executor, lease_seconds=60.0).resolve(
        open_storage(folder)
    ) as repo:
        (folder / "started").touch()
        for backfill_id in interrupted:
            answers.status(repo, backfill_id)
            if choose.random() < 0.1:
                answers.request("cancel", backfill_id)
                repo.cancel_backfill(backfill_id)
            else:
                try:
                    repo.resume_backfill(backfill_id)
                except ExecutionError:  # A dead process's last commit was still on its way.
                    assert repo.get_backfill(backfill_id).status != "in_progress"
            answers.table(repo, backfill_id)
        while not (folder / "finish").exists():
            began = time.monotonic_ns()
            if ended and choose.random() < 0.2:
                again = repo.rerun_backfill(ended[-1])
                answers.launched(began, again)
                ended.append(again.backfill_id)
                continue
            result = repo.backfill(
                selection=[choose.choice(["threaded", "looping"])],
                partition_range=rs.PartitionKeyRange.multi(
                    {"date": ("2024-01-01", f"2024-01-{choose.randint(1, 10):02}")}
                ),
                strategy=choose.choice(STRATEGIES),
                failure_policy=choose.choice(["continue", "continue", "stop_on_failure"]),
                max_concurrency=choose.randint(1, 6),
                block=False,
                retry=choose.choice([None, RETRY]),
            )
            answers.launched(began, result)
            if choose.random() < 0.2:
                time.sleep(choose.random() * 0.01)
                answers.request("cancel", result.backfill_id)
                repo.cancel_backfill(result.backfill_id)
            while answers.status(repo, result.backfill_id).status == "in_progress":
                time.sleep(0.001)
            ended.append(result.backfill_id)


def look(folder, seed):
    """Asks for everything that can be asked, until it is killed or asked to finish."""
    choose, answers = random.Random(seed), histories.Answers(folder)
    client = rs.BackfillClient(open_storage(folder))
    while not (folder / "finish").exists():
        time.sleep(choose.random() * 0.01)
        for backfill_id in answers.list(client)[:3]:
            answers.status(client, backfill_id)
            answers.table(client, backfill_id)
            if choose.random() < 0.3:
                answers.wait(client, backfill_id, 0.01)


def start_child(work, *arguments):
    """A child process, forked before this process starts any thread."""
    assert threading.active_count() == 1
    pid = os.fork()
    if pid:
        return pid
    try:
        work(*arguments)
    except StorageError:
        if (
            arguments[0] / "faulty"
        ).exists():  # A server that was away for too long: its error is clear.
            (arguments[0] / f"gave-up-{os.getpid()}").write_text(traceback.format_exc())
            signal.pause()  # Until it is killed.
        (arguments[0] / "error").write_text(traceback.format_exc())
        os._exit(1)
    except BaseException:  # noqa: BLE001  (the parent raises it)
        (arguments[0] / "error").write_text(traceback.format_exc())
        os._exit(1)
    os._exit(0)


class Round:
    """One storage, used by processes that are killed."""

    def __init__(self, folder, seen):
        self.folder, self.seen = folder, seen  # `seen` counts what happened in all
        self.recorded = {}  # id of the backfill -> {run: failed partitions}, as of the last death
        self.interrupted, self.ended = [], []  # ids, as of the last death
        self.read_calls = 0
        self.looked_at = 0  # When the newest look at the storage began.
        self.sizes = {}  # (id of the backfill, run) -> partitions
        self.calls = collections.Counter()
        self.attempts = {}  # (id of the backfill, run) -> failed attempts that are recorded
        self.at = {}  # (id of the backfill, run) -> the process that began it last
        self.begun = collections.defaultdict(list)  # id -> (time, run, partitions) of each call
        self.deaths, self.on_disk = [], []  # times; answers of the disk

    def check(self):
        """Checks what must hold whenever no process writes."""
        new = self.new_calls()
        for backfill_id, run in new:
            recorded = self.recorded.get(backfill_id, ())
            assert run not in recorded, (
                f"run {run} of {backfill_id} was recorded, and executed again"
            )
        self.looked_at = time.monotonic_ns()
        if (database := self.database()) is None:
            return
        with contextlib.closing(database):
            assert database.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
            if not database.execute("SELECT count(*) FROM sqlite_schema").fetchone()[0]:
                return
            self.interrupted, self.ended = [], []
            for row in database.execute(
                "SELECT key, id, status, completed, failed, canceled, runs_ended, num_partitions "
                "FROM backfill ORDER BY key"
            ).fetchall():
                self.check_backfill(database, row)

    def database(self):
        """What is recorded, as a database of SQLite; `None` if there is nothing."""
        path = self.folder / "rivers.db"
        return sqlite3.connect(path) if path.exists() else None

    def check_backfill(self, database, row):
        key, backfill_id, status, completed, failed, canceled, runs_ended, total = row
        newest = "SELECT completed, failed, canceled, runs_ended FROM segment WHERE backfill = ? ORDER BY seq DESC"
        if status == IN_PROGRESS:
            counts = database.execute(newest, (key,)).fetchone() or (0, 0, 0, 0)
            completed, failed, canceled, runs_ended = counts
        counts = (completed, failed, canceled, total)
        self.on_disk.append(
            histories.recorded(backfill_id, self.looked_at, STATUSES[status], counts)
        )
        rows = [(run, failed) for _, run, _, _, failed in recorded_runs(database, key)]
        runs = dict(rows)
        assert len(runs) == len(rows) == runs_ended
        assert failed == sum(runs.values())
        assert completed + failed == sum(self.sizes[backfill_id, run] for run in runs)
        self.check_attempts(database, key, backfill_id, runs)
        if status == IN_PROGRESS:
            assert canceled == 0
            self.interrupted.append(backfill_id)
            self.seen["interrupted"] += 1
        else:
            self.ended.append(backfill_id)
            assert completed + failed + canceled == total
        assert self.recorded.get(backfill_id, {}).items() <= runs.items(), "a record was lost"
        self.recorded[backfill_id] = runs

    def check_attempts(self, database, key, backfill_id, runs):
        """Checks that attempts are numbered without a gap, and do not outnumber the calls."""
        attempts = collections.defaultdict(list)
        query = "SELECT run, attempt FROM attempt WHERE backfill = ? ORDER BY run, attempt"
        for run, attempt in database.execute(query, (key,)):
            attempts[run].append(attempt)
        for run, numbers in attempts.items():
            assert numbers == list(range(1, len(numbers) + 1))
            assert len(numbers) <= RETRY.max_retries
            assert self.calls[backfill_id, run] >= len(numbers) + (run in runs)
            self.attempts[backfill_id, run] = len(numbers)

    def new_calls(self):
        """Returns the runs begun since the previous check; an orphan may still write."""
        path = self.folder / "calls"
        text = path.read_bytes()[self.read_calls :] if path.exists() else b""
        text = text[: text.rfind(b"\n") + 1]
        self.read_calls += len(text)
        new = []
        for line in text.decode().splitlines():
            event, run_id, process, size, at = line.split()
            backfill_id, _, number = run_id.rpartition(".")
            run = backfill_id, int(number)
            if event == "end":
                assert self.at[run] == process, f"{run} was executed twice at the same time"
                continue
            new.append(run)
            self.sizes[run], self.at[run] = int(size), process
            self.begun[backfill_id].append((int(at), run[1], int(size)))
        self.calls.update(new)
        return new

    def check_end(self, behind=0):
        """Checks that every partition has ended exactly once, that completed values exist, and all answers."""
        answers = histories.read(self.folder) + self.on_disk
        self.seen["answers"] += histories.check(answers, self.begun, self.deaths, behind)
        self.seen["runs"] += sum(len(runs) for runs in self.recorded.values())
        # A run that was canceled before its next attempt was called once per recorded attempt.
        again = sum(min(number, self.calls[run] - 1) for run, number in self.attempts.items())
        self.seen["again"] += again
        self.seen["twice"] += sum(count - 1 for count in self.calls.values()) - again
        storage = open_storage(self.folder)
        assert storage.check() == []
        with rs.CodeRepository(assets(self.folder)).resolve(storage) as repo:
            table = repo.backfills()
            for row in table.iter_rows(named=True):
                self.seen["backfills", row["status"]] += 1
                partitions = repo.backfill_partitions(row["backfill_id"])
                assert partitions.select("date", "region").n_unique() == row["num_partitions"]
                states = collections.Counter(partitions["status"])
                assert states == collections.Counter({end: row[end] for end in ENDS if row[end]})
            for asset in ("threaded", "looping"):
                for key in storage.get_materialized_partitions(asset):
                    assert repo.load_node(asset, key)


def wait_for_start(folder):
    deadline = time.monotonic() + LONGEST_START
    while not (folder / "started").exists() and time.monotonic() < deadline:
        time.sleep(0.002)


def kill(process, folder):
    os.kill(process, signal.SIGKILL)
    _, status = os.waitpid(process, 0)
    assert os.WIFSIGNALED(status), (folder / "error").read_text()


def torture_round(folder, kills, choose, seen):
    """Kills `kills` children, and lets the last one finish."""
    one = Round(folder, seen)
    reader = start_child(look, folder, choose.random())
    for _ in range(kills):
        (folder / "started").unlink(missing_ok=True)
        processes = choose.random() < 0.2
        executor = rs.Executor.parallel(2) if processes else rs.Executor.in_process()
        child = start_child(live, folder, choose.random(), executor, one.interrupted, one.ended)
        if choose.random() < 0.8:  # The others may die while they start.
            wait_for_start(folder)
        time.sleep(choose.uniform(0.0, LONGEST_LIFE_OF_PROCESSES if processes else LONGEST_LIFE))
        one.deaths.append(time.monotonic_ns())
        kill(child, folder)
        if choose.random() < 0.3:
            kill(reader, folder)
            reader = start_child(look, folder, choose.random())
        seen["kills"] += 1
        seen["kills with processes"] += processes
        one.check()
    finish_round(one, reader, choose)
    return one


def finish_round(one, reader, choose):
    """Has what is interrupted finished, without any further fault."""
    folder = one.folder
    (folder / "finish").touch()
    last = start_child(
        live, folder, choose.random(), rs.Executor.in_process(), one.interrupted, one.ended
    )
    for process in (last, reader):
        _, status = os.waitpid(process, 0)
        assert status == 0, (folder / "error").read_text()
    one.check()


def import_everything():
    """Imports what children need, so that they do not do so one by one after each fork."""
    importlib.import_module("polars")
    with rs.CodeRepository([]).resolve(rs.Storage.memory()):
        pass
    assert threading.active_count() == 1


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kills", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(1 << 32))
    arguments = parser.parse_args()
    print(f"seed {arguments.seed}", flush=True)
    import_everything()
    logging.getLogger("rivers").setLevel(logging.ERROR)
    # The resource tracker of a killed process cleans up, with long warnings.
    os.environ["PYTHONWARNINGS"] = "ignore:resource_tracker"
    choose, seen = random.Random(arguments.seed), collections.Counter()
    began, rounds = time.monotonic(), []
    with tempfile.TemporaryDirectory() as scratch:
        for number, first in enumerate(range(0, arguments.kills, KILLS_A_ROUND)):
            kills = min(KILLS_A_ROUND, arguments.kills - first)
            (folder := Path(scratch) / str(number)).mkdir()
            rounds.append(torture_round(folder, kills, choose, seen))
        for one in rounds:
            one.check_end()
    assert seen["interrupted"] >= seen["kills"] / 10, "the kills came too early or too late"
    ends = ", ".join(f"{seen['backfills', end]} {end}" for end in ENDS)
    print(
        f"{seen['kills']} kills ({seen['kills with processes']} with worker processes) in "
        f"{time.monotonic() - began:.0f} s, a backfill interrupted by {seen['interrupted']} of them; "
        f"backfills: {ends}; {seen['runs']} runs recorded, {seen['again']} attempts made again, {seen['twice']} that were in flight executed "
        f"again, none twice at the same time; {seen['answers']} answers fit the model; nothing was lost"
    )


if __name__ == "__main__":
    sys.exit(main())
