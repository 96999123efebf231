"""Exceptions: one root, their bases, and what their messages say."""

import pickle

import pytest

import rivers as rs
from rivers import (
    BackfillStrategy,
    PartitionKey,
    PartitionKeyRange,
    PartitionsDefinition,
    exceptions,
)

REGIONS = PartitionsDefinition.static_(["us", "eu", "asia"])
BASES = {
    "RiversError": {"Exception"},
    "PartitionDefinitionError": {"RiversError", "ValueError"},
    "AssetDefinitionError": {"RiversError", "ValueError"},
    "TaskDefinitionError": {"AssetDefinitionError"},
    "GraphValidationError": {"RiversError"},
    "MissingInputError": {"GraphValidationError", "ConfigurationError"},
    "ConfigurationError": {"RiversError", "ValueError"},
    "AssetNotFoundError": {"RiversError", "KeyError"},
    "ExecutionError": {"RiversError"},
    "PartitionValidationError": {"ExecutionError", "ValueError"},
    "BackfillNotFoundError": {"ExecutionError", "KeyError"},
    "MappingDefinitionError": {"PartitionDefinitionError", "PartitionValidationError"},
    "MappingValidationError": {"GraphValidationError", "PartitionValidationError"},
    "DynamicPartitionsError": {"PartitionDefinitionError", "NotImplementedError"},
    "StrategyValidationError": {"ConfigurationError", "ExecutionError"},
    "StorageError": {"RiversError"},
}
ALIASES = {"NodeNotFoundError": exceptions.AssetNotFoundError}
ALL = pytest.mark.parametrize("name", BASES)


def test_exactly_these_errors():
    assert sorted(exceptions.__all__) == sorted([*BASES, *ALIASES])
    defined = {
        name
        for name, value in vars(exceptions).items()
        if isinstance(value, type) and issubclass(value, BaseException)
    }
    assert defined == {*BASES, *ALIASES}
    assert all(getattr(exceptions, name) is error for name, error in ALIASES.items())


@ALL
def test_one_root_and_these_parents(name):
    error = getattr(exceptions, name)
    assert {base.__name__ for base in error.__bases__} == BASES[name]
    assert issubclass(error, exceptions.RiversError)


@ALL
def test_a_plain_str_and_picklable(name):
    error = getattr(exceptions, name)("there is no 'x'")
    assert str(error) == "there is no 'x'"
    copy = pickle.loads(pickle.dumps(error))
    assert (type(copy), str(copy)) == (type(error), str(error))


@ALL
def test_every_error_says_when_it_is_raised(name):
    assert getattr(exceptions, name).__doc__


def test_the_core_raises_them(repo, tmp_path):
    repository = repo(REGIONS)
    with pytest.raises(exceptions.PartitionDefinitionError):
        PartitionKey.single([])
    with pytest.raises(exceptions.PartitionValidationError):
        repository.backfill(partition_range=PartitionKeyRange.single("us", "mars"))
    with pytest.raises(exceptions.ConfigurationError):
        BackfillStrategy.per_dimension([], [])
    with pytest.raises(exceptions.StorageError):
        rs.Storage.embedded(tmp_path)


def test_assets_and_graphs_raise_them(repo):
    def takes_b(b):
        pass

    def takes_a(a):
        pass

    with pytest.raises(exceptions.AssetDefinitionError):
        repo(rs.Asset(takes_b, name="x", deps=["x"], group=1))
    with pytest.raises(
        exceptions.GraphValidationError, match="'x' has the parameter 'b', but there is"
    ):
        repo(rs.Asset(takes_b, name="x"))
    with pytest.raises(
        exceptions.GraphValidationError, match=r"cycle: 'a' -> 'b' -> 'a'|'b' -> 'a' -> 'b'"
    ):
        repo(rs.Asset(takes_b, name="a"), rs.Asset(takes_a, name="b"))


@pytest.mark.parametrize("call", ["cancel_backfill", "rerun_backfill", "resume_backfill"])
def test_an_unknown_backfill(repo, call):
    repository = repo(REGIONS)
    with pytest.raises(exceptions.BackfillNotFoundError) as refused:
        getattr(repository, call)("no such")
    assert isinstance(refused.value, KeyError)
    assert "no such" in str(refused.value)
    assert not str(refused.value).startswith(("'", '"'))


def test_an_unknown_asset_has_a_plain_str(repo):
    with pytest.raises(KeyError) as refused:
        repo(REGIONS).backfill(["b"], partition_keys=[PartitionKey.single("us")])
    assert isinstance(refused.value, exceptions.AssetNotFoundError)
    assert str(refused.value) == "there is no asset 'b'; the assets are 'a'"


def test_a_failed_run_raises_an_execution_error_from_the_exception(repo):
    def broken():
        msg = "boom"
        raise LookupError(msg)

    with pytest.raises(exceptions.ExecutionError, match="boom") as failed:
        repo(rs.Asset(broken)).materialize()
    assert isinstance(failed.value.__cause__, LookupError)


def test_a_storage_error_names_the_file(tmp_path):
    path = tmp_path / "notes.txt"
    path.write_text("this is no database, but a text that is long enough to be one\n" * 100)
    with pytest.raises(exceptions.StorageError) as refused:
        rs.Storage.embedded(path)
    assert str(path) in str(refused.value)


@pytest.mark.parametrize(
    ("arguments", "given", "allowed", "nearest"),
    [
        ({"selection": ["saless"]}, "'saless'", "'sales'", "did you mean 'sales'?"),
        (
            {"partition_range": PartitionKeyRange.single("us", "easia")},
            '"easia"',
            '"us", "eu", "asia"',
            'did you mean "asia"?',
        ),
        ({"failure_policy": "stop"}, "'stop'", "'continue', 'stop_on_failure'", "one of"),
        ({"max_concurrency": 0}, "got 0", "an int of at least 1", "max_concurrency"),
        (
            {"tags": [("rivers/priority", "high")]},
            "'high'",
            "must be an integer as text",
            "such as '5'",
        ),
        ({"tags": {"team": "data"}}, "{'team': 'data'}", "a list of (name, value)", "tags.items()"),
        (
            {"tags": [("rivers/x", "1")]},
            "'rivers/x'",
            "is reserved",
            "'rivers/priority' can be given",
        ),
    ],
)
def test_a_message_says_what_was_given_what_is_allowed_and_the_nearest(
    repo, arguments, given, allowed, nearest
):
    repository = repo(rs.Asset(lambda: None, name="sales", partitions_def=REGIONS))
    part = {"partition_range": PartitionKeyRange.single("us", "eu")}
    with pytest.raises(exceptions.RiversError) as refused:
        repository.backfill(**{**part, **arguments})
    for told in (given, allowed, nearest):
        assert told in str(refused.value)


@pytest.mark.parametrize(
    "make",
    [
        lambda: PartitionsDefinition.static_("abc"),
        lambda: PartitionsDefinition.static_([1]),
        lambda: PartitionsDefinition.daily(None),
        lambda: PartitionsDefinition.multi([("r", REGIONS)]),
        lambda: PartitionKey.multi([("r", "us")]),
        lambda: PartitionKeyRange.multi([("r", ["us"])]),
        lambda: REGIONS.validate_partition_key("us"),
        lambda: rs.CodeRepository([], partition_defs={}, run_queue=4),
    ],
)
def test_other_types_are_type_errors_that_tell_what_is_taken(make):
    with pytest.raises(TypeError, match=r"takes a |must be a "):
        make()


@pytest.mark.parametrize("name", exceptions.__all__)
def test_an_error_has_one_root_a_plain_text_and_can_be_pickled(name):
    error = getattr(exceptions, name)("no 'x'")
    assert isinstance(error, exceptions.RiversError)
    assert str(error) == "no 'x'"
    copy = pickle.loads(pickle.dumps(error))
    assert (type(copy), str(copy)) == (type(error), "no 'x'")
