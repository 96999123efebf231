"""Runs mypy's stubtest over the stubs of the binding.

The stubs are divided by subject, but the binding is one module, and stubtest compares a name only with the
stub that defines it. So each stub is compared with a module that has the binding's objects of its names.
"""

import ast
import sys
from pathlib import Path
from types import ModuleType

from mypy import stubtest

from rivers import _rivers

PACKAGE = Path(_rivers.__file__).parent
ALLOWLIST = Path(__file__).with_name("stubtest-allowlist.txt")


def defined_names(stub: Path) -> list[str]:
    """Returns the classes and functions that a stub defines."""
    body = ast.parse(stub.read_text(encoding="utf-8")).body
    return [node.name for node in body if isinstance(node, ast.ClassDef | ast.FunctionDef)]


def main() -> int:
    """Returns the exit code of stubtest."""
    for stub in PACKAGE.glob("_*.pyi"):
        if stub.stem != "_rivers":
            module = ModuleType(f"rivers.{stub.stem}")
            module.__dict__.update(
                {
                    name: getattr(_rivers, name)
                    for name in defined_names(stub)
                    if hasattr(_rivers, name)
                }
            )
            sys.modules[module.__name__] = module
    modules = [f"rivers.{stub.stem}" for stub in sorted(PACKAGE.glob("_*.pyi"))]
    arguments = [*modules, "--mypy-config-file", "pyproject.toml", "--allowlist", str(ALLOWLIST)]
    return stubtest.test_stubs(stubtest.parse_options(arguments))


if __name__ == "__main__":
    sys.exit(main())
