"""`Resource`: a named object that functions share, such as a connection to a database."""

from __future__ import annotations

from typing import Any

from pydantic.fields import ModelPrivateAttr

from rivers.io.fields import field_values, remember_fields


class Resource:
    """An object that assets and tasks take by its name in `CodeRepository(resources={...})`.

    A parameter that names no upstream asset gets the resource of that name. Annotated attributes of a
    subclass are its fields: keyword arguments of the constructor, which pydantic validates and
    converts. A default is copied for each resource. Attributes without an annotation, and names that
    begin with `_`, are no fields, and nothing is read from the environment. A subclass may define an
    `__init__` of its own instead. Any pydantic model can be a resource, too, and so can an IO handler,
    which `io_handler="name"` then means.

    `setup()` is called once when the repository connects to its storage, and once in each worker process
    before its first run; a worker process gets the resource as it was before `setup()`. `teardown()` is
    called at `close()`, and at the end of each worker process.

    Raises:
        ConfigurationError: A field without a default is not given, a keyword names no field, or a value
            cannot be converted to its field's type.

    Example:
        >>> import rivers as rs
        >>> class Prices(rs.Resource):
        ...     currency: str
        ...     digits: int = 2
        ...
        ...     def setup(self):
        ...         self._table = {"apple": 1.234}
        ...
        ...     def price(self, name):
        ...         return f"{self._table[name]:.{self.digits}f} {self.currency}"
        >>> @rs.Asset
        ... def apples(prices: Prices) -> str:
        ...     return prices.price("apple")
        >>> resources = {"prices": Prices(currency="EUR")}
        >>> with rs.CodeRepository([apples], resources=resources).resolve(
        ...     rs.Storage.memory()
        ... ) as repo:
        ...     repo.materialize().success, repo.load_node("apples")
        (True, '1.23 EUR')
    """

    def __init__(self, **fields: Any) -> None:
        for owner in reversed(type(self).__mro__):
            for name, value in vars(owner).items():
                if isinstance(value, ModelPrivateAttr):  # As in a pydantic model.
                    setattr(self, name, value.get_default())
        vars(self).update(field_values(type(self), Resource, fields))

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        remember_fields(cls)

    def setup(self) -> None:
        """Prepares the resource in this process; does nothing unless a subclass defines it."""

    def teardown(self) -> None:
        """Releases what `setup()` has acquired; does nothing unless a subclass defines it."""

    def __repr__(self) -> str:
        fields = ", ".join(
            f"{name}={value!r}" for name, value in vars(self).items() if not name.startswith("_")
        )
        return f"{type(self).__name__}({fields})"
