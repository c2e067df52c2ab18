"""The REST contract, over the real application and store."""

import json
import threading
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from urllib.parse import quote

import msgspec
import pytest
from starlette.testclient import TestClient

from bandit.api.body import MAX_BODY
from bandit.settings import LoopConfig
from bandit.wiring import open_app

ASK = {"context": {"x": 1}, "actions": [{"id": "a"}, {"id": "b", "features": {"q": [0.5, 2]}}]}


@pytest.fixture
def client(tmp_path: Path) -> Iterator[TestClient]:
    """A client of a server with the loop `loop`."""
    with open_app(tmp_path / "data") as app, TestClient(app, raise_server_exceptions=False) as client:
        assert client.put("/v1/loops/loop", json={"reward": {"window_s": 600}}).status_code == 201
        yield client


def problem(response, status: int, said: str) -> None:
    """Check that a response is a problem that says so."""
    assert response.status_code == status, response.text
    assert response.headers["content-type"] == "application/problem+json"
    body = response.json()
    assert body["status"] == status
    assert set(body) == {"type", "title", "status", "detail"}
    assert said in body["detail"], body["detail"]


def test_loops_are_put_and_shown(client: TestClient) -> None:
    """A PUT answers with the whole config; what GET shows can be PUT again; the ETag guards against lost changes."""
    shown = client.get("/v1/loops/loop")
    assert shown.headers["etag"] == '"1"'
    assert shown.json()["reward"]["window_s"] == 600
    assert shown.json()["exploration"] == msgspec.to_builtins(LoopConfig().exploration)
    again = client.put("/v1/loops/loop", json=shown.json(), headers={"If-Match": '"1"'})
    assert (again.status_code, again.headers["etag"]) == (200, '"2"')
    assert again.json() == shown.json()
    problem(client.put("/v1/loops/loop", json={}, headers={"If-Match": '"1"'}), 409, "at revision 2")
    problem(client.put("/v1/loops/loop", json={}, headers={"If-Match": "1"}), 422, "If-Match is 1")
    [entry] = client.get("/v1/loops").json()["loops"]
    assert (entry["loop"], entry["revision"]) == ("loop", 2)


def test_a_dry_run_says_what_would_change(client: TestClient) -> None:
    """With `dry_run=true` a PUT answers 200 with the changes and changes nothing; other values are refused."""
    config = {"reward": {"window_s": 600}, "policy": {"kind": "linear_ucb"}, "exploration": {"cap": 0.5}}
    answer = client.put("/v1/loops/loop?dry_run=true", json=config, headers={"If-Match": '"1"'})
    assert (answer.status_code, answer.json()["new"]) == (200, False)
    changes = {change["key"]: change for change in answer.json()["changes"]}
    assert changes["exploration.cap"] == {
        "key": "exploration.cap", "before": 0.2, "after": 0.5, "effect": "next_decision",
    }  # fmt: skip
    assert changes["policy.kind"]["effect"] == "new_line"
    assert "reward.window_s" not in changes
    assert answer.json()["opens"]["line"].startswith("linear_ucb-")
    assert client.get("/v1/loops/loop").headers["etag"] == '"1"'
    problem(client.put("/v1/loops/loop?dry_run=true", json={}, headers={"If-Match": '"2"'}), 409, "at revision 1")
    problem(client.put("/v1/loops/loop?dry_run=yes", json={}), 422, "dry_run is 'yes'")
    problem(client.put("/v1/loops/loop?dryrun=true", json={}), 422, "unknown query parameter 'dryrun'")
    assert client.put("/v1/loops/other?dry_run=true", json={}).json()["new"]
    assert client.get("/v1/loops/other").status_code == 404
    assert client.put("/v1/loops/loop?dry_run=false", json=config).headers["etag"] == '"2"'


def test_decision_contract(client: TestClient) -> None:
    """A decision has the contract's fields, and is there in full afterwards."""
    answer = client.post("/v1/loops/loop/decisions", json={**ASK, "top_n": 2})
    assert answer.status_code == 201
    body = answer.json()
    fields = "decision_id ranking slate_propensity policy model_version component fallback at short"
    assert set(body) == set(fields.split())
    assert [set(slot) for slot in body["ranking"]] == [{"action", "propensity", "explored", "reason"}] * 2
    assert body["slate_propensity"] == body["ranking"][0]["propensity"]
    assert datetime.fromisoformat(body["at"]).tzinfo
    shown = client.get(f"/v1/loops/loop/decisions/{body['decision_id']}").json()
    assert {key: shown[key] for key in body} == body
    assert (shown["context"], shown["actions"]) == (ASK["context"], ASK["actions"])
    assert [entry["action"] for entry in shown["distribution"]] == ["a", "b"]
    assert (shown["rewards"], shown["outcome"]["kind"]) == ([], "provisional")


def test_reward_contract(client: TestClient) -> None:
    """A reward is answered with three booleans, is on record with both its times, and settles its decision."""
    decision_id = client.post("/v1/loops/loop/decisions", json=ASK).json()["decision_id"]
    sent = {"decision_id": decision_id, "value": 1, "reward_id": "r", "occurred_at": "2026-01-02T03:04:05+01:00"}
    first = client.post("/v1/loops/loop/rewards", json=sent)
    assert first.status_code == 202
    assert first.json() == {"status": "accepted", "duplicate": False, "late": False, "early": False}
    assert client.post("/v1/loops/loop/rewards", json=sent).json()["duplicate"] is True
    shown = client.get(f"/v1/loops/loop/decisions/{decision_id}").json()
    [reward] = shown["rewards"]
    assert reward["occurred_at"] == "2026-01-02T02:04:05.000000Z"
    assert (shown["outcome"]["kind"], shown["outcome"]["value"]) == ("rewarded", 1)
    early = client.post("/v1/loops/loop/rewards", json={"decision_id": "not yet", "value": 0})
    assert early.json() == {"status": "accepted", "duplicate": False, "late": False, "early": True}


def test_status_waits_for_learning(client: TestClient) -> None:
    """`learned_through` can be waited for, and the wait ends when it is reached or the time is up."""
    decision_id = client.post("/v1/loops/loop/decisions", json=ASK).json()["decision_id"]
    client.post("/v1/loops/loop/rewards", json={"decision_id": decision_id, "value": 1})
    status = client.get("/v1/loops/loop/status?learned_through=2&timeout_s=5").json()
    assert (status["log_position"], status["learned_through"]) == (2, 2)
    assert (status["decisions"], status["rewards"], status["outcomes"]["rewarded"]) == (1, 1, 1)
    assert set(status["exploration"]) >= {"cap", "expected", "realised", "budget"}
    assert client.get("/v1/loops/loop/status?learned_through=9&timeout_s=0.01").json()["learned_through"] == 2
    problem(client.get("/v1/loops/loop/status?learned_through=x"), 422, "learned_through is 'x'")
    problem(client.get("/v1/loops/loop/status?wait=1"), 422, "unknown query parameter 'wait'")


def test_retries_are_harmless(client: TestClient) -> None:
    """The same id and body gives the same answer with 200; another body is a conflict."""
    first = client.post("/v1/loops/loop/decisions", json={**ASK, "decision_id": "d"})
    again = client.post("/v1/loops/loop/decisions", json={"decision_id": "d", **ASK})
    assert (first.status_code, again.status_code) == (201, 200)
    assert first.json() == again.json()
    other = client.post("/v1/loops/loop/decisions", json={**ASK, "decision_id": "d", "top_n": 2})
    problem(other, 409, "another body")


def test_retries_at_the_same_time_are_one_decision(client: TestClient) -> None:
    """Twenty concurrent posts of one id give one decision: one 201 and nineteen 200, all alike."""
    answers = []

    def post() -> None:
        answers.append(client.post("/v1/loops/loop/decisions", json={**ASK, "decision_id": "same"}))

    threads = [threading.Thread(target=post) for _ in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(answer.status_code for answer in answers) == [200] * 19 + [201]
    assert len({answer.text for answer in answers}) == 1


@pytest.mark.parametrize(
    ("body", "status", "said"),
    [
        (b"", 400, "not valid JSON"),
        (b"{", 400, "not valid JSON"),
        (b'{"actions":[{"id":"a","features":{"x":NaN}}]}', 400, "numbers are finite"),
        (b'{"actions":[{"id":"a","features":{"x":1e999}}]}', 422, "Number out of range"),
        (b'{"actions":[{"id":"\xff"}]}', 400, "UTF-8"),
        (b'{"context":' + b'{"a":' * 100_000 + b"1" + b"}" * 100_001, 400, "not valid JSON"),
        (b"[]", 422, "Expected `object`"),
        (b"{}", 422, "missing required field `actions`"),
        (b'{"actions":[]}', 422, "0 actions"),
        (b'{"actions":[{"id":"a"}],"topn":2}', 422, "unknown field `topn`"),
        (b'{"actions":[{"id":"a"}],"top_n":0}', 422, "$.top_n"),
        (b'{"actions":[{"id":"a","feature":{}}]}', 422, "unknown field `feature`"),
        (b'{"actions":[{"id":"a"},{"id":"a"}]}', 422, "stands twice"),
        (b'{"actions":[{"id":""}]}', 422, "$.actions[0].id"),
        (b'{"actions":[{"id":"a","features":{"x":"y","z":null}}]}', 422, "'z' is None"),
        (b'{"actions":[{"id":"a"}],"decision_id":""}', 422, "decision_id has 0 characters"),
        (b'{"actions":[{"id":7}]}', 422, "Expected `str`"),
    ],
)
def test_bad_decisions(client: TestClient, body: bytes, status: int, said: str) -> None:
    """What is not JSON is a 400, what breaks a rule a 422; each says what and where, and nothing is stored."""
    problem(client.post("/v1/loops/loop/decisions", content=body), status, said)
    assert client.get("/v1/loops/loop/status").json()["decisions"] == 0


@pytest.mark.parametrize(
    ("body", "status", "said"),
    [
        (b'{"decision_id":"d","value":NaN}', 400, "numbers are finite"),
        (b'{"decision_id":"d","value":1e300}', 422, "at most 1e15"),
        (b'{"decision_id":"d","value":"1"}', 422, "$.value"),
        (b'{"decision_id":"d"}', 422, "missing required field `value`"),
        (b'{"decision_id":"","value":1}', 422, "0 characters"),
        (b'{"decision_id":"d","value":1,"reward_id":""}', 422, "reward_id has 0"),
        (b'{"decision_id":"d","value":1,"occurred_at":"yesterday"}', 422, "$.occurred_at"),
        (b'{"decision_id":"d","value":1,"occurred_at":"0001-01-01T00:00:00+01:00"}', 422, "between 1970 and 9998"),
        (b'{"decision_id":"d","value":1,"occurred_at":"9999-12-31T23:59:59-01:00"}', 422, "between 1970 and 9998"),
        (b'{"decision_id":"d","value":1,"slot":9223372036854775808}', 422, "$.slot"),
        (b'{"decision_id":"d","value":1,"slot":-1}', 422, "$.slot"),
        (b'{"decision_id":"d","value":1,"component":"c"}', 422, "declare reward.components with PUT"),
    ],
)
def test_bad_rewards(client: TestClient, body: bytes, status: int, said: str) -> None:
    """A reward that is no finite number, or names what is not there, is refused and not counted."""
    problem(client.post("/v1/loops/loop/rewards", content=body), status, said)
    assert client.get("/v1/loops/loop/status").json()["rewards"] == 0


@pytest.mark.parametrize(
    ("config", "said"),
    [
        ({"polcy": {}}, "unknown field `polcy`"),
        ({"policy": {"kind": "x"}}, "must be one of"),
        ({"policy": {"kind": ["x"]}}, "must be one of"),
        ({"policy": {"kind": "linear_ts", "alpha": 1}}, "unknown field `alpha`"),
        ({"exploration": {"floor": 0.5}}, "lower the floor or raise the cap"),
        ({"reward": {"window_s": 0.01}}, "$.reward.window_s"),
        ({"reward": {"aggregation": "median"}}, "$.reward.aggregation"),
        ({"guards": [1]}, "$.guards"),
    ],
)
def test_bad_configs(client: TestClient, config: dict[str, object], said: str) -> None:
    """A config that breaks a rule is refused whole, and the old one stays."""
    problem(client.put("/v1/loops/loop", json=config), 422, said)
    assert client.get("/v1/loops/loop").headers["etag"] == '"1"'


def test_unknown_things_are_404(client: TestClient) -> None:
    """An unknown loop, decision or path is named with what to do."""
    problem(client.get("/v1/loops/none"), 404, "PUT /v1/loops/none")
    problem(client.post("/v1/loops/none/decisions", json=ASK), 404, "no loop 'none'")
    problem(client.get("/v1/loops/none/status"), 404, "no loop 'none'")
    problem(client.get("/v1/loops/loop/decisions/none"), 404, "no decision 'none'")
    problem(client.get("/v2"), 404, "/openapi.json")
    problem(client.request("PATCH", "/v1/loops/loop"), 405, "PATCH is not allowed")
    assert "PUT" in client.request("PATCH", "/v1/loops/loop").headers["allow"]


def test_any_id_can_be_read_back(client: TestClient) -> None:
    """An id may hold slashes, dots, spaces and letters of any script."""
    for name in ("a/b", "a/b/", "x y", "ü", "a.b"):
        assert client.post("/v1/loops/loop/decisions", json={**ASK, "decision_id": name}).status_code == 201
        shown = client.get(f"/v1/loops/loop/decisions/{quote(name, safe='')}")
        assert shown.json()["decision_id"] == name


def test_too_many_features_are_refused(client: TestClient) -> None:
    """More than 10,000 features are refused, in the context and in an action, nested or flat."""
    flat = {f"f{i}": 1.0 for i in range(10_001)}
    problem(client.post("/v1/loops/loop/decisions", json={**ASK, "context": flat}), 422, "at most 10000")
    body = {"actions": [{"id": "a", "features": flat}]}
    problem(client.post("/v1/loops/loop/decisions", json=body), 422, "at most 10000")


def test_huge_bodies_are_refused(client: TestClient) -> None:
    """50 MB are refused by their declared length, and a stream without one as soon as it is too long."""
    problem(client.post("/v1/loops/loop/decisions", content=b" " * 50_000_000), 413, "50000000 bytes")
    sent = []

    def chunks() -> Iterator[bytes]:
        for _ in range(50):
            sent.append(1)
            yield b" " * 1_000_000

    problem(client.post("/v1/loops/loop/decisions", content=chunks()), 413, f"at most {MAX_BODY}")


def test_many_actions(client: TestClient) -> None:
    """A thousand actions are ranked; ten thousand are refused with the limit."""
    many = [{"id": f"a{i}", "features": {"x": i}} for i in range(10_000)]
    assert client.post("/v1/loops/loop/decisions", json={"actions": many[:1000]}).status_code == 201
    problem(client.post("/v1/loops/loop/decisions", json={"actions": many}), 422, "10000 actions")


def test_full_disk_is_503_with_retry_after(client: TestClient) -> None:
    """What was not stored is never acknowledged: the client is told to come again, and may."""
    store = client.app.state.service._store
    store._writer.execute("PRAGMA max_page_count = 1")
    big = {"context": {"x": [0.1] * 9000}, "actions": [{"id": "a"}], "decision_id": "d"}
    answers = [client.post("/v1/loops/loop/decisions", json={**big, "decision_id": f"d{i}"}) for i in range(60)]
    full = answers[-1]
    problem(full, 503, "send the request again")
    assert full.headers["retry-after"] == "1"
    problem(client.get("/v1/loops/loop/decisions/d59"), 404, "d59")
    store._writer.execute("PRAGMA max_page_count = 100000")
    assert client.post("/v1/loops/loop/decisions", json={**big, "decision_id": "d59"}).status_code == 201


def test_full_queue_is_503_with_retry_after(client: TestClient) -> None:
    """While as many operations as may wait for the disk do, decisions, rewards and configs are refused, not queued."""
    commit = client.app.state.service._commit
    commit._max_waiting = 0
    ask = {**ASK, "decision_id": "d"}
    for refused in (
        client.post("/v1/loops/loop/decisions", json=ask),
        client.post("/v1/loops/loop/rewards", json={"decision_id": "d", "value": 1}),
        client.put("/v1/loops/other", json={}),
    ):
        problem(refused, 503, "wait for the disk; send the request again")
        assert refused.headers["retry-after"] == "1"
    problem(client.get("/v1/loops/loop/decisions/d"), 404, "'d'")
    commit._max_waiting = 4096
    assert client.post("/v1/loops/loop/decisions", json=ask).status_code == 201


def test_health_and_description(client: TestClient) -> None:
    """Health and readiness answer, and the description has every route with its schemas."""
    assert client.get("/healthz").json() == {"status": "ok"}
    assert client.get("/readyz").json() == {"status": "ready"}
    description = client.get("/openapi.json").json()
    routes = {(path, method) for path, methods in description["paths"].items() for method in methods}
    assert ("/v1/loops/{loop}/decisions", "post") in routes
    assert len(routes) == 10
    body = description["paths"]["/v1/loops/{loop}/decisions"]["post"]["requestBody"]
    assert body["content"]["application/json"]["schema"]["$ref"] in json.dumps(description)
    assert {"actions", "context", "top_n"} <= set(description["components"]["schemas"]["DecisionRequest"]["properties"])
