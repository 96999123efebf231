"""`PartitionMapping`: which partitions of an upstream an asset gets."""

import pytest

import rivers as rs
from rivers import AssetDef, PartitionKeyRange, PartitionMapping, PartitionsDefinition
from rivers.exceptions import (
    ExecutionError,
    GraphValidationError,
)
from rivers.io import BaseIOHandler

DAYS = PartitionsDefinition.daily("2024-01-01", "2024-01-05")
LATER = PartitionsDefinition.daily("2024-01-03", "2024-01-07")
HOURS = PartitionsDefinition.hourly("2024-01-02T22:00", "2024-01-04T02:00")
CITIES = PartitionsDefinition.static_(["rome", "oslo", "bern"])
LANDS = PartitionsDefinition.static_(["it", "no", "ch"])
BY_CITY = PartitionsDefinition.multi({"day": DAYS, "city": CITIES})
BY_LAND = PartitionsDefinition.multi({"land": LANDS, "day": LATER})
TO_LAND = PartitionMapping.static_({"rome": "it", "oslo": ["no"], "bern": ["ch", "it"]})
BEFORE = PartitionMapping.time_window(-1)


class Kept(BaseIOHandler):
    """A handler that keeps one value per partition and records what was loaded."""

    def __init__(self):
        self.values, self.asked = {}, []

    def handle_output(self, context, value):
        self.values.update({(context.asset, str(key)): value for key in context.partitions})

    def load_input(self, context):
        self.asked.append(context)
        return sorted(self.values[context.asset, str(key)] for key in context.partitions)


def whole(definition):
    return (
        definition.select()
        if isinstance(definition, PartitionsDefinition.Multi)
        else definition.get_partition_keys()
    )


def pair(upstream, downstream, mapping, handler, **kwargs):
    """An upstream whose value is its key, and a downstream that records what it received per key."""
    got = {}

    def up(context):
        return context.partition_key

    def down(context, up):
        got[context.partition_key] = up

    assets = [
        rs.Asset(up, partitions_def=upstream, io_handler=handler, metadata={"a": 1, "b": 1}),
        rs.Asset(down, partitions_def=downstream, deps=[AssetDef.input("up", mapping, **kwargs)]),
    ]
    return assets, got


def loaded(repo, upstream, downstream, mapping):
    """Backfills the whole upstream and returns what each downstream partition receives."""
    assets, got = pair(upstream, downstream, mapping, Kept())
    repository = repo(*assets)
    for name, definition in (("up", upstream), ("down", downstream)):
        result = repository.backfill([name], partition_keys=whole(definition))
        assert result.status == "completed", repository.get_backfill(result.backfill_id).error
    return got


def test_identity_gives_the_same_keys(repo):
    assert loaded(repo, CITIES, CITIES, PartitionMapping.identity()) == {
        "rome": ["rome"],
        "oslo": ["oslo"],
        "bern": ["bern"],
    }


def test_all_partitions_gives_all(repo):
    got = loaded(repo, LANDS, CITIES, PartitionMapping.all_partitions())
    assert got == {city: ["ch", "it", "no"] for city in ("rome", "oslo", "bern")}


def test_static_gives_what_it_names_and_nothing_to_others(repo):
    mapping = PartitionMapping.static_({"rome": "it", "bern": ["ch", "it"]})
    got = loaded(repo, LANDS, CITIES, mapping)
    assert got == {"rome": ["it"], "oslo": None, "bern": ["ch", "it"]}


def test_a_time_window_gives_the_window_before_and_none_before_the_first(repo):
    got = loaded(repo, DAYS, DAYS, BEFORE)
    assert got["2024-01-01"] is None
    assert got["2024-01-04"] == ["2024-01-03"]


def test_a_time_window_reaches_an_upstream_that_began_earlier(repo):
    got = loaded(repo, DAYS, LATER, BEFORE)
    assert got["2024-01-03"] == ["2024-01-02"]
    assert got["2024-01-05"] == ["2024-01-04"]
    assert got["2024-01-06"] is None


def test_a_width_gives_the_windows_that_exist_at_the_edges_too(repo):
    last_three = PartitionMapping.time_window(start_offset=-2, end_offset=0)
    got = loaded(repo, DAYS, DAYS, last_three)
    assert got["2024-01-01"] == ["2024-01-01"]
    assert got["2024-01-02"] == ["2024-01-01", "2024-01-02"]
    assert got["2024-01-04"] == ["2024-01-02", "2024-01-03", "2024-01-04"]


def test_a_width_reaches_forwards_and_upstreams_that_began_earlier(repo):
    got = loaded(repo, DAYS, LATER, PartitionMapping.time_window(start_offset=-1, end_offset=1))
    assert got["2024-01-03"] == ["2024-01-02", "2024-01-03", "2024-01-04"]
    assert got["2024-01-05"] == ["2024-01-04"]
    assert got["2024-01-06"] is None


def test_the_month_before_the_first_of_a_schedule_is_reached(repo):
    days = PartitionsDefinition.daily("2024-04-20", "2024-06-10")
    months = PartitionsDefinition.time_window(
        "2024-06-01", "0 0 1 * *", end="2024-07-02", fmt="%Y-%m"
    )
    got = loaded(repo, days, months, BEFORE)
    assert got["2024-06"] == [f"2024-05-{day:02}" for day in range(1, 32)]
    assert got["2024-07"] == [f"2024-06-{day:02}" for day in range(1, 10)]


def test_downstream_partitions_follow_from_a_width(repo):
    last_three = PartitionMapping.time_window(start_offset=-2, end_offset=0)
    assets, got = pair(DAYS, DAYS, last_three, Kept())
    repository = repo(*assets)
    repository.backfill(["up"], partition_keys=DAYS.get_partition_keys())
    second = [rs.PartitionKey.single("2024-01-02")]
    result = repository.backfill(["up"], partition_keys=second, include_downstream=True)
    assert result.status == "completed"
    assert sorted(got) == ["2024-01-02", "2024-01-03", "2024-01-04"]
    upstream = repository.backfill(["down"], partition_keys=second, include_upstream=True)
    assert upstream.num_partitions == 3


def test_an_asset_may_need_several_of_its_own_earlier_partitions(repo):
    handler = Kept()
    earlier = PartitionMapping.time_window(start_offset=-2, end_offset=-1)
    with repo(running_total(handler, earlier)) as repository:
        result = repository.backfill(partition_keys=DAYS.get_partition_keys())
        assert (result.status, result.num_runs) == ("completed", 4)
    assert [handler.values["total", f"2024-01-0{day}"] for day in (1, 2, 3, 4)] == [1, 3, 4, 7]


def test_a_day_gets_its_hours(repo):
    got = loaded(repo, HOURS, DAYS, PartitionMapping.time_window())
    assert got["2024-01-01"] is None
    assert got["2024-01-02"] == ["2024-01-02T22:00", "2024-01-02T23:00"]
    assert got["2024-01-03"] == [f"2024-01-03T{hour:02}:00" for hour in range(24)]


def test_an_hour_gets_its_day(repo):
    got = loaded(repo, DAYS, HOURS, PartitionMapping.time_window())
    assert got["2024-01-02T23:00"] == ["2024-01-02"]
    assert got["2024-01-03T00:00"] == ["2024-01-03"]


def test_specific_partitions_are_the_same_for_all(repo):
    got = loaded(repo, LANDS, CITIES, PartitionMapping.specific_partitions(["no", "it"]))
    assert got == {city: ["it", "no"] for city in ("rome", "oslo", "bern")}


def test_subset_gives_what_both_have(repo):
    some = PartitionsDefinition.static_(["paris", "bern"])
    assert loaded(repo, some, CITIES, PartitionMapping.subset()) == {
        "rome": None,
        "oslo": None,
        "bern": ["bern"],
    }


def test_multi_maps_each_dimension_also_to_one_of_another_name(repo):
    mapping = PartitionMapping.multi({"day": BEFORE, "land": ("city", TO_LAND)})
    got = loaded(repo, BY_LAND, BY_CITY, mapping)
    assert got["day=2024-01-04|city=bern"] == [
        "land=ch|day=2024-01-03",
        "land=it|day=2024-01-03",
    ]
    assert got["day=2024-01-03|city=bern"] is None


def test_one_dimension_determines_two_of_the_upstream(repo):
    pairs = PartitionsDefinition.multi({"from": CITIES, "to": CITIES})
    grid = PartitionsDefinition.multi({"city": CITIES, "day": DAYS})
    same = PartitionMapping.multi(
        {"from": ("city", PartitionMapping.identity()), "to": ("city", PartitionMapping.identity())}
    )
    distance = rs.Asset(
        lambda context: context.partition_key, name="distance", partitions_def=pairs
    )
    taken = {}

    @rs.Asset(partitions_def=grid, deps=[rs.AssetDef.input("distance", same)])
    def takes(context: rs.AssetExecutionContext, distance):
        taken[context.partition_key] = distance

    repository = repo(distance, takes)
    everything = rs.PartitionKeyRange.multi({})
    planned = repository.backfill(
        ["takes"], partition_range=everything, include_upstream=True, dry_run=True
    )
    cities = len(CITIES.get_partition_keys())
    days = len(DAYS.get_partition_keys())
    assert planned.num_partitions == cities * days + cities
    repository.backfill(["takes"], partition_range=everything, include_upstream=True)
    assert len(taken) == cities * days
    for key, value in taken.items():
        city = key.split("|")[0].removeprefix("city=")
        assert value == f"from={city}|to={city}"


@pytest.mark.parametrize("inner", [None, PartitionMapping.identity()])
def test_multi_to_single_drops_the_other_dimensions(repo, inner):
    got = loaded(repo, DAYS, BY_CITY, PartitionMapping.multi_to_single("day", inner))
    assert got["day=2024-01-02|city=oslo"] == ["2024-01-02"]


def test_multi_to_single_takes_the_other_dimensions_whole(repo):
    got = loaded(repo, BY_CITY, DAYS, PartitionMapping.multi_to_single("day", BEFORE))
    assert got["2024-01-01"] is None
    assert got["2024-01-03"] == [f"day=2024-01-02|city={city}" for city in ("bern", "oslo", "rome")]


def test_something_unpartitioned_gets_specific_partitions(repo):
    handler = Kept()
    mapping = PartitionMapping.specific_partitions(["it", "ch"])
    got = []

    def total(up):
        got.append(up)

    (up, _), _ = pair(LANDS, LANDS, PartitionMapping.identity(), handler)
    repository = repo(up, rs.Asset(total, deps=[AssetDef.input("up", mapping)]))
    repository.backfill(["up"], partition_keys=LANDS.get_partition_keys())
    assert repository.materialize(["total"]).success
    assert got == [["ch", "it"]]


def test_a_run_of_several_partitions_gets_what_any_of_them_needs(repo):
    handler = Kept()
    assets, _ = pair(DAYS, DAYS, BEFORE, handler)
    got = []

    def down(up):
        got.append(up)

    assets[1] = rs.Asset(down, partitions_def=DAYS, deps=[AssetDef.input("up", BEFORE)])
    repository = repo(*assets)
    repository.backfill(["up"], partition_keys=DAYS.get_partition_keys())
    some = PartitionKeyRange.single("2024-01-01", "2024-01-03")
    repository.backfill(["down"], partition_range=some, strategy=rs.BackfillStrategy.single_run())
    assert got == [["2024-01-01", "2024-01-02"]]


def test_where_nothing_is_needed_the_default_holds(repo):
    got = []

    def down(up="nothing"):
        got.append(up)

    (up, _), _ = pair(DAYS, DAYS, BEFORE, Kept())
    repository = repo(up, rs.Asset(down, partitions_def=DAYS, deps=[AssetDef.input("up", BEFORE)]))
    first = PartitionKeyRange.single("2024-01-01", "2024-01-01")
    repository.backfill(["down"], partition_range=first)
    assert got == ["nothing"]


def test_an_input_has_its_own_handler_and_metadata(repo):
    keeping, loading = Kept(), Kept()
    assets, got = pair(CITIES, CITIES, None, keeping, io_handler=loading, metadata={"b": 2, "c": 2})
    loading.values["up", "oslo"] = "from elsewhere"
    repository = repo(*assets)
    oslo = [rs.PartitionKey.single("oslo")]
    assert repository.backfill(partition_keys=oslo).status == "completed"
    assert got == {"oslo": ["from elsewhere"]}
    assert keeping.asked == []
    assert loading.asked[0].metadata == {"b": 2, "c": 2}


def test_processes_load_what_a_mapping_names(repo, tmp_path):
    handler = rs.PickleIOHandler(tmp_path)

    def up(context):
        return context.partition_key

    def down(context, up):
        return (context.partition_key, up)

    repository = repo(
        rs.Asset(up, partitions_def=DAYS, io_handler=handler),
        rs.Asset(
            down, partitions_def=DAYS, io_handler=handler, deps=[AssetDef.input("up", BEFORE)]
        ),
        default_executor=rs.Executor.parallel(2),
    )
    for name in ("up", "down"):
        result = repository.backfill([name], partition_keys=DAYS.get_partition_keys())
        assert result.status == "completed"
    assert [repository.load_node("down", key) for key in DAYS.get_partition_keys()] == [
        ("2024-01-01", None),
        ("2024-01-02", "2024-01-01"),
        ("2024-01-03", "2024-01-02"),
        ("2024-01-04", "2024-01-03"),
    ]


def test_processes_refuse_a_mapped_input_that_stays_in_memory(repo):
    def up():
        return 1

    def down(up):
        return up

    repository = repo(
        rs.Asset(up, partitions_def=DAYS),
        rs.Asset(down, partitions_def=DAYS, deps=[AssetDef.input("up", BEFORE)]),
        default_executor=rs.Executor.parallel(2),
    )
    with pytest.raises(ExecutionError, match="'down' takes the value of 'up' from another run"):
        repository.backfill(["down"], partition_keys=DAYS.get_partition_keys())


def running_total(handler, mapping=BEFORE):
    def total(context, total=0):
        return (total[0] if total else 0) + int(context.partition_key[-2:])

    return rs.Asset(
        total, partitions_def=DAYS, io_handler=handler, deps=[AssetDef.input("total", mapping)]
    )


def test_an_asset_takes_its_own_earlier_partition(repo):
    handler = Kept()
    repository = repo(running_total(handler))
    for key in DAYS.get_partition_keys():
        assert repository.backfill(partition_keys=[key]).status == "completed"
    assert [handler.values["total", str(key)] for key in DAYS.get_partition_keys()] == [1, 3, 6, 10]


def test_runs_that_need_nothing_of_each_other_are_shared(repo):
    assets, _ = pair(DAYS, DAYS, BEFORE, Kept())
    keys = DAYS.get_partition_keys()
    repository = repo(*assets)
    apart = [keys[0], keys[2]]
    assert repository.backfill(["up", "down"], partition_keys=apart, dry_run=True).num_runs == 2
    assert repository.backfill(["up", "down"], partition_keys=keys, dry_run=True).num_runs == 8


def test_a_dependency_with_a_mapping_takes_no_value(repo):
    assets, _ = pair(DAYS, DAYS, BEFORE, Kept())
    calls = []

    def after(context):
        calls.append(context.partition_key)

    after = rs.Asset(
        after, partitions_def=CITIES, deps=[AssetDef.dep("up", PartitionMapping.all_partitions())]
    )
    repository = repo(assets[0], after)
    repository.backfill(["after"], partition_keys=[rs.PartitionKey.single("oslo")])
    assert calls == ["oslo"]


@pytest.mark.parametrize(
    ("mapping", "upstream", "downstream", "told"),
    [
        (BEFORE, CITIES, DAYS, "exactly one"),
        (PartitionMapping.identity(), LANDS, CITIES, "different definitions"),
        (PartitionMapping.static_({"roma": "it"}), LANDS, CITIES, 'names the key "roma"'),
        (PartitionMapping.static_({"rome": "fr"}), LANDS, CITIES, 'leads to the key "fr"'),
        (PartitionMapping.specific_partitions(["fr"]), LANDS, CITIES, 'names the key "fr"'),
        (PartitionMapping.multi({"dayy": BEFORE}), BY_LAND, BY_CITY, 'did you mean "day"'),
        (PartitionMapping.multi({"day": BEFORE}), DAYS, BY_CITY, "use multi_to_single$"),
        (PartitionMapping.all_partitions(), None, DAYS, "the upstream has none"),
    ],
)  # fmt: skip
def test_what_cannot_be_related_is_refused_with_both_assets(mapping, upstream, downstream, told):
    assets, _ = pair(upstream, downstream, mapping, Kept())
    with pytest.raises(GraphValidationError, match=told) as refused:
        rs.CodeRepository(assets)
    assert "'down' cannot depend on 'up' through PartitionMapping." in str(refused.value)


@pytest.mark.parametrize(
    "mapping",
    [
        None,
        PartitionMapping.identity(),
        PartitionMapping.time_window(0),
        PartitionMapping.time_window(1),
        PartitionMapping.all_partitions(),
    ],
)
def test_an_asset_that_needs_itself_must_go_back_in_time(mapping):
    with pytest.raises(GraphValidationError, match=r"'total' depends on itself.*time_window\(-1\)"):
        rs.CodeRepository([running_total(Kept(), mapping)])


def test_an_asset_may_go_back_in_one_dimension_of_several(repo):
    def total(total):
        pass

    back = PartitionMapping.multi({"day": BEFORE})
    repo(rs.Asset(total, partitions_def=BY_CITY, deps=[AssetDef.input("total", back)]))
    sideways = PartitionMapping.multi({"city": PartitionMapping.static_({"oslo": "rome"})})
    with pytest.raises(GraphValidationError, match="depends on itself"):
        repo(rs.Asset(total, partitions_def=BY_CITY, deps=[AssetDef.input("total", sideways)]))
