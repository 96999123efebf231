"""The other side: a process with a repository of a graph's assets, which executes commands and says what it sees."""

from __future__ import annotations

import itertools
import json
import logging
import os
import signal
from pathlib import Path

from tests.properties.model.graphs import STATIC

import rivers as rs

OPTIONS: dict = {}
"""What the functions do in the present step: `behaviour` by asset and key, and the file that logs calls."""
_numbers = itertools.count()


def log(event):
    """Appends to the file of calls, which outlives the process."""
    with Path(OPTIONS["log"]).open("a") as file:
        file.write(json.dumps(event) + "\n")


def _texts(context):
    return [key.key[0] for key in context.partition.keys] if context.partition else [None]


def _received(value):
    if not isinstance(value, dict):
        return {"": value}
    return {str(key): item for key, item in value.items()}


class Function:
    """What an asset's function does: it logs its call, then behaves as the step says."""

    def __init__(self, name):
        self.name = name

    def begin(self, context, inputs):
        keys = _texts(context)
        number = f"{os.getpid()}.{next(_numbers)}"
        received = {name: _received(value) for name, value in inputs.items()}
        shapes = {name: isinstance(value, dict) for name, value in inputs.items()}
        log({"call": number, "asset": self.name, "keys": keys, "inputs": received, "dicts": shapes})
        return keys, number

    def value(self, number, key):
        """The value for a key, what befalls it, and whether it is one that ends the call."""
        behaviour = OPTIONS["behaviour"].get((self.name, key), "ok")
        if behaviour == "kill":
            os.kill(os.getpid(), signal.SIGKILL)
        return behaviour, None if behaviour == "none" else f"{self.name}/{key}#{number}"

    def __call__(self, context, inputs):
        keys, number = self.begin(context, inputs)
        values, marked, skipped = {}, [], []
        for key in keys:
            behaviour, value = self.value(number, key)
            if behaviour == "fail":
                log({"end": number, "values": {}, "skipped": [], "failed": keys})
                raise ValueError(f"{self.name} fails at {key}")
            if behaviour == "mark" and key is not None:
                context.mark_partition_failed(rs.PartitionKey.single(key), "marked")
                marked.append(key)
            elif behaviour == "skip":
                skipped.append(key)
            else:
                values[key] = value
        log({"end": number, "values": _listed(values), "skipped": skipped, "failed": marked})
        if len(keys) == 1:
            if skipped:
                raise rs.Skip("why not")
            return values.get(keys[0])
        for key in skipped:
            context.skip_partition(rs.PartitionKey.single(key), "why not")
        return {rs.PartitionKey.single(key): value for key, value in values.items()}

    def generate(self, context, inputs):
        keys, number = self.begin(context, inputs)
        for at, key in enumerate(keys):
            behaviour, value = self.value(number, key)
            if behaviour in ("fail", "mark"):
                log({"end": number, "values": {}, "skipped": [], "failed": keys[at:]})
                raise ValueError(f"{self.name} fails at {key}")
            if behaviour == "skip":
                log({"end": number, "values": {}, "skipped": keys[at:], "failed": []})
                raise rs.Skip("no more")
            log({"end": number, "values": _listed({key: value}), "skipped": [], "failed": []})
            yield rs.PartitionKey.single(key), value


def _listed(values):
    return list(values.items())


def _mapping(need, spec):
    if need.mapping == "static":
        return rs.PartitionMapping.static_({key: list(values) for key, values in STATIC.items()})
    made = {
        "same": rs.PartitionMapping.identity,
        "all": rs.PartitionMapping.all_partitions,
        "offset": lambda: rs.PartitionMapping.time_window(start_offset=-1, end_offset=0),
        "previous": lambda: rs.PartitionMapping.time_window(-1),
        "window": lambda: rs.PartitionMapping.time_window(0),
    }
    return made[need.mapping]()


GRIDS = {
    "letters": rs.PartitionsDefinition.static_(["a", "b", "c", "d"]),
    "days": rs.PartitionsDefinition.daily("2024-01-01"),
    "halves": rs.PartitionsDefinition.time_window(
        "2024-01-01", interval_seconds=12 * 3600, fmt="%Y-%m-%dT%H"
    ),
    "none": None,
}


def asset_of(graph, spec, handlers, version):
    """The asset of a spec."""
    function = Function(spec.name)
    taken = [need.upstream for need in spec.needs if need.is_input]
    names = ", ".join(["context: rs.AssetExecutionContext", *taken])
    given = ", ".join(f"{name!r}: {name}" for name in taken)
    returns = " -> None" if spec.handler == "none" else ""
    if spec.kind == "generator":
        code = f"def {spec.name}({names}):\n    yield from function.generate(context, {{{given}}})"
    elif spec.handler == "none":
        code = f"def {spec.name}({names}) -> None:\n    function(context, {{{given}}})"
    else:
        code = f"def {spec.name}({names}){returns}:\n    return function(context, {{{given}}})"
    scope = {"rs": rs, "function": function}
    exec(code, scope)
    deps = []
    for need in spec.needs:
        has_definition = spec.grid != "none" and graph[need.upstream].grid != "none"
        options = {"partition_mapping": _mapping(need, spec)} if has_definition else {}
        if need.is_input:
            options["allow_missing"] = need.allow_missing
            deps.append(rs.AssetDef.input(need.upstream, **options))
        else:
            deps.append(rs.AssetDef.dep(need.upstream, **options))
    return rs.Asset(
        partitions_def=GRIDS[spec.grid], deps=deps, code_version=version,
        io_handler=handlers.get(spec.handler),
    )(scope[spec.name])  # fmt: skip


class Session:
    """One process: its handlers, and a repository that is made again when code versions change."""

    def __init__(self, graph, folder):
        logging.getLogger("rivers").setLevel(logging.CRITICAL)  # Of its own process.
        self.graph, self.folder = graph, folder
        self.handlers = {
            "memory": rs.InMemoryIOHandler(),
            "pickle": rs.PickleIOHandler(str(folder / "pickles")),
        }
        self.now, self.versions, self.repo = None, None, None
        OPTIONS["log"] = folder / "calls.jsonl"

    def prepare(self, now, versions, behaviour):
        self.now = now
        OPTIONS["behaviour"] = behaviour
        if versions != self.versions:
            if self.repo is not None:
                self.repo.close()
            self.versions = dict(versions)
            assets = [
                asset_of(self.graph, spec, self.handlers, versions.get(spec.name))
                for spec in self.graph.assets
            ]
            storage = rs.Storage.open(str(self.folder / "rivers.db"))
            self.repo = rs.CodeRepository(assets, clock=lambda: self.now).resolve(storage)

    def execute(self, verb, arguments):
        """Executes a verb; returns the id of the backfill and its status, or the error."""
        try:
            result = getattr(self, verb)(**arguments)
        except rs.exceptions.ExecutionError as error:
            return {"refused": type(error).__name__, "text": str(error)}
        if result is None or isinstance(result, int):
            return {}
        return {"id": result.backfill_id, "status": result.status}

    def backfill(self, selection, keys, strategy, **options):
        chosen = [rs.PartitionKey.single(key) for key in keys]
        return self.repo.backfill(
            selection,
            partition_keys=chosen,
            strategy=getattr(rs.BackfillStrategy, strategy)(),
            **options,
        )

    def materialize(self, name, key):
        keys = None if key is None else rs.PartitionKey.single(key)
        self.repo.materialize([name], keys, raise_on_error=False)

    def rerun(self, backfill_id):
        return self.repo.rerun_backfill(backfill_id)

    def resume(self, backfill_id):
        return self.repo.resume_backfill(backfill_id)

    def cancel(self, backfill_id):
        self.repo.cancel_backfill(backfill_id)

    def report(self, asset, keys):
        return self.repo.report_materialized(asset, _keys(keys))

    def forget(self, asset, keys):
        return self.repo.forget_partitions(asset, _keys(keys))

    def look(self):
        """Nothing: a step in which only time passes, or versions change."""

    def observe(self, backfills):
        """What the tables and the handlers show."""
        seen = {
            "tables": {},
            "loads": {},
            "rows": {},
            "interrupted": self.repo._runtime.store.interrupted(),
        }
        for spec in self.graph.assets:
            keys = [None]
            if spec.grid != "none":
                table = self.repo.partition_status(spec.name)
                keys = table["partition"].cast(str).to_list()
                rows = zip(
                    keys, table["status"].to_list(), table["stale_reason"].to_list(), strict=True
                )
                seen["tables"][spec.name] = {key: (status, reason) for key, status, reason in rows}
            for key in keys:
                seen["loads"][spec.name, key] = self.load(spec, key)
        for backfill_id in {*backfills, *seen["interrupted"]}:
            table = self.repo.backfill_partitions(backfill_id)
            seen["rows"][backfill_id] = table.to_dicts()
        return seen

    def load(self, spec, key):
        partition = None if key is None else rs.PartitionKey.single(key)
        try:
            return "value", self.repo.load_node(spec.name, partition)
        except rs.exceptions.ExecutionError as error:
            return "error", str(error)

    def close(self):
        if self.repo is not None:
            self.repo.close()


def _keys(keys):
    return None if keys == [None] else [rs.PartitionKey.single(key) for key in keys]
