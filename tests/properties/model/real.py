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
    """What an asset's function does: it logs its call, then behaves as the step says."""

    def __init__(self, name, *, retries):
        self.name, self.retries = name, retries

    def fail(self, context, number, key, failed):
        """Logs and raises a failure, which another attempt may follow."""
        is_last = not self.retries or context.attempt == 2
        outcome = (
            {"failed": failed, "retried": []} if is_last else {"failed": [], "retried": failed}
        )
        log({"end": number, "values": [], "skipped": [], **outcome})
        raise ValueError(f"{self.name} fails at {key}")

    def begin(self, context, inputs):
        keys = _texts(context)
        number = f"{os.getpid()}.{next(_numbers)}"
        received = {name: _received(value) for name, value in inputs.items()}
        shapes = {name: isinstance(value, dict) for name, value in inputs.items()}
        log({"call": number, "asset": self.name, "keys": keys, "inputs": received, "dicts": shapes})
        return keys, number

    def value(self, context, number, key):
        """The value for a key, what befalls it, and whether it is one that ends the call."""
        behaviour = behaviour_of(self.name, key)
        if behaviour == "flaky":
            behaviour = "fail" if context.attempt == 1 else "ok"
        if behaviour == "kill":
            os.kill(os.getpid(), signal.SIGKILL)
        return behaviour, None if behaviour == "none" else f"{self.name}/{key}#{number}"

    def __call__(self, context, inputs):
        keys, number = self.begin(context, inputs)
        values, marked, skipped = {}, [], []
        for key in keys:
            behaviour, value = self.value(context, number, key)
            if behaviour == "fail":
                self.fail(context, number, key, keys)
            if behaviour == "mark" and key is not None:
                context.mark_partition_failed(key_of(key), "marked")
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
            context.skip_partition(key_of(key), "why not")
        return {key_of(key): value for key, value in values.items()}

    def generate(self, context, inputs):
        keys, number = self.begin(context, inputs)
        for at, key in enumerate(keys):
            behaviour, value = self.value(context, number, key)
            if behaviour in ("fail", "mark"):
                self.fail(context, number, key, keys[at:])
            if behaviour == "skip":
                log({"end": number, "values": {}, "skipped": keys[at:], "failed": []})
                raise rs.Skip("no more")
            log({"end": number, "values": _listed({key: value}), "skipped": [], "failed": []})
            yield key_of(key), value


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
    "squares": rs.PartitionsDefinition.multi(
        {
            "letter": rs.PartitionsDefinition.static_(["a", "b"]),
            "number": rs.PartitionsDefinition.static_(["1", "2"]),
        }
    ),
    "none": None,
}
STRATEGIES = {
    "multi_run": rs.BackfillStrategy.multi_run(),
    "single_run": rs.BackfillStrategy.single_run(),
    "per_dimension": rs.BackfillStrategy.per_dimension(multi_run=["letter"], single_run=["number"]),
}


def asset_of(graph, spec, handlers, version):
    """The asset of a spec."""
    function = Function(spec.name, retries=spec.retries)
    taken = [need.upstream for need in spec.needs if need.is_input]
    names = ", ".join(["context: rs.AssetExecutionContext", *taken])
    given = ", ".join(f"{name!r}: {name}" for name in taken)
    returns = " -> None" if spec.handler == "none" else ""
    kind = "async def" if spec.kind == "async" else "def"
    if spec.kind == "generator":
        code = f"def {spec.name}({names}):\n    yield from function.generate(context, {{{given}}})"
    elif spec.handler == "none":
        code = f"{kind} {spec.name}({names}){returns}:\n    function(context, {{{given}}})"
    else:
        code = f"{kind} {spec.name}({names}):\n    return function(context, {{{given}}})"
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
        retry=rs.RetryPolicy(1, rs.Backoff.fixed([0])) if spec.retries else None,
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
        os.environ[FOLDER] = str(folder)  # Of its own process and of its workers.

    def prepare(self, now, versions, behaviour):
        self.now = now
        named = {f"{name}/{key}": what for (name, key), what in behaviour.items()}
        (self.folder / "behaviour.json").write_text(json.dumps(named))
        if versions != self.versions:
            if self.repo is not None:
                self.repo.close()
            self.versions = dict(versions)
            assets = [
                asset_of(self.graph, spec, self.handlers, versions.get(spec.name))
                for spec in self.graph.assets
            ]
            storage = rs.Storage.open(str(self.folder / "rivers.db"))
            executor = rs.Executor.parallel(1) if self.graph.in_processes else None
            self.repo = rs.CodeRepository(
                assets, clock=lambda: self.now, default_executor=executor
            ).resolve(storage)

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
        chosen = [key_of(key) for key in keys]
        return self.repo.backfill(
            selection,
            partition_keys=chosen,
            strategy=STRATEGIES[strategy],
            **options,
        )

    def materialize(self, name, key):
        keys = None if key is None else key_of(key)
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
                keys = _keys_in(table)
                rows = zip(
                    keys, table["status"].to_list(), table["stale_reason"].to_list(), strict=True
                )
                seen["tables"][spec.name] = {key: (status, reason) for key, status, reason in rows}
            for key in keys:
                seen["loads"][spec.name, key] = self.load(spec, key)
        for backfill_id in {*backfills, *seen["interrupted"]}:
            table = self.repo.backfill_partitions(backfill_id)
            rows = table.to_dicts()
            for row, key in zip(rows, _keys_in(table), strict=True):
                row["partition"] = key
            seen["rows"][backfill_id] = rows
        return seen

    def load(self, spec, key):
        partition = None if key is None else key_of(key)
        try:
            return "value", self.repo.load_node(spec.name, partition)
        except rs.exceptions.ExecutionError as error:
            return "error", str(error)

    def close(self):
        if self.repo is not None:
            self.repo.close()


def _keys_in(table):
    """The texts of the keys of a table's rows."""
    return [_key_in(row) for row in table.to_dicts()]


def _key_in(row):
    if row.get("letter") is not None:
        return f"letter={row['letter']}|number={row['number']}"
    return row.get("partition")


def _keys(keys):
    return None if keys == [None] else [key_of(key) for key in keys]
