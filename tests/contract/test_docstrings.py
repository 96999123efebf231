"""Every example in a docstring runs, in an empty directory and with a storage in memory."""

import ast
import doctest
import importlib
import pkgutil
from pathlib import Path

import pytest

import rivers

STUBS = sorted(Path(rivers.__file__).parent.glob("_*.pyi"))
FLAGS = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE


def examples():
    finder = doctest.DocTestFinder(exclude_empty=True)
    modules = [rivers] + [
        importlib.import_module(found.name)
        for found in pkgutil.walk_packages(rivers.__path__, "rivers.")
        if not any(part.startswith("_") for part in found.name.split("."))
    ]
    for module in modules:
        for test in finder.find(module):
            if test.examples:
                yield pytest.param(test, id=test.name)
    yield from stub_examples()


def stub_examples():
    """Yields the examples of the stubs, whose docstrings editors show for classes written in Rust."""
    parser = doctest.DocTestParser()
    for stub in STUBS:
        for node in ast.walk(ast.parse(stub.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef):
                name = getattr(node, "name", stub.name)
                line = getattr(node, "lineno", 1)
                test = parser.get_doctest(ast.get_docstring(node) or "", {}, name, str(stub), line)
                if test.examples:
                    yield pytest.param(test, id=f"{stub.name}:{line}:{name}")


@pytest.mark.parametrize("test", list(examples()))
def test_example(test, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("RIVERS_STORAGE", "memory")
    told = []
    doctest.DocTestRunner(optionflags=FLAGS).run(test, out=told.append)
    assert not told, "".join(told)


def test_the_main_calls_have_examples():
    documented = {parameter.id for parameter in examples()}
    assert {
        "rivers.repository.repository.CodeRepository",
        "rivers.assets.asset.Asset",
        "rivers.execution.context.AssetExecutionContext",
        "rivers.partitions.key_range.PartitionKeyRange",
        "rivers.policies.strategy.BackfillStrategy",
        "rivers.storage.storage.Storage",
    } <= documented
