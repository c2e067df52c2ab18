"""The load generator: raw connections in a closed loop, in a process of its own so that it measures only the server.

It reads a `Job` as JSON from stdin and prints a `Measured` to stdout: `python -m simulator.benchmarks.load`. It knows
HTTP just well enough to tell where an answer ends; requests are encoded before the clock starts.
"""

import asyncio
import gc
import re
import sys
import time
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from typing import TypeAlias

import msgspec
import numpy as np
import uvloop

_LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)
_DECISION_ID = re.compile(rb'"decision_id":"([^"]+)"')
_HEAD_END = b"\r\n\r\n"


class Job(msgspec.Struct, frozen=True):
    """What to send: `bodies` in turn to `path`, on `connections` at once, each waiting for its answer, for `seconds`.

    `decisions` ends it sooner, after so many. `reward_share` of the decisions get a reward at `reward_path`, on
    `reward_connections` more; with none, each on the connection of its decision, which decides again only then.
    """

    port: int
    path: str
    bodies: list[str]
    seconds: float
    decisions: int | None = None
    connections: int = 16
    reward_path: str = ""
    reward_share: float = 0.0
    reward_connections: int = 4


class Latency(msgspec.Struct, frozen=True):
    """How long answers took, in milliseconds."""

    p50: float
    p99: float
    max: float


class Measured(msgspec.Struct, frozen=True):
    """What a job measured; `generator_cpu` is the share of one core that this process used itself.

    `reward_latency_ms` is null where nothing was rewarded.
    """

    requests_per_s: float
    latency_ms: Latency
    rewards_per_s: float
    reward_latency_ms: Latency | None
    generator_cpu: float
    refused: int
    refusal: str


def latency(seconds: list[float]) -> Latency:
    """Return the quantiles of latencies given in seconds; there must be one."""
    p50, p99 = np.quantile(seconds, [0.5, 0.99])
    return Latency(p50=float(p50) * 1e3, p99=float(p99) * 1e3, max=max(seconds) * 1e3)


def encode(path: str, body: bytes) -> bytes:
    """Return a whole HTTP/1.1 POST."""
    head = (
        f"POST {path} HTTP/1.1\r\nHost: bench\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body


Answered: TypeAlias = Callable[["Connection", bytes, bytes, float], None]
"""Hears of an answer: the connection, which is free again, the status, the body and the seconds that it took."""


class Connection(asyncio.Protocol):
    """One keep-alive connection: sends, waits for the whole answer, tells `answered`, which may send again."""

    def __init__(self) -> None:
        self._answered: Answered = _nobody_asked
        self._transport: asyncio.Transport | None = None
        self._buffer = b""
        self._began = 0.0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport."""
        self._transport = transport  # type: ignore[assignment]  # a TCP transport is an asyncio.Transport

    def send(self, request: bytes, answered: Answered) -> None:
        """Send one request; the one before must have been answered."""
        self._answered = answered
        self._began = time.perf_counter()
        if self._transport:
            self._transport.write(request)

    def close(self) -> None:
        """Hang up."""
        if self._transport:
            self._transport.close()

    def data_received(self, data: bytes) -> None:
        """Collect until head and body are whole."""
        self._buffer = self._buffer + data if self._buffer else data
        end = self._buffer.find(_HEAD_END)
        if end < 0:
            return
        length = _LENGTH.search(self._buffer, 0, end + 2)
        if length and len(self._buffer) - end - len(_HEAD_END) < int(length[1]):
            return
        answer, self._buffer = self._buffer, b""
        self._answered(self, answer[9:12], answer[end + len(_HEAD_END) :], time.perf_counter() - self._began)


def _nobody_asked(_connection: Connection, _status: bytes, body: bytes, _took_s: float) -> None:
    raise ValueError(f"the server sent {body[:80]!r} before anything was asked")


class Load:
    """A running job: counts answers, and sends on while `running`."""

    def __init__(self, job: Job) -> None:
        self.running = True
        self.latencies: list[float] = []
        self.reward_latencies: list[float] = []
        self.refused = 0
        self.refusal = ""
        self._job = job
        self._requests = [encode(job.path, body.encode()) for body in job.bodies]
        self._next = 0
        self._due = 0.0
        self._waiting: deque[bytes] = deque()
        self._idle: list[Connection] = []
        self._connections: list[Connection] = []
        self._enough = asyncio.Event()

    async def run(self) -> Measured:
        """Open the connections, load for the job's time or number, and return what was measured."""
        deciding = [await self._connect() for _ in range(self._job.connections)]
        if self._job.reward_share:
            self._idle = [await self._connect() for _ in range(self._job.reward_connections)]
        began, cpu = time.perf_counter(), time.process_time()
        for connection in deciding:
            self._decide(connection)
        with suppress(TimeoutError):
            await asyncio.wait_for(self._enough.wait(), self._job.seconds)
        self.running = False
        took, busy = time.perf_counter() - began, time.process_time() - cpu
        for connection in self._connections:
            connection.close()
        return Measured(
            requests_per_s=len(self.latencies) / took,
            latency_ms=latency(self.latencies),
            rewards_per_s=len(self.reward_latencies) / took,
            reward_latency_ms=latency(self.reward_latencies) if self.reward_latencies else None,
            generator_cpu=busy / took,
            refused=self.refused,
            refusal=self.refusal,
        )

    async def _connect(self) -> Connection:
        loop = asyncio.get_running_loop()
        _, connection = await loop.create_connection(Connection, "127.0.0.1", self._job.port)
        self._connections.append(connection)
        return connection

    def _decide(self, connection: Connection) -> None:
        self._next = (self._next + 1) % len(self._requests)
        connection.send(self._requests[self._next], self._decided)

    def _decided(self, connection: Connection, status: bytes, body: bytes, took_s: float) -> None:
        if not self.running:
            return
        self.latencies.append(took_s)
        self._check(status, body)
        if len(self.latencies) == self._job.decisions:
            self.running = False
            self._enough.set()
            return
        self._due += self._job.reward_share
        reward = self._reward(body) if self._due >= 1 else None
        if reward is not None and not self._job.reward_connections:
            connection.send(reward, self._rewarded_in_turn)
            return
        self._decide(connection)
        if reward is not None:
            self._send_aside(reward)

    def _reward(self, decision: bytes) -> bytes | None:
        self._due -= 1
        name = _DECISION_ID.search(decision)
        if name is None:
            return None
        return encode(self._job.reward_path, b'{"decision_id":"%b","value":%d}' % (name[1], self._next % 2))

    def _rewarded_in_turn(self, connection: Connection, status: bytes, body: bytes, took_s: float) -> None:
        if self.running:
            self.reward_latencies.append(took_s)
            self._check(status, body)
            self._decide(connection)

    def _send_aside(self, reward: bytes) -> None:
        if self._idle:
            self._idle.pop().send(reward, self._rewarded_aside)
        else:
            self._waiting.append(reward)

    def _rewarded_aside(self, connection: Connection, status: bytes, body: bytes, took_s: float) -> None:
        self.reward_latencies.append(took_s)
        self._check(status, body)
        if self.running and self._waiting:
            connection.send(self._waiting.popleft(), self._rewarded_aside)
        else:
            self._idle.append(connection)

    def _check(self, status: bytes, body: bytes) -> None:
        if not status.startswith(b"2"):
            self.refused += 1
            self.refusal = self.refusal or body.decode(errors="replace")


def main() -> None:
    """Run the job on stdin."""
    job = msgspec.json.decode(sys.stdin.buffer.read(), type=Job)
    gc.disable()  # a pause of ours would be counted as the server's
    sys.stdout.buffer.write(msgspec.json.encode(uvloop.run(Load(job).run())))


if __name__ == "__main__":
    main()
