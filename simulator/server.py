"""A real server in a process of its own: started on a free port, awaited, and always ended.

It knows how to start, kill and stop a command; what the server does is the command's affair.
"""

import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from types import FrameType
from typing import IO

from bandit.client import Client
from store.errors import HoneyguideError

HOST = "127.0.0.1"
_POLL_S = 0.05
_LAST_WORDS = 20


class ServerFailed(HoneyguideError):
    """The server did not come up; the message carries what it said last."""


class Running:
    """A server process: where it answers, and how to await, kill and stop it.

    `process` leads a process group of its own, to which everything that it starts belongs.
    """

    def __init__(self, process: subprocess.Popen[bytes], url: str, words: IO[bytes]) -> None:
        self.process = process
        self.url = url
        self._words = words

    def await_ready(self, *, within_s: float = 30.0) -> None:
        """Return once `GET /readyz` answers 200. Raises `ServerFailed` when it ends or is not ready in time."""
        deadline = time.monotonic() + within_s
        with Client(self.url, timeout_s=2.0, trust_env=False) as client:
            while not client.ready():
                self.check_alive()
                if time.monotonic() > deadline:
                    raise ServerFailed(f"the server at {self.url} was not ready within {within_s:g} s. {self._said()}")
                time.sleep(_POLL_S)

    def check_alive(self) -> None:
        """Raise `ServerFailed` when the process has ended."""
        if self.process.poll() is not None:
            raise ServerFailed(f"the server ended with exit code {self.process.returncode}. {self._said()}")

    def kill(self) -> None:
        """End it as `kill -9` does: without a moment to tidy up."""
        self._signal(signal.SIGKILL)
        self.process.wait()

    def stop(self, *, within_s: float = 15.0) -> None:
        """Ask it to stop (SIGTERM), and kill it if it has not after `within_s`."""
        self._signal(signal.SIGTERM)
        try:
            with suppress(subprocess.TimeoutExpired):
                self.process.wait(within_s)
        finally:
            # Out of patience, or a second Ctrl-C: nothing may be left running behind us.
            self.kill()

    def _signal(self, number: signal.Signals) -> None:
        # The group, since a tracer in front of the server keeps signals to itself.
        if self.process.poll() is None:
            os.killpg(self.process.pid, number)

    def _said(self) -> str:
        self._words.seek(0)
        lines = self._words.read().decode(errors="replace").splitlines()
        said = "\n".join(f"  {line}" for line in lines[-_LAST_WORDS:]) or "  (nothing)"
        return f"It said:\n{said}"


@contextmanager
def started(
    program: Sequence[str], *, port: int | None = None, tracer: Sequence[str] = (), stop_within_s: float = 15.0
) -> Iterator[Running]:
    """Run `tracer python program --host H --port P` and yield it, not awaited; on leaving it is stopped.

    `program` is what follows `python`: `-m`, a module and its arguments, or a script and its arguments.
    """
    port = free_port() if port is None else port
    command = [*tracer, sys.executable, *program, "--host", HOST, "--port", str(port)]
    with sigterm_as_interrupt(), tempfile.TemporaryFile() as words:
        # In a process group of its own, so that Ctrl-C in a terminal reaches us alone and we end it in order.
        process = subprocess.Popen(  # noqa: S603 - the command is our own interpreter
            command, stdin=subprocess.DEVNULL, stdout=words, stderr=words, process_group=0
        )
        server = Running(process, f"http://{HOST}:{port}", words)
        try:
            yield server
        finally:
            server.stop(within_s=stop_within_s)


@contextmanager
def serving(module: str, *arguments: str, ready_within_s: float = 30.0, stop_within_s: float = 15.0) -> Iterator[str]:
    """Run `python -m module arguments --host H --port P` and yield its base URL once `GET /readyz` answers 200.

    On leaving, however that happens, the server is asked to stop (SIGTERM) and after `stop_within_s` killed.
    Raises `ServerFailed` when it is not ready in time, or has ended by itself when a call to it fails.
    """
    with started(("-m", module, *arguments), stop_within_s=stop_within_s) as server:
        server.await_ready(within_s=ready_within_s)
        try:
            yield server.url
        except HoneyguideError:
            server.check_alive()
            raise


@contextmanager
def sigterm_as_interrupt() -> Iterator[None]:
    """Let SIGTERM end what is inside as Ctrl-C does, so that it cleans up; call it from the main thread."""
    before = signal.signal(signal.SIGTERM, _interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _interrupt(_number: int, _frame: FrameType | None) -> None:
    raise KeyboardInterrupt


def free_port() -> int:
    """Return a port that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        port: int = probe.getsockname()[1]
        return port
