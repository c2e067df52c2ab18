"""How long an evaluation takes, and how much memory a process that does nothing else needs for it."""

import json
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROUNDS = 5

# VmHWM starts anew in a new program; ru_maxrss would still hold the parent's peak.
_PEAK = """
import json, pathlib, re, sys, time
from ope.evaluate import evaluate_files
from ope.question import Question
start = time.perf_counter()
if sys.argv[2:]:
    evaluate_files(sys.argv[2:], Question(**json.loads(sys.argv[1])))
print(time.perf_counter() - start)
print(re.search(r"VmHWM:\\s+(\\d+)", pathlib.Path("/proc/self/status").read_text())[1])
"""


def seconds(work: Callable[[], object], *, rounds: int = ROUNDS) -> float:
    """Return the median wall-clock seconds of a few rounds, after one that warms the file cache; of one, just that."""
    if rounds > 1:
        work()
    taken = []
    for _ in range(rounds):
        start = time.perf_counter()
        work()
        taken.append(time.perf_counter() - start)
    return statistics.median(taken)


@dataclass(frozen=True, slots=True)
class Spent:
    """What a process spent: seconds, and its peak resident memory in MB."""

    seconds: float
    peak: float


def in_a_process(*logs: Path, question: Mapping[str, Any]) -> Spent:
    """Return what a new process spends that evaluates the logs (Linux); of none, what its imports take."""
    command = [sys.executable, "-c", _PEAK, json.dumps(question), *map(str, logs)]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)  # noqa: S603 - this file's own code
    taken, peak = done.stdout.split()
    return Spent(float(taken), int(peak) / 1024)
