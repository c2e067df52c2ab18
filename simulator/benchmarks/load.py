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

import msgspec
import numpy as np
import uvloop

_LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)
_DECISION_ID = re.compile(rb'"decision_id":"([^"]+)"')
_HEAD_END = b"\r\n\r\n"


class Job(msgspec.Struct, frozen=True):
    """What to send: `bodies` in turn to `path`, on `connections` at once, each waiting for its answer, for `seconds`.

    `reward_share` of the decisions get a reward at `reward_path`, on `reward_connections` more.
    """

    port: int
    path: str
    bodies: list[str]
    seconds: float
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
    """What a job measured; `generator_cpu` is the share of one core that this process used itself."""

    requests_per_s: float
    latency_ms: Latency
    rewards_per_s: float
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


class Connection(asyncio.Protocol):
    """One keep-alive connection: sends, waits for the whole answer, tells `answered`, which may send again."""

    def __init__(self, answered: Callable[["Connection", bytes, bytes, float], None]) -> None:
        self._answered = answered
        self._transport: asyncio.Transport | None = None
        self._buffer = b""
        self._began = 0.0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport."""
        self._transport = transport  # type: ignore[assignment]  # a TCP transport is an asyncio.Transport

    def send(self, request: bytes) -> None:
        """Send one request; the one before must have been answered."""
        self._began = time.perf_counter()
        if self._transport:
            self._transport.write(request)

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


class Load:
    """A running job: counts answers, and sends on while `running`."""

    def __init__(self, job: Job) -> None:
        self.running = True
        self.latencies: list[float] = []
        self.rewards = 0
        self.refused = 0
        self.refusal = ""
        self._job = job
        self._requests = [encode(job.path, body.encode()) for body in job.bodies]
        self._next = 0
        self._due = 0.0
        self._waiting: deque[bytes] = deque()
        self._idle: list[Connection] = []

    async def run(self) -> Measured:
        """Open the connections, load for the job's seconds, and return what was measured."""
        deciding = [await self._connect(self._decided) for _ in range(self._job.connections)]
        if self._job.reward_share:
            self._idle = [await self._connect(self._rewarded) for _ in range(self._job.reward_connections)]
        began, cpu = time.perf_counter(), time.process_time()
        for connection in deciding:
            self._decide(connection)
        await asyncio.sleep(self._job.seconds)
        self.running = False
        took, busy = time.perf_counter() - began, time.process_time() - cpu
        return Measured(
            requests_per_s=len(self.latencies) / took,
            latency_ms=latency(self.latencies),
            rewards_per_s=self.rewards / took,
            generator_cpu=busy / took,
            refused=self.refused,
            refusal=self.refusal,
        )

    async def _connect(self, answered: Callable[[Connection, bytes, bytes, float], None]) -> Connection:
        loop = asyncio.get_running_loop()
        _, connection = await loop.create_connection(lambda: Connection(answered), "127.0.0.1", self._job.port)
        return connection

    def _decide(self, connection: Connection) -> None:
        self._next = (self._next + 1) % len(self._requests)
        connection.send(self._requests[self._next])

    def _decided(self, connection: Connection, status: bytes, body: bytes, took_s: float) -> None:
        if not self.running:
            return
        self.latencies.append(took_s)
        self._check(status, body)
        self._decide(connection)
        self._due += self._job.reward_share
        if self._due >= 1:
            self._due -= 1
            self._reward(body)

    def _reward(self, decision: bytes) -> None:
        name = _DECISION_ID.search(decision)
        if name is None:
            return
        request = encode(self._job.reward_path, b'{"decision_id":"%b","value":%d}' % (name[1], self._next % 2))
        if self._idle:
            self._idle.pop().send(request)
        else:
            self._waiting.append(request)

    def _rewarded(self, connection: Connection, status: bytes, body: bytes, _took_s: float) -> None:
        self.rewards += 1
        self._check(status, body)
        if self.running and self._waiting:
            connection.send(self._waiting.popleft())
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
