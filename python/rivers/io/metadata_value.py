"""`MetadataValue`: a fact about what was produced, with its kind."""

from __future__ import annotations

import json
import math
from typing import TYPE_CHECKING, Any, ClassVar

from rivers._text import is_storable, quoted, storable

if TYPE_CHECKING:
    from typing import Self


class MetadataValue:
    """A fact about what an asset produced, with its kind: a text, a number, a URL and so on.

    Each kind is a class, under two names: `MetadataValue.text` makes a text, and `MetadataValue.Text` is
    that class. A plain `str`, `int`, `float`, `bool` or `None` stands for the kind of its type. A value
    equals one of its kind with an equal content, and the content itself.

    Example:
        >>> from rivers import MetadataValue
        >>> source = MetadataValue.url("https://example.com/prices")
        >>> source
        MetadataValue.url("https://example.com/prices")
        >>> isinstance(source, MetadataValue.Url), source.raw_value()
        (True, 'https://example.com/prices')
    """

    __slots__ = ("_value",)

    Text: ClassVar[type[_Text]]
    Int: ClassVar[type[_Int]]
    Float: ClassVar[type[_Float]]
    Bool: ClassVar[type[_Bool]]
    Url: ClassVar[type[_Url]]
    Path: ClassVar[type[_Path]]
    Json: ClassVar[type[_Json]]
    Markdown: ClassVar[type[_Markdown]]
    Timestamp: ClassVar[type[_Timestamp]]
    Null: ClassVar[type[_Null]]
    text: ClassVar[type[_Text]]
    int: ClassVar[type[_Int]]
    float_: ClassVar[type[_Float]]
    bool_: ClassVar[type[_Bool]]
    url: ClassVar[type[_Url]]
    path: ClassVar[type[_Path]]
    json: ClassVar[type[_Json]]
    md: ClassVar[type[_Markdown]]
    timestamp: ClassVar[type[_Timestamp]]
    null: ClassVar[type[_Null]]

    _name: ClassVar[str]
    _value: Any

    def __new__(cls, *_: Any) -> Self:  # noqa: D102  (a kind's `__init__` says what it takes)
        if cls is MetadataValue:
            msg = "use MetadataValue.text(...), .int(...), .url(...) and so on"
            raise TypeError(msg)
        return super().__new__(cls)

    def raw_value(self) -> Any:
        """Returns the content: a `str`, a number, a `bool`, `None`, or what JSON can hold."""
        return self._value

    @staticmethod
    def of(value: object) -> MetadataValue:
        """Returns a value as a `MetadataValue`.

        Args:
            value: A `str`, `int`, `float`, `bool`, `None` or a `MetadataValue`.

        Raises:
            TypeError: It is none of these.
        """
        if isinstance(value, MetadataValue):
            return value
        if value is None:
            return _Null()
        for plain, kind in _KINDS:
            if isinstance(value, plain):
                made: MetadataValue = kind(value)
                return made
        msg = (
            f"metadata must be str, int, float, bool, None or a MetadataValue, got {value!r} "
            f"({type(value).__name__}); MetadataValue.json(...) takes lists and dicts"
        )
        raise TypeError(msg)

    def __eq__(self, other: object) -> bool:
        if isinstance(other, MetadataValue):
            return type(self) is type(other) and self._value == other._value
        return bool(self._value == other)

    def __hash__(self) -> _int:
        return hash(self._value if not isinstance(self, _Json) else repr(self._value))

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), () if isinstance(self, _Null) else (self._value,)

    def __repr__(self) -> str:
        value = self._value
        shown = quoted(value) if isinstance(value, str) else repr(value)
        return f"MetadataValue.{self._name}({'' if isinstance(self, _Null) else shown})"


_int = int
"""The built-in type, which a class attribute hides above."""


class _OfText(MetadataValue):
    """A value whose content is text."""

    __slots__ = ()

    def __init__(self, value: str) -> None:
        self._value = _checked(self._name, value, str)


class _Text(_OfText):
    """A text."""

    __slots__ = ()
    _name = "text"


class _Url(_OfText):
    """The URL of something that was produced, or that it was produced from."""

    __slots__ = ()
    _name = "url"


class _Path(_OfText):
    """The path of a file or folder."""

    __slots__ = ()
    _name = "path"


class _Markdown(_OfText):
    """A text in Markdown."""

    __slots__ = ()
    _name = "md"


class _Int(MetadataValue):
    """A whole number."""

    __slots__ = ()
    _name = "int"

    def __init__(self, value: int) -> None:
        self._value = _checked(self._name, value, int)


class _Float(MetadataValue):
    """A number."""

    __slots__ = ()
    _name = "float_"

    def __init__(self, value: float) -> None:
        self._value = float(_checked(self._name, value, float, int))


class _Bool(MetadataValue):
    """True or false."""

    __slots__ = ()
    _name = "bool_"

    def __init__(self, value: bool) -> None:
        self._value = _checked(self._name, value, bool)


class _Timestamp(MetadataValue):
    """A time, in seconds since 1970 UTC."""

    __slots__ = ()
    _name = "timestamp"

    def __init__(self, value: float) -> None:
        self._value = float(_checked(self._name, value, float, int))


class _Json(MetadataValue):
    """What JSON can hold; a `str` is JSON text."""

    __slots__ = ()
    _name = "json"

    def __init__(self, value: Any) -> None:
        try:
            json.loads(value) if isinstance(value, str) else json.dumps(value, allow_nan=False)
        except (ValueError, TypeError, RecursionError) as error:
            msg = (
                f"MetadataValue.json takes JSON text or what JSON can hold, got {value!r}: {error}"
            )
            raise TypeError(msg) from error
        self._value = value


class _Null(MetadataValue):
    """Nothing."""

    __slots__ = ()
    _name = "null"

    def __init__(self) -> None:
        self._value = None


_KINDS: tuple[tuple[type, Any], ...] = ((str, _Text), (bool, _Bool), (int, _Int), (float, _Float))

for _kind in (_Text, _Int, _Float, _Bool, _Url, _Path, _Json, _Markdown, _Timestamp, _Null):
    setattr(MetadataValue, _kind._name, _kind)  # noqa: SLF001
    setattr(MetadataValue, _kind.__name__.removeprefix("_"), _kind)
    _kind.__qualname__ = f"MetadataValue.{_kind.__name__.removeprefix('_')}"


def _checked(name: str, value: Any, *kinds: type) -> Any:
    is_bool = isinstance(value, bool) and bool not in kinds
    if not isinstance(value, kinds) or is_bool:
        msg = f"MetadataValue.{name} takes {kinds[0].__name__}, got {value!r} ({type(value).__name__})"
        raise TypeError(msg)
    return value


_ENCODER = json.JSONEncoder(ensure_ascii=False)
DATA_VERSION = "rivers/data_version"
"""The name under which `Output(data_version=)` is recorded with the metadata."""


def to_json(metadata: dict[str, MetadataValue]) -> str:
    """The JSON object that is stored: values as they are, numbers without a JSON form as text."""
    plain = {storable(name): _plain(value.raw_value()) for name, value in metadata.items()}
    return _ENCODER.encode(plain)


def _plain(value: Any) -> Any:
    if isinstance(value, str):
        return value if is_storable(value) else storable(value)
    if isinstance(value, float) and not math.isfinite(value):
        return json.dumps(value)
    return value
