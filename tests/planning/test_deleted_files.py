"""Values whose files somebody has deleted: their partitions are missing."""

import pytest
from tests.support import repository

import rivers as rs

LETTERS = rs.PartitionsDefinition.static_(["a", "b", "c"])
SQUARES = rs.PartitionsDefinition.multi(
    {"x": rs.PartitionsDefinition.static_(["1", "2"]), "y": rs.PartitionsDefinition.static_(["1"])}
)
ALL = LETTERS.select()


def key(text):
    return rs.PartitionKey.single(text)


def states(repo, name):
    return repo.partition_status(name)["status"].to_list()


class Deletions:
    """Two assets, of which the first counts its calls and can be made to fail the second."""

    def __init__(self, folder):
        self.folder, self.calls, self.fails = folder, [], False
        handler = rs.PickleIOHandler(folder)

        @rs.Asset(partitions_def=LETTERS, io_handler=handler)
        def up(context):
            self.calls.append(f"up {context.partition_key}")
            return context.partition_key

        @rs.Asset(partitions_def=LETTERS, io_handler=handler)
        def down(context, up):
            self.calls.append(f"down {context.partition_key}")
            if self.fails:
                raise ValueError("not yet")
            return up

        self.repo = repository(up, down)

    def delete(self, name, letter):
        (self.folder / name / f"{letter}.pickle").unlink()


@pytest.fixture
def deletions(tmp_path):
    return Deletions(tmp_path)


def test_they_are_missing_and_made_again_with_what_needs_them(deletions):
    repo = deletions.repo
    repo.backfill(partition_keys=ALL)
    deletions.delete("up", "b")
    deletions.delete("down", "c")
    assert states(repo, "up") == ["materialized", "missing", "materialized"]
    assert states(repo, "down") == ["materialized", "materialized", "missing"]
    deletions.calls.clear()
    result = repo.backfill(partition_keys=ALL, only_missing=True, max_concurrency=1)
    assert (result.completed, sorted(deletions.calls)) == (2, ["down c", "up b"])
    # What was made again is newer than what needs it.
    assert repo.partition_status("down")["stale_reason"].to_list() == [None, "upstream", None]


@pytest.mark.parametrize("include_downstream", [True, False])
def test_only_stale_follows_them_downstream(deletions, include_downstream):
    repo = deletions.repo
    repo.backfill(partition_keys=ALL)
    deletions.delete("up", "b")
    deletions.calls.clear()
    repo.backfill(
        ["down", "up"], partition_keys=ALL, only_stale=True, include_downstream=include_downstream
    )
    assert deletions.calls == ["up b", "down b"]


def test_a_rerun_makes_its_inputs_again(deletions):
    deletions.fails = True
    failed = deletions.repo.backfill(partition_keys=ALL)
    deletions.delete("up", "b")
    deletions.fails = False
    deletions.calls.clear()
    assert deletions.repo.rerun_backfill(failed.backfill_id).status == "completed"
    assert sorted(deletions.calls) == ["down a", "down b", "down c", "up b"]


def test_a_failed_attempt_is_still_shown_as_one(deletions):
    repo = deletions.repo
    repo.backfill(partition_keys=ALL)
    deletions.fails = True
    repo.backfill(["down"], partition_keys=[key("a")])
    deletions.delete("down", "a")
    assert states(repo, "down")[0] == "failed"


def test_products_and_assets_without_partitions(tmp_path):
    handler = rs.PickleIOHandler(tmp_path)

    @rs.Asset(partitions_def=SQUARES, io_handler=handler)
    def squares():
        return 1

    @rs.Asset(io_handler=handler)
    def once():
        return 1

    @rs.Asset(partitions_def=SQUARES, io_handler=handler)
    def after(once):
        return once

    repo = repository(squares, once, after)
    every = rs.PartitionKeyRange.multi({"y": ["1"]})
    repo.backfill(["squares"], partition_range=every)
    repo.backfill(["after"], partition_range=every, include_upstream=True)
    (tmp_path / "squares" / "x=2" / "y=1" / "data.pickle").unlink()
    (tmp_path / "once.pickle").unlink()
    assert states(repo, "squares") == ["materialized", "missing"]
    repo.forget_partitions("after", partition_range=every)
    options = {"include_upstream": True, "only_missing": True}
    planned = repo.backfill(["after"], partition_range=every, dry_run=True, **options)
    assert planned.partitions_per_asset == {"once": 1, "after": 2}


def test_where_nobody_can_look_nothing_is_missing(deletions):
    deletions.repo.backfill(partition_keys=ALL)
    folder = deletions.folder / "up"
    folder.rename(deletions.folder / "elsewhere")
    folder.symlink_to(folder)  # Not even the superuser can look into it.
    assert states(deletions.repo, "up") == ["materialized"] * 3


@pytest.mark.parametrize("reported", [False, True])
def test_what_never_had_a_file_is_materialized_without_one(tmp_path, reported):
    @rs.Asset(partitions_def=LETTERS, io_handler=rs.PickleIOHandler(tmp_path))
    def own():
        # What the function itself stored somewhere may have a serializer, too.
        return rs.Materialization(metadata={"rows": 3, "serializer": "avro", "path": "own.avro"})

    repo = repository(own)
    if reported:
        repo.report_materialized("own", ALL)
    else:
        repo.backfill(partition_keys=ALL)
    assert states(repo, "own") == ["materialized"] * 3
