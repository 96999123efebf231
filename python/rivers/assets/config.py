"""Configuration of assets: validated at submission, stored with the backfill as JSON."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pydantic

from rivers._text import did_you_mean, listed
from rivers.exceptions import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from rivers.assets.asset_graph import Node
    from rivers.assets.step_def import StepDef


def check_config(
    config: Mapping[str, Mapping[str, Any]] | None, nodes: Sequence[Node]
) -> tuple[str | None, dict[str, pydantic.BaseModel]]:
    """Returns the configuration as JSON, and an instance of its model for each step.

    Args:
        config: Values by asset. For a multi-asset, the name of a selected output or of the function.
        nodes: The selected assets.

    Raises:
        ConfigurationError: A name is not selected, a multi-asset is named twice with different values, an
            asset has no model, values do not validate, or JSON cannot represent them.
    """
    text = _as_json(config)
    steps = {node.asset.step.name: node.asset.step for node in nodes}
    given = {} if text is None else _by_step(json.loads(text), nodes)
    return text, {
        name: instance
        for name, step in steps.items()
        if (instance := _instance(step, given.get(name))) is not None
    }


def _by_step(given: dict[str, Any], nodes: Sequence[Node]) -> dict[str, Any]:
    """Returns the values by step, where an output of a multi-asset stands for its step."""
    step_of = {node.name: node.asset.step.name for node in nodes}
    step_of.update({step: step for step in step_of.values()})
    by_step: dict[str, Any] = {}
    named_by: dict[str, str] = {}
    for name, values in given.items():
        if name not in step_of:
            msg = (
                f"config names the asset {name!r}, which is not selected; selected are {listed(step_of)}"
                f"{did_you_mean(name, step_of)}"
            )
            raise ConfigurationError(msg)
        step = step_of[name]
        if by_step.setdefault(step, values) != values:
            msg = (
                f"config names the function of the multi-asset {step!r} twice, as {named_by[step]!r} and "
                f"as {name!r}, with different values"
            )
            raise ConfigurationError(msg)
        named_by.setdefault(step, name)
    return by_step


def _as_json(config: Mapping[str, Mapping[str, Any]] | None) -> str | None:
    if config is None:
        return None
    if not isinstance(config, dict) or not all(
        isinstance(name, str) and isinstance(values, dict) for name, values in config.items()
    ):
        msg = f"config must be a dict of asset name to a dict of values, got {config!r}"
        raise ConfigurationError(msg)
    try:
        text = json.dumps(config, allow_nan=False)
    except (TypeError, ValueError) as error:
        msg = f"config is kept as JSON, which cannot hold it: {error}"
        raise ConfigurationError(msg) from None
    if json.loads(text) != config:
        msg = "config is kept as JSON, which changes it: use str keys and lists instead of tuples"
        raise ConfigurationError(msg)
    return text


def _instance(step: StepDef, values: dict[str, Any] | None) -> pydantic.BaseModel | None:
    model = step.signature.config_model
    if model is None:
        if values is None:
            return None
        msg = (
            f"the asset {step.name!r} takes no config: annotate its context with "
            "AssetExecutionContext[Model], where Model is a pydantic model"
        )
        raise ConfigurationError(msg)
    unknown = [name for name in values or {} if name not in _fields(model)]
    if unknown and model.model_config.get("extra") != "allow":
        fields = _fields(model)
        msg = (
            f"config of the asset {step.name!r} has no field {unknown[0]!r}; the fields are "
            f"{listed(fields)}{did_you_mean(unknown[0], fields)}"
        )
        raise ConfigurationError(msg)
    try:
        return model.model_validate(values or {})
    except pydantic.ValidationError as error:
        problems = "; ".join(
            f"{'.'.join(map(str, problem['loc']))}: {problem['msg']}" for problem in error.errors()
        )
        msg = f"config of the asset {step.name!r} does not validate: {problems}"
        raise ConfigurationError(msg) from None


def _fields(model: type[pydantic.BaseModel]) -> list[str]:
    names = []
    for name, field in model.model_fields.items():
        names.append(name)
        names += [alias for alias in (field.alias,) if alias is not None]
    return names
