"""Times every closed-form estimator with its interval against a straightforward bootstrap in numpy, in one run.

Run it as `python -m simulator.benchmarks.ope_bootstrap [ROWS]`. Both have the log in memory. The bootstrap draws as
many rows as there are with replacement, computes the estimator of them, and does so 1,000 times; what is timed is TIMED
of these for each estimator, and all 1,000 for one of them, which says whether the rest may be scaled up.
"""

import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TypeAlias

import numpy as np
import numpy.typing as npt
import polars as pl
from rich import box
from rich.console import Console
from rich.table import Table

from ope.evaluate import evaluate_frame
from ope.question import Question
from simulator.benchmarks.ope_logs import write_log
from simulator.benchmarks.ope_measures import seconds

Array: TypeAlias = npt.NDArray[np.float64]
Columns: TypeAlias = dict[str, Array]
Form: TypeAlias = Callable[[Columns, Array], float]
Tame: TypeAlias = Callable[[Array], Array]
RESAMPLES, TIMED = 1_000, 20

_LARGEST = 2.0
"""λ in the unit of weights; the largest in the log is about 4."""
TAMED: dict[str, Tame] = {
    "clipped": lambda w: np.minimum(w, _LARGEST),
    "switch": lambda w: np.where(w <= _LARGEST, w, 0.0),
    "os": lambda w: _LARGEST**2 * w / (w * w + _LARGEST**2),
    "sg": lambda w: w / (1 - 1 / _LARGEST + w / _LARGEST),
}


def ips(x: Columns, w: Array) -> float:
    """Return Σ w r / n."""
    return float((w * x["reward"]).mean())


def snips(x: Columns, w: Array) -> float:
    """Return Σ w r / Σ w."""
    return float((w * x["reward"]).sum() / w.sum())


def dm(x: Columns, _: Array) -> float:
    """Return Σ d / n."""
    return float(x["q_target"].mean())


def dr(x: Columns, w: Array) -> float:
    """Return Σ (d + w (r − q)) / n."""
    return float((x["q_target"] + w * (x["reward"] - x["q_logged"])).mean())


def sndr(x: Columns, w: Array) -> float:
    """Return Σ d / n + Σ w (r − q) / Σ w."""
    return float(x["q_target"].mean() + (w * (x["reward"] - x["q_logged"])).sum() / w.sum())


def beta_ips(x: Columns, w: Array) -> float:
    """Return Σ (w (r − β) + β) / n with β = Cov(w r, w)/Var(w)."""
    return _controlled(w * x["reward"], w)


def beta_dr(x: Columns, w: Array) -> float:
    """Return the same of DR's rows."""
    return _controlled(x["q_target"] + w * (x["reward"] - x["q_logged"]), w)


def _controlled(of_rows: Array, w: Array) -> float:
    covariance = np.cov(of_rows, w)
    return float(of_rows.mean() - covariance[0, 1] / covariance[1, 1] * (w.mean() - 1))


PLAIN: dict[str, Form] = {
    "ips": ips, "snips": snips, "dm": dm, "dr": dr, "sndr": sndr, "beta_ips": beta_ips, "beta_dr": beta_dr,
}  # fmt: skip


def main(rows: int) -> None:
    """Print the times of both, and the ratios."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "log.parquet"
        write_log(path, rows=rows)
        log = pl.read_parquet(path)
    columns = {name: log[name].to_numpy() for name in log.columns}
    forms = _forms()
    alone = {name: seconds(partial(_ours, log, [name]), rounds=3) for name in forms}
    together = seconds(partial(_ours, log, list(forms)), rounds=3)
    theirs = {name: _bootstrap(columns, *form, times=TIMED) * RESAMPLES / TIMED for name, form in forms.items()}
    _print(rows, alone, theirs)
    total = sum(theirs.values())
    console = Console(width=100)
    console.print(
        f"all {len(forms)} in one pass: {together:.3f} s against {total:,.0f} s, ratio {total / together:,.0f}"
    )
    whole = _bootstrap(columns, *forms["ips"], times=RESAMPLES)
    console.print(
        f"ips, all {RESAMPLES:,} resamples timed: {whole:.1f} s; scaled up from {TIMED}: {theirs['ips']:.1f} s"
    )


def _forms() -> dict[str, tuple[Form, Tame, list[str]]]:
    """Return the form, the transform and the columns of each name that we are asked by."""
    of_ips = ["reward", "propensity", "target_propensity"]
    of_dr = [*of_ips, "q_logged", "q_target"]
    reads = {"ips": of_ips, "snips": of_ips, "beta_ips": of_ips, "dm": ["q_target"]}
    found: dict[str, tuple[Form, Tame, list[str]]]
    found = {name: (form, _as_it_is, reads.get(name, of_dr)) for name, form in PLAIN.items()}
    for transform, tame in TAMED.items():
        for name in ("ips", "snips", "dr", "sndr"):
            called = "dros" if (transform, name) == ("os", "dr") else f"{transform}_{name}"
            at = {"clipped": _LARGEST, "switch": _LARGEST, "os": _LARGEST**2, "sg": 1 / _LARGEST}[transform]
            found[f"{called}:{at:g}"] = (PLAIN[name], tame, reads.get(name, of_dr))
    return found


def _as_it_is(w: Array) -> Array:
    return w


def _ours(log: pl.DataFrame, names: list[str]) -> None:
    evaluate_frame(log, Question(estimators=names))


def _bootstrap(log: Columns, form: Form, tame: Tame, reads: list[str], *, times: int) -> float:
    rng = np.random.default_rng(0)
    rows = len(log["reward"])
    values = np.empty(times)
    start = time.perf_counter()
    for draw in range(times):
        chosen = rng.integers(0, rows, rows)
        x = {name: log[name][chosen] for name in reads}
        w = tame(x["target_propensity"] / x["propensity"]) if "propensity" in x else np.empty(0)
        values[draw] = form(x, w)
    np.quantile(values, [0.025, 0.975])
    return time.perf_counter() - start


def _print(rows: int, alone: dict[str, float], theirs: dict[str, float]) -> None:
    caption = f"{rows:,} rows, each by itself"
    table = Table("estimator", "ours s", "bootstrap s", "ratio", box=box.SIMPLE, caption=caption)
    for name, ours in alone.items():
        table.add_row(name, f"{ours:.4f}", f"{theirs[name]:.1f}", f"{theirs[name] / ours:,.0f}")
    Console(width=100).print(table)


if __name__ == "__main__":
    main(int(sys.argv[1]) if sys.argv[1:] else 1_000_000)
