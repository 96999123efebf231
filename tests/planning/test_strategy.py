"""Strategies: how the partitions of a backfill are grouped into runs, and how a strategy is written."""

import logging
import pickle

import pytest

import rivers as rs
from rivers import BackfillStrategy, PartitionKey, PartitionKeyRange, PartitionsDefinition
from rivers.exceptions import ConfigurationError, ExecutionError

PAIR = PartitionsDefinition.static_(["0", "1"])
GRID = PartitionsDefinition.multi({"a": PAIR, "b": PAIR, "c": PAIR})
SINGLE = PartitionsDefinition.static_(["us", "eu", "asia"])
ALL = PartitionKeyRange.multi({})
MULTI_RUN = BackfillStrategy.multi_run()
SINGLE_RUN = BackfillStrategy.single_run()
BY_A = BackfillStrategy.per_dimension(multi_run=["a"], single_run=["b", "c"])
CHUNKS = BackfillStrategy.chunked(3)
STRATEGIES = [MULTI_RUN, SINGLE_RUN, BY_A, CHUNKS]


def cells(*numbers):
    return [PartitionKey.multi(dict(zip("abc", number, strict=True))) for number in numbers]


def numbers(calls):
    return [[text[2::4] for text in call] for call in calls]


@pytest.fixture
def runs(repo, recording):
    """Returns the runs of a backfill over the grid, with three digits per partition."""

    def observe(strategy, **part):
        asset, calls = recording(GRID)
        result = repo(asset).backfill(strategy=strategy, max_concurrency=1, **part)
        assert result.num_runs == len(calls)
        assert result.num_partitions == result.completed == sum(map(len, calls))
        return numbers(calls)

    return observe


def test_multi_run_is_one_run_a_partition(runs):
    keys = cells("010", "111", "000")
    assert runs(MULTI_RUN, partition_keys=keys) == [["010"], ["111"], ["000"]]
    assert runs(MULTI_RUN, partition_range=ALL) == [[f"{number:03b}"] for number in range(8)]


def test_single_run_is_one_run(runs):
    assert runs(SINGLE_RUN, partition_range=ALL) == [[f"{number:03b}" for number in range(8)]]
    assert runs(SINGLE_RUN, partition_keys=cells("111", "010")) == [["010", "111"]]


def test_per_dimension_of_a_range(runs):
    assert runs(BY_A, partition_range=ALL) == [
        ["000", "001", "010", "011"],
        ["100", "101", "110", "111"],
    ]


def test_per_dimension_never_widens_a_sparse_selection(runs):
    keys = cells("111", "000", "110", "011")
    assert runs(BY_A, partition_keys=keys) == [["110", "111"], ["000", "011"]]


def test_per_dimension_of_several_dimensions(runs):
    strategy = BackfillStrategy.per_dimension(multi_run=["c", "a"], single_run=["b"])
    expected = [["000", "010"], ["001", "011"], ["100", "110"], ["101", "111"]]
    assert runs(strategy, partition_range=ALL) == expected


def test_per_dimension_batches_a_dimension_in_neither_list(runs):
    strategy = BackfillStrategy.per_dimension(multi_run=["a"], single_run=["b"])
    assert runs(strategy, partition_range=ALL) == runs(BY_A, partition_range=ALL)


def test_chunked_is_runs_of_up_to_so_many_partitions_in_order(runs):
    assert runs(CHUNKS, partition_range=ALL) == [
        ["000", "001", "010"],
        ["011", "100", "101"],
        ["110", "111"],
    ]
    assert runs(BackfillStrategy.chunked(1), partition_range=ALL) == runs(
        MULTI_RUN, partition_range=ALL
    )
    assert runs(BackfillStrategy.chunked(8), partition_range=ALL) == runs(
        SINGLE_RUN, partition_range=ALL
    )


def test_chunked_takes_keys_as_given_and_puts_a_run_in_definition_order(runs):
    keys = cells("111", "000", "110", "011")
    assert runs(CHUNKS, partition_keys=keys) == [["000", "110", "111"], ["011"]]


@pytest.mark.parametrize("n", [0, -1, 1.5, "3", True, None])
def test_chunked_needs_a_positive_int(n):
    for make in (BackfillStrategy.chunked, BackfillStrategy.Chunked):
        with pytest.raises(ConfigurationError, match="n must be an int of at least 1, got"):
            make(n)


def test_chunked_is_rerun_in_the_same_size(repo):
    def fail(context):
        raise ValueError(context.partition.key)

    repository = repo(rs.Asset(fail, name="x", partitions_def=GRID, backfill_strategy=CHUNKS))
    first = repository.backfill(partition_range=ALL)
    again = repository.rerun_backfill(first.backfill_id)
    assert first.num_runs == again.num_runs == 3
    numbers = repository.backfill_partitions(again.backfill_id)["run"].to_list()
    assert numbers == [0, 0, 0, 1, 1, 1, 2, 2]


def test_types():
    kinds = [
        BackfillStrategy.MultiRun,
        BackfillStrategy.SingleRun,
        BackfillStrategy.PerDimension,
        BackfillStrategy.Chunked,
    ]
    for strategy, kind in zip(STRATEGIES, kinds, strict=True):
        assert type(strategy) is kind
        assert isinstance(strategy, BackfillStrategy)
        assert issubclass(kind, BackfillStrategy)
    assert BY_A.multi_run == ["a"]
    assert BY_A.single_run == ["b", "c"]
    assert [type(BY_A.multi_run), type(BY_A.single_run)] == [list, list]


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_equality_hash_and_repr(strategy):
    copy = eval(repr(strategy), {"BackfillStrategy": BackfillStrategy})
    for same in (copy, pickle.loads(pickle.dumps(strategy))):
        assert same == strategy
        assert hash(same) == hash(strategy)
    assert [other for other in STRATEGIES if other == strategy] == [strategy]


def test_repr():
    assert repr(MULTI_RUN) == "BackfillStrategy.multi_run()"
    assert repr(SINGLE_RUN) == "BackfillStrategy.single_run()"
    expected = 'BackfillStrategy.per_dimension(multi_run=["a"], single_run=["b", "c"])'
    assert repr(BY_A) == expected
    assert repr(CHUNKS) == "BackfillStrategy.chunked(3)"


@pytest.mark.parametrize(
    ("multi_run", "single_run", "told"),
    [
        ([], ["a"], "multi_run is empty; it needs at least one dimension"),
        (["a"], [], "single_run is empty; it needs at least one dimension"),
        (["a", "a"], ["b"], 'multi_run names the dimension "a" twice'),
        (["a"], ["b", "b"], 'single_run names the dimension "b" twice'),
        (
            ["a", "b"],
            ["c", "b"],
            'the dimension "b" is in both multi_run and single_run; it can be in one only',
        ),
    ],
)
def test_refused_at_construction(multi_run, single_run, told):
    for make in (BackfillStrategy.per_dimension, BackfillStrategy.PerDimension):
        with pytest.raises(ConfigurationError) as refused:
            make(multi_run, single_run)
        assert str(refused.value) == f"per_dimension: {told}"


@pytest.mark.parametrize("names", ["ab", None, [1]])
def test_lists_of_names_only(names):
    with pytest.raises(TypeError, match="must be a list of dimension names"):
        BackfillStrategy.per_dimension(names, ["c"])
    with pytest.raises(TypeError, match="must be a list of dimension names"):
        BackfillStrategy.per_dimension(["c"], names)


@pytest.mark.parametrize("dry_run", [True, False])
def test_refused_at_backfill_without_dimensions(repo, dry_run):
    repository = repo(SINGLE)
    with pytest.raises(ConfigurationError, match="per_dimension needs partitions with several dim"):
        repository.backfill(
            partition_range=PartitionKeyRange.single("us", "eu"), strategy=BY_A, dry_run=dry_run
        )
    assert repository.storage.get_runs() == []


@pytest.mark.parametrize(("multi_run", "single_run"), [(["ab"], ["b"]), (["a"], ["b", "ab"])])
@pytest.mark.parametrize("part", [{"partition_range": ALL}, {"partition_keys": cells("000")}])
def test_refused_at_backfill_with_an_unknown_dimension(repo, multi_run, single_run, part):
    strategy = BackfillStrategy.per_dimension(multi_run, single_run)
    with pytest.raises(ConfigurationError) as refused:
        repo(GRID).backfill(strategy=strategy, **part)
    told = 'per_dimension names the dimension "ab"; the dimensions are "a", "b", "c"'
    assert str(refused.value).startswith(told)


def test_no_strategy_is_refused(repo):
    with pytest.raises(TypeError, match="strategy must be a BackfillStrategy"):
        repo(GRID).backfill(partition_range=ALL, strategy=3)


@pytest.mark.parametrize(
    ("text", "num_runs"), [("single_run", 1), ("chunked(3)", 3), ("a=multi,b=single", 2)]
)
def test_a_strategy_may_be_a_text(repo, text, num_runs):
    assert (
        repo(GRID).backfill(partition_range=ALL, strategy=text, dry_run=True).num_runs == num_runs
    )


def test_a_text_that_is_no_strategy_is_refused(repo):
    with pytest.raises(ConfigurationError, match=r"strategy is multi_run, .*got 'both'"):
        repo(GRID).backfill(partition_range=ALL, strategy="both")


def test_there_are_no_other_kinds():
    with pytest.raises(TypeError, match=r"use BackfillStrategy\.multi_run"):
        BackfillStrategy()


@pytest.fixture
def num_runs(repo, caplog):
    """Returns the number of runs when the assets declare these strategies, and the warnings."""

    def plan(*declared, strategy=None):
        assets = [
            rs.Asset(lambda: None, name=f"x{place}", partitions_def=GRID, backfill_strategy=own)
            for place, own in enumerate(declared)
        ]
        with caplog.at_level(logging.WARNING, "rivers"):
            result = repo(*assets).backfill(partition_range=ALL, strategy=strategy, dry_run=True)
        return result.num_runs, len(caplog.records)

    return plan


def test_which_one_the_argument(num_runs):
    assert num_runs(SINGLE_RUN, strategy=BY_A) == (2, 0)
    assert num_runs(SINGLE_RUN, BY_A, strategy=MULTI_RUN) == (8, 0)


@pytest.mark.parametrize("declared", [(BY_A,), (BY_A, None), (None, BY_A, BY_A)])
def test_which_one_the_assets_own(num_runs, declared):
    assert num_runs(*declared) == (2, 0)


@pytest.mark.parametrize("dry_run", [True, False])
def test_which_one_is_checked_also_where_it_is_the_assets_own(repo, dry_run):
    asset = rs.Asset(lambda: None, name="x", partitions_def=SINGLE, backfill_strategy=BY_A)
    with pytest.raises(ConfigurationError, match="per_dimension needs partitions with several dim"):
        repo(asset).backfill(partition_keys=[PartitionKey.single("us")], dry_run=dry_run)


@pytest.mark.parametrize("dry_run", [True, False])
@pytest.mark.parametrize("error", [ConfigurationError, ExecutionError])
@pytest.mark.parametrize(
    ("definition", "strategy"),
    [(SINGLE, BY_A), (GRID, BackfillStrategy.per_dimension(["a"], ["z"]))],
)
def test_a_strategy_that_does_not_fit_stores_nothing(repo, definition, strategy, error, dry_run):
    asset = rs.Asset(lambda: None, name="x", partitions_def=definition)
    repository = repo(asset)
    keys = definition.get_partition_keys()
    with pytest.raises(error):
        repository.backfill(partition_keys=keys, strategy=strategy, dry_run=dry_run)
    assert repository.backfills().is_empty()


def test_which_one_by_default(num_runs):
    assert num_runs(None, None) == (8, 0)


def test_which_one_where_assets_disagree(num_runs, caplog):
    assert num_runs(SINGLE_RUN, None, BY_A) == (8, 1)
    for named in ("'x0'", "'x2'", repr(SINGLE_RUN), repr(BY_A)):
        assert named in caplog.text


def test_the_text_of_a_strategy_is_read_back():
    assert {strategy.kind for strategy in STRATEGIES} == {
        name for name, value in vars(BackfillStrategy).items() if isinstance(value, staticmethod)
    } - {"parse"}
    for strategy in STRATEGIES:
        assert BackfillStrategy.parse(repr(strategy)) == strategy


def test_the_recorded_text_of_a_strategy_is_read_back(repo):
    repository = repo(rs.Asset(lambda: None, name="cell", partitions_def=GRID))
    for strategy in STRATEGIES:
        repository.backfill(partition_range=ALL, strategy=strategy)
    recorded = [BackfillStrategy.parse(text) for text in repository.backfills()["strategy"]]
    assert sorted(map(repr, recorded)) == sorted(map(repr, STRATEGIES))


@pytest.mark.parametrize(
    ("text", "strategy"),
    [
        ("multi_run", MULTI_RUN),
        ("single_run", SINGLE_RUN),
        ("chunked(3)", CHUNKS),
        ("a=multi,b=single,c=single", BY_A),
        ("b=single,a=multi", BackfillStrategy.per_dimension(["a"], ["b"])),
        ("new-line=multi,d.1=single", BackfillStrategy.per_dimension(["new-line"], ["d.1"])),
    ],
)
def test_short_texts_of_strategies(text, strategy):
    assert BackfillStrategy.parse(text) == strategy


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("both", "strategy is multi_run, single_run, chunked"),
        ("", "strategy is multi_run, single_run, chunked"),
        ("chunked", "strategy is multi_run, single_run, chunked"),
        ("chunked(n)", "strategy is multi_run, single_run, chunked"),
        ("chunked(1, 2)", "strategy is multi_run, single_run, chunked"),
        ("__import__('os')", "strategy is multi_run, single_run, chunked"),
        ("(" * 10_000, "strategy is multi_run, single_run, chunked"),
        ("chunked(0)", "n must be an int of at least 1, got 0"),
        ("a=multi", "single_run is empty"),
    ],
)
def test_texts_that_are_no_strategy(text, reason):
    with pytest.raises(ConfigurationError, match=reason):
        BackfillStrategy.parse(text)


def test_a_plan_says_whether_it_is_one_run():
    keys = GRID.resolve().all()
    plans = {strategy.kind: rs._rivers.Plan(keys, strategy) for strategy in STRATEGIES}
    assert [kind for kind, plan in plans.items() if plan.is_one_run] == ["single_run"]


def test_a_strategy_of_an_unknown_kind_is_refused():
    class Other:
        kind = "other"

    with pytest.raises(TypeError, match='no kind of strategy "other"'):
        rs._rivers.Plan(GRID.resolve().all(), Other())
