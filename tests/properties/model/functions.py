"""What the functions of a graph's assets do: they log their calls, then behave as the present step says."""

from __future__ import annotations

import itertools
import json
import os
import signal
from pathlib import Path

import rivers as rs

FOLDER = "RIVERS_MODEL_FOLDER"
"""The variable, which worker processes have too, that names the folder with what the functions do and have done."""
_numbers = itertools.count()


def log(event):
    """Appends to the file of calls, which outlives the process."""
    with (Path(os.environ[FOLDER]) / "calls.jsonl").open("a") as file:
        file.write(json.dumps(event) + "\n")


def behaviour_of(name, key):
    """What befalls an asset for a key in the present step."""
    behaviour = json.loads((Path(os.environ[FOLDER]) / "behaviour.json").read_text())
    return behaviour.get(f"{name}/{key}", "ok")


def key_of(text):
    """The key with this text."""
    if "=" not in text:
        return rs.PartitionKey.single(text)
    return rs.PartitionKey.multi(dict(part.split("=") for part in text.split("|")))


def _texts(context):
    return [str(key) for key in context.partition.keys] if context.partition else [None]


def _received(value):
    if not isinstance(value, dict):
        return {"": value}
    return {str(key): item for key, item in value.items()}


class Function:
    """The function of an asset, or of several that it makes together.

    Args:
        spec: The asset, or the first of them.
    """

    def __init__(self, spec):
        self.name, self.step, self.retries = spec.name, spec.step, spec.retries

    def begin(self, context, inputs):
        """Logs the call; returns its keys, its number and the assets that it is to make."""
        keys = _texts(context)
        number = f"{os.getpid()}.{next(_numbers)}"
        received = {name: _received(value) for name, value in inputs.items()}
        shapes = {name: isinstance(value, dict) for name, value in inputs.items()}
        names = context.output_selection if self.step else [self.name]
        log({"call": number, "assets": names, "keys": keys, "inputs": received, "dicts": shapes})
        return keys, number, names

    def end(self, number, **outcomes):
        """Logs what became of assets and keys."""
        log({"end": number, "values": [], "skipped": [], "failed": [], **outcomes})

    def fail(self, context, number, at, failed):
        """Logs and raises a failure, which another attempt may follow."""
        is_last = not self.retries or context.attempt == 2
        self.end(number, **{"failed" if is_last else "retried": failed})
        raise ValueError(f"{at} fails")

    def value(self, context, number, name, key):
        """The value for a key, and what befalls it."""
        behaviour = behaviour_of(name, key)
        if behaviour == "flaky":
            behaviour = "fail" if context.attempt == 1 else "ok"
        if behaviour == "kill":
            os.kill(os.getpid(), signal.SIGKILL)
        return behaviour, None if behaviour == "none" else f"{name}/{key}#{number}"

    def outcomes(self, context, keys, number, names):
        """The values, what is marked as failed, and what is skipped; each by asset and key."""
        values, marked, skipped = {}, [], []
        for key in keys:
            for name in names:
                behaviour, value = self.value(context, number, name, key)
                if behaviour == "fail":
                    self.fail(context, number, (name, key), [(n, k) for k in keys for n in names])
                if behaviour == "mark" and key is not None and name == names[0]:
                    # A mark is of all that the function makes.
                    context.mark_partition_failed(key_of(key), "marked")
                    marked += [(each, key) for each in names]
                    break
                if behaviour == "skip" and not (self.step and key is None):
                    skipped.append((name, key))
                else:
                    values[name, key] = value
        self.end(number, values=_listed(values), skipped=skipped, failed=marked)
        return values, skipped

    def __call__(self, context, inputs):
        keys, number, names = self.begin(context, inputs)
        values, skipped = self.outcomes(context, keys, number, names)
        if self.step:
            return self._outputs(context, keys, names, values, skipped)
        if len(keys) == 1:
            if skipped:
                raise rs.Skip("why not")
            return values.get((self.name, keys[0]))
        for _, key in skipped:
            context.skip_partition(key_of(key), "why not")
        return {key_of(key): value for (_, key), value in values.items()}

    def _outputs(self, context, keys, names, values, skipped):
        for name, key in skipped:
            context.skip_partition(key_of(key), "why not", output_name=name)
        return {
            name: _of_keys(keys, name, values)
            for name in names
            if any((name, key) in values for key in keys)
        }

    def generate(self, context, inputs):
        """Yields the values one by one: of keys, or of outputs."""
        keys, number, names = self.begin(context, inputs)
        every = [(name, key) for name in names for key in keys]
        parts = (
            [[(name, key) for key in keys] for name in names]
            if self.step
            else [[at] for at in every]
        )
        for part in parts:
            rest, values = every[every.index(part[0]) :], {}
            for name, key in part:
                behaviour, value = self.value(context, number, name, key)
                if behaviour in ("fail", "mark"):
                    self.fail(context, number, (name, key), rest)
                if behaviour == "skip":
                    self.end(number, skipped=rest)
                    raise rs.Skip("no more")
                values[name, key] = value
            self.end(number, values=_listed(values))
            name, key = part[0]
            if self.step:
                yield rs.Output(_of_keys(keys, name, values), output_name=name)
            else:
                yield key_of(key), values[part[0]]


def _of_keys(keys, name, values):
    """The value of an output: one, or a dict of those of several keys."""
    if len(keys) == 1:
        return values[name, keys[0]]
    return {key_of(key): values[name, key] for key in keys if (name, key) in values}


def _listed(values):
    return list(values.items())
