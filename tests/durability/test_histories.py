"""The sequential model accepts what can be and refuses what cannot: see histories.py."""

import sqlite3

import pytest
from tests.durability import histories

import rivers as rs

BEGUN = {"b": [(5, 0, 2), (15, 1, 2)]}  # Two runs of two partitions, at the times 5 and 15.
DEATH = 30


def stands(call, began, ended, status, *counts):
    return [call, "b", began, ended, {"status": status, "counts": [*counts, 4]}]


def table(began, ended, states):
    return ["table", "b", began, ended, {"states": states}]


def listed(began, ended, *ids):
    return ["list", None, began, ended, {"ids": list(ids)}]


LAUNCHED = ["launched", "b", 0, 1, {"total": 4}]
CANCELED = ["cancel", "b", 3, 3, {}]
INTERRUPTED = ["wait", "b", 40, 41, {"interrupted": True}]


@pytest.mark.parametrize(
    "lines",
    [
        [LAUNCHED, listed(2, 3, "b"), stands("status", 6, 7, "in_progress", 2, 0, 0)],
        # Calls that overlap may be answered in either order.
        [
            stands("status", 10, 30, "in_progress", 0, 0, 0),
            stands("status", 11, 25, "in_progress", 2, 1, 0),
        ],
        [stands("wait", 10, 30, "failed", 3, 1, 0), table(31, 32, "ccfc")],
        [CANCELED, stands("wait", 10, 30, "canceled", 2, 0, 2), table(31, 32, "ccxx")],
        [table(16, 17, "cr.f"), table(18, 19, "ccff"), INTERRUPTED],
    ],
)
def test_what_can_be_is_accepted(lines):
    assert histories.check(lines, BEGUN, [DEATH]) == len(lines)


@pytest.mark.parametrize(
    ("why", "lines"),
    [
        (
            "a count went backwards",
            [
                stands("status", 16, 17, "in_progress", 2, 1, 0),
                stands("status", 18, 19, "in_progress", 2, 0, 0),
            ],
        ),
        (
            "an end was revoked",
            [
                stands("wait", 16, 17, "completed", 4, 0, 0),
                stands("disk", 18, 18, "in_progress", 4, 0, 0),
            ],
        ),
        ("a partition was revoked", [table(16, 17, "cc.."), table(18, 19, ".ccc")]),
        (
            "a table knows less",
            [stands("status", 16, 17, "in_progress", 3, 0, 0), table(18, 19, "cc..")],
        ),
        (
            "a table knows less",
            [stands("wait", 16, 17, "failed", 3, 1, 0), table(18, 19, "ccc.")],
        ),
        ("a wait returned before", [stands("wait", 16, 17, "in_progress", 3, 0, 0)]),
        ("without all partitions", [stands("status", 16, 17, "completed", 3, 0, 0)]),
        ("more partitions ended", [stands("status", 16, 17, "failed", 3, 2, 0)]),
        ("an outcome without a call", [stands("status", 10, 14, "in_progress", 3, 0, 0)]),
        ("an outcome without a call", [table(10, 14, "c.cc")]),
        ("nobody asked", [stands("status", 16, 17, "canceled", 3, 0, 1)]),
        ("no longer listed", [LAUNCHED, listed(2, 3, "a")]),
        ("vanished", [LAUNCHED, ["status", "b", 2, 3, {"missing": True}]]),
        ("no process has died", [["wait", "b", 20, 21, {"interrupted": True}]]),
        (
            "what has ended is called interrupted",
            [stands("wait", 16, 17, "completed", 4, 0, 0), INTERRUPTED],
        ),
    ],
)
def test_what_cannot_be_is_refused(why, lines):
    with pytest.raises(histories.ImpossibleError, match=why):
        histories.check(lines, BEGUN, [DEATH])


def test_a_record_that_is_taken_away_after_an_answer_is_noticed(tmp_path):
    """With real answers: a commit that is lost after it was reported."""
    begun, path = {}, tmp_path / "rivers.db"

    def call(context):
        backfill_id, _, run = context.run_id.rpartition(".")
        begun.setdefault(backfill_id, []).append((0, int(run), 1))

    asset = rs.Asset(call, name="asset", partitions_def=rs.PartitionsDefinition.static_(["a", "b"]))
    answers = histories.Answers(tmp_path)
    with rs.CodeRepository([asset]).resolve(rs.Storage.embedded(path)) as repo:
        result = repo.backfill(partition_range=rs.PartitionKeyRange.single("a", "b"))
        answers.launched(0, result)
        answers.wait(repo, result.backfill_id, 1)
        answers.table(repo, result.backfill_id)
    assert histories.check(histories.read(tmp_path), begun, []) == 3
    with sqlite3.connect(path) as database:
        database.execute("UPDATE backfill SET status = 0")
        database.execute("DELETE FROM segment")
    database.close()
    answers.table(rs.BackfillClient(rs.Storage.embedded(path)), result.backfill_id)
    with pytest.raises(histories.ImpossibleError, match="a partition was revoked"):
        histories.check(histories.read(tmp_path), begun, [])
