"""Kills backfills over a server, the server, and the connections between them, and checks that nothing is lost.

As torture.py, with the storage in a PostgreSQL server that has a standby. In each step a child runs backfills; a
fault strikes the server or the connection, which is a proxy's, and then the child gets SIGKILL. A fault may outlast
the child: what a dead owner sent then arrives late. What is recorded is read with `psql` alone.
"""

import argparse
import collections
import contextlib
import json
import logging
import multiprocessing
import os
import random
import shutil
import sqlite3
import sys
import tempfile
import time
import uuid
from pathlib import Path

import rivers as rs

sys.path.insert(0, str(Path(__file__).parents[2]))  # It is started as a file.
from tests.durability import torture
from tests.postgres_server import primary_and_standby
from tests.support import wait_until
from tests.tcp_proxy import Proxy

FAULTS_A_ROUND = 50
SURE_FAILOVER = 12  # Steps before it.
LONGEST_PAUSE = 0.3  # Seconds before a fault, and between it and the kill.
LONGEST_DELAY = 0.02
FAULTS = {"none": 20, "cut": 25, "answer": 15, "delay": 10, "freeze": 8, "stop": 18, "failover": 4}
"""What strikes before a kill, and how often of a hundred times."""
BEHIND_NS = 60_000_000_000
"""While an owner cannot reach the server, its memory does not know what the server has recorded."""
DUMP = """
SELECT json_build_object(
    'backfill', (SELECT json_agg(t) FROM (SELECT key, id, status, completed, failed, canceled, runs_ended,
                                                 num_partitions FROM {0}.backfill) AS t),
    'segment', (SELECT json_agg(t) FROM (SELECT backfill, seq, completed, failed, canceled, runs_ended,
                                                encode(body, 'hex') AS body FROM {0}.segment) AS t),
    'attempt', (SELECT json_agg(t) FROM (SELECT backfill, run, attempt FROM {0}.attempt) AS t))
"""
COLUMNS = {
    "backfill": "key, id, status, completed, failed, canceled, runs_ended, num_partitions",
    "segment": "backfill, seq, completed, failed, canceled, runs_ended, body",
    "attempt": "backfill, run, attempt",
}


class Remote:
    """A proxy in a process of its own: a process that forks has no thread."""

    def __init__(self, port):
        self.target = port
        self.pipe, other = multiprocessing.Pipe()
        self.pid = os.fork()
        if self.pid == 0:
            with Proxy(port) as proxy:
                other.send(proxy.port)
                while (call := other.recv()) is not None:
                    name, value = call
                    attribute = getattr(proxy, name)
                    if callable(attribute):
                        attribute(*value)
                    else:
                        setattr(proxy, name, *value)
                    other.send(None)
            os._exit(0)
        self.port = self.pipe.recv()

    def do(self, name, *value):
        """Calls a method, or sets an attribute."""
        self.pipe.send((name, value))
        self.pipe.recv()

    def close(self):
        self.pipe.send(None)
        os.waitpid(self.pid, 0)


class Servers:
    """The primary, its standby, and the proxy that leads to the primary."""

    def __init__(self, primary, standby):
        self.primary, self.standby = primary, standby
        self.proxy = Remote(primary.port)

    @property
    def url(self):
        return (
            f"postgresql://rivers@127.0.0.1:{self.proxy.port}/postgres"
            "?target_session_attrs=read-write"
        )

    def restart(self):
        self.primary.stop("immediate")
        self.primary.start("fsync=off")

    def fail_over(self):
        """The primary dies, its standby takes over, and gets a standby in the place of the dead one."""
        synced = "SELECT count(*) FROM pg_stat_replication WHERE sync_state = 'sync'"
        wait_until(lambda: self.primary.sql(synced).strip() == "1")
        self.primary.stop("immediate")
        dead, self.primary = self.primary, self.standby
        self.primary.promote()
        self.confirm("")
        self.proxy.do("target", self.primary.port)
        self.standby = dead
        shutil.rmtree(dead.data)
        dead.copy_of(self.primary)
        dead.start("fsync=off", "wal_retrieve_retry_interval=100ms")
        self.confirm("*")

    def confirm(self, names):
        """Which standbys confirm commits before they are reported."""
        self.primary.sql(f"ALTER SYSTEM SET synchronous_standby_names = '{names}'")
        self.primary.sql("SELECT pg_reload_conf()")


class Round(torture.Round):
    """One schema of the server, used by processes that are killed."""

    def __init__(self, folder, seen, servers):
        super().__init__(folder, seen)
        self.servers = servers
        self.schema = f"t{uuid.uuid4().hex}"
        (folder / "url").write_text(f"{servers.url}&schema={self.schema}")
        rs.Storage.open((folder / "url").read_text())

    def database(self):
        """What is recorded at one moment: a dead owner's last commit may still be on its way."""
        tables = json.loads(self.servers.primary.sql(DUMP.format(self.schema)))
        database = sqlite3.connect(":memory:")
        for name, columns in COLUMNS.items():
            database.execute(f"CREATE TABLE {name} ({columns})")
            rows = [list(row.values()) for row in tables[name] or ()]
            if name == "segment":
                rows = [[*row[:-1], bytes.fromhex(row[-1])] for row in rows]
            marks = ", ".join("?" * len(columns.split(",")))
            database.executemany(f"INSERT INTO {name} VALUES ({marks})", rows)
        return database

    def strike(self, fault, choose):
        """Has a fault happen; returns what ends it."""
        proxy = self.servers.proxy
        if fault == "cut":
            proxy.do("cut")
        elif fault == "answer":
            proxy.do("lose_answer", f'INSERT INTO "{self.schema}".segment'.encode())
        elif fault == "delay":
            proxy.do("delay", choose.uniform(0, LONGEST_DELAY))
            return lambda: proxy.do("delay", 0.0)
        elif fault == "freeze":
            proxy.do("freeze")
            return lambda: proxy.do("thaw")
        elif fault == "stop":
            self.servers.restart()
        elif fault == "failover":
            self.servers.fail_over()
        return lambda: None


def torture_round(folder, faults, choose, seen, servers):
    """Has at least as many faults happen, and lets the last child finish."""
    one = Round(folder, seen, servers)
    (folder / "faulty").touch()
    reader = torture.start_child(torture.look, folder, choose.random())
    until = seen["faults"] + faults
    while seen["faults"] < until:
        (folder / "started").unlink(missing_ok=True)
        processes = choose.random() < 0.1
        executor = rs.Executor.parallel(2) if processes else rs.Executor.in_process()
        child = torture.start_child(
            torture.live, folder, choose.random(), executor, one.interrupted, one.ended
        )
        if choose.random() < 0.9:  # The others may be struck while they start.
            torture.wait_for_start(folder)
        (fault,) = choose.choices(list(FAULTS), FAULTS.values())
        if seen["kills"] % FAULTS_A_ROUND == SURE_FAILOVER:
            fault = "failover"  # The least frequent, in the shortest call, too.
        time.sleep(choose.uniform(0, LONGEST_PAUSE))
        one.deaths.append(time.monotonic_ns())
        end = one.strike(fault, choose)
        seen[fault] += 1
        if is_over := choose.random() < 0.5:
            time.sleep(choose.uniform(0, LONGEST_PAUSE))
            end()
        time.sleep(choose.uniform(0, LONGEST_PAUSE))
        torture.kill(child, folder)
        if choose.random() < 0.2:
            torture.kill(reader, folder)
            reader = torture.start_child(torture.look, folder, choose.random())
        seen["kills"] += 1
        seen["faults"] += 1 + (fault != "none")
        one.check()
        if not is_over:  # What the dead child had sent arrives.
            end()
    (folder / "faulty").unlink()
    torture.kill(reader, folder)
    seen["gave up"] += len(list(folder.glob("gave-up-*")))
    torture.finish_round(one, torture.start_child(torture.look, folder, choose.random()), choose)
    return one


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--faults", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(1 << 32))
    arguments = parser.parse_args()
    print(f"seed {arguments.seed}", flush=True)
    torture.import_everything()
    logging.getLogger("rivers").setLevel(logging.CRITICAL)
    # The resource tracker of a killed process cleans up, with long warnings.
    os.environ["PYTHONWARNINGS"] = "ignore:resource_tracker"
    choose, seen = random.Random(arguments.seed), collections.Counter()
    began, rounds = time.monotonic(), []
    with tempfile.TemporaryDirectory() as scratch, primary_and_standby() as both:
        servers = Servers(*both)
        with contextlib.closing(servers.proxy):
            while (left := arguments.faults - seen["faults"]) > 0:
                (folder := Path(scratch) / str(len(rounds))).mkdir()
                rounds.append(
                    torture_round(folder, min(FAULTS_A_ROUND, left), choose, seen, servers)
                )
            for one in rounds:
                one.check_end(BEHIND_NS)
    assert seen["interrupted"] >= seen["kills"] / 10, "the kills came too early or too late"
    struck = ", ".join(f"{seen[fault]} {fault}" for fault in FAULTS if fault != "none")
    ends = ", ".join(f"{seen['backfills', end]} {end}" for end in torture.ENDS)
    print(
        f"{seen['faults']} faults in {time.monotonic() - began:.0f} s: {seen['kills']} kills, {struck}; "
        f"{seen['gave up']} processes gave up on the server; backfills: {ends}; {seen['runs']} runs recorded, "
        f"{seen['again']} attempts made again, {seen['twice']} that were in flight executed again; "
        f"{seen['answers']} answers fit the model; nothing was lost"
    )


if __name__ == "__main__":
    main()
