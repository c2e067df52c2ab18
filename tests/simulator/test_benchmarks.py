"""The load generator's parsing and figures, and each benchmark once in little time."""

import asyncio
import itertools
import json
import os
import subprocess
import sys

import pytest

from simulator.benchmarks import closing, memory
from simulator.benchmarks.bodies import decision_bodies
from simulator.benchmarks.filling import Filler
from simulator.benchmarks.load import Connection, Job, Load, encode, latency
from simulator.benchmarks.unsynced_server import never_sync
from store.ledger.rules import RewardRules
from store.log import sqlite
from store.log.memory import MemoryStore

ANSWER = b'HTTP/1.1 201 Created\r\nserver: x\r\ncontent-length: 21\r\n\r\n{"decision_id":"d-1"}'


def _answers(*pieces):
    seen = []
    connection = Connection()
    connection.send(b"", lambda _, status, body, took_s: seen.append((status, body, took_s >= 0)))
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


class _Served(asyncio.Protocol):
    """The server's end of a connection: names decisions d0, d1 … and notes what was asked. Requests are one segment."""

    def __init__(self, connections, names):
        self.asked = []
        self.gone = asyncio.get_running_loop().create_future()
        self._names = names
        connections.append(self)

    def connection_made(self, transport):
        self._transport = transport

    def connection_lost(self, _error):
        self.gone.set_result(None)

    def data_received(self, data):
        head, body = data.split(b"\r\n\r\n")
        path = head.split()[1].decode()
        name = next(self._names) if path == "/d" else json.loads(body)["decision_id"]
        self.asked.append((path, name))
        answer = json.dumps({"decision_id": name}, separators=(",", ":")).encode()
        self._transport.write(b"HTTP/1.1 201 Created\r\ncontent-length: %d\r\n\r\n%b" % (len(answer), answer))


def _load(**settings):
    """Run a job against a server of ours; returns what each connection asked for, and what was measured."""
    connections, names = [], (f"d{i}" for i in itertools.count())

    async def run():
        loop = asyncio.get_running_loop()
        async with await loop.create_server(lambda: _Served(connections, names), "127.0.0.1", 0) as server:
            port = server.sockets[0].getsockname()[1]
            job = Job(port=port, path="/d", bodies=["{}"], reward_path="/r", reward_share=1.0, **settings)
            measured = await Load(job).run()
            await asyncio.gather(*(one.gone for one in connections))
        return measured

    measured = asyncio.run(run())
    return [one.asked for one in connections], measured


def test_rewards_take_turns_with_their_decisions():
    """Without connections of their own, each reward follows its decision on the same one; then comes the next."""
    connections, measured = _load(seconds=30, decisions=40, connections=4, reward_connections=0)
    assert len(connections) == 4
    for asked in connections:
        decided, rewarded = asked[::2], asked[1::2]
        assert {path for path, _ in decided} == {"/d"}
        assert rewarded == [("/r", name) for _, name in decided[: len(rewarded)]]
    assert measured.refused == 0
    assert measured.reward_latency_ms.p50 > 0


def test_load_ends_after_so_many_decisions():
    """A job that counts ends when its last decision is answered, long before its time."""
    connections, measured = _load(seconds=30, decisions=25, connections=2, reward_connections=1)
    decided = sum(path == "/d" for asked in connections for path, _ in asked)
    assert 25 <= decided < 25 + 2
    assert measured.rewards_per_s > 0


def test_unsynced_server_never_syncs(tmp_path, monkeypatch):
    """The server that the price of durability is measured against runs with `synchronous=OFF`, and only that one."""
    monkeypatch.setattr(sqlite, "connect", sqlite.connect)

    def levels():
        store = sqlite.SqliteStore(tmp_path)
        found = [
            connection.execute("PRAGMA synchronous").fetchone()[0] for connection in (store._writer, store._reader)
        ]
        store.close()
        return found

    assert levels() == [2, 2]
    never_sync()
    assert levels() == [0, 0]


def test_growth_is_a_slope_by_hand():
    """Of 8 samples that fill a cache at first and then grow by 1 MB for each 100,000 decisions, growth is 1."""
    resident = [0, 90, 100, 101, 102, 103, 104, 105]
    samples = [memory.Sample(100_000 * i, 0, mb) for i, mb in enumerate(resident)]
    assert memory.growth_mb(samples) == pytest.approx(1.0)
    assert memory.growth_mb(samples[:1]) == 0.0


def test_resident_memory_is_that_of_the_process():
    """Holding 64 MB shows as 64 MB."""
    before = memory.resident_mb(os.getpid())
    held = b"x" * (64 << 20)
    assert memory.resident_mb(os.getpid()) - before == pytest.approx(64, abs=8)
    assert len(held) == 64 << 20


def test_filled_log_is_what_the_benchmark_says():
    """Decisions have new ids and the requests of the benchmarks; rewards settle them, or wait for the window."""
    store = MemoryStore()
    Filler(store, "rewarded", RewardRules(), rewarded=True).fill(70, at=0)
    examples = store.examples("rewarded", after=0, limit=99)
    assert len({example.decision.decision_id for example in examples}) == 70
    assert {example.decision.request for example in examples} == {body.encode() for body in decision_bodies()}
    assert {example.outcome.value for example in examples} == {0.0, 1.0}
    due = Filler(store, "open", closing.RULES, provisional=True, rewarded=True).fill(10, at=5)
    assert {outcome.kind for _, outcome in _logged(store, "open")} == {"provisional"}
    assert not store.anything_due(due - 1)
    closing.close_all(store, due, expected=10)
    assert {outcome.kind for _, outcome in _logged(store, "open")} == {"rewarded"}


def _logged(store, loop):
    return [(row.decision, row.outcome) for row in store.logged(loop, since=0, until=2**62, after=0, limit=99)]


def test_closing_counts_what_it_closed():
    """A round that closed another number than it filled is no measurement."""
    store = MemoryStore()
    due = Filler(store, "closing", closing.RULES).fill(3, at=0)
    with pytest.raises(ValueError, match="3 decisions were closed, and 4 were due"):
        closing.close_all(store, due, expected=4)


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
def test_ledger_benchmark(tmp_path):
    """It reports pairs with fsync and without, for both ways to wait, and the median of the rounds' ratios."""
    waiting, at_once = _bench("ledger", tmp_path, "--seconds", "1", "--rounds", "1")
    assert (waiting["delay"], at_once["delay"]) == ("wait", "provisional")
    for result in (waiting, at_once):
        (once,) = result["rounds"]
        rates = [once[half]["load"]["rewards_per_s"] for half in ("fsync", "off")]
        assert result["ratio"] == rates[0] / rates[1]
        assert once["fsync"]["load"]["reward_latency_ms"]["p99"] > 0


@pytest.mark.deep
def test_memory_benchmark(tmp_path):
    """It samples the server's memory at every so many decisions, with all of them learned."""
    (result,) = _bench("memory", tmp_path, "--decisions", "400", "--every", "200")
    assert [sample["decisions"] // 200 for sample in result["samples"]] == [0, 1, 2]
    assert all(sample["resident_mb"] > 50 for sample in result["samples"])
    assert result["samples"][-1]["outcomes"] >= 400


@pytest.mark.deep
def test_replay_speed_benchmark(tmp_path):
    """It reports the ratio to reading the same outcomes."""
    (result,) = _bench("replay_speed", tmp_path, "--outcomes", "200", "--rounds", "1", "--variant", "linear_ts")
    (once,) = result["rounds"]
    assert (result["outcomes"], result["ratio"]) == (200, once["outcomes_per_s"] / once["floor_per_s"])


@pytest.mark.deep
def test_closing_benchmark(tmp_path):
    """It closes decisions of each kind, few alone, few among many, and all."""
    results = _bench("closing", tmp_path, "--decisions", "300", "--due", "100", "--rounds", "1")
    assert [result["kind"] for result in results] == [kind.name for kind in closing.KINDS]
    for result in results:
        (once,) = result["rounds"]
        assert result["ratio"] == once["among_us"] / once["alone_us"]
        assert result["closed"] == 300
        assert result["seconds"] > 0


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
