"""The other side: a process with a repository of a graph's assets, which executes commands and says what it sees."""

from __future__ import annotations

import json
import logging
import os

from tests.properties.model.functions import FOLDER, Function, key_of
from tests.properties.model.graphs import STATIC

import rivers as rs


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


def asset_of(graph, spec, handlers, versions):
    """The asset of a spec; of the first that a function makes together, all of them."""
    function = Function(spec)
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
    options = {
        "partitions_def": GRIDS[spec.grid], "deps": deps,
        "retry": rs.RetryPolicy(1, rs.Backoff.fixed([0])) if spec.retries else None,
    }  # fmt: skip

    def kept(each):
        return {"code_version": versions.get(each.name), "io_handler": handlers.get(each.handler)}

    if not spec.step:
        return rs.Asset(**options, **kept(spec))(scope[spec.name])
    outputs = [rs.AssetDef(each.name, **kept(each)) for each in graph.made_with(spec.name)]
    return rs.Asset.from_multi(output_defs=outputs, name=spec.step, **options)(scope[spec.name])


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
                asset_of(self.graph, spec, self.handlers, versions)
                for spec in self.graph.assets
                if spec is self.graph.made_with(spec.name)[0]
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
