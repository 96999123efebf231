"""Text made to do harm comes back as it was given, or is refused before anything runs; nothing is
written outside the folders that were named.
"""

import contextlib
import logging
import tempfile
from pathlib import Path

import polars as pl
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

import rivers as rs
from rivers.exceptions import RiversError

NASTY = [
    "..", ".", "../../etc/passwd", "/etc/passwd", "a/../../b", "C:\\x", "\\\\host\\share", "~", "~root",
    "'", '"', "'; DROP TABLE run; --", '"; DELETE FROM backfill; --', "%s%n{0}{x}", "$HOME", "`id`",
    "\n", "\r\n", "\t", " ", "a ", " a", "\0", "a\0b", "\x1b[31m", "\u202e", "\u2028", "e\u0301", "\ufeff",
    "\U0010ffff", "\ufffe", "\ud800", "\udfff\ud800", "CON", "nul", "-rf", "*", "?", "=", "%2e%2e%2f",
    "x" * 300, "\N{PILE OF POO}" * 300,
]  # fmt: skip

# Python itself refuses text that UTF-8 cannot encode.
REFUSED = (RiversError, UnicodeEncodeError)

ANY_TEXT = st.text(st.characters(exclude_categories=()), max_size=30) | st.sampled_from(NASTY)

FEW = settings(
    max_examples=60,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)


@pytest.fixture(autouse=True)
def quiet():
    logging.disable()
    yield
    logging.disable(logging.NOTSET)


@contextlib.contextmanager
def sandbox():
    """A folder for the handlers and the storage, inside another one that must stay empty."""
    with tempfile.TemporaryDirectory() as outer:
        inner = Path(outer) / "a" / "b" / "c"
        inner.mkdir(parents=True)
        yield inner
        found = {path for path in Path(outer).rglob("*") if inner not in path.parents}
        assert found == {inner, inner.parent, inner.parent.parent}


def storable(text):
    return not any(0xD800 <= ord(char) <= 0xDFFF for char in text)


def valid_key(text):
    return storable(text) and text != "" and not set(text) & {"|", ","}


def run_everything(folder, key, *, handler, value, **backfill):
    """Backfills, reruns, reads and loads one partition and its neighbor."""
    definition = rs.PartitionsDefinition.static_([key, "ordinary"])
    made = rs.Asset(lambda: value, name="made", partitions_def=definition, io_handler=handler)
    storage = rs.Storage.embedded(folder / "rivers.db")
    with rs.CodeRepository([made]).resolve(storage) as repo:
        keys = [rs.PartitionKey.single(key), rs.PartitionKey.single("ordinary")]
        result = repo.backfill(partition_keys=keys, **backfill)
        assert (result.status, result.completed) == ("completed", 2)
        assert result.partition_keys == keys
        assert repo.backfill_partitions(result.backfill_id)["partition"].to_list() == [
            key,
            "ordinary",
        ]
        assert storage.get_materialized_partitions("made") == keys
        assert repo.rerun_backfill(result.backfill_id).status == "completed"
        return result, repo.load_node("made", keys[0])


@FEW
@given(key=ANY_TEXT)
@example(key="x" * 1_000_000)
def test_a_key_comes_back_or_is_refused(key):
    with sandbox() as folder:
        handlers = [
            (rs.PickleIOHandler(folder / "pickle"), {"some": "value"}),
            (rs.ParquetIOHandler(folder / "parquet"), pl.DataFrame({"x": [1]})),
        ]
        for handler, value in handlers:
            if not valid_key(key) or key == "ordinary":
                with pytest.raises(REFUSED):
                    run_everything(folder, key, handler=handler, value=value)
                continue
            _, loaded = run_everything(folder, key, handler=handler, value=value)
            assert loaded.equals(value) if isinstance(value, pl.DataFrame) else loaded == value


@FEW
@given(name=ANY_TEXT, key=ANY_TEXT)
@example(name="n" * 1_000_000, key="k")
def test_names_of_dimensions_and_assets_come_back_or_are_refused(name, key):
    with sandbox() as folder:
        handler = rs.PickleIOHandler(folder / "values")
        calls = []
        try:
            definition = rs.PartitionsDefinition.multi(
                {
                    name: rs.PartitionsDefinition.static_([key]),
                    "other": rs.PartitionsDefinition.static_(["o"]),
                }
            )
            asset = rs.Asset(
                lambda: calls.append(1) or name, name=name, partitions_def=definition,
                io_handler=handler,
            )  # fmt: skip
            storage = rs.Storage.embedded(folder / "rivers.db")
            with rs.CodeRepository([asset]).resolve(storage) as repo:
                result = repo.backfill(partition_range=rs.PartitionKeyRange.multi({}))
                assert result.status == "completed"
                assert (
                    repo.load_node(name, rs.PartitionKey.multi({name: key, "other": "o"})) == name
                )
                assert repo.backfill_partitions(result.backfill_id)["status"].to_list() == [
                    "completed"
                ]
        except REFUSED:
            assert not calls, "refused after something ran"


@FEW
@given(tag=ANY_TEXT.filter(storable), value=ANY_TEXT.filter(storable), note=ANY_TEXT)
@example(tag="t", value="v" * 1_000_000, note="n" * 1_000_000)
def test_tags_and_metadata_come_back_or_are_refused(tag, value, note):
    with sandbox() as folder:
        seen = []

        def look(context):
            seen.append((context.run_tags, context.asset_metadata))

        definition = rs.PartitionsDefinition.static_(["a"])
        looking = rs.Asset(look, name="looking", partitions_def=definition, metadata={note: note})
        storage = rs.Storage.embedded(folder / "rivers.db")
        with rs.CodeRepository([looking]).resolve(storage) as repo:
            keys = [rs.PartitionKey.single("a")]
            if tag.startswith("rivers/"):
                with pytest.raises(RiversError):
                    repo.backfill(partition_keys=keys, tags=[(tag, value)])
                assert not seen
                return
            result = repo.backfill(partition_keys=keys, tags=[(tag, value)])
            assert result.status == "completed"
            ((tags, metadata),) = seen
            assert (tag, value) in tags
            assert metadata == {note: note}
            assert (tag, value) in repo.get_backfill(result.backfill_id).tags
            (run,) = storage.get_runs()
            assert (tag, value) in run.tags


@FEW
@given(message=ANY_TEXT.filter(storable))
@example(message="m" * 1_000_000)
@pytest.mark.parametrize("how", ["raised", "marked", "async"])
def test_the_message_of_an_error_is_kept(how, message):
    with sandbox() as folder:

        def work(context):
            if how == "marked":
                context.mark_partition_failed(context.partition.key, message)
            else:
                raise ValueError(message)

        async def work_later(context):
            work(context)

        fn = work_later if how == "async" else work
        definition = rs.PartitionsDefinition.static_(["a"])
        failing = rs.Asset(fn, name="failing", partitions_def=definition)
        storage = rs.Storage.embedded(folder / "rivers.db")
        with rs.CodeRepository([failing]).resolve(storage) as repo:
            result = repo.backfill(partition_range=rs.PartitionKeyRange.single("a", "a"))
            assert (result.status, result.failed) == ("failed", 1)
            assert message in repo.get_backfill(result.backfill_id).error
            assert message in repo.backfill_partitions(result.backfill_id)["error"][0]


class TextlessError(Exception):
    def __str__(self):
        raise RuntimeError


@pytest.mark.parametrize("error", [ValueError("\ud800"), TextlessError()])
def test_an_error_without_a_storable_message_fails_the_run_alone(error):
    def work(context):
        if context.partition_key == "a":
            raise error

    definition = rs.PartitionsDefinition.static_(["a", "b"])
    failing = rs.Asset(work, name="failing", partitions_def=definition)
    with rs.CodeRepository([failing]).resolve(rs.Storage.memory()) as repo:
        result = repo.backfill(partition_range=rs.PartitionKeyRange.single("a", "b"))
        assert (result.status, result.completed, result.failed) == ("failed", 1, 1)
        assert type(error).__name__ in repo.get_backfill(result.backfill_id).error


@pytest.mark.parametrize(
    "what",
    [
        "tag",
        "value",
        "version",
        "key",
        "dimension",
    ],
)
def test_what_cannot_be_stored_is_refused_with_a_reason(what):
    text = {what: "\ud800"}

    def everything():
        definition = rs.PartitionsDefinition.static_(["a"])
        asset = rs.Asset(
            pytest.fail, name="asset", partitions_def=definition, code_version=text.get("version")
        )
        with rs.CodeRepository([asset]).resolve(rs.Storage.memory()) as repo:
            tags = [(text.get("tag", "tag"), text.get("value", "value"))]
            key = rs.PartitionKey.single("a")
            if what == "key":
                key = rs.PartitionKey.multi({"d": ["\ud800"]})
            if what == "dimension":
                key = rs.PartitionKey.multi({"\ud800": "d"})
            repo.backfill(partition_keys=[key], tags=tags)

    with pytest.raises(REFUSED, match="surrogate"):
        everything()


@FEW
@given(name=ANY_TEXT, key=ANY_TEXT)
@example(name="n", key="k" * 1_000_000)
def test_dynamic_keys_come_back_or_are_refused(name, key):
    with sandbox() as folder:
        storage = rs.Storage.embedded(folder / "rivers.db")
        try:
            storage.add_dynamic_partitions(name, [key])
        except REFUSED:
            return
        assert storage.get_dynamic_partitions(name) == [key]
        assert rs.Storage.embedded(folder / "rivers.db").has_dynamic_partition(name, key)
        assert storage.delete_dynamic_partition(name, key)
        with pytest.warns(UserWarning, match="No dynamic partitions found"):
            assert storage.get_dynamic_partitions(name) == []


@FEW
@given(backfill_id=ANY_TEXT)
def test_an_unknown_id_is_only_unknown(backfill_id):
    with rs.CodeRepository([]).resolve(rs.Storage.memory()) as repo:
        for call in (repo.cancel_backfill, repo.rerun_backfill, repo.resume_backfill):
            with pytest.raises(REFUSED):
                call(backfill_id)
