"""Annotated attributes of a handler or a resource as fields, as in a pydantic model of settings.

The model is made when the first handler of a class is. It is kept apart from the class, so that a
class of a worker process travels there without it.
"""

from __future__ import annotations

import copy
import functools
import inspect
import sys
import typing
import warnings
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

import pydantic
from pydantic.fields import FieldInfo

from rivers._text import did_you_mean, listed
from rivers.exceptions import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from types import FrameType

_models: WeakKeyDictionary[type, type[pydantic.BaseModel]] = WeakKeyDictionary()
_ANNOTATIONS = "_field_annotations"
_VALIDATORS = "_field_validators"


def remember_fields(cls: type) -> None:
    """Note what a class declares about its fields, while it is being defined.

    Annotations that are texts are evaluated while the names of the class's function are known; a text
    that cannot be evaluated yet is evaluated when the first handler is made. What a validator of
    pydantic decorates becomes a method, as in a model: pydantic's own object cannot be unpickled.
    """
    validators = {
        name: (type(value), value.wrapped, value.decorator_info)
        for name, value in vars(cls).items()
        if type(value).__name__ == "PydanticDescriptorProxy"
    }
    for name, (_, wrapped, _) in validators.items():
        setattr(cls, name, wrapped)
    if validators:
        setattr(cls, _VALIDATORS, validators)
    own = inspect.get_annotations(cls)
    if not any(isinstance(annotation, str) for annotation in own.values()):
        return
    names = {**vars(sys.modules[cls.__module__]), **_locals_of_definition()}
    evaluated = {}
    for name, annotation in own.items():
        try:
            evaluated[name] = (
                eval(annotation, names)  # noqa: S307  (the user's own annotation)
                if isinstance(annotation, str)
                else annotation
            )
        except Exception:  # noqa: BLE001  (an annotation can raise anything)
            evaluated[name] = annotation
    setattr(cls, _ANNOTATIONS, evaluated)


def field_values(cls: type, base: type, given: Mapping[str, Any]) -> dict[str, Any]:
    """Return the validated value of each field of a class.

    Args:
        cls: The handler's class.
        base: The class whose attributes, and those of the classes above it, are no fields.
        given: The keyword arguments.

    Raises:
        ConfigurationError: If a field has no value, a keyword names no field, or a value cannot be
            converted to the field's type. The error names the field.
    """
    model = _models.get(cls)
    if model is None:
        model = _models[cls] = _model_of(cls, base)
    fields = list(model.model_fields)
    for name in given:
        if name not in fields:
            known = f"its fields are {listed(fields)}" if fields else "it has no fields"
            msg = f"{cls.__name__} has no field {name!r}; {known}{did_you_mean(name, fields)}"
            raise ConfigurationError(msg)
    try:
        made = model(**given)
    except pydantic.ValidationError as error:
        problems = "; ".join(
            f"{'.'.join(map(str, problem['loc'])) or 'the fields together'}: {problem['msg']}"
            for problem in error.errors()
        )
        msg = f"{cls.__name__} cannot be made of these fields: {problems}"
        raise ConfigurationError(msg) from None
    return {name: getattr(made, name) for name in fields}


def _model_of(cls: type, base: type) -> type[pydantic.BaseModel]:
    """Make the model of a class: its fields, and the validators that it declares with pydantic."""
    namespace: dict[str, Any] = {}
    annotations: dict[str, Any] = {}
    for owner in reversed(cls.__mro__):
        if owner in base.__mro__ or owner is typing.Generic:
            continue
        for name, annotation in _annotations_of(owner).items():
            if name.startswith("_") or _is_class_variable(annotation):
                continue
            annotations[name] = annotation
            namespace.pop(name, None)
        for name, value in vars(owner).items():
            if name in annotations:
                namespace[name] = _default(value)
        for name, (proxy, wrapped, info) in vars(owner).get(_VALIDATORS, {}).items():
            namespace[name] = proxy(wrapped, info)
    namespace |= {"__annotations__": annotations, "__module__": cls.__module__}
    with warnings.catch_warnings():
        # A field may be called like a method of a pydantic model, such as `schema` or `copy`.
        warnings.filterwarnings("ignore", message="Field name .* shadows an attribute")
        return type(cls.__name__, (_Settings,), namespace)


class _Settings(pydantic.BaseModel):
    """What all models of handlers have in common."""

    model_config = pydantic.ConfigDict(
        arbitrary_types_allowed=True,
        extra="forbid",
        protected_namespaces=(),
        validate_default=True,
    )


def _annotations_of(owner: type) -> Mapping[str, Any]:
    """Return the annotations of a class, evaluated."""
    known = vars(owner).get(_ANNOTATIONS) or inspect.get_annotations(owner)
    if not any(isinstance(annotation, str) for annotation in known.values()):
        return known
    names = vars(sys.modules[owner.__module__])
    return {
        name: eval(annotation, names) if isinstance(annotation, str) else annotation  # noqa: S307
        for name, annotation in known.items()
        if not (isinstance(annotation, str) and name.startswith("_"))
    }


def _is_class_variable(annotation: object) -> bool:
    return annotation is typing.ClassVar or typing.get_origin(annotation) is typing.ClassVar


def _default(value: object) -> Any:
    """Return a default that pydantic copies for each handler; its own `Field(...)` stays as it is."""
    if isinstance(value, FieldInfo):
        return value
    return pydantic.Field(default_factory=functools.partial(copy.deepcopy, value))


def _locals_of_definition() -> dict[str, Any]:
    """Return the local names of the function in which a class is being defined."""
    frame: FrameType | None = sys._getframe(1)  # noqa: SLF001  (`inspect` offers only slow ways)
    while frame is not None and frame.f_globals["__name__"] in _MODULES:
        frame = frame.f_back
    return {} if frame is None else dict(frame.f_locals)


_MODULES = {__name__, "rivers.io.base", "rivers.execution.resource", "abc"}
"""Modules between the definition of a class and this one, as frames."""
