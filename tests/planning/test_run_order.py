"""Runs that depend on other runs of the same backfill."""

import threading

import polars as pl
import pytest

import rivers as rs
from rivers import AssetDef, BackfillStrategy, PartitionKey, PartitionMapping, PartitionsDefinition
from rivers.exceptions import ConfigurationError, ExecutionError, PartitionValidationError

DAYS = PartitionsDefinition.daily("2024-01-01", "2024-01-09")
HOURS = PartitionsDefinition.hourly("2024-01-01T00:00", "2024-01-03T00:00")
CITIES = PartitionsDefinition.static_(["rome", "oslo", "bern"])
GRID = PartitionsDefinition.multi({"day": DAYS, "city": CITIES})
BEFORE = PartitionMapping.time_window(-1)
ALL_DAYS = rs.PartitionKeyRange.single("2024-01-01", "2024-01-08")


def day(number):
    return PartitionKey.single(f"2024-01-{number:02}")


class Watch:
    """Assets that record when they begin and end, and that fail for given keys."""

    def __init__(self):
        self.events = []
        self.failing = set()
        self._lock = threading.Lock()

    def asset(self, name, definition, *deps, handler=None, **options):
        def work(context):
            keys = [str(key) for key in context.partition.keys]
            self._note("begin", name, keys)
            if self.failing & {(name, key) for key in keys}:
                msg = f"no {name} for {keys}"
                raise ValueError(msg)
            self._note("end", name, keys)

        deps = [AssetDef.dep(*dep) if isinstance(dep, tuple) else dep for dep in deps]
        return rs.Asset(work, name=name, partitions_def=definition, deps=deps, **options)

    def _note(self, what, name, keys):
        with self._lock:
            self.events.extend((what, name, key) for key in keys)

    def begun(self, name):
        return [key for what, own, key in self.events if (what, own) == ("begin", name)]

    def is_after(self, later, earlier):
        """Returns whether the first (asset, key) began after the second had ended."""
        return self.events.index(("end", *earlier)) < self.events.index(("begin", *later))


@pytest.fixture
def watch():
    return Watch()


def running_total(handler=None):
    def total(context, total=None):
        return (total or 0) + int(context.partition_key[-2:])

    return rs.Asset(
        total, partitions_def=DAYS, deps=[AssetDef.input("total", BEFORE)], io_handler=handler
    )


@pytest.mark.parametrize("concurrency", [1, 4])
def test_an_asset_that_needs_its_earlier_partitions_is_made_in_their_order(repo, concurrency):
    repository = repo(running_total())
    result = repository.backfill(partition_range=ALL_DAYS, max_concurrency=concurrency)
    assert (result.status, result.num_partitions, result.num_runs) == ("completed", 8, 8)
    assert [repository.load_node("total", day(at)) for at in range(1, 9)] == [
        1, 3, 6, 10, 15, 21, 28, 36,
    ]  # fmt: skip


def test_the_order_does_not_depend_on_that_of_the_keys(repo):
    repository = repo(running_total())
    result = repository.backfill(partition_keys=[day(3), day(1), day(2), day(4)])
    assert result.status == "completed"
    assert repository.load_node("total", day(4)) == 10


def test_the_order_holds_in_worker_processes(repo, tmp_path):
    repository = repo(
        running_total(rs.PickleIOHandler(tmp_path)), default_executor=rs.Executor.parallel(2)
    )
    assert repository.backfill(partition_range=ALL_DAYS).status == "completed"
    assert repository.load_node("total", day(8)) == 36


def test_the_order_holds_on_the_event_loop(repo):
    async def total(context, total=None):
        return (total or 0) + int(context.partition_key[-2:])

    repository = repo(rs.Asset(total, partitions_def=DAYS, deps=[AssetDef.input("total", BEFORE)]))
    assert repository.backfill(partition_range=ALL_DAYS, max_concurrency=8).status == "completed"
    assert repository.load_node("total", day(8)) == 36


@pytest.mark.parametrize("concurrency", [1, 3, 8])
def test_a_run_starts_when_the_partition_before_has_ended(repo, watch, concurrency):
    up = watch.asset("up", DAYS)
    down = watch.asset("down", DAYS, ("up", BEFORE))
    result = repo(up, down).backfill(partition_range=ALL_DAYS, max_concurrency=concurrency)
    assert (result.status, result.num_runs, result.num_partitions) == ("completed", 16, 16)
    assert result.partitions_per_asset == {"up": 8, "down": 8}
    for number in range(2, 9):
        assert watch.is_after(("down", f"2024-01-{number:02}"), ("up", f"2024-01-{number - 1:02}"))


def test_what_needs_a_failed_partition_fails_and_a_rerun_makes_it(repo, watch):
    up = watch.asset("up", DAYS)
    down = watch.asset("down", DAYS, ("up", BEFORE))
    last = watch.asset("last", DAYS, "down")
    repository = repo(up, down, last)
    watch.failing = {("up", "2024-01-03")}
    result = repository.backfill(partition_range=ALL_DAYS, max_concurrency=3)
    assert (result.status, result.completed, result.failed) == ("failed", 14, 2)
    assert "2024-01-04" not in watch.begun("down") + watch.begun("last")
    errors = repository.backfill_errors(result.backfill_id)
    assert errors.select("error_type", "message", "partition").rows() == [
        ("ValueError", "no up for […]", "2024-01-03"),
        ("UpstreamFailed", "a partition of … that it needs was not made", "2024-01-04"),
    ]
    assert repository.storage.get_materialized_partitions("last") == [
        day(number) for number in range(1, 9) if number != 4
    ]
    watch.failing, watch.events = set(), []
    again = repository.rerun_backfill(result.backfill_id)
    assert (again.status, again.num_partitions) == ("completed", 2)
    assert watch.is_after(("down", "2024-01-04"), ("up", "2024-01-03"))
    assert watch.begun("last") == ["2024-01-04"]


def test_a_failure_takes_with_it_all_that_need_it_one_after_another(repo, watch):
    repository = repo(watch.asset("total", DAYS, ("total", BEFORE)))
    watch.failing = {("total", "2024-01-03")}
    result = repository.backfill(partition_range=ALL_DAYS)
    assert (result.completed, result.failed) == (2, 6)
    assert watch.begun("total") == ["2024-01-01", "2024-01-02", "2024-01-03"]
    own = repository.rerun_backfill(result.backfill_id, error_type="ValueError", dry_run=True)
    assert own.partition_keys == [day(3)]


def test_stop_on_failure_cancels_what_waits(repo, watch):
    repository = repo(watch.asset("total", DAYS, ("total", BEFORE)))
    watch.failing = {("total", "2024-01-02")}
    result = repository.backfill(partition_range=ALL_DAYS, failure_policy="stop_on_failure")
    assert (result.completed, result.failed, result.canceled) == (1, 1, 6)


def test_an_asset_that_depends_on_itself_needs_a_run_per_window(repo, watch):
    repository = repo(
        watch.asset("total", GRID, ("total", PartitionMapping.multi({"day": BEFORE})))
    )
    whole = GRID.select()
    by_day = BackfillStrategy.per_dimension(multi_run=["day"], single_run=["city"])
    by_city = BackfillStrategy.per_dimension(multi_run=["city"], single_run=["day"])
    for refused in (BackfillStrategy.single_run(), BackfillStrategy.chunked(2), by_city):
        with pytest.raises(
            ConfigurationError, match=r"a run of its own; .* use multi_run, or per_dimension"
        ):
            repository.backfill(partition_keys=whole, strategy=refused)
    assert repository.backfills().height == 0
    result = repository.backfill(partition_keys=whole, strategy=by_day, max_concurrency=4)
    assert (result.status, result.num_runs) == ("completed", 8)
    days = [key[4:14] for key in watch.begun("total")]
    assert days == sorted(days)


def test_a_manual_run_cannot_need_what_it_makes(repo):
    repository = repo(running_total())
    several = PartitionKey.single(["2024-01-01", "2024-01-02"])
    with pytest.raises(
        ExecutionError, match=r"needs, through .*, its own partitions .*backfill\(\)"
    ):
        repository.materialize(["total"], several)


def test_assets_before_one_that_needs_itself_do_not_wait_for_it(repo, watch):
    """They have their own runs, so that they can run concurrently."""
    both = threading.Barrier(8, timeout=20)

    def raw():
        both.wait()

    raw = rs.Asset(raw, partitions_def=DAYS)
    total = watch.asset("total", DAYS, "raw", ("total", BEFORE))
    after = watch.asset("after", DAYS, "total")
    result = repo(raw, total, after).backfill(partition_range=ALL_DAYS, max_concurrency=8)
    assert (result.status, result.num_runs) == ("completed", 24)
    for number in range(1, 9):
        assert watch.is_after(("after", f"2024-01-{number:02}"), ("total", f"2024-01-{number:02}"))


# -- unlike definitions --------------------------------------------------------------------------------


def hours_to_days(watch, *more):
    return [
        watch.asset("hourly", HOURS),
        watch.asset("daily", DAYS, ("hourly", PartitionMapping.time_window())),
        *more,
    ]


def test_the_others_follow_from_the_first_up_the_mappings(repo, watch):
    repository = repo(*hours_to_days(watch))
    planned = repository.backfill(
        ["daily", "hourly"], partition_keys=[day(1), day(2)], dry_run=True
    )
    assert planned.partitions_per_asset == {"daily": 2, "hourly": 48}
    assert (planned.num_partitions, planned.num_runs) == (50, 50)
    result = repository.backfill(["daily", "hourly"], partition_keys=[day(2)], max_concurrency=8)
    assert (result.status, result.completed) == ("completed", 25)
    for hour in range(24):
        assert watch.is_after(("daily", "2024-01-02"), ("hourly", f"2024-01-02T{hour:02}:00"))


def test_the_others_follow_from_the_first_down_the_mappings(repo, watch):
    repository = repo(*hours_to_days(watch, watch.asset("weekly", DAYS, "daily")))
    some = rs.PartitionKeyRange.single("2024-01-01T20:00", "2024-01-02T03:00")
    planned = repository.backfill(["hourly", "daily", "weekly"], partition_range=some, dry_run=True)
    assert planned.partitions_per_asset == {"hourly": 8, "daily": 2, "weekly": 2}


def test_what_does_not_follow_is_refused(repo, watch):
    alone = watch.asset("alone", CITIES)
    repository = repo(*hours_to_days(watch), alone)
    with pytest.raises(PartitionValidationError, match='not defined for the asset "alone"'):
        repository.backfill(["daily", "alone"], partition_keys=[day(1)])
    with pytest.raises(PartitionValidationError, match="none of the partitions of 'hourly'"):
        repository.backfill(["daily", "hourly"], partition_keys=[day(5)])


def test_a_dimension_that_only_the_upstream_has_is_taken_whole(repo, watch):
    by_day = PartitionsDefinition.multi({"day": DAYS})
    repository = repo(watch.asset("sales", GRID), watch.asset("report", by_day, "sales"))
    first = rs.PartitionKeyRange.multi({"day": ["2024-01-01"]})
    result = repository.backfill(["report", "sales"], partition_range=first)
    assert result.partitions_per_asset == {"sales": 3, "report": 1}
    assert result.status == "completed"
    assert watch.is_after(("report", "day=2024-01-01"), ("sales", "day=2024-01-01|city=bern"))


def test_without_a_mapping_partitions_of_other_dimensions_are_refused(repo, watch):
    repository = repo(watch.asset("sales", GRID), watch.asset("report", DAYS, "sales"))
    with pytest.raises(PartitionValidationError, match='not defined for the asset "sales"'):
        repository.backfill(["report", "sales"], partition_keys=[day(1)])


# -- widening ------------------------------------------------------------------------------------------


def chain(watch):
    return [
        watch.asset("a", DAYS),
        watch.asset("b", DAYS, ("a", BEFORE)),
        watch.asset("c", DAYS, "b"),
    ]


def test_include_upstream_adds_what_is_needed(repo, watch):
    repository = repo(*chain(watch))
    result = repository.backfill(["c"], partition_keys=[day(3), day(4)], include_upstream=True)
    assert result.partitions_per_asset == {"a": 2, "b": 2, "c": 2}
    assert sorted(watch.begun("a")) == ["2024-01-02", "2024-01-03"]
    watch.events = []
    missing = repository.backfill(
        ["c"], partition_keys=[day(3), day(5)], include_upstream=True, only_missing=True
    )
    # For the fifth day, everything is missing: `a` of the fourth, `b`, and `c` itself.
    assert [watch.begun(name) for name in "abc"] == [["2024-01-04"], ["2024-01-05"], ["2024-01-05"]]
    assert missing.status == "completed"
    again = repository.backfill(
        ["c"], partition_keys=[day(3), day(5)], include_upstream=True, only_missing=True
    )
    assert (again.status, again.num_partitions) == ("completed", 0)


def test_include_downstream_adds_what_is_affected(repo, watch):
    repository = repo(*chain(watch))
    result = repository.backfill(["a"], partition_keys=[day(3)], include_downstream=True)
    assert result.partitions_per_asset == {"a": 1, "b": 1, "c": 1}
    assert watch.begun("c") == ["2024-01-04"]


# -- records -------------------------------------------------------------------------------------------


def test_tables_tell_assets_with_runs_of_their_own_apart(repo, watch):
    repository = repo(*hours_to_days(watch))
    watch.failing = {("hourly", "2024-01-01T05:00")}
    result = repository.backfill(["daily", "hourly"], partition_keys=[day(1), day(2)])
    table = repository.backfill_partitions(result.backfill_id)
    assert table.height == 50
    by_assets = table.group_by("assets", "status", maintain_order=True).len()
    assert by_assets.rows() == [
        ("hourly", "completed", 47),
        ("hourly", "failed", 1),
        ("daily", "failed", 1),
        ("daily", "completed", 1),
    ]
    assert result.to_polars().height == 50
    assert repository.backfill_runs(result.backfill_id).height == 50
    states = repository.partition_status("daily")["status"].to_list()
    assert states == ["failed", "materialized", *["missing"] * 6]
    materialized = repository.partition_status("hourly").filter(pl.col("status") == "materialized")
    assert materialized.height == 47
    first = repository.storage.get_run(f"{result.backfill_id}.0")
    last = repository.storage.get_run(f"{result.backfill_id}.49")
    assert (first.node_names, last.node_names) == (["hourly"], ["daily"])
    assert last.partition_keys == [day(2)]


def test_assets_that_share_runs_are_shown_as_before(repo, watch):
    repository = repo(watch.asset("a", DAYS), watch.asset("b", DAYS, "a"))
    result = repository.backfill(partition_range=ALL_DAYS)
    assert (result.num_partitions, result.num_runs) == (8, 8)
    assert "assets" not in repository.backfill_partitions(result.backfill_id).columns


def test_each_output_of_a_step_is_made_for_what_is_needed_of_it(repo):
    calls = []

    def step(context):
        calls.append(context.partition_key)
        yield rs.Output(1, "left")
        yield rs.Output(2, "right")

    both = rs.Asset.from_multi(
        step, output_defs=[AssetDef("left"), AssetDef("right")], partitions_def=DAYS
    )
    below = rs.Asset(
        lambda: None,
        name="below",
        partitions_def=DAYS,
        deps=[AssetDef.dep("left", BEFORE), "right"],
    )
    result = repo(both, below).backfill(
        ["below"], partition_keys=[day(3), day(5)], include_upstream=True
    )
    assert result.status == "completed"
    assert result.partitions_per_asset == {"left": 2, "right": 2, "below": 2}
    assert sorted(calls) == [f"2024-01-{number:02}" for number in (2, 3, 4, 5)]


def test_all_later_windows_of_an_asset_that_depends_on_itself_are_affected(repo, watch):
    total = watch.asset("total", DAYS, "raw", ("total", BEFORE))
    report = watch.asset("report", DAYS, "total")
    repository = repo(watch.asset("raw", DAYS), total, report)
    one = {"partition_keys": [day(6)], "dry_run": True}
    below = repository.backfill(["raw"], include_downstream=True, **one)
    assert below.partitions_per_asset == {"raw": 1, "total": 3, "report": 3}
    own = repository.backfill(["total"], include_downstream=True, **one)
    assert own.partitions_per_asset == {"total": 3, "report": 3}
    above = repository.backfill(["report"], include_upstream=True, **one)
    assert above.partitions_per_asset == {"raw": 6, "total": 6, "report": 1}


def test_only_what_is_missing_before_is_made(repo, watch):
    repository = repo(watch.asset("total", DAYS, ("total", BEFORE)))
    repository.backfill(partition_range=rs.PartitionKeyRange.single("2024-01-01", "2024-01-03"))
    watch.events = []
    result = repository.backfill(
        partition_keys=[day(6)], include_upstream=True, only_missing=True, max_concurrency=4
    )
    assert result.status == "completed"
    assert watch.begun("total") == ["2024-01-04", "2024-01-05", "2024-01-06"]


def test_a_selected_asset_is_widened_by_what_another_needs_of_it(repo, watch):
    repository = repo(*chain(watch))
    result = repository.backfill(["a", "b"], partition_keys=[day(3)], include_upstream=True)
    assert result.partitions_per_asset == {"a": 2, "b": 1}
