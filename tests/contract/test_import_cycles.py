"""No file imports a file that needs it: in the package, in the binding, inside a stage of the core.

Folders of `python/rivers` import only from those below them. Imports for type checking count as well.
"""

import ast
import re
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
CORE = ROOT / "rust" / "rivers-core" / "src"
BINDING = ROOT / "rust" / "rivers-python" / "src"
PACKAGE = ROOT / "python" / "rivers"
STAGES = ["space", "plan", "queue", "backfill", "store", "table", "engine"]

LAYERS = [
    "exceptions", "_fork", "_lazy", "_text", "_validation", "_rivers", "_arrow", "_worker_counts", "partitions", "policies", "io",
    "io_handlers", "execution", "status", "storage", "client", "assets", "planning", "repository", "telemetry", "testing", "pytest_plugin",
    "__init__", "ui", "cli", "__main__",
]  # fmt: skip
"""The modules and folders of the package from the ground up: each uses only those before it."""


def find_cycle(edges):
    """Modules that import each other in a circle, the first repeated at the end; `[]`: there are none."""
    try:
        TopologicalSorter(edges).prepare()
    except CycleError as error:
        return error.args[1]
    return []


class RustTree:
    """The modules of a crate and what they import, through re-exports, from each other.

    A module is the tuple of the segments of its path, without the root's.
    """

    def __init__(self, root):
        self.code = {self._module(root, path): self._read(path) for path in root.rglob("*.rs")}
        self.uses = {module: list(self._uses(text)) for module, text in self.code.items()}

    @staticmethod
    def _module(root, path):
        parts = path.relative_to(root).with_suffix("").parts
        return parts[:-1] if parts[-1] in ("mod", "lib") else parts

    @staticmethod
    def _read(path):
        """The code without comments and literals, and without the tests at its end."""
        literal = r'"(?:\\.|[^"\\])*"|\'(?:\\.|[^\'\\])\'|//[^\n]*'
        text = re.sub(literal, "", path.read_text(encoding="utf-8"), flags=re.DOTALL)
        return text.partition("#[cfg(test)]\nmod tests")[0]

    def _uses(self, text):
        """Each import as (whether it is a re-export, the path, the name it binds)."""
        for public, tree in re.findall(r"\b(pub(?:\([^)]*\))?\s+)?use\s+([^;]+);", text):
            for path in _flat("".join(re.sub(r"\s+as\s+", "@", tree).split())):
                *start, last = path
                last, _, alias = last.partition("@")
                yield bool(public), (*start, last), alias or last

    def _resolve(self, module, path, seen=()):
        """The module that defines what a path means in another; `None`: it is of another crate."""
        first, *rest = path
        if first == "crate":
            at = ()
        elif first == "self":
            at = module
        elif first == "super":
            at = module[:-1]
            while rest and rest[0] == "super":
                at, rest = at[:-1], rest[1:]
        elif (*module, first) in self.code:
            at = (*module, first)
        else:
            return None
        while rest and (*at, rest[0]) in self.code:
            at, rest = (*at, rest[0]), rest[1:]
        if rest and (at, rest[0]) not in seen:
            for _, used, bound in self.uses.get(at, ()):
                if bound == rest[0]:
                    found = self._resolve(at, used, (*seen, (at, rest[0])))
                    return at if found is None else found
        return at

    def edges(self):
        """For each module those that it imports."""
        found = {module: set() for module in self.code}
        for module, text in self.code.items():
            body = re.sub(r"\b(pub(\([^)]*\))?\s+)?use\s+[^;]+;", "", text)
            paths = [
                path
                for is_reexport, path, bound in self.uses[module]
                # What is only passed on is not needed here.
                if not is_reexport or re.search(rf"\b{re.escape(bound)}\b", body)
            ]
            paths += [
                tuple(path.split("::"))
                for path in re.findall(r"\b(?:crate|super)(?:::\w+)+", body)
                if not path.startswith("super::super")
            ]
            targets = {self._resolve(module, path) for path in paths}
            found[module] |= targets - {module, None}
        return found


def _flat(tree):
    """The paths of a `use`, with the groups in braces expanded."""
    head, brace, rest = tree.partition("{")
    if not brace:
        return [tuple(tree.split("::"))]
    parts, depth, start = [], 0, 0
    inner = rest[: rest.rindex("}")]
    for at, sign in enumerate([*inner, ","]):
        depth += (sign == "{") - (sign == "}")
        if sign == "," and depth == 0:
            parts.append(inner[start:at])
            start = at + 1
    prefix = tuple(part for part in head.split("::") if part)
    return [
        prefix if path == ("self",) else prefix + path
        for part in parts
        if part
        for path in _flat(part)
    ]


class PythonTree:
    """The modules of a package and what they import from each other, also for type checking.

    Stubs are no part of it: they are never imported.
    """

    def __init__(self, root):
        self.package = root.name
        self.binary = {("_rivers",)}
        self.trees = {
            self._module(root, path): ast.parse(path.read_text(encoding="utf-8"))
            for path in root.rglob("*.py")
        }
        self.packages = {
            self._module(root, path) for path in root.rglob("__init__.py")
        }  # their relative imports start from themselves
        self.names = {module: list(self._names(module)) for module in self.trees}

    @staticmethod
    def _module(root, path):
        parts = path.relative_to(root).with_suffix("").parts
        return parts[:-1] if parts[-1] == "__init__" else parts

    def _names(self, module):
        """Each import as (the module or package, the name out of it or `None`, the name it binds)."""
        for node in ast.walk(self.trees[module]):
            if isinstance(node, ast.Import):
                for alias in node.names:
                    first, *path = alias.name.split(".")
                    if first == self.package:
                        yield tuple(path), None, alias.asname
            elif isinstance(node, ast.ImportFrom):
                path = tuple(node.module.split(".")) if node.module else ()
                if node.level:
                    up = node.level - (module in self.packages)
                    path = (*module[: len(module) - up], *path)
                elif path[:1] == (self.package,):
                    path = path[1:]
                else:
                    continue
                for alias in node.names:
                    yield path, alias.name, alias.asname or alias.name

    def _is_module(self, path):
        return path in self.trees or path in self.binary

    def _resolve(self, path, name, seen=()):
        """The module that defines a name which is imported from another."""
        if name is None:
            return path
        if self._is_module((*path, name)):
            return (*path, name)
        # The package itself stays: it imports everything, whatever is taken from it.
        if path and (path, name) not in seen:
            for origin, original, bound in self.names.get(path, ()):
                if bound == name and path in self.packages:
                    return self._resolve(origin, original, (*seen, (path, name)))
        return path

    def edges(self):
        """For each module those that it imports; the package's own `__init__` is `()`."""
        return {
            module: {self._resolve(path, name) for path, name, _ in names} - {module}
            for module, names in self.names.items()
        }


def upward(edges, layers):
    """Imports of a module from a folder above its own, and modules that are in no layer."""
    rank = {layer: at for at, layer in enumerate(layers)}
    floor = lambda module: module[0] if module else "__init__"  # noqa: E731
    known = {module for module in edges if floor(module) in rank}
    found = [f"{'.'.join(module)} is in no layer" for module in sorted(set(edges) - known)]
    return found + sorted(
        f"{'.'.join(module)} imports {'.'.join(used) or layers[rank['__init__']]}"
        for module in known
        for used in edges[module]
        if floor(used) in rank and rank[floor(used)] > rank[floor(module)]
    )


@pytest.fixture(scope="module")
def core():
    return RustTree(CORE).edges()


@pytest.fixture(scope="module")
def package():
    return PythonTree(PACKAGE).edges()


@pytest.mark.parametrize("stage", STAGES)
def test_no_import_cycle_inside_a_stage_of_the_core(core, stage):
    inside = {module: uses for module, uses in core.items() if module[:1] == (stage,)}
    assert any(inside.values())
    assert find_cycle(inside) == []


def test_no_import_cycle_in_the_binding():
    edges = RustTree(BINDING).edges()
    assert len(edges[()]) > len(STAGES)
    assert find_cycle(edges) == []


def test_no_import_cycle_in_the_package(package):
    assert len(package[("repository", "repository")]) > 1
    assert find_cycle(package) == []


def test_folders_of_the_package_import_only_from_those_below(package):
    assert upward(package, LAYERS) == []


def write(root, files):
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    return root


RUST = {
    "lib.rs": "pub mod stage;\npub mod error;\n",
    "error.rs": "pub struct Error;\n",
    "stage/mod.rs": "mod a;\nmod b;\npub mod c;\npub use a::{A, Other as Renamed};\npub use b::B;\n",
    "stage/a.rs": "use crate::error::Error;\npub struct A;\npub struct Other;\n",
    "stage/b.rs": "use super::A;\npub struct B(A);\n",
    "stage/c/mod.rs": "mod d;\nuse crate::stage::{\n    B,\n    a::{self, A},\n};\npub use d::D;\npub struct C(B);\n",
    "stage/c/d.rs": "use super::C;\npub struct D(C);\n",
}


def test_a_rust_tree_without_a_cycle(tmp_path):
    edges = RustTree(write(tmp_path, RUST)).edges()
    assert edges[("stage", "a")] == {("error",)}
    assert edges[("stage", "b")] == {("stage", "a")}
    assert edges[("stage", "c")] == {("stage", "a"), ("stage", "b")}
    assert edges[("stage", "c", "d")] == {("stage", "c")}
    assert find_cycle(edges) == []


@pytest.mark.parametrize(
    ("path", "line"),
    [
        ("stage/a.rs", "use super::B;"),
        ("stage/a.rs", "use crate::stage::{c::D};"),
        ("stage/a.rs", "pub(super) use super::b::B as Bee;\nfn f(_: Bee) {}"),
        ("stage/a.rs", "fn f() { crate::stage::b::g(); }"),
        ("stage/c/mod.rs", "fn f(_: D) {}"),
        ("error.rs", "use crate::stage::Renamed;"),
    ],
)
def test_a_cycle_in_a_rust_tree_is_found(tmp_path, path, line):
    edges = RustTree(write(tmp_path, RUST | {path: RUST[path] + line})).edges()
    assert find_cycle(edges) != []


@pytest.mark.parametrize(
    "line", ["// use super::B;\n", "#[cfg(test)]\nmod tests {\n    use super::super::B;\n}\n"]
)
def test_comments_and_tests_of_a_rust_file_do_not_count(tmp_path, line):
    edges = RustTree(write(tmp_path, RUST | {"stage/a.rs": RUST["stage/a.rs"] + line})).edges()
    assert find_cycle(edges) == []


PYTHON = {
    "__init__.py": "from pkg.high import High\n",
    "low/__init__.py": "from pkg.low.one import One\nfrom .two import Two\n",
    "low/one.py": "class One: pass\n",
    "low/two.py": "from pkg.low import One\nclass Two(One): pass\n",
    "high.py": "import pkg.low.one\nfrom pkg.low import Two\nclass High(Two): pass\n",
}


def test_a_package_without_a_cycle(tmp_path):
    tree = PythonTree(write(tmp_path / "pkg", PYTHON))
    edges = tree.edges()
    assert edges[("low", "two")] == {("low", "one")}
    assert edges[("high",)] == {("low", "one"), ("low", "two")}
    assert find_cycle(edges) == []
    assert upward(edges, ["low", "high", "__init__"]) == []
    assert upward(edges, ["low", "__init__"]) == ["high is in no layer"]


@pytest.mark.parametrize(
    ("path", "lines"),
    [
        ("low/one.py", "from pkg.low import Two\n"),
        ("low/one.py", "from . import two\n"),
        ("low/one.py", "if TYPE_CHECKING:\n    from pkg.low.two import Two\n"),
        ("low/one.py", "def f():\n    import pkg.low.two\n"),
    ],
)
def test_a_cycle_in_a_package_is_found(tmp_path, path, lines):
    tree = PythonTree(write(tmp_path / "pkg", PYTHON | {path: PYTHON[path] + lines}))
    assert find_cycle(tree.edges()) != []


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        ("from pkg.high import High\n", "low.one imports high"),
        ("from pkg import High\n", "low.one imports __init__"),
        ("def f():\n    from ..high import High\n", "low.one imports high"),
    ],
)
def test_an_import_from_above_is_found(tmp_path, lines, message):
    files = PYTHON | {"low/one.py": PYTHON["low/one.py"] + lines}
    edges = PythonTree(write(tmp_path / "pkg", files)).edges()
    assert upward(edges, ["low", "high", "__init__"]) == [message]
