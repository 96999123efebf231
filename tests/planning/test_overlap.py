"""`overlap="refuse"`: two backfills that cover the same partitions of the same asset."""

import datetime as dt
import subprocess
import sys
import threading

import polars as pl
import pytest
from tests.support import TIMEOUT, wait_until

import rivers as rs
from rivers.exceptions import ConfigurationError, ExecutionError

LETTERS = rs.PartitionsDefinition.static_(list("abcdefgh"))
HOURS = rs.PartitionsDefinition.hourly("1900-01-01-00:00")
HUGE = rs.PartitionsDefinition.multi({"x": HOURS, "y": HOURS})


class Held:
    """A backfill of an asset `held` whose first run waits for a gate, beside an asset `free`."""

    def __init__(self, definition, storage=None, *, clock=None, **chosen):
        self.gate = threading.Event()

        def held():
            assert self.gate.wait(TIMEOUT)

        assets = [
            rs.Asset(held, partitions_def=definition),
            rs.Asset(lambda: None, name="free", partitions_def=definition),
        ]
        self.repo = rs.CodeRepository(assets, clock=clock).resolve(storage or rs.Storage.memory())
        launched = self.repo.backfill(["held"], max_concurrency=1, block=False, **chosen)
        self.id = launched.backfill_id

    def refusal(self, selection=("held",), **chosen):
        """Submits another backfill and returns why it is refused."""
        with pytest.raises(ExecutionError) as refused:
            self.repo.backfill(list(selection), overlap="refuse", block=False, **chosen)
        return str(refused.value)

    def close(self):
        """Lets the remaining runs end."""
        self.gate.set()
        self.repo.close()


@pytest.fixture
def hold():
    """Makes `Held`. Backfills that a test leaves are canceled, so that a failing test does not hang."""
    made = []

    def make(*arguments, **options):
        made.append(Held(*arguments, **options))
        return made[-1]

    yield make
    for held in made:
        for backfill_id in held.repo.backfills(status="in_progress")["backfill_id"]:
            held.repo.cancel_backfill(backfill_id)
        held.close()


def named_range(first, last):
    return {"partition_range": rs.PartitionKeyRange.single(first, last)}


def named_keys(*names):
    return {"partition_keys": [rs.PartitionKey.single(name) for name in names]}


def test_the_refusal_names_the_other_and_what_they_share(hold):
    held = hold(LETTERS, **named_range("a", "d"))
    before = held.repo.backfills().height
    refusal = held.refusal(**named_range("c", "h"))
    assert f'the backfill "{held.id}" has not ended and holds 2 of these partitions' in refusal
    assert 'of the asset "held"' in refusal
    assert f"cancel_backfill('{held.id}')" in refusal
    assert "holds 1 of" in held.refusal(**named_keys("h", "d"))
    assert "holds 4 of" in held.refusal(["free", "held"], **named_range("a", "h"))
    assert "holds 3 of" in held.refusal(dry_run=True, **named_keys("a", "b", "c"))
    assert held.repo.backfills().height == before
    held.close()


def test_what_shares_nothing_goes_and_so_does_what_may(hold):
    held = hold(LETTERS, **named_range("a", "d"))
    assert held.repo.backfill(["free"], overlap="refuse", **named_range("a", "d")).completed == 4
    held.gate.set()
    assert held.repo.backfill(["held"], overlap="allow", **named_range("a", "d")).completed == 4
    wait_until(lambda: held.repo.get_backfill(held.id).status == "completed")
    assert held.repo.backfill(["held"], overlap="refuse", **named_range("a", "h")).completed == 8
    held.close()


def test_other_partitions_of_the_same_asset_go(hold):
    held = hold(LETTERS, **named_range("a", "d"))
    other = held.repo.backfill(["held"], overlap="refuse", block=False, **named_range("e", "h"))
    assert "holds 1 of" in held.refusal(**named_keys("h"))
    held.close()
    assert held.repo.get_backfill(other.backfill_id).status == "completed"


def test_a_product_of_any_size_is_intersected_without_a_list(hold):
    some = {"partition_range": rs.PartitionKeyRange.multi({"x": ["1900-01-01T00:00"]})}
    held = hold(HUGE, partition_range=rs.PartitionKeyRange.multi({}))
    hours = held.repo.backfill(["held"], dry_run=True, **some).num_partitions
    assert f"holds {hours} of" in held.refusal(**some)


def test_a_definition_that_has_grown_since(hold):
    now = [dt.datetime(2024, 1, 4, 12)]
    daily = rs.PartitionsDefinition.daily("2024-01-01")
    held = hold(daily, clock=lambda: now[0], **named_range("2024-01-02", "2024-01-04"))
    now[0] += dt.timedelta(days=3)
    assert "holds 2 of" in held.refusal(**named_range("2024-01-03", "2024-01-07"))
    other = held.repo.backfill(
        ["held"], overlap="refuse", block=False, **named_range("2024-01-05", "2024-01-07")
    )
    held.close()
    assert held.repo.get_backfill(other.backfill_id).completed_partitions == 3


def test_each_asset_of_a_plan_in_layers_by_its_own_partitions():
    gate = threading.Event()
    days = rs.PartitionsDefinition.daily("2024-01-01", end="2024-01-09")
    before = rs.AssetDef.input("first", partition_mapping=rs.PartitionMapping.time_window(-1))

    @rs.Asset(partitions_def=days)
    def first():
        return 1

    @rs.Asset(partitions_def=days, deps=[before])
    def second(first):
        assert gate.wait(TIMEOUT)

    repo = rs.CodeRepository([first, second]).resolve(rs.Storage.memory())
    both = {"partition_range": rs.PartitionKeyRange.single("2024-01-03", "2024-01-06")}
    repo.backfill(["first"], **both)
    held = repo.backfill(["second"], block=False, **named_keys("2024-01-05"))
    with pytest.raises(ExecutionError, match='holds 1 of these partitions of the asset "second"'):
        repo.backfill(["first", "second"], overlap="refuse", **both)
    with pytest.raises(ExecutionError, match='holds 1 of these partitions of the asset "second"'):
        repo.backfill(["first", "second"], overlap="refuse", dry_run=True, **both)
    gate.set()
    repo.close()
    assert repo.get_backfill(held.backfill_id).status == "completed"


def test_a_table_of_partitions(hold):
    held = hold(LETTERS, partition_keys=pl.DataFrame({"partition": ["a", "c"]}))
    assert "holds 1 of" in held.refusal(**named_range("b", "d"))
    held.close()


OTHER = """
import sys
import rivers as rs

@rs.Asset(partitions_def=rs.PartitionsDefinition.static_(list("abcdefgh")))
def held():
    sys.stdin.readline()

repo = rs.CodeRepository([held]).resolve(rs.Storage.embedded(sys.argv[1]))
everything = rs.PartitionKeyRange.single("a", "h")
print("ready", flush=True)
sys.stdin.readline()
try:
    launched = repo.backfill(
        partition_range=everything, max_concurrency=1, overlap="refuse", block=False
    )
    print(launched.backfill_id, flush=True)
except rs.exceptions.ExecutionError as error:
    print("refused:", error, flush=True)
"""


def start(path):
    return subprocess.Popen(
        [sys.executable, "-c", OTHER, str(path)],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip


def test_of_two_processes_that_ask_at_once_one_is_refused_and_what_was_interrupted_holds(tmp_path):
    path = tmp_path / "rivers.db"
    processes = [start(path) for _ in range(4)]
    for process in processes:
        assert process.stdout.readline() == "ready\n"
    for process in processes:
        process.stdin.write("go\n")
        process.stdin.flush()
    told = [process.stdout.readline() for process in processes]
    (winner,) = [text.strip() for text in told if not text.startswith("refused: ")]
    assert (
        sum(f'the backfill "{winner}" has not ended and holds 8 of' in text for text in told) == 3
    )
    for process in processes:
        process.kill()
        process.communicate()
    asset = rs.Asset(lambda: None, name="held", partitions_def=LETTERS)
    repo = rs.CodeRepository([asset]).resolve(rs.Storage.embedded(path))
    with pytest.raises(ExecutionError, match=winner):
        repo.backfill(overlap="refuse", **named_keys("a"))
    # The backfill does not overlap with itself.
    assert repo.resume_backfill(winner).status == "completed"
    assert repo.backfill(overlap="refuse", **named_keys("a")).completed == 1


def test_a_rerun_refuses_too(hold):
    held = hold(LETTERS, overlap="refuse", **named_range("a", "d"))
    held.repo.cancel_backfill(held.id)
    held.gate.set()
    wait_until(lambda: held.repo.get_backfill(held.id).status == "canceled")
    held.gate.clear()
    other = held.repo.backfill(["held"], block=False, **named_range("d", "h"))
    with pytest.raises(ExecutionError, match=f"{other.backfill_id}.*holds 1 of"):
        held.repo.rerun_backfill(held.id)
    held.close()


def test_another_word_is_refused(hold):
    held = hold(LETTERS, **named_range("a", "d"))
    held.gate.set()
    with pytest.raises(ConfigurationError, match="overlap must be one of"):
        held.repo.backfill(["held"], overlap="deny", **named_range("a", "d"))
    held.close()
