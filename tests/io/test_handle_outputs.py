"""Handlers that store what several runs returned together, before the outcomes of these runs are recorded."""

import json
import os
import threading
from pathlib import Path

import pytest
from tests.support import counts, repository

import rivers as rs

NUMBERS = rs.PartitionsDefinition.static_([f"k{number:03}" for number in range(300)])
ALL = rs.PartitionKeyRange.single("k000", "k299")


class Grouped(rs.BaseIOHandler):
    """Keeps a file for each call of `handle_outputs`, and one for each call of `handle_output`."""

    def __init__(self, folder, refused=(), lost=()):
        self.folder = Path(folder)
        self.refused = set(refused)  # Keys with which a group cannot be stored.
        self.lost = set(lost)  # Keys that cannot be stored alone either.

    def handle_outputs(self, items):
        rows = {key_of(context): value for context, value in items}
        assert len(rows) == len(items)
        self._write("group", rows)
        if self.refused & rows.keys():
            raise OSError("the group is too large")
        for context, value in items:
            context.add_output_metadata({"stored": repr(value)})

    def handle_output(self, context, value):
        if self.lost & {key_of(context)}:
            raise OSError(f"no space for {key_of(context)}")
        self._write("single", {key_of(context): value})

    def _write(self, kind, rows):
        self.folder.mkdir(exist_ok=True)
        number = len(list(self.folder.iterdir()))
        name = f"{kind}-{os.getpid()}-{threading.get_ident()}-{number}.json"
        unfinished = self.folder / f"{name}.unfinished"  # Another thread may be reading.
        unfinished.write_text(json.dumps(rows))
        unfinished.replace(self.folder / name)

    def calls(self, kind):
        files = sorted(self.folder.glob(f"{kind}-*.json"))
        return [json.loads(path.read_text()) for path in files]

    def load_input(self, context):
        stored = {}
        for kind in ("group", "single"):
            for rows in self.calls(kind):
                stored.update(rows)
        return stored[key_of(context)]


def key_of(context):
    return context.partitions[0].key[0] if context.partitions else ""


def number_asset(handler, **options):
    @rs.Asset(partitions_def=NUMBERS, io_handler=handler, **options)
    def number(context):
        return int(context.partition_key[1:])

    return number


def all_rows(groups):
    merged = {}
    for rows in groups:
        assert not merged.keys() & rows.keys()
        merged.update(rows)
    return merged


EXPECTED = {f"k{number:03}": number for number in range(300)}


@pytest.mark.parametrize(
    "executor",
    [
        rs.Executor.in_process(),
        rs.Executor.parallel(2),
    ],
    ids=["threads", "processes"],
)
def test_values_of_several_runs_are_stored_together_and_loaded(tmp_path, executor):
    handler = Grouped(tmp_path / "values")

    @rs.Asset(partitions_def=NUMBERS)
    def doubled(context, number):
        assert number == int(context.partition_key[1:])

    with repository(number_asset(handler), doubled, default_executor=executor) as repo:
        result = repo.backfill(["number"], partition_range=ALL, max_concurrency=2)
        assert counts(result) == (300, 0, 0)
        groups = handler.calls("group")
        assert all_rows(groups) == EXPECTED
        assert len(groups) < 300
        assert handler.calls("single") == []
        table = repo.partition_status("number", metadata=True)
        assert json.loads(table["metadata"][7]) == {"stored": "7"}
        assert counts(repo.backfill(["doubled"], partition_range=ALL)) == (300, 0, 0)


def test_no_outcome_is_recorded_before_its_value_is_stored(tmp_path):
    seen = []

    class Watching(Grouped):
        def handle_outputs(self, items):
            stored = sum(len(rows) for rows in self.calls("group"))
            seen.append(repo.get_backfill(backfills[0]).completed_partitions - stored)
            super().handle_outputs(items)

    @rs.Asset(partitions_def=NUMBERS, io_handler=(handler := Watching(tmp_path / "values")))
    def slow(context):
        backfills[:] = [context.run_id.rpartition(".")[0]]
        threading.Event().wait(0.001)
        return 1

    backfills = []
    with repository(slow) as repo:
        assert counts(repo.backfill(partition_range=ALL, max_concurrency=1)) == (300, 0, 0)
    assert len(handler.calls("group")) > 1
    assert max(seen) <= 0


@pytest.mark.parametrize("parallel", [False, True], ids=["threads", "processes"])
def test_only_runs_fail_whose_values_cannot_be_stored_alone(tmp_path, parallel):
    handler = Grouped(tmp_path / "values", refused={"k005"}, lost={"k005", "k006"})
    executor = rs.Executor.parallel(2) if parallel else rs.Executor.in_process()
    # All in one group: nothing is due before the last run.
    with repository(number_asset(handler), default_executor=executor) as repo:
        five = rs.PartitionKeyRange.single("k004", "k008")
        result = repo.backfill(partition_range=five, max_concurrency=1)
        assert result.status == "failed"
        failed = repo.backfill_partitions(result.backfill_id, status="failed")
        grouped_with_lost = [rows for rows in handler.calls("group") if "k005" in rows]
        together = set().union(*grouped_with_lost)
        assert set(failed[failed.columns[0]].to_list()) == {"k005", "k006"} & together
        error = repo.get_backfill(result.backfill_id).error
        assert "OSError: no space for k00" in error
        assert counts(result) == (5 - failed.height, failed.height, 0)
        assert all_rows(handler.calls("single")).keys() == together - {"k005", "k006"}


def test_a_value_that_could_not_be_stored_is_retried_with_its_run(tmp_path):
    attempts = []

    class Once(Grouped):
        def handle_outputs(self, items):
            raise OSError("never together")

        def handle_output(self, context, value):
            attempts.append(key_of(context))
            if attempts.count("k001") == 1 and key_of(context) == "k001":
                raise OSError("not yet")
            super().handle_output(context, value)

    handler = Once(tmp_path / "values")
    asset = number_asset(handler, retry=rs.RetryPolicy(1))
    with repository(asset) as repo:
        first = rs.PartitionKeyRange.single("k000", "k002")
        assert counts(repo.backfill(partition_range=first, max_concurrency=1)) == (3, 0, 0)
    assert sorted(attempts) == ["k000", "k001", "k001", "k002"]
    assert all_rows(handler.calls("single")) == {"k000": 0, "k001": 1, "k002": 2}


def test_none_is_a_value_and_assets_without_partitions_are_stored_too(tmp_path):
    handler = Grouped(tmp_path / "values")

    @rs.Asset(partitions_def=NUMBERS, io_handler=handler)
    def nothing(context):
        return None

    @rs.Asset(io_handler=(other := Grouped(tmp_path / "other")))
    def report():
        return 5

    with repository(nothing, report) as repo:
        assert counts(repo.backfill(partition_range=ALL)) == (300, 0, 0)
        assert repo.materialize(["report"]).success
        assert all_rows(handler.calls("group")) == dict.fromkeys(EXPECTED)
        assert other.calls("group") == [{"": 5}]
        assert repo.load_node("report") == 5


def test_what_is_taken_in_the_same_run_or_says_more_is_stored_one_by_one(tmp_path):
    handler = Grouped(tmp_path / "values")

    @rs.Asset(partitions_def=NUMBERS, io_handler=(taken := Grouped(tmp_path / "taken")))
    def output(context, number):
        return rs.Output(number + 1, metadata={"rows": 1})

    with repository(number_asset(handler), output) as repo:
        first = rs.PartitionKeyRange.single("k000", "k009")
        assert counts(repo.backfill(partition_range=first)) == (10, 0, 0)
    for each in (handler, taken):
        assert each.calls("group") == []
        assert len(all_rows(each.calls("single"))) == 10


@pytest.mark.parametrize(
    "options", [{"failure_policy": "stop_on_failure"}, {"max_failures": 3}], ids=["stop", "max"]
)
def test_a_backfill_that_ends_at_a_failure_stores_each_value_before_the_next_run(tmp_path, options):
    handler = Grouped(tmp_path / "values")
    with repository(number_asset(handler)) as repo:
        first = rs.PartitionKeyRange.single("k000", "k009")
        assert counts(repo.backfill(partition_range=first, **options)) == (10, 0, 0)
    assert handler.calls("group") == []
    assert len(all_rows(handler.calls("single"))) == 10


def test_a_subclass_that_stores_values_in_another_way_is_called_for_each(tmp_path):
    stored = []

    class Own(rs.PickleIOHandler):
        def handle_output(self, context, value):
            stored.append(key_of(context))

    with repository(number_asset(Own(tmp_path))) as repo:
        first = rs.PartitionKeyRange.single("k000", "k009")
        assert counts(repo.backfill(partition_range=first, max_concurrency=1)) == (10, 0, 0)
    assert len(stored) == 10


def test_pickle_files_wait_for_the_disk_together(tmp_path, monkeypatch):
    from rivers.io import folder

    synced = []
    sync_folders = folder.sync_folders
    monkeypatch.setattr(folder, "sync_folders", lambda all_: synced.append(1) or sync_folders(all_))
    handler = rs.PickleIOHandler(tmp_path / "values")
    with repository(number_asset(handler)) as repo:
        assert counts(repo.backfill(partition_range=ALL, max_concurrency=1)) == (300, 0, 0)
        assert repo.load_node("number", rs.PartitionKey.single("k007")) == 7
        metadata = json.loads(repo.partition_status("number", metadata=True)["metadata"][7])
        assert metadata["path"].endswith("k007.pickle")
    assert 1 <= len(synced) < 300
