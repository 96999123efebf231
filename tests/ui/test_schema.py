"""Every endpoint against requests that are made from the OpenAPI document, right and wrong ones."""

import os

import pytest
from hypothesis import HealthCheck, given, settings

import rivers as rs

if os.environ.get("CI") == "true":
    import schemathesis
else:
    schemathesis = pytest.importorskip("schemathesis")

LAUNCHES = ["launch_backfill", "rerun_backfill"]
"""Operations of which a fitting request would start something: it is only planned."""


def sent(served, case):
    """Sends a request, about something that exists where its name has an odd number of characters."""
    for name, known in (("id", served.backfill_id), ("asset", "sales")):
        if len(case.path_parameters.get(name, "")) % 2:
            case.path_parameters[name] = known
    if case.operation.definition.raw["operationId"] in LAUNCHES and isinstance(case.body, dict):
        case.body["dry_run"] = True
    return case.call(
        base_url=f"http://{served.host}", headers={"Authorization": f"Bearer {served.token}"}
    )


def test_no_request_that_the_document_describes_fails_in_the_server(served, caplog):
    document = served.api("GET", "/openapi.json")
    answered, called = [], set()

    def check(operation):
        @settings(
            max_examples=15, deadline=None, database=None, suppress_health_check=list(HealthCheck)
        )
        @given(case=operation.as_strategy())
        def send(case):
            response = sent(served, case)
            answered.append(response.status_code)
            called.add(case.operation.definition.raw["operationId"])
            assert response.status_code < 500, (case.as_curl_command(), response.text)
            if response.status_code >= 400:
                assert response.json()["error"]["message"]

        send()

    stream = document["paths"].pop("/api/v1/events")  # It does not end.
    assert "text/event-stream" in stream["get"]["responses"]["200"]["content"]
    schema = schemathesis.openapi.from_dict(document)
    for result in schema.get_all_operations():
        check(result.ok())
    operations = [own for methods in document["paths"].values() for own in methods.values()]
    assert called == {operation["operationId"] for operation in operations}
    assert served.repository.backfills().height == 1
    assert len(answered) > 200
    assert {200, 400, 404} <= set(answered)
    assert "a request failed" not in caplog.text


CLIENT = {
    "storage": "get /info",
    "get_backfill": "get /backfills/{id}",
    "get_view": "get /backfills/{id}",
    "get_error": "get /backfills/{id}",
    "get_launch": "get /backfills/{id}",
    "list_views": "get /backfills",
    "backfills": "get /backfills",
    "backfill_partitions": "get /backfills/{id}/partitions",
    "backfill_runs": "get /backfills/{id}/runs",
    "backfill_errors": "get /backfills/{id}/errors",
    "get_activity": "get /backfills/{id}/activity",
    "cells": "get /backfills/{id}/cells",
    "grid": "get /backfills/{id}/labels",
    "grid_bounds": "get /backfills/{id}/find",
    "grid_assets": "get /backfills/{id}/grids",
    "select_partitions": "get /backfills/{id}/part",
    "get_runs": "get /runs",
    "get_run_errors": "get /runs/{run_id}/error",
    "wait_backfill": "get /events",
    "watch": "get /events",
    "cancel_backfill": "post /backfills/{id}/cancel",
    "pause_backfill": "post /backfills/{id}/pause",
    "unpause_backfill": "post /backfills/{id}/unpause",
    "update_backfill": "patch /backfills/{id}",
}
REPOSITORY = {
    "backfill": "post /backfills",
    "rerun_backfill": "post /backfills/{id}/rerun",
    "resume_backfill": "post /backfills/{id}/resume",
    "partition_status": "get /assets/{asset}/partitions",
    "report_materialized": "post /assets/{asset}/report",
    "forget_partitions": "post /assets/{asset}/forget",
}


def test_every_verb_and_table_of_the_client_is_in_the_document(served):
    public = {name for name in vars(rs.BackfillClient) if not name.startswith("_")}
    assert public == set(CLIENT)
    assert all(callable(getattr(rs.CodeRepository, name)) for name in REPOSITORY)
    described = {
        f"{method} {path.removeprefix('/api/v1')}"
        for path, methods in served.api("GET", "/openapi.json")["paths"].items()
        for method in methods
    }
    assert set(CLIENT.values()) | set(REPOSITORY.values()) <= described
