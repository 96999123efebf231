"""Calls of a repository in the functions that it executes, and calls of several threads: none waits forever."""

import asyncio
import threading
import time

import pytest
from tests.support import TIMEOUT, counts, key, letters, repository, wait_until

import rivers as rs
from rivers.exceptions import RiversError

DEFINED = letters(4)
ALL = rs.PartitionKeyRange.single("a", "d")
ONE = rs.RunQueueConfig(max_concurrent_runs=1)
TAGGED = rs.RunQueueConfig(tag_concurrency_limits=[rs.TagConcurrencyLimit("db", limit=1)])


def outer_and_inner(call, *, asynchronous=False, **options):
    """Makes a repository in which each run of `outer` calls `call(repo)`; `inner` does nothing."""

    if asynchronous:

        @rs.Asset(partitions_def=DEFINED)
        async def outer():
            returned = call(made[0])
            if asyncio.iscoroutine(returned):
                await returned

    else:

        @rs.Asset(partitions_def=DEFINED)
        def outer():
            call(made[0])

    inner = rs.Asset(lambda: None, name="inner", partitions_def=DEFINED)
    made = [repository(outer, inner, **options)]
    return made[0]


def backfill(repo):
    return repo.backfill(["inner"], partition_range=ALL, tags=[("db", "x")])


def run(repo, **options):
    """Runs `outer` in a thread, so that a wait without end fails the test instead of hanging it."""
    results = []

    def work():
        results.append(repo.backfill(["outer"], partition_range=ALL, tags=[("db", "x")], **options))

    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    thread.join(TIMEOUT)
    assert results, "the backfill waits for itself"
    return results[0]


CALLS = {
    "backfill": backfill,
    "materialize": lambda repo: repo.materialize(["inner"], partition_key=key("a")),
    "submit": lambda repo: repo.submit(["inner"], partition_key=key("a")).wait(),
    "wait": lambda repo: repo.wait_backfill(
        repo.backfill(["inner"], partition_range=ALL, block=False).backfill_id
    ),
    "async": lambda repo: asyncio.run(
        repo.backfill_async(selection=["inner"], partition_range=ALL)
    ),
}


@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS)
@pytest.mark.parametrize("queue", [None, ONE, TAGGED], ids=["no queue", "one run", "one tag"])
@pytest.mark.parametrize("most", [1, 4])
def test_a_nested_call_runs_on_a_full_queue(call, queue, most):
    with outer_and_inner(call, run_queue=queue) as repo:
        assert counts(run(repo, max_concurrency=most)) == (4, 0, 0)


def test_the_limit_of_the_queue_holds_among_nested_calls():
    inside, peaks = set(), []

    @rs.Asset(partitions_def=DEFINED)
    def inner(context: rs.AssetExecutionContext):
        inside.add(context.run_id)
        peaks.append(len(inside))
        time.sleep(0.002)
        inside.discard(context.run_id)

    @rs.Asset(partitions_def=DEFINED)
    def outer(context: rs.AssetExecutionContext):
        made[0].backfill(["inner"], partition_range=ALL)
        inside.add(context.run_id)
        peaks.append(len(inside))
        time.sleep(0.002)
        inside.discard(context.run_id)

    queue = rs.RunQueueConfig(max_concurrent_runs=2)
    made = [repository(outer, inner, run_queue=queue)]
    with made[0] as repo:
        assert counts(run(repo)) == (4, 0, 0)
    assert max(peaks) <= 2


def test_an_awaited_nested_backfill_runs_on_a_full_queue():
    with outer_and_inner(
        lambda repo: repo.backfill_async(selection=["inner"], partition_range=ALL),
        asynchronous=True, run_queue=ONE,
    ) as repo:  # fmt: skip
        assert counts(run(repo)) == (4, 0, 0)


@pytest.mark.parametrize("call", [backfill, CALLS["materialize"], CALLS["submit"]])
def test_a_blocking_call_on_the_event_loop_that_needs_it_is_refused(call):
    @rs.Asset(partitions_def=DEFINED)
    async def outer():
        call(made[0])

    @rs.Asset(partitions_def=DEFINED)
    async def inner():
        await asyncio.sleep(0)

    made = [repository(outer, inner)]
    with made[0] as repo:
        result = run(repo)
        assert counts(result) == (0, 4, 0)
        assert "backfill_async" in repo.get_backfill(result.backfill_id).error


def test_a_blocking_call_on_the_event_loop_that_does_not_need_it_runs():
    with outer_and_inner(backfill, asynchronous=True) as repo:
        assert counts(run(repo)) == (4, 0, 0)


def test_a_nested_call_that_needs_the_pool_of_its_run_is_refused():
    @rs.Asset(partitions_def=DEFINED, pool="db")
    def outer():
        backfill(made[0])

    inner = rs.Asset(lambda: None, name="inner", partitions_def=DEFINED, pool="db")
    made = [repository(outer, inner, pool_limits={"db": 1})]
    with made[0] as repo:
        result = run(repo)
        assert counts(result) == (0, 4, 0)
        assert "'db'" in repo.get_backfill(result.backfill_id).error.replace('"', "'")


def close(repo):
    repo.close()


def leave(repo):
    with repo:
        pass


@pytest.mark.parametrize("call", [close, leave])
@pytest.mark.parametrize("asynchronous", [False, True])
def test_closing_a_repository_in_its_function_is_refused(call, asynchronous):
    with outer_and_inner(call, asynchronous=asynchronous) as repo:
        result = run(repo)
        assert counts(result) == (0, 4, 0)
        assert "close()" in repo.get_backfill(result.backfill_id).error


def test_waiting_for_the_own_backfill_is_refused():
    @rs.Asset(partitions_def=DEFINED)
    def outer(context: rs.AssetExecutionContext):
        made[0].wait_backfill(context.run_id.rpartition(".")[0])

    made = [repository(outer)]
    with made[0] as repo:
        result = run(repo)
        assert counts(result) == (0, 4, 0)
        assert "wait for itself" in repo.get_backfill(result.backfill_id).error


def test_functions_may_launch_backfills_while_their_repository_is_closed():
    started, closing = threading.Event(), threading.Event()

    @rs.Asset(partitions_def=DEFINED)
    def outer():
        started.set()
        closing.wait(TIMEOUT)
        time.sleep(0.05)
        backfill(made[0])

    inner = rs.Asset(lambda: None, name="inner", partitions_def=DEFINED)
    made = [repository(outer, inner)]
    repo = made[0]
    launched = repo.backfill(["outer"], partition_range=ALL, block=False)
    started.wait(TIMEOUT)
    closing.set()
    repo.close()
    assert repo.get_backfill(launched.backfill_id).completed_partitions == 4


@pytest.mark.parametrize("verb", ["backfill", "materialize", "submit"])
def test_closing_while_other_threads_launch_ends(verb):
    for _ in range(40):
        repo = repository(rs.Asset(lambda: None, name="inner", partitions_def=DEFINED))
        outcomes = []

        def launch(repo=repo, outcomes=outcomes):
            try:
                for _ in range(5):
                    outcomes.append(CALLS[verb](repo))
            except RiversError as error:
                outcomes.append(error)

        threads = [threading.Thread(target=launch, daemon=True) for _ in range(2)]
        for thread in threads:
            thread.start()
        repo.close()
        for thread in threads:
            thread.join(TIMEOUT)
            assert not thread.is_alive()
        repo.close()
        table = repo.backfills()
        assert set(table["status"]) <= {"completed", "in_progress"}
        for each in table.filter(table["status"] == "in_progress")["backfill_id"]:
            assert repo.resume_backfill(each).status == "completed"
        repo.close()


def test_no_thread_works_after_a_repository_is_closed():
    before = set(threading.enumerate())
    repo = repository(rs.Asset(lambda: None, name="inner", partitions_def=DEFINED))
    backfill(repo)
    repo.close()

    def own():
        names = ("rivers-reports", "rivers-loop", "rivers-worker-log")
        started = set(threading.enumerate()) - before
        return [each for each in started if each.name in names]

    wait_until(lambda: not own())


def test_a_closed_repository_can_be_used_again():
    repo = repository(rs.Asset(lambda: None, name="inner", partitions_def=DEFINED))
    for _ in range(3):
        assert backfill(repo).status == "completed"
        repo.close()
