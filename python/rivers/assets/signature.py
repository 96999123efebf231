"""The parameters of a user's function, read from its signature and annotations."""

from __future__ import annotations

import inspect
import typing
from dataclasses import dataclass, field
from typing import Any

from pydantic import BaseModel

from rivers.exceptions import AssetDefinitionError
from rivers.execution.context import AssetExecutionContext
from rivers.execution.task_context import TaskExecutionContext

if typing.TYPE_CHECKING:
    from collections.abc import Callable


@dataclass
class Signature:
    """The parameters of a function.

    Attributes:
        inputs: Parameters that receive values.
        optional_inputs: Those of `inputs` that have a default.
        context_param: The parameter that receives the context; `None` if there is none.
        context_class: The class of the context.
        config_model: The pydantic model of the context's configuration; `None` if there is none.
        hints: Annotations of the parameters, evaluated; those that cannot be are left out.
        return_hint: The return annotation, evaluated; `None` if there is none, `NoneType` for `-> None`.
    """

    inputs: list[str] = field(default_factory=list)
    optional_inputs: set[str] = field(default_factory=set)
    context_param: str | None = None
    context_class: type[AssetExecutionContext | TaskExecutionContext] = AssetExecutionContext
    config_model: type[BaseModel] | None = None
    hints: dict[str, Any] = field(default_factory=dict)
    return_hint: Any = None


def read_signature(
    fn: Callable[..., Any],
    owner: str,
    error: type[AssetDefinitionError] = AssetDefinitionError,
) -> Signature:
    """Reads the parameters of a function.

    Args:
        fn: The function.
        owner: What has the function, for messages: `"the asset 'sales'"`.
        error: The class of errors to raise.

    Raises:
        AssetDefinitionError: An asset or task cannot have such parameters.
    """
    hints = _evaluated_annotations(fn)
    read = Signature(return_hint=hints.get("return"))
    if "return" in hints and hints["return"] is None:
        read.return_hint = type(None)
    for parameter in inspect.signature(fn).parameters.values():
        hint = hints.get(parameter.name, parameter.annotation)
        context_class = _context_class(hint)
        if parameter.kind in (
            parameter.VAR_POSITIONAL,
            parameter.VAR_KEYWORD,
            parameter.POSITIONAL_ONLY,
        ):
            msg = (
                f"{owner} has the parameter {parameter}: parameters name upstream "
                "assets, so *args, **kwargs and positional-only ones are not possible"
            )
            raise error(msg)
        if context_class is not None or parameter.name == "context":
            if read.context_param is not None:
                msg = f"{owner} has two context parameters"
                raise error(msg)
            read.context_param = parameter.name
            read.context_class = context_class or AssetExecutionContext
            read.config_model = _config_model(hint, owner, error)
            continue
        read.inputs.append(parameter.name)
        if parameter.name in hints:
            read.hints[parameter.name] = hints[parameter.name]
        if parameter.default is not parameter.empty:
            read.optional_inputs.add(parameter.name)
    return read


def _context_class(hint: object) -> type[AssetExecutionContext | TaskExecutionContext] | None:
    """The class of contexts that an annotation means, with or without a model; `None`: it is none."""
    origin = typing.get_origin(hint) or hint
    for kind in (AssetExecutionContext, TaskExecutionContext):
        if origin is kind or (isinstance(hint, str) and kind.__name__ in hint):
            return kind
    return None


def _config_model(
    hint: object, owner: str, error: type[AssetDefinitionError]
) -> type[BaseModel] | None:
    for argument in typing.get_args(hint):
        if isinstance(argument, type) and issubclass(argument, BaseModel):
            return argument
        if not isinstance(argument, typing.TypeVar) and argument is not Any:
            msg = (
                f"the config of {owner} must be a pydantic model, "
                f"got {getattr(typing.get_origin(hint), '__name__', hint)}[{argument!r}]"
            )
            raise error(msg)
    return None


def _evaluated_annotations(fn: Callable[..., Any]) -> dict[str, Any]:
    """Returns the annotations that can be evaluated.

    An annotation may be a string that names something imported for type checkers only. Each
    annotation is then evaluated on its own, so that such a one does not hide the others.
    """
    try:
        return typing.get_type_hints(fn)
    except Exception:  # noqa: BLE001  (an annotation can raise anything)
        evaluated: dict[str, Any] = {}
        names = {**getattr(fn, "__globals__", {})}
        closure = inspect.getclosurevars(fn) if inspect.isfunction(fn) else None
        names.update(closure.nonlocals if closure else {})
        for parameter, annotation in getattr(fn, "__annotations__", {}).items():
            try:
                evaluated[parameter] = (
                    eval(annotation, names)  # noqa: S307  (the user's own annotation)
                    if isinstance(annotation, str)
                    else annotation
                )
            except Exception:  # noqa: BLE001, S112
                continue
        return evaluated
