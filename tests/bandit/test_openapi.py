"""The running server against its own OpenAPI description, with requests that schemathesis makes up from it."""

from collections.abc import Callable, Iterator

import pytest
import schemathesis
from hypothesis import HealthCheck, settings
from schemathesis import Case
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from bandit.api.openapi import describe
from bandit.client import Client
from simulator.server import serving

API = schemathesis.openapi.from_dict(describe("Honeyguide", "under test"))
CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
]
KNOWN = {"loop": "loop", "decision_id": "decision"}
LONGEST_WAIT_S = 0.01


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The URL of a server of its own, which knows one loop and one rewarded decision."""
    folder = tmp_path_factory.mktemp("openapi")
    with serving("bandit.cli.main", "serve", "--data", str(folder)) as url, Client(url, trust_env=False) as client:
        client.put_loop(KNOWN["loop"], {})
        client.decide("loop", context={}, actions=[{"id": "a"}], decision_id=KNOWN["decision_id"])
        client.reward("loop", decision_id=KNOWN["decision_id"], value=1)
        yield url


def quickly(max_examples: int) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """The same requests in every run, and no more of them than this for each operation."""
    unhurried = [HealthCheck.too_slow, HealthCheck.filter_too_much, HealthCheck.data_too_large]
    return settings(max_examples=max_examples, database=None, suppress_health_check=unhurried)


def send(case: Case, server: str) -> None:
    """Send the request as it was made up, and once more to the loop and the decision that exist."""
    wait = case.query.get("timeout_s")
    if isinstance(wait, int | float) and wait > LONGEST_WAIT_S:
        case.query["timeout_s"] = LONGEST_WAIT_S
    case.call_and_validate(base_url=server, checks=CHECKS)
    known = {name: KNOWN[name] for name in case.path_parameters}
    if known:
        case.path_parameters = known
        case.call_and_validate(base_url=server, checks=CHECKS)


@API.parametrize()
@quickly(20)
def test_server_keeps_its_description(case: Case, server: str) -> None:
    """Whatever is sent, the answer is none of 5xx and has a status, media type and schema that are described."""
    send(case, server)


@pytest.mark.deep
@API.parametrize()
@quickly(400)
def test_server_keeps_its_description_deeply(case: Case, server: str) -> None:
    """The same, with many more requests."""
    send(case, server)
