"""The load generator's parsing and figures, and each benchmark once in little time."""

import json
import subprocess
import sys

import pytest

from simulator.benchmarks.bodies import decision_bodies
from simulator.benchmarks.load import Connection, encode, latency

ANSWER = b'HTTP/1.1 201 Created\r\nserver: x\r\ncontent-length: 21\r\n\r\n{"decision_id":"d-1"}'


def _answers(*pieces):
    seen = []
    connection = Connection(lambda _, status, body, took_s: seen.append((status, body, took_s >= 0)))
    for piece in pieces:
        connection.data_received(piece)
    return seen


@pytest.mark.parametrize("cut", range(1, len(ANSWER)))
def test_answer_may_come_in_pieces(cut):
    """Wherever the network cuts an answer, it is counted once, when it is whole."""
    assert _answers(ANSWER[:cut]) == []
    assert _answers(ANSWER[:cut], ANSWER[cut:]) == [(b"201", b'{"decision_id":"d-1"}', True)]


def test_connection_is_reused():
    """A second answer on the same connection is a second answer."""
    assert len(_answers(ANSWER, ANSWER)) == 2


def test_quantiles_by_hand():
    """Of 0, 1 … 100 ms the median is 50, p99 is 99 and the largest 100."""
    figures = latency([i / 1000 for i in range(101)])
    assert (figures.p50, figures.p99, figures.max) == pytest.approx((50, 99, 100))


def test_request_is_whole():
    """A request states its length, so that the connection can stay open."""
    head, body = encode("/x", b'{"a":1}').split(b"\r\n\r\n")
    assert head.startswith(b"POST /x HTTP/1.1\r\n")
    assert b"Content-Length: 7" in head
    assert body == b'{"a":1}'


def test_bodies_are_what_the_bar_is_stated_for():
    """Ten actions of ten features, 64 different bodies, the same ones every time."""
    bodies = decision_bodies()
    actions = json.loads(bodies[0])["actions"]
    assert (len(actions), {len(action["features"]) for action in actions}) == (10, {10})
    assert len(set(bodies)) == 64
    assert bodies == decision_bodies()


def _bench(module, folder, *options):
    command = [sys.executable, "-m", f"simulator.benchmarks.{module}", "--data", str(folder), "--format", "json"]
    done = subprocess.run([*command, *options], capture_output=True, text=True, timeout=110, check=False)
    assert done.returncode == 0, done.stderr
    assert list(folder.iterdir()) == []
    return json.loads(done.stdout)["results"]


@pytest.mark.deep
def test_decisions_benchmark(tmp_path):
    """It reports the ratio to the floor while the loop learns, and leaves nothing behind."""
    (result,) = _bench("decisions", tmp_path, "--seconds", "1", "--rounds", "1", "--variant", "linear_ts-learning")
    (once,) = result["rounds"]
    assert result["ratio"] == once["decisions"]["requests_per_s"] / once["floor"]["requests_per_s"]
    assert once["decisions"]["rewards_per_s"] > 0


@pytest.mark.deep
def test_learning_latency_benchmark(tmp_path):
    """It reports how long a reward takes to be learned, quiet and busy."""
    results = _bench("learning_latency", tmp_path, "--seconds", "3")
    assert {result["name"]: result["latency_ms"]["p99"] > 0 for result in results} == {"quiet": True, "busy": True}


@pytest.mark.deep
@pytest.mark.skipif(sys.version_info >= (3, 13), reason="vowpal-wabbit-next has no wheel for this Python")
def test_vw_benchmark():
    """It reports the ratio to what bare VW takes in the same run."""
    command = [sys.executable, "-m", "simulator.benchmarks.vw_policy", "--format", "json", "--rounds", "9"]
    done = subprocess.run([*command, "--explorer", "epsilon"], capture_output=True, text=True, timeout=110, check=False)
    assert done.returncode == 0, done.stderr
    (result,) = json.loads(done.stdout)["results"]
    assert (result["explorer"], result["actions"]) == ("epsilon", 10)
    assert result["ratio"] > 0


@pytest.mark.deep
def test_policy_latency_benchmark():
    """Every case is measured, deciding and learning."""
    command = [sys.executable, "-m", "simulator.benchmarks.policy_latency", "--format", "json", "--quick"]
    results = json.loads(subprocess.run(command, check=True, capture_output=True).stdout)
    assert {result["case"]["actions"] for result in results} == {10, 1000}
    assert all(result["decide_us"] > 0 and result["learn_us"] > 0 for result in results)


def test_log_bytes_benchmark(tmp_path):
    """A sealed decision takes less than its request, and little is left of it in the log."""
    (result,) = _bench("log_bytes", tmp_path, "--decisions", "640")
    assert result["decisions"] == 640
    assert result["left"] < 0.3 * result["request"] < result["archived"] < result["request"] < result["live"]
