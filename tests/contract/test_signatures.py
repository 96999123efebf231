"""Public signatures, attributes and defaults are exactly these."""

import dataclasses
import inspect
from inspect import Parameter

import pytest

import rivers as rs

REQUIRED = Parameter.empty

SIGNATURES = {
    rs.BackfillStrategy.multi_run: {},
    rs.BackfillStrategy.single_run: {},
    rs.BackfillStrategy.per_dimension: {
        "multi_run": ("list[str]", REQUIRED),
        "single_run": ("list[str]", REQUIRED),
    },
    # A `str` on the page; also a date, a datetime, or `None` for an open end.
    rs.PartitionKeyRange.single: {
        "from_key": ("RangeEnd", REQUIRED),
        "to_key": ("RangeEnd", REQUIRED),
    },
    # A dict or any other mapping, of tuples of such ends or lists of `str`.
    rs.PartitionKeyRange.multi: {"dimensions": ("Mapping[str, RangePart]", REQUIRED)},
    rs.CodeRepository.backfill: {
        "selection": ("list[str] | None", None),
        "partition_keys": ("list[PartitionKey] | None", None),
        "partition_range": ("PartitionKeyRange | None", None),
        "strategy": ("BackfillStrategy | None", None),
        # A `str` on the page; here the `Literal` of the two words that the page allows.
        "failure_policy": ("FailurePolicy", "continue"),
        "max_concurrency": ("int", 4),
        "tags": ("list[tuple[str, str]] | None", None),
        "config": ("dict[str, dict[str, Any]] | None", None),
        "block": ("bool", True),
        "dry_run": ("bool", False),
    },
    rs.CodeRepository.get_backfill: {"backfill_id": ("str", REQUIRED)},
    rs.CodeRepository.cancel_backfill: {"backfill_id": ("str", REQUIRED)},
    rs.CodeRepository.rerun_backfill: {
        "backfill_id": ("str", REQUIRED),
        "block": ("bool", True),
        "dry_run": ("bool", False),
    },
}

RETURNS = {
    rs.BackfillStrategy.multi_run: "BackfillStrategy.MultiRun",
    rs.BackfillStrategy.single_run: "BackfillStrategy.SingleRun",
    rs.BackfillStrategy.per_dimension: "BackfillStrategy.PerDimension",
    rs.PartitionKeyRange.single: "PartitionKeyRange",
    rs.PartitionKeyRange.multi: "PartitionKeyRange",
    rs.CodeRepository.backfill: "BackfillResult",
    rs.CodeRepository.get_backfill: "BackfillStatus | None",
    rs.CodeRepository.cancel_backfill: "bool",
    rs.CodeRepository.rerun_backfill: "BackfillResult",
}

ATTRIBUTES = {
    rs.BackfillResult: {
        "backfill_id": "str",
        "num_partitions": "int",
        "num_runs": "int",
        "status": "str",
        "completed": "int",
        "failed": "int",
        "canceled": "int",
        "run_ids": "list[str]",
        "is_dry_run": "bool",
        "partition_keys": "list[PartitionKey]",
    },
    rs.BackfillStatus: {
        "backfill_id": "str",
        "status": "str",
        "total_partitions": "int",
        "completed_partitions": "int",
        "failed_partitions": "int",
        "canceled_partitions": "int",
        "run_ids": "list[str]",
        "error": "str | None",
        "tags": "list[tuple[str, str]]",
    },
    rs.BackfillStrategy.PerDimension: {"multi_run": "list[str]", "single_run": "list[str]"},
}

calls = pytest.mark.parametrize("call", SIGNATURES, ids=lambda call: call.__qualname__)


@calls
def test_parameters_their_order_types_and_defaults(call):
    parameters = [
        parameter
        for name, parameter in inspect.signature(call).parameters.items()
        if name != "self"
    ]
    documented = SIGNATURES[call]
    shown = parameters[: len(documented)]
    assert [parameter.name for parameter in shown] == list(documented)
    assert {p.name: (p.annotation, p.default) for p in shown} == documented
    assert all(parameter.kind is Parameter.POSITIONAL_OR_KEYWORD for parameter in shown)
    assert all(
        parameter.kind is Parameter.KEYWORD_ONLY for parameter in parameters[len(documented) :]
    )


@calls
def test_return_types(call):
    assert inspect.signature(call).return_annotation == RETURNS[call]


def test_constructors_are_static_methods():
    for owner, names in (
        (rs.BackfillStrategy, ("multi_run", "single_run", "per_dimension")),
        (rs.PartitionKeyRange, ("single", "multi")),
    ):
        for name in names:
            assert isinstance(inspect.getattr_static(owner, name), staticmethod)


@pytest.mark.parametrize("owner", ATTRIBUTES, ids=lambda owner: owner.__qualname__)
def test_attributes(owner):
    fields = {field.name: field.type for field in dataclasses.fields(owner)}
    assert list(fields.items())[: len(ATTRIBUTES[owner])] == list(ATTRIBUTES[owner].items())
    for name in ATTRIBUTES[owner]:
        assert f"{name}:" in owner.__doc__


def test_documented_ranges_select_what_they_say(repo):
    days = rs.PartitionsDefinition.daily("2024-01-01", end="2024-02-01")
    regions = rs.PartitionsDefinition.static_(["us", "eu", "asia", "africa"])
    grid = rs.PartitionsDefinition.multi({"date": days, "region": regions})
    january = rs.PartitionKeyRange.single("2024-01-01", "2024-01-31")
    assert repo(days).backfill(partition_range=january, dry_run=True).num_partitions == 31
    week = rs.PartitionKeyRange.multi(
        {"date": ("2024-01-01", "2024-01-07"), "region": ["us", "eu", "asia"]}
    )
    assert repo(grid).backfill(partition_range=week, dry_run=True).num_partitions == 21


def test_backfills_have_a_lower_priority_than_other_runs(repo):
    regions = rs.PartitionsDefinition.static_(["us"])
    repository = repo(regions)
    keys = [rs.PartitionKey.single("us")]
    for tags, priority in ((None, -10), ([("rivers/priority", "5")], 5)):
        result = repository.backfill(partition_keys=keys, tags=tags)
        run = repository.storage.get_run(result.run_ids[0])
        assert run.priority == priority
        assert run.tags == [("rivers/priority", str(priority))]
    run = repository.storage.get_run(repository.materialize(partition_key=keys[0]).run_id)
    assert run.priority == 0


def test_attributes_have_the_types_that_they_are_declared_with(repo):
    repository = repo(rs.PartitionsDefinition.static_(["us", "eu"]))
    keys = [rs.PartitionKey.single("us")]
    result = repository.backfill(partition_keys=keys, tags=[("a", "b")])
    for answer in (result, repository.get_backfill(result.backfill_id)):
        for name, declared in ATTRIBUTES[type(answer)].items():
            kind = {"str | None": type(None)}.get(declared, list)
            kind = {"str": str, "int": int, "bool": bool}.get(declared, kind)
            assert type(getattr(answer, name)) is kind, name


def test_other_options_are_keyword_only():
    """Options that were added later cannot be passed by position."""
    for call in (
        rs.CodeRepository.resume_backfill,
        rs.PartitionsDefinition.get_partition_keys,
        rs.PartitionsDefinition.validate_partition_key,
    ):
        options = [
            p for p in inspect.signature(call).parameters.values() if p.default is not REQUIRED
        ]
        assert options
        assert all(parameter.kind is Parameter.KEYWORD_ONLY for parameter in options)
