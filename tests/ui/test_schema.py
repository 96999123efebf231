"""Every endpoint against requests that are made from the OpenAPI document, right and wrong ones."""

import os

import pytest
from hypothesis import HealthCheck, given, settings

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
    schema = schemathesis.openapi.from_dict(document)
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

    for result in schema.get_all_operations():
        check(result.ok())
    operations = [own for methods in document["paths"].values() for own in methods.values()]
    assert called == {operation["operationId"] for operation in operations}
    assert served.repository.backfills().height == 1
    assert len(answered) > 200
    assert {200, 400, 404} <= set(answered)
    assert "a request failed" not in caplog.text
