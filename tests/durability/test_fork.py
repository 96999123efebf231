"""A forked child can use the repository and the storage of its parent."""

import os
import threading

import pytest
from tests.support import TIMEOUT

from rivers._lazy import ComputedOnce

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="the system cannot fork")

PRELUDE = """
import concurrent.futures, gc, multiprocessing, threading, warnings
warnings.simplefilter("ignore", DeprecationWarning)
COUNT = 60
KEYS = [str(n) for n in range(COUNT)]
ALL = rs.PartitionKeyRange.single("0", str(COUNT - 1))
EXECUTORS = {"threads": rs.Executor.in_process, "processes": lambda: rs.Executor.parallel(2)}

@rs.Asset(partitions_def=rs.PartitionsDefinition.static_(KEYS))
def work(context):
    note(f"{os.getpid()} {context.partition_key}")
    time.sleep(PAUSE)

@rs.Asset(partitions_def=rs.PartitionsDefinition.static_(KEYS))
async def later(context):
    note(f"{os.getpid()} {context.partition_key}")

PAUSE = 0.0

def in_child(function, *, leave=os._exit):
    child = os.fork()
    if child == 0:
        code = 1
        try:
            function()
            code = 0
        except BaseException:
            import traceback
            traceback.print_exc()
        if leave is not os._exit:
            leave(code)
        os._exit(code)
    return child

def await_child(child):
    _, status = os.waitpid(child, 0)
    assert status == 0, status

def use(repo, executor="threads"):
    # Everything that a repository and its storage do.
    names = ["work"] if executor == "processes" else ["work", "later"]
    for name in names:
        result = repo.backfill([name], partition_range=ALL)
        assert (result.status, result.completed) == ("completed", COUNT), result
    assert repo.get_backfill(result.backfill_id).status == "completed"
    background = repo.backfill(["work"], partition_range=ALL, block=False)
    assert repo.wait_backfill(background.backfill_id, timeout=30).status == "completed"
    assert repo.materialize(["work"], partition_key=rs.PartitionKey.single("3")).success
    assert repo.submit(["work"], partition_key=rs.PartitionKey.single("4")).wait(30).success
    assert repo.rerun_backfill(result.backfill_id).status == "completed"
    assert len(repo.backfills()) >= 3
    assert len(repo.backfill_partitions(result.backfill_id)) == COUNT
    repo.storage.add_dynamic_partitions("d", ["x"])
    assert repo.storage.get_dynamic_partitions("d") == ["x"]
    assert repo.storage.delete_dynamic_partition("d", "x")
    assert len(repo.storage.get_materialized_partitions("work")) == COUNT
    assert repo.storage.check() == []
    assert rs.BackfillClient(repo.storage).get_backfill(result.backfill_id).status == "completed"
"""


def script(body):
    return PRELUDE + body


@pytest.mark.parametrize("executor", ["threads", "processes"])
@pytest.mark.parametrize("storage", ["file", "memory"])
@pytest.mark.parametrize("moment", ["before use", "after use", "in the middle"])
def test_everything_works_in_a_forked_child(processes, moment, storage, executor):
    body = """
storage, moment, executor = sys.argv[2:]
def main():
    global PAUSE
    opened = rs.Storage.memory() if storage == "memory" else rs.Storage.embedded(folder / "rivers.db")
    repo = rs.CodeRepository([work, later], default_executor=EXECUTORS[executor]()).resolve(opened)
    parents = None
    if moment != "before use":
        assert repo.backfill(["work"], partition_range=ALL).status == "completed"
    if moment == "in the middle":
        PAUSE = 0.02
        parents = repo.backfill(["work"], partition_range=ALL, block=False, max_concurrency=2)
        time.sleep(0.1)
    children = []
    for _ in range(2):
        children.append(in_child(lambda: use(repo, executor), leave=sys.exit))
    for child in children:
        await_child(child)
    if parents is not None:
        assert repo.wait_backfill(parents.backfill_id, timeout=60).status == "completed"
    use(repo, executor)
    if storage == "file":
        assert repo.storage.check() == []
    print("ok")
if __name__ == "__main__":
    main()
"""
    process = processes.start(script(body), storage, moment, executor)
    assert processes.end(process) == "ok"


def test_a_daemon_goes_on_with_the_storage_that_its_parent_opened(processes):
    body = """
opened = rs.Storage.embedded(folder / "rivers.db")
repo = rs.CodeRepository([work]).resolve(opened)
repo.storage.add_dynamic_partitions("d", ["x"])
if sys.argv[2] == "used":
    repo.backfill(partition_range=ALL)
if os.fork():
    sys.exit(0)
for _ in range(10):
    assert repo.backfill(partition_range=ALL).completed == COUNT
    time.sleep(0.01)
note("done")
"""
    for number, used in enumerate(["used", "new"], 1):
        processes.end(processes.start(script(body), used))
        done = sum(note == "done" for note in processes.notes())
        assert done == number
    (count,) = processes.sql("SELECT sum(runs) FROM segment")[0]
    assert count == 21 * 60
    processes.check_integrity()


def test_what_the_parent_runs_remains_the_parents(processes):
    body = """
repo = rs.CodeRepository([work]).resolve(rs.Storage.embedded(folder / "rivers.db"))
PAUSE = 0.02
launched = repo.backfill(partition_range=ALL, block=False, max_concurrency=2)
run = repo.submit(["work"], partition_key=rs.PartitionKey.single("0"))
time.sleep(0.05)
def look():
    status = repo.get_backfill(launched.backfill_id)
    assert status.status == "in_progress", status
    try:
        repo.resume_backfill(launched.backfill_id)
    except rs.exceptions.ExecutionError as error:
        assert "is running" in str(error), error
    else:
        raise AssertionError
    assert repo.wait_backfill(launched.backfill_id, timeout=30).status == "completed"
    assert run.wait(30).success
child = in_child(look, leave=sys.exit)
assert repo.wait_backfill(launched.backfill_id, timeout=30).status == "completed"
await_child(child)
pids = {line.split()[0] for line in (folder / "notes").read_text().splitlines()}
assert pids == {str(os.getpid())}, pids
print("ok")
"""
    assert processes.end(processes.start(script(body))) == "ok"
    assert len(processes.notes()) == 61


def test_a_parent_that_was_killed_is_dead_although_its_child_lives(processes):
    body = """
repo = rs.CodeRepository([work]).resolve(rs.Storage.embedded(folder / "rivers.db"))
PAUSE = 0.01
def body():
    repo.backfill(partition_range=ALL, max_concurrency=1)
def linger():
    note(f"child {os.getpid()}")
    time.sleep(60)
thread = threading.Thread(target=body)
thread.start()
time.sleep(0.1)
in_child(linger)
thread.join()
"""
    process = processes.start(script(body))
    processes.wait_for_notes(5)
    while not (children := [n for n in processes.notes() if n.startswith("child")]):
        pass
    process.kill()
    process.wait()
    resume = """
repo = rs.CodeRepository([work]).resolve(rs.Storage.embedded(folder / "rivers.db"))
(row,) = repo.backfills().rows(named=True)
assert row["owner_alive"] is False, row
assert repo.resume_backfill(row["backfill_id"]).status == "completed"
print("ok")
"""
    try:
        assert processes.end(processes.start(script(resume))) == "ok"
    finally:
        os.kill(int(children[0].split()[1]), 9)


@pytest.mark.parametrize(
    "pool",
    ["executor", "pool", "process", "fork and exit", "fork and raise", "forkserver", "spawn", "posix_spawn"],
)  # fmt: skip
def test_a_function_may_fork(processes, pool):
    body = """
def square(number):
    return number * number

@rs.Asset(partitions_def=rs.PartitionsDefinition.static_(KEYS[:8]))
def forking(context):
    kind = sys.argv[2]
    fork = multiprocessing.get_context("fork")
    if kind == "executor":
        with concurrent.futures.ProcessPoolExecutor(2, mp_context=fork) as pool:
            assert list(pool.map(square, range(4))) == [0, 1, 4, 9]
    elif kind == "pool":
        with fork.Pool(2) as pool:
            assert pool.map(square, range(4)) == [0, 1, 4, 9]
    elif kind == "process":
        process = fork.Process(target=square, args=(2,))
        process.start()
        process.join(30)
        # `multiprocessing` loses an exit code if another thread starts a process at that moment.
        assert process.exitcode in (0, None), process.exitcode
    elif kind in ("forkserver", "spawn"):
        if context.partition_key == "3":  # One is enough: it takes as long as all others.
            with multiprocessing.get_context(kind).Pool(1) as pool:
                assert pool.apply(pow, (2, 4)) == 16
    elif kind == "posix_spawn":
        # As `subprocess` with `vfork`, where it can.
        assert os.waitpid(os.posix_spawn("/bin/true", ["true"], {}), 0)[1] == 0
    else:
        child = os.fork()
        if child == 0:
            if kind == "fork and raise":
                raise SystemExit
            sys.exit(0)
        os.waitpid(child, 0)
    note(f"{os.getpid()} {context.partition_key}")

repo = rs.CodeRepository([forking]).resolve(rs.Storage.embedded(folder / "rivers.db"))
result = repo.backfill(partition_range=rs.PartitionKeyRange.single("0", "7"), max_concurrency=3)
assert result.status == "completed", repo.backfill_errors(result.backfill_id)
print("ok")
"""
    assert processes.end(processes.start(script(body), pool)) == "ok"
    assert len(processes.notes()) == 8
    assert len({note.split()[0] for note in processes.notes()}) == 1
    processes.check_integrity()


@pytest.mark.parametrize("kind", ["plain", "async"])
@pytest.mark.parametrize("end", ["exit", "raise", "return"])
def test_a_function_in_a_worker_process_may_fork(processes, kind, end):
    body = """
def fork_once(context):
    child = os.fork()
    if child == 0:
        if sys.argv[2] == "exit":
            sys.exit(0)
        elif sys.argv[2] == "raise":
            raise ValueError("in the child")
        return
    os.waitpid(child, 0)
    note(f"{os.getpid()} {context.partition_key}")

grid = rs.PartitionsDefinition.static_(KEYS[:9])

@rs.Asset(partitions_def=grid)
def plain_forking(context):
    fork_once(context)

@rs.Asset(partitions_def=grid)
async def async_forking(context):
    fork_once(context)

chosen = plain_forking if sys.argv[3] == "plain" else async_forking
workers = rs.Executor.parallel(max_workers=2)
repo = rs.CodeRepository([chosen], default_executor=workers).resolve(
    rs.Storage.embedded(folder / "rivers.db")
)
result = repo.backfill(partition_range=rs.PartitionKeyRange.single("0", "8"))
assert result.status == "completed", repo.backfill_errors(result.backfill_id)
print("ok")
"""
    assert processes.end(processes.start(script(body), end, kind)) == "ok"
    # No child went on with the runs of its parent.
    assert len(processes.notes()) == 9
    processes.check_integrity()


def test_a_child_waits_at_its_exit_for_its_own_backfills(processes):
    body = """
repo = rs.CodeRepository([work]).resolve(rs.Storage.embedded(folder / "rivers.db"))
PAUSE = 0.01
launched = repo.backfill(partition_range=ALL, block=False, max_concurrency=1)
child = in_child(lambda: repo.backfill(partition_range=ALL, block=False), leave=sys.exit)
await_child(child)
repo.close()
print({row["status"] for row in repo.backfills().rows(named=True)})
"""
    assert processes.end(processes.start(script(body))) == "{'completed'}"
    assert len(processes.notes()) == 120


def test_an_attribute_that_is_computed_holds_up_no_other_object():
    # A child that is forked meanwhile would wait for a lock that its parent's thread held.
    begun, go_on = threading.Event(), threading.Event()

    class Slow:
        waits = False

        @ComputedOnce
        def value(self):
            if self.waits:
                begun.set()
                go_on.wait(TIMEOUT)
            return object()

    slow, other = Slow(), Slow()
    slow.waits = True
    thread = threading.Thread(target=lambda: slow.value)
    thread.start()
    try:
        assert begun.wait(TIMEOUT)
        assert other.value is other.value
    finally:
        go_on.set()
        thread.join()
    assert slow.value is slow.value
