"""Times an evaluation of 1, 10 and 100 million rows against the bare polars aggregate of the same sums, in one run.

Run it as `python -m simulator.benchmarks.ope_rows [ROWS…]`; it needs no network and keeps nothing. 100,000,000 rows
take 2 GB of disk for a while.
"""

import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import narwhals as nw
import polars as pl
from rich import box
from rich.console import Console
from rich.table import Table

from ope.estimators.asked import wanted
from ope.evaluate import evaluate_files
from ope.question import Question
from ope.tally import Plan, row_terms
from ope.weights import RAW
from simulator.benchmarks.ope_logs import write_log
from simulator.benchmarks.ope_measures import in_a_process, seconds

SIZES = (1_000_000, 10_000_000, 100_000_000)
ASKED: dict[str, Sequence[str] | None] = {"four": ("ips", "snips", "dm", "dr"), "default": None}
"""The four that cost least, and what is reported when nobody names estimators: with weights of any λ, 92 products."""


@dataclass(frozen=True, slots=True)
class Row:
    """What was measured: seconds of ours and of the bare sums, and the peak of a process of its own, in MB."""

    rows: int
    asked: str
    ours: float
    bare: float
    peak: float


def main(sizes: Sequence[int]) -> None:
    """Print the figures for logs of these lengths."""
    found = [row for rows in sizes for row in _measure(rows)]
    base = in_a_process(question={}).peak
    table = Table(
        "rows", "estimators", "evaluation s", "bare sums s", "ratio", "ns a row", "peak MB", box=box.SIMPLE,
        caption=f"{base:.0f} MB of each peak are the imports",
    )  # fmt: skip
    for one in found:
        table.add_row(
            f"{one.rows:,}", one.asked, f"{one.ours:.3f}", f"{one.bare:.3f}", f"{one.ours / one.bare:.2f}",
            f"{one.ours / one.rows * 1e9:.0f}", f"{one.peak:.0f}",
        )  # fmt: skip
    Console(width=100).print(table)


def _measure(rows: int) -> list[Row]:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "log.parquet"
        write_log(path, rows=rows)
        return [_row(path, rows, name) for name in ASKED]


def _row(path: Path, rows: int, name: str) -> Row:
    asked = ASKED[name]
    rounds = 7 if rows <= 10_000_000 else 1
    bare = seconds(lambda: bare_sums(path, asked), rounds=rounds)
    ours = seconds(lambda: evaluate_files([path], Question(estimators=asked)), rounds=rounds)
    peak = in_a_process(path, question={} if asked is None else {"estimators": asked}).peak
    return Row(rows, name, ours, bare, peak)


def bare_sums(path: Path, asked: Sequence[str] | None) -> pl.DataFrame:
    """Return the sums that these estimators read straight from polars, unchecked, uncentred and in one pass: the floor.

    The terms are the expressions that polars gets from us; what is left out is all that is done around them.
    """
    plan = Plan.of(block for one in wanted(asked).asked for block in one.blocks)
    frame = nw.from_native(pl.scan_parquet(path)).with_columns(w=nw.col("target_propensity") / nw.col("propensity"))
    tamed = {one.name: one.of(nw.col(RAW)) for one in {term.weight for term in plan.terms} if one.transform}
    terms = (frame.with_columns(**tamed) if tamed else frame).select(**row_terms(plan, pivot=0.0))
    sums = [nw.col(term.name).sum() for term in plan.terms]
    products = [(nw.col(a.name) * nw.col(b.name)).sum().alias(f"{a.name}·{b.name}") for a, b in plan.pairs]
    native: pl.LazyFrame = terms.select(nw.len().alias("n"), *sums, *products).to_native()
    return native.collect(engine="streaming")


if __name__ == "__main__":
    main([int(size) for size in sys.argv[1:]] or SIZES)
