"""What a run needs of the machine that executes it, where an executor has several machines."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from rivers._text import did_you_mean, listed
from rivers.exceptions import ConfigurationError

_ACCELERATOR_SHARE = 0.001
"""Ray's nodes have one unit of a resource for their type of accelerator, of which a worker takes this."""
_NAMES = ("num_cpus", "num_gpus", "memory", "resources", "accelerator_type")
_AMOUNTS = {"num_cpus": "CPU", "num_gpus": "GPU", "memory": "memory"}


@dataclass(frozen=True)
class Compute:
    """Resources of a machine, by the names that Ray gives them (`"CPU"`, `"GPU"`, `"memory"`).

    Attributes:
        amounts: Amount of each resource, sorted by name.
    """

    amounts: tuple[tuple[str, float], ...] = (("CPU", 1.0),)

    @classmethod
    def read(cls, owner: str, given: object) -> Compute | None:
        """Reads the argument `compute` of an asset or a task; `None` if it is not given.

        Args:
            owner: What it belongs to, for messages.
            given: The argument.

        Raises:
            ConfigurationError: It is no dict, or has an unknown name or an amount below 0.
        """
        if given is None:
            return None
        if not isinstance(given, Mapping):
            msg = f"compute of {owner} must be a dict such as {{'num_cpus': 2}}, got {given!r}"
            raise ConfigurationError(msg)
        amounts: dict[str, float] = {"CPU": 1.0}
        for name, value in given.items():
            if name in _AMOUNTS:
                amounts[_AMOUNTS[name]] = _amount(owner, name, value)
            elif name == "resources" and isinstance(value, Mapping):
                for own, amount in value.items():
                    amounts[own] = _amount(owner, f"resources[{own!r}]", amount)
            elif name == "accelerator_type" and isinstance(value, str):
                amounts[f"accelerator_type:{value}"] = _ACCELERATOR_SHARE
            else:
                raise ConfigurationError(_refusal(owner, name, value))
        return cls(tuple(sorted(amounts.items())))

    @classmethod
    def of_all(cls, needed: Iterable[Compute | None]) -> Compute:
        """What meets all of these: of each resource the largest amount; one processor by default."""
        amounts: dict[str, float] = {}
        for each in needed:
            if each is not None:
                for name, amount in each.amounts:
                    amounts[name] = max(amount, amounts.get(name, 0.0))
        return cls(tuple(sorted(amounts.items()))) if amounts else cls()

    def options(self) -> dict[str, Any]:
        """The options of a Ray actor that has these resources."""
        left = dict(self.amounts)
        options: dict[str, Any] = {
            "num_cpus": left.pop("CPU", 0.0),
            "num_gpus": left.pop("GPU", 0.0),
        }
        memory = left.pop("memory", 0.0)
        if memory:
            options["memory"] = int(memory)
        if left:
            options["resources"] = left
        return options

    def missing_of(self, node: Mapping[str, float]) -> list[str]:
        """The resources of which a node with these totals has too little."""
        return [name for name, amount in self.amounts if amount > node.get(name, 0.0)]

    def __str__(self) -> str:
        shown = [f"{amount:g} {name}" for name, amount in self.amounts if amount]
        return ", ".join(shown) or "nothing"


def _amount(owner: str, name: str, value: object) -> float:
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    if not is_number or not 0 <= value < float("inf"):  # type: ignore[operator]
        msg = f"{name} in the compute of {owner} must be a number, 0 or more, got {value!r}"
        raise ConfigurationError(msg)
    return float(value)  # type: ignore[arg-type]


def _refusal(owner: str, name: object, value: object) -> str:
    if name == "resources":
        return f"resources in the compute of {owner} must be a dict of numbers, got {value!r}"
    if name == "accelerator_type":
        return f"accelerator_type in the compute of {owner} must be a str, got {value!r}"
    return (
        f"the compute of {owner} has {name!r}; it may have {listed(_NAMES)}"
        f"{did_you_mean(str(name), _NAMES)}"
    )
