"""The REST interface: what a script can read and do."""

import base64
import http.client
import json
import struct
import threading
import time
import urllib.parse

import polars as pl
import pytest
from tests.ui.conftest import GRID

import rivers as rs
from rivers.ui import Server
from rivers.ui.schemas import MAX_SIDE


def wait(served, backfill_id, *, status="completed"):
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        view = served.api("GET", f"/backfills/{backfill_id}")
        if view["status"] != "in_progress":
            break
        time.sleep(0.02)
    assert view["status"] == status
    return view


def test_tables_have_the_names_and_values_of_the_client(served):
    client = rs.BackfillClient(served.repository.storage)
    listed = served.api("GET", "/backfills")
    assert listed["total"] == 1
    (view,) = listed["backfills"]
    assert (view["completed"], view["failed"], view["status"]) == (29, 1, "failed")
    assert served.api("GET", f"/backfills/{served.backfill_id}")["error"].startswith("the asset")
    for name in ("partitions", "runs", "errors"):
        table = getattr(client, f"backfill_{name}")(served.backfill_id)
        rows = served.api("GET", f"/backfills/{served.backfill_id}/{name}")
        assert list(rows[0]) == table.columns
        assert len(rows) == table.height
        path = f"/api/v1/backfills/{served.backfill_id}/{name}?format=arrow"
        frame = pl.read_ipc_stream(served.send("GET", path).body)
        assert frame.height == table.height
    rows = served.api(
        "GET", f"/backfills/{served.backfill_id}/partitions?status=failed&status=pending"
    )
    assert [row["status"] for row in rows] == ["failed"]
    assert served.api("GET", "/backfills?status=completed")["total"] == 0
    assert served.api("GET", "/backfills?search=REPORT")["total"] == 1
    assert served.api("GET", "/backfills?asset=nothing")["total"] == 0
    for search, count in (("report", 1), ("nothing", 0)):
        answer = served.send("GET", f"/api/v1/backfills?format=arrow&search={search}")
        assert pl.read_ipc_stream(answer.body).height == count


def test_a_map_is_sent_as_bytes_and_not_again_while_nothing_has_changed(served):
    path = f"/api/v1/backfills/{served.backfill_id}/cells?format=bytes&width=10&height=3"
    answer = served.send("GET", path)
    (size,) = struct.unpack("<I", answer.body[:4])
    head = json.loads(answer.body[4 : 4 + size])
    cells = answer.body[4 + size :]
    assert (head["width"], head["height"], head["rows"]) == (10, 3, "region")
    assert len(cells) == 3 * 10 * 3
    failed = [at // 3 for at in range(0, 90, 3) if cells[at] == head["states"].index("failed")]
    assert failed == [1 * 10 + 2]
    again = served.send("GET", path, If_None_Match=answer.headers["etag"])
    assert (again.status, again.body) == (304, b"")
    part = f"/backfills/{served.backfill_id}/cells?where=date:2-3&where=region:1-2&width=1&height=1"
    assert served.api("GET", part)["totals"]["failed"] == 1
    assert served.send("GET", f"{path}&width={MAX_SIDE + 1}").status == 400


def test_grids_keys_and_coordinates(served):
    (grid,) = served.api("GET", f"/backfills/{served.backfill_id}/grids")
    assert grid["assets"] == ["sales", "report"]
    assert (grid["rows"], grid["columns"]) == ("region", "date")
    base = f"/backfills/{served.backfill_id}"
    labels = served.api("GET", f"{base}/labels?dimension=date&start=1&step=4&count=9")
    assert labels == ["2024-01-02", "2024-01-06", "2024-01-10"]
    found = served.api("GET", f"{base}/find?keys=date=2024-01-03..2024-01-04")
    assert found == {"date": [2, 4], "region": [0, 3]}


def test_a_part_is_counted_and_named_before_it_is_run_again(served):
    base = f"/backfills/{served.backfill_id}"
    where = {"date": [1, 5], "region": [0, 2]}
    part = served.api("GET", f"{base}/part?where=date:1-5&where=region:0-2&states=failed")
    assert part["count"] == 1
    assert sum(part["totals"].values()) == 8
    assert part["command"] == (
        "rivers backfill sales.py --assets sales,report --range date=2024-01-02..2024-01-05 "
        f"--range region=us..eu --strategy multi_run --storage {served.repository.storage.path}"
    )
    served.bad.clear()
    body = {"where": where, "states": ["failed"]}
    planned = served.api("POST", f"{base}/rerun", body | {"dry_run": True})
    assert (planned["num_partitions"], planned["backfill_id"]) == (1, None)
    launched = served.api("POST", f"{base}/rerun", body)
    assert wait(served, launched["backfill_id"])["completed"] == 1
    every = served.api("POST", f"{base}/rerun", {"where": where, "states": ["failed", "completed"]})
    assert wait(served, every["backfill_id"])["completed"] == 8


def test_the_named_python_selects_the_part(served):
    base = f"/backfills/{served.backfill_id}"
    part = served.api("GET", f"{base}/part?where=date:1-5&states=failed")
    repo = served.repository
    names = {"repo": repo, "rs": rs}
    planned = eval(part["rerun_python"].removesuffix(")") + ", dry_run=True)", names)
    assert planned.num_partitions == 1
    planned = eval(part["python"].removesuffix(")") + ", dry_run=True)", names)
    assert planned.num_partitions == 12


def test_a_backfill_is_launched_paused_changed_and_canceled(served):
    served.gate.clear()
    body = {
        "selection": ["sales"],
        "range": {"date": {"first": "2024-01-01", "last": "2024-01-04"}},
        "tags": {"a": "b"},
    }
    assert served.api("POST", "/backfills", body | {"dry_run": True})["num_partitions"] == 12
    launched = served.api("POST", "/backfills", body)["backfill_id"]
    base = f"/backfills/{launched}"
    assert served.api("POST", f"{base}/pause")["paused"]
    assert not served.api("POST", f"{base}/unpause")["paused"]
    assert served.api("PATCH", base, {"max_concurrency": 7})["max_concurrency"] == 7
    answer = served.send("PATCH", f"/api/v1{base}", {})
    assert (answer.status, answer.json["error"]["type"]) == (400, "ConfigurationError")
    (live,) = served.api("GET", "/backfills?status=in_progress")["backfills"]
    assert (live["backfill_id"], live["tags"]) == (launched, [["a", "b"]])
    served.api("POST", f"{base}/cancel")
    served.gate.set()
    wait(served, launched, status="canceled")
    assert served.send("POST", f"/api/v1{base}/pause", {}).status == 409


def test_runs_have_steps_errors_and_metadata(served):
    (row,) = served.api("GET", f"/backfills/{served.backfill_id}/runs?status=failed")
    run = served.api("GET", f"/runs/{row['run_id']}")
    assert run["partition_keys"] == ["date=2024-01-03|region=eu"]
    assert run["status"] == "failed"
    assert "no data" in served.api("GET", f"/runs/{row['run_id']}/error")["traceback"]
    events = served.api("GET", f"/runs/{row['run_id']}/events")
    assert {event["event_type"] for event in events} >= {"StepStart", "StepFailure"}
    done = served.api(
        "GET", f"/backfills/{served.backfill_id}/runs?status=completed&sort=-duration"
    )
    events = served.api("GET", f"/runs/{done[0]['run_id']}/events")
    made = [event for event in events if event["event_type"] == "Materialization"]
    assert ["rows", "5"] in made[0]["metadata"]
    assert served.send("GET", "/api/v1/runs/nothing").status == 404
    assert len(served.api("GET", "/runs?limit=3")) == 3


def test_activity_counts_every_run(served):
    activity = served.api("GET", f"/backfills/{served.backfill_id}/activity")
    assert sum(ended for ended, _ in activity["bins"]) == 30
    assert sum(failed for _, failed in activity["bins"]) == 1
    assert len(activity["longest"]) == 10


def test_assets_and_what_is_missing_of_them(served):
    assets = {asset["name"]: asset for asset in served.api("GET", "/assets")}
    assert assets["report"]["depends_on"] == ["sales"]
    assert assets["sales"]["num_partitions"] == 30
    assert served.api("GET", "/assets/sales/grid")["columns"] == "date"
    cells = served.api("GET", "/assets/sales/cells")
    assert (cells["totals"]["materialized"], cells["totals"]["failed"]) == (29, 1)
    assert served.api("GET", "/assets/sales/labels?dimension=region") == ["us", "eu", "asia"]
    served.bad.clear()
    missing = {"selection": ["sales"], "only_missing": True}
    planned = served.api("POST", "/backfills", missing | {"dry_run": True})
    assert planned["num_partitions"] == 1
    launched = served.api("POST", "/backfills", missing)
    wait(served, launched["backfill_id"])
    assert served.send("GET", "/api/v1/assets/nothing/cells").status == 404


def test_without_a_module_backfills_are_controlled_and_none_is_launched(served, serve):
    served.server = serve(rs.BackfillClient(served.repository.storage))
    served.gate.clear()
    launched = served.repository.backfill(
        ["sales"], partition_keys=[rs.PartitionKey.multi({"date": "2024-01-01", "region": "us"})],
        block=False,
    ).backfill_id  # fmt: skip
    assert served.api("POST", f"/backfills/{launched}/pause")["paused"]
    served.api("POST", f"/backfills/{launched}/unpause")
    served.gate.set()
    wait(served, launched)
    for path in ("/backfills", f"/backfills/{served.backfill_id}/rerun"):
        answer = served.send("POST", f"/api/v1{path}", {})
        assert answer.status == 400
        assert "rivers ui MODULE" in answer.json["error"]["message"]


@pytest.mark.parametrize("query", ["", "?backfill={id}"])
def test_events_follow_a_backfill_to_its_end(served, query):
    served.gate.clear()
    launched = served.api("POST", "/backfills", {"selection": ["sales"]})["backfill_id"]
    connection = http.client.HTTPConnection("127.0.0.1", served.server.port, timeout=20)
    connection.request(
        "GET", f"/api/v1/events{query.format(id=launched)}",
        headers={"Authorization": f"Bearer {served.token}"},
    )  # fmt: skip
    stream = connection.getresponse()
    assert stream.getheader("content-type").startswith("text/event-stream")
    seen = []
    for line in stream:
        if not line.startswith(b"data: "):
            continue
        state = json.loads(line[6:])
        if query:
            seen.append(state["status"])
            if state["status"] != "in_progress":
                break
        else:
            seen.append(len(state))
            if not state:
                break
        served.gate.set()
    connection.close()
    assert len(seen) >= 2


def test_the_document_describes_every_endpoint(served):
    document = served.api("GET", "/openapi.json")
    operations = [
        (method, path) for path, methods in document["paths"].items() for method in methods
    ]
    assert ("get", "/api/v1/backfills/{id}/cells") in operations
    assert ("post", "/api/v1/backfills/{id}/rerun") in operations
    assert len(operations) >= 30
    ids = [own["operationId"] for methods in document["paths"].values() for own in methods.values()]
    assert len(set(ids)) == len(ids)


def test_metrics_are_those_of_prometheus_and_are_guarded(served):
    served.gate.clear()
    launched = served.api("POST", "/backfills", {"selection": ["sales"]})["backfill_id"]
    answer = served.send("GET", "/api/v1/metrics")
    assert answer.headers["content-type"].startswith("text/plain; version=0.0.4")
    lines = answer.body.decode().splitlines()
    assert 'rivers_backfills{status="failed"} 1' in lines
    assert 'rivers_backfills{status="in_progress"} 1' in lines
    assert f'rivers_backfill_partitions_left{{backfill="{launched}"}} 30' in lines
    assert served.send("GET", "/api/v1/metrics", auth=False).status == 401
    served.gate.set()
    wait(served, launched, status="failed")


def test_what_failed_with_one_error_is_a_map_of_its_own(tmp_path, serve, served):
    @rs.Asset(partitions_def=GRID)
    def sales(context):
        key = context.partition_key
        if "eu" in key:
            raise ValueError(f"no rate for {key}")
        if "2024-01-05" in key:
            raise KeyError("asia")
        return 1

    repository = rs.CodeRepository([sales]).resolve(rs.Storage.open(tmp_path / "errors.db"))
    result = repository.backfill(partition_keys=GRID.select())
    served.server = serve(rs.BackfillClient(repository.storage), repository=repository)
    base = f"/backfills/{result.backfill_id}"
    groups = served.api("GET", f"{base}/errors")
    assert [(group["error_type"], group["count"]) for group in groups] == [
        ("ValueError", 10), ("KeyError", 2)
    ]  # fmt: skip
    for group in groups:
        query = urllib.parse.urlencode({
            "error_type": group["error_type"], "error_message": group["message"],
            "width": 10, "height": 3, "format": "bytes",
        })  # fmt: skip
        answer = served.send("GET", f"/api/v1{base}/cells?{query}")
        (size,) = struct.unpack("<I", answer.body[:4])
        head, cells = json.loads(answer.body[4 : 4 + size]), answer.body[4 + size :]
        failed = head["states"].index("failed")
        shown = {divmod(at // 3, 10) for at in range(0, 90, 3) if cells[at] == failed}
        eu = {(1, column) for column in range(10)}
        assert shown == (eu if group["error_type"] == "ValueError" else {(0, 4), (2, 4)})
        assert head["totals"]["failed"] == group["count"]
    none = served.api("GET", f"{base}/cells?error_type=ValueError&error_message=other")
    assert none["totals"]["failed"] == 0
    repository.close()


def test_a_run_shows_each_of_its_errors_with_its_own_traceback(tmp_path, serve, served):
    tries = []

    @rs.Asset(partitions_def=GRID, retry=rs.RetryPolicy(max_retries=1))
    def sales(context):
        tries.append(context.partition_key)
        if "eu" in context.partition_key:
            raise ValueError(
                f"attempt {tries.count(context.partition_key)} of {context.partition_key}"
            )
        return 1

    repository = rs.CodeRepository([sales]).resolve(rs.Storage.open(tmp_path / "errors.db"))
    result = repository.backfill(partition_keys=GRID.select(date=["2024-01-01", "2024-01-02"]))
    served.server = serve(rs.BackfillClient(repository.storage), repository=repository)
    failed = served.api("GET", f"/backfills/{result.backfill_id}/runs?status=failed")
    assert len(failed) == 2
    for row, day in zip(failed, ("2024-01-01", "2024-01-02"), strict=True):
        found = served.api("GET", f"/runs/{row['run_id']}/error")
        assert f"attempt 2 of date={day}|region=eu" in found["traceback"]
        assert [error["attempt"] for error in found["errors"]] == [1, None]
        first = found["errors"][0]
        assert f"attempt 1 of date={day}" in first["traceback"]
        assert (first["asset"], first["error_type"]) == ("sales", "ValueError")
    repository.close()


def test_a_run_shows_what_it_loads_and_what_it_logged(tmp_path, serve, served):
    days = rs.PartitionsDefinition.daily("2024-01-01", end="2024-01-11")

    @rs.Asset
    def rates():
        return 2

    @rs.Asset(partitions_def=days)
    def sales():
        return 1

    before = rs.PartitionMapping.time_window(start_offset=-2)

    @rs.Asset(partitions_def=days, deps=[rs.AssetDef.input("sales", before)])
    def week(context, sales, rates):
        return 1

    storage = rs.Storage.open(tmp_path / "inputs.db")
    repository = rs.CodeRepository([rates, sales, week]).resolve(storage)
    repository.materialize(["rates"])
    result = repository.backfill(
        ["sales", "week"], partition_range=rs.PartitionKeyRange.single("2024-01-01", "2024-01-10")
    )
    assert result.status == "completed"
    served.server = serve(rs.BackfillClient(repository.storage), repository=repository)
    runs = [served.api("GET", f"/runs/{run_id}") for run_id in result.run_ids]
    run = next(
        run for run in runs
        if run["assets"] == ["week"] and run["partition_keys"] == ["2024-01-05"]
    )  # fmt: skip
    inputs = served.api("GET", f"/runs/{run['run_id']}/inputs")
    by_name = {own["upstream"]: own for own in inputs}
    assert by_name["sales"]["partition_keys"] == ["2024-01-03", "2024-01-04", "2024-01-05"]
    assert by_name["rates"]["num_partitions"] == 0

    folder = tmp_path / "logs"
    folder.mkdir()
    line = {"time": "2024-01-01T00:00:00+00:00", "level": "INFO", "message": "read 5 rows"}
    lines = [json.dumps(line | {"run": own["run_id"]}) for own in runs]
    (folder / f"{result.backfill_id}.jsonl").write_text("\n".join([*lines, '{"cut'][:]))
    kept = served.api("GET", f"/runs/{run['run_id']}/log")
    assert [(own["run"], own["message"]) for own in kept] == [(run["run_id"], "read 5 rows")]
    repository.close()


def test_lanes_show_what_each_slot_did(tmp_path, serve, served):
    days = rs.PartitionsDefinition.daily("2024-01-01", end="2024-01-11")

    @rs.Asset(partitions_def=days)
    def sales(context):
        time.sleep(0.02)
        if context.partition_key == "2024-01-05":
            raise ValueError("no data")

    repository = rs.CodeRepository([sales]).resolve(rs.Storage.open(tmp_path / "lanes.db"))
    result = repository.backfill(partition_keys=days.select(), max_concurrency=2)
    served.server = serve(rs.BackfillClient(repository.storage))
    activity = served.api("GET", f"/backfills/{result.backfill_id}/activity")
    assert activity["num_lanes"] == 2
    lanes = [base64.b64decode(lane) for lane in activity["lanes"]]
    assert {len(lane) for lane in lanes} == {2 * len(activity["bins"])}
    assert all(max(lane[::2]) > 0 for lane in lanes)
    assert sum(max(lane[1::2]) > 0 for lane in lanes) == 1
    assert sum(activity["started"]) == 10
    assert sum(activity["busy"]) > 0
    repository.close()


def test_the_partitions_of_an_asset_are_a_table(served):
    rows = served.api("GET", "/assets/sales/partitions?status=failed")
    assert [(str(row["date"])[:10], row["region"]) for row in rows] == [("2024-01-03", "eu")]
    answer = served.send("GET", "/api/v1/assets/sales/partitions?format=arrow&limit=7")
    assert pl.read_ipc_stream(answer.body).height == 7


def test_the_server_ends_at_once_and_without_a_word_while_streams_are_open(served, serve, caplog):
    server = Server(rs.BackfillClient(served.repository.storage), port=0)
    thread = threading.Thread(target=server.run)
    thread.start()
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=20)
    headers = {"Authorization": f"Bearer {server.sessions.token}"}
    connection.request("GET", "/api/v1/events", headers=headers)
    stream = connection.getresponse()
    assert stream.readline() == b"retry: 1000\n"
    server.stop()
    stream.read()  # It ends, and is not cut off.
    thread.join(20)
    connection.close()
    assert [record for record in caplog.records if record.name.startswith("uvicorn")] == []
