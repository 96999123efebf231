"""The page and the REST interface on a storage in a PostgreSQL server."""

import uuid

import pytest
from tests.postgres_server import running_server
from tests.support import wait_until
from tests.ui.conftest import GRID, Served

import rivers as rs


@pytest.fixture(scope="module")
def url():
    with running_server() as url:
        yield f"{url}?schema=s{uuid.uuid4().hex}"


def test_a_storage_in_a_server_is_shown_and_controlled(url, serve, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    bad = {"date=2024-01-03|region=eu"}

    @rs.Asset(partitions_def=GRID, io_handler=rs.PickleIOHandler(tmp_path / "values"))
    def sales(context):
        if context.partition_key in bad:
            raise ValueError(f"no data for {context.partition_key}")
        return 1

    with rs.CodeRepository([sales]).resolve(rs.Storage.open(url)) as repository:
        result = repository.backfill(partition_keys=GRID.select(), max_concurrency=2)
        client = rs.BackfillClient(repository.storage)
        server = serve(client, repository=repository, module="sales.py")
        served = Served(server, repository, result.backfill_id, bad)
        base = f"/backfills/{result.backfill_id}"
        assert served.api("GET", "/backfills")["backfills"][0]["failed"] == 1
        cells = served.api("GET", f"{base}/cells?width=10&height=3")
        assert (cells["totals"]["completed"], cells["totals"]["failed"]) == (29, 1)
        (group,) = served.api("GET", f"{base}/errors")
        only = served.api("GET", f"{base}/cells?error_type={group['error_type']}")
        assert only["totals"]["failed"] == 1
        activity = served.api("GET", f"{base}/activity")
        assert sum(ended for ended, _ in activity["bins"]) == 30
        assert 1 <= activity["num_lanes"] <= 2
        (row,) = served.api("GET", f"{base}/runs?status=failed")
        assert "date=2024-01-03" in served.api("GET", f"/runs/{row['run_id']}/error")["traceback"]
        assert served.api("GET", f"/runs/{row['run_id']}/log") == []
        assert served.api("GET", "/assets/sales/cells")["totals"]["failed"] == 1
        assert served.send("GET", "/api/v1/metrics").status == 200
        bad.clear()
        body = {"where": {"date": [1, 5], "region": [0, 2]}, "states": ["failed"]}
        launched = served.api("POST", f"{base}/rerun", body)["backfill_id"]
        path = f"/backfills/{launched}"
        wait_until(lambda: served.api("GET", path)["status"] != "in_progress")
        assert served.api("GET", path)["completed"] == 1
        info = served.api("GET", "/info")
        assert info["storage"].startswith("postgresql://")
