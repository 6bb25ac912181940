"""Requests made up from the server's own schema: whatever is sent, the server answers and keeps running."""

import pytest
from hypothesis import HealthCheck, given, settings

STEADY = {"deadline": None, "suppress_health_check": list(HealthCheck), "derandomize": True, "database": None}
# Streams have no end, and what is painted takes its time: both have tests of their own.
ENDLESS = ("/events", "/images/", "/v1/responses")


def fuzz(server, count):
    """Send made-up requests to every operation of the schema; the number of operations."""
    import schemathesis  # takes seconds, which every process that collects tests would spend

    schema = schemathesis.openapi.from_url(f"{server.url}/openapi.json")
    operations = [found.ok() for found in schema.get_all_operations()]
    tried = [one for one in operations if not any(part in one.path for part in ENDLESS)]
    for operation in tried:

        @given(operation.as_strategy())
        @settings(max_examples=count, **STEADY)
        def send(case):
            answer = case.call(timeout=60)
            assert answer.status_code < 500, f"{case.as_curl_command()}: {answer.text}"
            if answer.status_code >= 400:
                assert answer.json()["error"]["message"]

        send()
    return len(tried)


def test_nothing_breaks_it(server):
    assert fuzz(server, 4) > 20


@pytest.mark.slow
def test_nothing_breaks_it_for_long(server):
    assert fuzz(server, 200) > 20
