"""Names of assets, and what an asset declares about its upstream assets."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rivers.assets.asset_def import DepDef
from rivers.exceptions import AssetDefinitionError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

_RESERVED = frozenset("|,=/\\\0\n")


def checked_name(name: str) -> str:
    """Returns the name of an asset.

    Raises:
        AssetDefinitionError: It is empty or contains characters that keys and file names reserve.
    """
    if not name or not name.isprintable() or _RESERVED & set(name):
        msg = f"an asset needs a printable name without any of | , = / \\, got {name!r}"
        raise AssetDefinitionError(msg)
    return name


def check_upstream_defs(name: str, upstream_defs: Mapping[str, DepDef], inputs: list[str]) -> None:
    """Refuses an input that is not a parameter, and a mere dependency that is one.

    Raises:
        AssetDefinitionError: Naming the asset `name` and the upstream.
    """
    for upstream, given in upstream_defs.items():
        if given.kind == "input" and upstream not in inputs:
            msg = (
                f"the asset {name!r} has AssetDef.input({upstream!r}), but no parameter of that "
                f"name; its parameters are {inputs}. Without its value: AssetDef.dep({upstream!r})"
            )
            raise AssetDefinitionError(msg)
        if given.kind == "dep" and upstream in inputs:
            msg = (
                f"the asset {name!r} has AssetDef.dep({upstream!r}), and a parameter of that name, "
                f"which takes its value; use AssetDef.input({upstream!r})"
            )
            raise AssetDefinitionError(msg)


def read_deps(deps: Iterable[Any]) -> tuple[list[str], dict[str, DepDef]]:
    """Returns the names of upstream assets, and what is declared about them.

    Args:
        deps: Assets, names of assets, and `DepDef`s.

    Raises:
        AssetDefinitionError: An entry is something else, or an upstream has two.
    """
    names = [_name_of(dep) for dep in deps]
    upstream_defs = {dep.name: dep for dep in deps if isinstance(dep, DepDef)}
    for name in upstream_defs:
        if names.count(name) > 1:
            msg = f"deps names {name!r} twice; give one AssetDef for it"
            raise AssetDefinitionError(msg)
    return names, upstream_defs


def _name_of(dep: Any) -> str:
    if isinstance(dep, str):
        return dep
    if isinstance(dep, DepDef):
        return dep.name
    if getattr(dep, "assets", None) == [dep]:  # An asset, and not several made in one step.
        return str(dep.name)
    msg = f"deps must be assets, their names, AssetDef.input(...) or AssetDef.dep(...), got {dep!r}"
    raise AssetDefinitionError(msg)
