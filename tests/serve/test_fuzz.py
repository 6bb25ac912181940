"""Requests made up from the server's own schema: whatever is sent, the server answers and goes on."""

import pytest
import schemathesis
from hypothesis import HealthCheck, settings
from schemathesis.checks import not_a_server_error


@pytest.fixture(scope="module")
def schema(server):
    return schemathesis.openapi.from_url(f"{server.url}/openapi.json")


lazy = schemathesis.pytest.from_fixture("schema")
STEADY = {"deadline": None, "suppress_health_check": list(HealthCheck), "derandomize": True, "database": None}


# Streams have no end, and what is painted takes its time: both have tests of their own.
def finite(parametrize):
    return parametrize.exclude(path_regex="events$|images|responses").parametrize()


@finite(lazy)
@settings(max_examples=4, **STEADY)
def test_nothing_breaks_it(case):
    case.call_and_validate(checks=[not_a_server_error], timeout=60)


@pytest.mark.slow
@finite(lazy)
@settings(max_examples=200, **STEADY)
def test_nothing_breaks_it_for_long(case):
    case.call_and_validate(checks=[not_a_server_error], timeout=60)
