"""Annotated attributes of a handler are its fields, as in a pydantic model of settings."""

from __future__ import annotations

import pickle
import subprocess
import sys
from pathlib import Path
from typing import Annotated, ClassVar

import cloudpickle
import pydantic
import pytest
from tests.io.contexts import loading, storing
from tests.support import TIMEOUT

import rivers as rs
from rivers.exceptions import ConfigurationError, RiversError
from rivers.io import BaseIOHandler

cloudpickle.register_pickle_by_value(sys.modules[__name__])


class Plain(BaseIOHandler):
    def handle_output(self, context, value):
        vars(self).setdefault("values", {})[context.asset_name] = value

    def load_input(self, context):
        return self.values[context.asset_name]


class Settings(Plain):
    base: str
    retries: int = 3
    seen: list = []  # noqa: RUF012 (it is copied)
    path: Path | None = None
    _hidden: int = 5
    shared: ClassVar[dict] = {}
    unit = "pieces"


class Larger(Settings):
    retries: int = 5
    region: str = "us"


def test_fields_are_given_by_keyword_and_converted():
    made = Settings(base="x", retries="7", path="a/b")
    assert (made.base, made.retries, made.path) == ("x", 7, Path("a/b"))
    assert Settings(base="x").retries == 3


def test_a_subclass_inherits_fields_and_changes_defaults():
    made = Larger(base="x", region="eu")
    assert (made.base, made.retries, made.region, made.seen) == ("x", 5, "eu", [])

    class Renamed(Settings):
        base = "given"

    assert Renamed().base == "given"


def test_a_default_is_copied_for_each_handler():
    class Unhashable:
        pass

    class Sharing(Plain):
        seen: list = []  # noqa: RUF012
        thing: Unhashable = Unhashable()

    one, other = Sharing(), Sharing()
    one.seen.append(1)
    assert other.seen == []
    assert Sharing.seen == []
    assert one.thing is not other.thing


def test_an_argument_is_not_copied():
    seen = object()

    class Holding(Plain):
        held: object

    assert Holding(held=seen).held is seen


def test_nothing_is_read_from_the_environment(monkeypatch):
    monkeypatch.setenv("BASE", "environment")
    monkeypatch.setenv("PATH", "environment")
    assert Settings(base="x").path is None
    with pytest.raises(ConfigurationError, match="base"):
        Settings()


@pytest.mark.parametrize(
    ("fields", "named"),
    [
        ({}, "base: Field required"),
        ({"base": "x", "retrys": 1}, "no field 'retrys'.*did you mean 'retries'"),
        ({"base": "x", "retries": "many"}, "retries: Input should be a valid integer"),
        ({"base": "x", "unit": "kg"}, "no field 'unit'"),
        ({"base": "x", "_hidden": 1}, "no field '_hidden'"),
        ({"base": "x", "shared": {}}, "no field 'shared'"),
    ],
)
def test_what_does_not_fit_is_a_value_error_that_names_the_field(fields, named):
    with pytest.raises(ValueError, match=named) as caught:
        Settings(**fields)
    assert isinstance(caught.value, RiversError)
    assert "Settings" in str(caught.value)


def test_fields_are_not_positional():
    with pytest.raises(TypeError):
        Settings("x")


def test_an_init_of_its_own_is_called_instead():
    class Own(Plain):
        size: int

        def __init__(self, size):
            self.size = size

    class Above(Settings):
        def __init__(self, name):
            super().__init__(base=name, retries="4")

    assert Own("not converted").size == "not converted"
    assert (Above("x").base, Above("x").retries) == ("x", 4)


def test_a_field_may_have_a_name_of_a_method_of_models():
    class Clashing(Plain):
        schema: str = "public"
        copy: int = 1
        model_path: str = "m"

    made = Clashing(copy="2")
    assert (made.schema, made.copy, made.model_path) == ("public", 2, "m")


def test_pydantic_can_constrain_and_validate_fields():
    class Checked(Plain):
        size: Annotated[int, pydantic.Field(gt=0)] = 1
        name: str = pydantic.Field(min_length=2)

        @pydantic.field_validator("name")
        @classmethod
        def upper(cls, value):
            return value.upper()

    assert Checked(name="ab").name == "AB"
    with pytest.raises(ValueError, match="size"):
        Checked(name="ab", size=0)


def test_an_annotation_may_name_a_class_of_the_function_around():
    class Local(pydantic.BaseModel):
        x: int

    class Holding(Plain):
        local: Local

    assert Holding(local={"x": "3"}).local == Local(x=3)


def test_a_handler_can_be_pickled_and_is_hashable_by_identity():
    class Local(Settings):
        extra: int = 1

    for made in (Settings(base="x", retries=4), Local(base="x", extra=4)):
        copy = pickle.loads(cloudpickle.dumps(made))
        assert vars(copy) == vars(made)
        assert copy != made
        assert len({made, copy, made}) == 2
    assert pickle.loads(cloudpickle.dumps(Local))(base="y").extra == 1


def test_a_handler_with_fields_works_in_a_run(repo):
    handler = Settings(base="x")

    @rs.Asset(io_handler=handler)
    def number():
        return 4

    @rs.Asset
    def double(number):
        return 2 * number

    repository = repo(number, double)
    assert repository.materialize().success
    assert repository.load_node("double") == 8


def test_built_in_handlers_can_be_subclassed(tmp_path):
    class Tagged(rs.PickleIOHandler):
        tag: str = "t"

    handler = Tagged(tmp_path)
    handler.handle_output(storing(), 5)
    assert (handler.load_input(loading()), handler.tag) == (5, "t")


def test_defaults_are_validated_and_converted():
    class Handler(Settings):
        folder: Path = "data"
        size: int = pydantic.Field(default="3")

    made = Handler(base="x")
    assert (made.folder, made.size) == (Path("data"), 3)

    class Wrong(Settings):
        size: int = "many"

    with pytest.raises(ValueError, match="size"):
        Wrong(base="x")


PROGRAM = """
import pydantic, rivers as rs

class Db(rs.Resource):
    url: str = "x"

    @pydantic.field_validator("url")
    @classmethod
    def upper(cls, value):
        return value.upper()

@rs.Asset(partitions_def=rs.PartitionsDefinition.static_(["a"]))
def asset(db: Db):
    return db.url, Db(url="y").url, Db.upper("z")

executor = rs.Executor.parallel(max_workers=1)
repo = rs.CodeRepository([asset], resources={"db": Db()}, default_executor=executor)
with repo.resolve(rs.Storage.embedded("r.db")):
    key = rs.PartitionKey.single("a")
    result = repo.backfill(partition_keys=[key])
    print(result.completed, repo.load_node("asset", key))
"""


def test_a_class_of_a_program_with_a_validator_goes_to_worker_processes(tmp_path):
    program = tmp_path / "program.py"
    program.write_text(PROGRAM)
    ended = subprocess.run(
        [sys.executable, program], cwd=tmp_path, capture_output=True, text=True, check=False,
        timeout=TIMEOUT,
    )  # fmt: skip
    assert (ended.stdout, ended.returncode) == ("1 ('X', 'Y', 'Z')\n", 0), ended.stderr
