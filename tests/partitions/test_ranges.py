"""Ranges of partition keys: what they select, and what is refused."""

import pytest

from rivers import PartitionKeyRange, PartitionsDefinition
from rivers.exceptions import PartitionValidationError

REGIONS = PartitionsDefinition.static_(["us", "eu", "asia"])
DAYS = PartitionsDefinition.daily("2024-01-01")
GRID = PartitionsDefinition.multi(
    {"d": PartitionsDefinition.daily("2024-01-01", end="2024-01-04"), "r": REGIONS}
)
MONDAYS = PartitionsDefinition.time_window("2024-01-01", "0 0 * * 1", fmt="%Y-%m-%d")


@pytest.fixture
def chosen(repo):
    def choose(definition, part):
        made = (
            PartitionKeyRange.single(*part)
            if isinstance(part, tuple)
            else PartitionKeyRange.multi(part)
        )
        result = repo(definition).backfill(partition_range=made, dry_run=True)
        return [str(key) for key in result.partition_keys]

    return choose


@pytest.fixture
def refusal(chosen):
    def told(definition, part):
        with pytest.raises(PartitionValidationError) as refused:
            chosen(definition, part)
        return str(refused.value)

    return told


def test_order_of_static_keys_is_their_position_inclusive(chosen):
    assert chosen(REGIONS, ("us", "asia")) == ["us", "eu", "asia"]
    assert chosen(REGIONS, ("eu", "asia")) == ["eu", "asia"]
    assert chosen(REGIONS, ("eu", "eu")) == ["eu"]


def test_order_of_time_windows_is_the_calendar(chosen):
    assert chosen(DAYS, ("2024-01-02", "2024-01-04")) == ["2024-01-02", "2024-01-03", "2024-01-04"]


def test_order_with_a_fmt_that_does_not_sort_as_text(chosen):
    days = PartitionsDefinition.daily("2023-12-01", end="2024-03-01", fmt="%d.%m.%Y")
    expected = ["30.12.2023", "31.12.2023", "01.01.2024", "02.01.2024"]
    assert chosen(days, ("30.12.2023", "02.01.2024")) == expected


def test_unknown_endpoint_static(refusal):
    assert refusal(REGIONS, ("asi", "us")) == (
        'the range\'s start "asi" is not defined; there are "us", "eu", "asia"; did you mean "asia"?'
    )
    assert refusal(GRID, {"r": ("us", "esia")}) == (
        'the range\'s end "esia" of the dimension "r" is not defined; there are "us", "eu", "asia"; '
        'did you mean "asia"?'
    )


def test_unknown_endpoint_time(refusal):
    assert refusal(MONDAYS, ("2024-01-03", "2024-01-08")) == (
        'the range\'s start "2024-01-03" is not on the grid: no window starts then; '
        'the nearest valid keys: "2024-01-01", "2024-01-08"'
    )
    assert refusal(GRID, {"d": ("2024-01-01", "2024-01-09")}) == (
        'the range\'s end "2024-01-09" of the dimension "d" is after the end; '
        'the nearest valid keys: "2024-01-03"'
    )


def test_inverted(refusal):
    assert refusal(REGIONS, ("asia", "us")) == (
        'the range is inverted: it starts at "asia", which comes after its end "us"; swap them'
    )
    assert refusal(GRID, {"d": ("2024-01-03", "2024-01-01")}) == (
        'the range of the dimension "d" is inverted: it starts at "2024-01-03", which comes after its '
        'end "2024-01-01"; swap them'
    )


@pytest.mark.parametrize(
    "key", ["2024-1-2", "2024-01-02T00:00", "02.01.2024", "2024-02-30", "x", ""]
)
def test_wrong_format(refusal, key):
    assert f'start "{key}" does not have the format "%Y-%m-%d"' in refusal(
        DAYS, (key, "2024-01-04")
    )
    assert f'end "{key}" does not have the format "%Y-%m-%d"' in refusal(DAYS, ("2024-01-01", key))


def test_off_the_grid(refusal):
    assert 'end "2024-01-09" is not on the grid' in refusal(MONDAYS, ("2024-01-01", "2024-01-09"))


def test_before_the_start(refusal):
    assert refusal(DAYS, ("2023-12-31", "2024-01-02")) == (
        'the range\'s start "2023-12-31" is before the start; the nearest valid keys: "2024-01-01"'
    )


def test_after_the_end(refusal):
    assert refusal(DAYS, ("2024-01-02", "2024-01-11")) == (
        'the range\'s end "2024-01-11" is after the end; the nearest valid keys: "2024-01-10"'
    )


def test_multi_omitting_a_dimension_means_all_its_keys(chosen):
    expected = [f"d=2024-01-0{day}|r={region}" for day in (2, 3) for region in ("us", "eu", "asia")]
    assert chosen(GRID, {"d": ("2024-01-02", "2024-01-03")}) == expected
    assert len(chosen(GRID, {})) == 9


def test_multi_with_an_unknown_dimension(refusal):
    assert refusal(GRID, {"region": ["us"]}).startswith(
        'there is no dimension "region"; the dimensions are "d", "r"'
    )


def test_a_tuple_is_a_range_and_a_list_is_keys(chosen):
    day = ("2024-01-01", "2024-01-01")
    assert chosen(GRID, {"d": day, "r": ("us", "asia")}) == [
        f"d=2024-01-01|r={region}" for region in ("us", "eu", "asia")
    ]
    assert chosen(GRID, {"d": day, "r": ["us", "asia"]}) == [
        f"d=2024-01-01|r={region}" for region in ("us", "asia")
    ]
    assert chosen(GRID, {"d": day, "r": ["eu"]}) == ["d=2024-01-01|r=eu"]


@pytest.mark.parametrize(
    "part",
    [
        ("a",),
        ("a", "b", "c"),
        (),
        "ab",
        {"a", "b"},
        None,
        1,
        ("a", 1),
        ("a", 2.5),
        [1],
        {"a": "b"},
    ],
)
def test_any_other_shape_is_a_type_error(part):
    with pytest.raises(TypeError, match=r"'r' must be a \(from, to\) tuple or a list of str, got "):
        PartitionKeyRange.multi({"r": part})


@pytest.mark.parametrize("keys", [(1, "b"), ("a", 2.5), (["a"], "b")])
def test_other_types_of_ends_are_type_errors(keys):
    with pytest.raises(TypeError, match="_key must be a str, got "):
        PartitionKeyRange.single(*keys)


def test_explicit_list_drops_duplicates_and_has_definition_order(chosen):
    part = {"d": ["2024-01-03", "2024-01-01", "2024-01-03"], "r": ["asia", "us", "asia"]}
    expected = [f"d=2024-01-0{day}|r={region}" for day in (1, 3) for region in ("us", "asia")]
    assert chosen(GRID, part) == expected
    assert chosen(GRID, {name: keys[::-1] for name, keys in part.items()}) == expected


def test_explicit_list_names_what_is_unknown_or_empty(refusal):
    assert refusal(GRID, {"r": ["us", "mars"]}).startswith(
        'the partition key "mars" of the dimension "r" is not defined'
    )
    assert refusal(GRID, {"r": []}) == (
        'the list of keys of the dimension "r" is empty; leave the dimension out to take all its keys'
    )


def test_single_on_a_multi_definition(refusal):
    assert refusal(GRID, ("us", "eu")) == (
        'a range without dimension names was given for partitions with the dimensions "d", "r"; '
        "give a range for each dimension, by its name"
    )


def test_multi_on_a_single_definition(refusal):
    assert refusal(REGIONS, {"r": ("us", "eu")}) == (
        "ranges of named dimensions were given for partitions with a single dimension; "
        "give one range, without a name"
    )


def test_several_assets_resolved_against_the_first(repo):
    fewer = PartitionsDefinition.static_(["eu", "us"])
    repository = repo(REGIONS, fewer)
    part = PartitionKeyRange.single("us", "eu")
    result = repository.backfill(partition_range=part, dry_run=True)
    assert [str(key) for key in result.partition_keys] == ["us", "eu"]
    with pytest.raises(PartitionValidationError, match="inverted"):
        repository.backfill(["b", "a"], partition_range=part, dry_run=True)


@pytest.mark.parametrize("dry_run", [True, False])
def test_several_assets_every_partition_valid_for_each(repo, dry_run):
    repository = repo(REGIONS, REGIONS, PartitionsDefinition.static_(["us"]))
    with pytest.raises(PartitionValidationError) as refused:
        repository.backfill(partition_range=PartitionKeyRange.single("us", "asia"), dry_run=dry_run)
    assert str(refused.value) == (
        'the partition "eu" is not defined for the asset "c"; every selected partition must be one of '
        "each selected asset's"
    )
    assert repository.storage.get_runs() == []


def test_ranges_are_values():
    part = {"d": ("a", "b"), "r": ["c"]}
    one = PartitionKeyRange.multi(part)
    part["r"].append("d")
    assert one == PartitionKeyRange.multi({"d": ("a", "b"), "r": ["c"]})
    assert hash(one) == hash(PartitionKeyRange.multi({"d": ("a", "b"), "r": ["c"]}))
    for made in (one, PartitionKeyRange.single("a", "b")):
        assert eval(repr(made), {"PartitionKeyRange": PartitionKeyRange}) == made
