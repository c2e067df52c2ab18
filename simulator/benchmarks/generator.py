"""Run the load generator in its own process and read what it measured."""

import subprocess
import sys
from urllib.parse import urlsplit

import msgspec

from simulator.benchmarks.load import Job, Measured
from store.errors import HoneyguideError

_COMMAND = (sys.executable, "-m", "simulator.benchmarks.load")


class BenchmarkFailed(HoneyguideError):
    """The load could not be run, or the server refused requests; the message carries what was said."""


def port_of(url: str) -> int:
    """Return the port of a base URL, which must name one."""
    port = urlsplit(url).port
    if port is None:
        raise BenchmarkFailed(f"{url} names no port")
    return port


def measure(job: Job) -> Measured:
    """Run the job; raises `BenchmarkFailed` when any of its requests was refused."""
    done = subprocess.run(_COMMAND, input=msgspec.json.encode(job), capture_output=True, check=False)  # noqa: S603 - our own interpreter
    if done.returncode:
        raise BenchmarkFailed(f"the load generator failed:\n{done.stderr.decode(errors='replace')}")
    measured = msgspec.json.decode(done.stdout, type=Measured)
    if measured.refused:
        raise BenchmarkFailed(f"{measured.refused} requests to {job.path} were refused; the first: {measured.refusal}")
    return measured
