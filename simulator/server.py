"""A real server in a process of its own: started on a free port, awaited, and always ended.

It knows how to start and stop a command; what the server does is the command's affair.
"""

import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
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


@contextmanager
def serving(module: str, *arguments: str, ready_within_s: float = 30.0, stop_within_s: float = 15.0) -> Iterator[str]:
    """Run `python -m module arguments --host H --port P` and yield its base URL once `GET /readyz` answers 200.

    On leaving, however that happens, the server is asked to stop (SIGTERM) and after `stop_within_s` killed.
    Raises `ServerFailed` when it is not ready in time, or has ended by itself when a call to it fails.
    """
    port = free_port()
    command = [sys.executable, "-m", module, *arguments, "--host", HOST, "--port", str(port)]
    with sigterm_as_interrupt(), tempfile.TemporaryFile() as words:
        # In a process group of its own, so that Ctrl-C in a terminal reaches us alone and we end it in order.
        process = subprocess.Popen(  # noqa: S603 - the command is our own interpreter
            command, stdin=subprocess.DEVNULL, stdout=words, stderr=words, process_group=0
        )
        try:
            url = f"http://{HOST}:{port}"
            _await_ready(process, url, words, within_s=ready_within_s)
            yield url
        except HoneyguideError as error:
            if process.poll() is not None and not isinstance(error, ServerFailed):
                raise _ended(process, words) from error
            raise
        finally:
            _stop(process, within_s=stop_within_s)


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


def _await_ready(process: subprocess.Popen[bytes], url: str, words: IO[bytes], *, within_s: float) -> None:
    deadline = time.monotonic() + within_s
    with Client(url, timeout_s=2.0, trust_env=False) as client:
        while not client.ready():
            if process.poll() is not None:
                raise _ended(process, words)
            if time.monotonic() > deadline:
                raise ServerFailed(f"the server at {url} was not ready within {within_s:g} s. It said:\n{_said(words)}")
            time.sleep(_POLL_S)


def _ended(process: subprocess.Popen[bytes], words: IO[bytes]) -> ServerFailed:
    return ServerFailed(f"the server ended with exit code {process.returncode}. It said:\n{_said(words)}")


def _said(words: IO[bytes]) -> str:
    words.seek(0)
    lines = words.read().decode(errors="replace").splitlines()
    return "\n".join(f"  {line}" for line in lines[-_LAST_WORDS:]) or "  (nothing)"


def _stop(process: subprocess.Popen[bytes], *, within_s: float) -> None:
    process.terminate()
    try:
        with suppress(subprocess.TimeoutExpired):
            process.wait(within_s)
    finally:
        # Out of patience, or a second Ctrl-C: nothing may be left running behind us.
        process.kill()
        process.wait()
