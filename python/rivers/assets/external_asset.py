"""External assets: data made elsewhere, which other assets take."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rivers.assets.asset import Asset
from rivers.exceptions import AssetDefinitionError

if TYPE_CHECKING:
    from collections.abc import Callable

    from rivers.io import BaseIOHandler


class ExternalAsset(Asset):
    """What `Asset.external` makes."""

    is_external = True

    def __init__(self, name: str, *, io_handler: BaseIOHandler, **options: Any) -> None:
        if io_handler is None:
            msg = f"the external asset {name!r} needs an io_handler, which loads its values"
            raise AssetDefinitionError(msg)
        if not isinstance(name, str):
            msg = f"name of an external asset must be a str, got {name!r}"
            raise AssetDefinitionError(msg)
        super().__init__(None, name=name, io_handler=io_handler, **options)

    def _bind(self, fn: Callable[..., Any] | None) -> None:
        super()._bind(fn)
        self.name = self._check_name(self._given["name"])
        self._is_a_step()

    def __call__(self, *args: Any, **kwargs: Any) -> Any:  # noqa: ARG002  (whatever they are)
        """Nothing makes an external asset here."""
        msg = (
            f"the asset {self.name!r} is external: it has no function; load_node() gives its value"
        )
        raise AssetDefinitionError(msg)

    def __repr__(self) -> str:
        return f"<external Asset {self.name!r}>"
