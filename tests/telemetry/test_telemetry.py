"""Spans and metrics of OpenTelemetry, as its SDK gets them, from threads and from worker processes."""

import json
import logging
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from opentelemetry import trace
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor, SpanExporter, SpanExportResult
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from tests.support import TIMEOUT, keys, letters, repository, run_script, wait_until

import rivers as rs
from rivers.exceptions import ConfigurationError, RiversError
from rivers.telemetry import RiversInstrumentor

LOCK = threading.Lock()


class Sdk:
    """What an SDK has got."""

    def __init__(self):
        self._exporter = InMemorySpanExporter()
        self._reader = InMemoryMetricReader()
        self.tracers = TracerProvider()
        self.tracers.add_span_processor(SimpleSpanProcessor(self._exporter))
        self.meters = MeterProvider([self._reader])

    def spans(self, prefix=""):
        return [
            each for each in self._exporter.get_finished_spans() if each.name.startswith(prefix)
        ]

    def metrics(self):
        """Each metric's points, as pairs of attributes and value (or count of a histogram)."""
        data = self._reader.get_metrics_data()
        found = {}
        for resource in data.resource_metrics if data else []:
            for scope in resource.scope_metrics:
                for metric in scope.metrics:
                    found[metric.name] = [
                        (
                            dict(point.attributes),
                            getattr(point, "value", getattr(point, "count", None)),
                        )
                        for point in metric.data.data_points
                    ]
        return found


@pytest.fixture
def sdk():
    own, instrumentor = Sdk(), RiversInstrumentor()
    instrumentor.instrument(tracer_provider=own.tracers, meter_provider=own.meters)
    yield own
    instrumentor.uninstrument()
    own.meters.shutdown()
    own.tracers.shutdown()


def test_the_spans_of_a_backfill_its_runs_and_steps_are_one_tree(sdk):
    @rs.Asset(partitions_def=letters(3))
    def orders():
        trace.get_tracer("mine").start_span("own").end()
        return 1

    repo = repository(orders)
    own = sdk.tracers.get_tracer("caller")
    with own.start_as_current_span("caller") as caller:
        result = repo.backfill(partition_keys=keys("a", "b"))
    [backfill] = sdk.spans("backfill")
    runs, steps = sdk.spans("run"), sdk.spans("step")
    assert backfill.name == "backfill orders"
    assert backfill.parent.span_id == caller.get_span_context().span_id
    assert backfill.attributes["rivers.backfill.id"] == result.backfill_id
    assert backfill.attributes["rivers.backfill.status"] == "completed"
    assert backfill.attributes["rivers.backfill.partition.completed"] == 2
    assert [run.parent.span_id for run in runs] == [backfill.context.span_id] * 2
    assert {step.parent.span_id for step in steps} == {run.context.span_id for run in runs}
    assert {run.context.trace_id for run in runs + steps} == {backfill.context.trace_id}
    assert sorted(run.attributes["rivers.partition.key"] for run in runs) == ["a", "b"]
    assert sorted(run.attributes["rivers.run.id"] for run in runs) == sorted(result.run_ids)
    repo.close()


@pytest.mark.parametrize("kind", ["plain", "async", "timeout", "generator"])
def test_the_step_is_the_current_span_of_its_function(sdk, kind):
    def span():
        return trace.get_current_span().get_span_context().span_id

    seen = []
    if kind == "async":

        @rs.Asset(partitions_def=letters(2))
        async def orders():
            seen.append(span())

    elif kind == "generator":

        @rs.Asset(partitions_def=letters(2))
        def orders(context: rs.AssetExecutionContext):
            seen.append(span())
            yield context.partition_key, 1

    else:

        @rs.Asset(partitions_def=letters(2), timeout=60 if kind == "timeout" else None)
        def orders():
            seen.append(span())

    repo = repository(orders)
    repo.backfill(partition_range=rs.PartitionKeyRange.single("a", "b"))
    repo.close()
    assert sorted(seen) == sorted(step.context.span_id for step in sdk.spans("step orders"))
    assert len(seen) == 2
    assert span() == 0  # Nothing is left behind.


def test_failures_and_retries_are_errors_of_their_spans(sdk):
    @rs.Asset(partitions_def=letters(2), retry=rs.RetryPolicy(1))
    def orders(context: rs.AssetExecutionContext):
        if context.partition_key == "b":
            raise ValueError("no orders")

    repo = repository(orders)
    repo.backfill(partition_range=rs.PartitionKeyRange.single("a", "b"))
    repo.close()
    failed = [step for step in sdk.spans("step") if not step.status.is_ok]
    assert [step.attributes["error.type"] for step in failed] == ["ValueError", "ValueError"]
    assert {step.status.description for step in failed} == {"no orders"}
    assert [event.name for step in failed for event in step.events] == ["exception", "exception"]
    attempts = [
        run.attributes["rivers.run.attempt"] for run in sdk.spans("run") if not run.status.is_ok
    ]
    assert attempts == [1, 2]
    [backfill] = sdk.spans("backfill")
    assert (backfill.status.is_ok, backfill.status.description) == (False, "1 partitions failed")
    measured = sdk.metrics()["rivers.step.duration"]
    assert ({"rivers.step.name": "orders", "error.type": "ValueError"}, 2) in measured
    assert ({"rivers.step.name": "orders"}, 1) in measured


def test_metrics_count_what_is_live_and_what_has_ended(sdk):
    during = []

    @rs.Asset(partitions_def=letters(3))
    def orders(context: rs.AssetExecutionContext):
        # A run may start a moment before its backfill is counted.
        wait_until(lambda: sdk.metrics()["rivers.backfill.active"] == [({}, 1)])
        during.append(sdk.metrics()["rivers.partition.pending"])
        if context.partition_key == "c":
            raise ValueError

    repo = repository(orders)
    for _ in range(2):
        repo.backfill(partition_range=rs.PartitionKeyRange.single("a", "c"), max_concurrency=1)
    repo.close()
    assert during[0] == [({}, 3)]
    after = sdk.metrics()
    assert after["rivers.backfill.active"] == after["rivers.run.active"] == [({}, 0)]
    assert after["rivers.partition.pending"] == [({}, 0)]
    ended = {own["rivers.partition.state"]: count for own, count in after["rivers.partition.ended"]}
    assert ended == {"completed": 4, "failed": 2, "canceled": 0}
    assert after["rivers.backfill.duration"] == [({"rivers.backfill.status": "failed"}, 2)]
    assert sum(count for _, count in after["rivers.run.duration"]) == 6


def test_a_manual_run_has_a_span_without_a_backfill(sdk):
    @rs.Asset
    def orders():
        return 1

    repo = repository(orders)
    repo.materialize()
    repo.close()
    [run], [step] = sdk.spans("run"), sdk.spans("step")
    assert (run.parent, step.parent.span_id) == (None, run.context.span_id)
    assert sdk.spans("backfill") == []


def test_a_refused_backfill_is_an_error_of_its_span(sdk, monkeypatch):
    @rs.Asset(partitions_def=letters(2))
    def orders():
        return 1

    repo = repository(orders)
    repo.close()
    repo.backfill(partition_keys=keys("a"))
    repo._launcher.runtime.engine.close()
    with pytest.raises(RiversError):
        repo.backfill(partition_keys=keys("a"))
    assert [span.status.is_ok for span in sdk.spans("backfill")] == [True, False]


def test_nothing_is_followed_after_uninstrument(sdk):
    @rs.Asset(partitions_def=letters(2))
    def orders():
        return 1

    RiversInstrumentor().uninstrument()
    repo = repository(orders)
    repo.backfill(partition_keys=keys("a"))
    repo.close()
    assert sdk.spans() == []


class ToFile(SpanExporter):
    """Appends spans to the file that an environment variable names."""

    def export(self, spans):
        with Path(os.environ["SPANS"]).open("a", encoding="utf-8") as file:
            file.writelines(
                json.dumps(
                    {
                        "name": span.name,
                        "pid": os.getpid(),
                        "trace": span.context.trace_id,
                        "id": span.context.span_id,
                        "parent": span.parent and span.parent.span_id,
                        "attributes": dict(span.attributes),
                        "ok": span.status.is_ok,
                    }
                )
                + "\n"
                for span in spans
            )
        return SpanExportResult.SUCCESS


def setup_worker():
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(ToFile()))
    trace.set_tracer_provider(provider)


@pytest.fixture
def written(tmp_path, monkeypatch):
    """Reads the spans of worker processes."""
    file = tmp_path / "spans"
    file.touch()
    monkeypatch.setenv("SPANS", str(file))
    return lambda: [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]


@pytest.fixture
def instrumented(sdk):
    def instrument(setup):
        RiversInstrumentor().instrument(
            tracer_provider=sdk.tracers, meter_provider=sdk.meters, setup_worker=setup
        )

    return instrument


@pytest.fixture(params=["processes", "ray"])
def elsewhere(request):
    """An executor with workers that share no memory with this process."""
    if request.param == "processes":
        return rs.Executor.parallel(2)
    request.getfixturevalue("ray_cluster")
    return rs.Executor.ray(max_workers=2)


def test_worker_processes_continue_the_trace(sdk, instrumented, written, elsewhere):
    instrumented(setup_worker)

    @rs.Asset(partitions_def=letters(4))
    def orders():
        return None

    repo = repository(orders, default_executor=elsewhere)
    repo.backfill(partition_range=rs.PartitionKeyRange.single("a", "d"))
    repo.close()
    [backfill] = sdk.spans("backfill")
    spans = written()
    runs = [span for span in spans if span["name"] == "run orders"]
    steps = [span for span in spans if span["name"] == "step orders"]
    assert (len(runs), len(steps)) == (4, 4)
    assert {span["trace"] for span in spans} == {backfill.context.trace_id}
    assert {run["parent"] for run in runs} == {backfill.context.span_id}
    assert {step["parent"] for step in steps} == {run["id"] for run in runs}
    assert os.getpid() not in {span["pid"] for span in spans}


def test_a_worker_that_cannot_be_set_up_executes_its_runs_all_the_same(sdk, instrumented, caplog):
    def broken():
        raise OSError("no collector")

    instrumented(broken)

    @rs.Asset(partitions_def=letters(2))
    def orders():
        return None

    repo = repository(orders, default_executor=rs.Executor.parallel(1))
    with caplog.at_level(logging.ERROR, "rivers"):
        result = repo.backfill(partition_range=rs.PartitionKeyRange.single("a", "b"))
    repo.close()
    assert result.completed == 2
    assert "setup_worker raised an exception" in caplog.text


def test_the_death_of_a_worker_has_a_span(sdk, instrumented, written):
    instrumented(setup_worker)

    @rs.Asset(partitions_def=letters(2))
    def orders(context: rs.AssetExecutionContext):
        if context.partition_key == "b":
            os.kill(os.getpid(), signal.SIGKILL)

    repo = repository(orders, default_executor=rs.Executor.parallel(1))
    repo.backfill(partition_range=rs.PartitionKeyRange.single("a", "b"))
    repo.close()
    [lost] = sdk.spans("run")  # Of this process: the others were executed by workers.
    assert (lost.status.is_ok, lost.attributes["rivers.partition.key"]) == (False, "b")
    assert [
        run["attributes"]["rivers.partition.key"]
        for run in written()
        if run["name"] == "run orders"
    ] == ["a"]


RESUMED = """
import os, sys
import rivers as rs
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from rivers.exceptions import ConfigurationError, RiversError
from rivers.telemetry import RiversInstrumentor
from tests.telemetry.test_telemetry import ToFile

provider = TracerProvider()
provider.add_span_processor(SimpleSpanProcessor(ToFile()))
RiversInstrumentor().instrument(tracer_provider=provider)

@rs.Asset(partitions_def=rs.PartitionsDefinition.static_(["a", "b"]))
def orders(context: rs.AssetExecutionContext):
    if context.partition_key == "b" and sys.argv[2] == "crash":
        os._exit(1)

repo = rs.CodeRepository([orders]).resolve(rs.Storage.embedded(sys.argv[1]))
if sys.argv[2] == "crash":
    repo.backfill(
        partition_range=rs.PartitionKeyRange.single("a", "b"),
        max_concurrency=1,
    )
else:
    repo.resume_backfill(repo.backfills()["backfill_id"][0])
repo.close()
"""


def test_a_resumed_backfill_goes_on_in_its_trace(written, tmp_path):
    assert run_script(RESUMED, tmp_path / "db", "crash").returncode == 1
    before = written()
    done = run_script(RESUMED, tmp_path / "db", "resume")
    assert done.returncode == 0, done.stderr
    after = written()[len(before) :]
    [backfill] = [span for span in after if span["name"] == "backfill orders"]
    assert backfill["attributes"]["rivers.backfill.resumed"] is True
    assert {span["trace"] for span in before} == {span["trace"] for span in after}
    assert {run["parent"] for run in after if run["name"] == "run orders"} == {backfill["id"]}


def test_without_instrument_opentelemetry_is_not_imported():
    code = """
import sys
import threading
from pathlib import Path
import rivers as rs

@rs.Asset(partitions_def=rs.PartitionsDefinition.static_(["a", "b"]))
def orders(): return 1

repo = rs.CodeRepository([orders]).resolve(rs.Storage.memory())
repo.backfill(partition_keys=[rs.PartitionKey.single("a")])
repo.close()
print([name for name in sys.modules if "telemetry" in name])
"""
    assert run_script(code).stdout == "[]\n"


def test_without_opentelemetry_the_remedy_is_named():
    code = "import sys; sys.modules['opentelemetry'] = None\nimport rivers.telemetry"
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, capture_output=True, text=True, timeout=TIMEOUT, check=False)
    assert "pip install 'rivers[otel]'" in done.stderr.splitlines()[-1]


@pytest.mark.parametrize(
    ("setup", "message"),
    [("x", "function without arguments, got 'x'"), (lambda: LOCK, "create what it uses inside")],
)
def test_a_setup_that_no_worker_could_call_is_refused(setup, message):
    with pytest.raises(ConfigurationError, match=message):
        RiversInstrumentor().instrument(setup_worker=setup)
