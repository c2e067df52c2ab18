"""Times an evaluation of many rows against the bare polars aggregate of the same sums, in one run.

Run it as `python -m simulator.benchmarks.ope_rows [ROWS]`; it needs no network and keeps nothing.
"""

import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import polars as pl

from ope.evaluate import evaluate_files

ROUNDS = 7
ARMS = 10
# VmHWM starts anew in a new program; ru_maxrss would still hold the parent's peak.
PEAK = """
import pathlib, re, sys
from ope.evaluate import evaluate_files
if sys.argv[1:]:
    evaluate_files(sys.argv[1:])
print(re.search(r"VmHWM:\\s+(\\d+)", pathlib.Path("/proc/self/status").read_text())[1])
"""


def write_log(path: Path, *, rows: int, seed: int = 0) -> None:
    """Write a log of ten actions with rewards 0 or 1 and a reward model that is off by a little."""
    rng = np.random.default_rng(seed)
    logging, target = rng.dirichlet(np.ones(ARMS) * 5), rng.dirichlet(np.ones(ARMS) * 5)
    means = rng.uniform(0.1, 0.9, ARMS)
    arm = rng.choice(ARMS, rows, p=logging)
    predicted = means + rng.normal(0, 0.05, ARMS)
    noise = rng.normal(0, 0.02, rows)  # as if the context moved it, so that no column is constant
    pl.DataFrame(
        {
            "reward": rng.binomial(1, means[arm]).astype(float),
            "propensity": logging[arm],
            "target_propensity": target[arm],
            "q_logged": predicted[arm] + noise,
            "q_target": target @ predicted + noise,
        }
    ).write_parquet(path)


def bare_sums(path: Path) -> pl.DataFrame:
    """Return the same sums straight from polars, unchecked and uncentred: the floor."""
    w = pl.col("target_propensity") / pl.col("propensity")
    terms = {
        "w": w,
        "y": w * pl.col("reward"),
        "d": pl.col("q_target"),
        "z": w * (pl.col("reward") - pl.col("q_logged")),
    }
    products = [(pl.col(a) * pl.col(b)).sum().alias(a + b) for i, a in enumerate(terms) for b in list(terms)[i:]]
    aggregate = [pl.len(), pl.col("w").max().alias("max"), *(pl.col(name).sum() for name in terms), *products]
    return pl.scan_parquet(path).select(**terms).select(aggregate).collect(engine="streaming")


def seconds(work: Callable[[], object]) -> float:
    """Return the median wall-clock seconds of a few rounds, after one that warms the file cache."""
    work()
    taken = []
    for _ in range(ROUNDS):
        start = time.perf_counter()
        work()
        taken.append(time.perf_counter() - start)
    return statistics.median(taken)


def peak_mb(*logs: Path) -> float:
    """Return the peak resident memory of a fresh process that evaluates the logs, in MB (Linux)."""
    command = [sys.executable, "-c", PEAK, *map(str, logs)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)  # noqa: S603 - this file's own code
    return int(done.stdout) / 1024


def main(rows: int) -> None:
    """Print the figures for a log of that many rows."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "log.parquet"
        write_log(path, rows=rows)
        floor, ours = seconds(lambda: bare_sums(path)), seconds(lambda: evaluate_files([path]))
        peak, base = peak_mb(path), peak_mb()
        size = path.stat().st_size / 1e6
    print(f"{rows:,} rows, {size:.0f} MB of Parquet; median of {ROUNDS} rounds")
    print(f"evaluate (ips, snips, dm, dr, intervals, diagnostics)  {ours:.3f} s")
    print(f"bare polars streaming aggregate of the same sums       {floor:.3f} s")
    print(f"ratio                                                  {ours / floor:.2f}")
    print(f"peak memory {peak:.0f} MB, of which {base:.0f} MB are the imports")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 1_000_000)
