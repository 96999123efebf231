"""What a function may return in place of a bare value."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping


@dataclass(frozen=True)
class Output:
    """A value with facts about it; a multi-asset yields one for each of its outputs.

    Attributes:
        value: The value.
        output_name: Name of the output; required if a multi-asset yields it.
        metadata: Facts about the value, which override those added through the context.
        data_version: Version of the data.
        tags: Free labels of this value.

    Example:
        >>> import rivers as rs
        >>> @rs.Asset
        ... def rows() -> rs.Output:
        ...     return rs.Output([1, 2], metadata={"rows": 2})
        >>> repo = rs.CodeRepository([rows]).resolve(rs.Storage.memory())
        >>> repo.materialize().success, repo.load_node("rows")
        (True, [1, 2])
    """

    value: Any = None
    output_name: str | None = None
    metadata: Mapping[str, Any] | None = field(default=None, kw_only=True)
    data_version: str | None = field(default=None, kw_only=True)
    tags: Mapping[str, str] | None = field(default=None, kw_only=True)


@dataclass(frozen=True, kw_only=True)
class Materialization:
    """Returned by a function that has stored its data itself.

    The asset is recorded as materialized, and no IO handler is called. No other asset can take its value.

    Attributes:
        metadata: Facts about the data.
        data_version: Version of the data.
        tags: Free labels of this materialization.
        output_name: Name of the output; required if a multi-asset yields it.

    Example:
        >>> import rivers as rs
        >>> @rs.Asset
        ... def table() -> rs.Materialization:
        ...     # Write the table here.
        ...     return rs.Materialization(metadata={"rows": 2})
        >>> rs.CodeRepository([table]).resolve(rs.Storage.memory()).materialize().success
        True
    """

    metadata: Mapping[str, Any] | None = None
    data_version: str | None = None
    tags: Mapping[str, str] | None = None
    output_name: str | None = None
