"""Reads a log of 10 GB, as wide as an export, and says how much memory that took.

Run it as `python -m simulator.benchmarks.ope_wide [GIGABYTES]`; the log is in a temporary folder, once as Parquet and
once as NDJSON, and is removed. It needs 25 GB of disk for a while.
"""

import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import polars as pl
from rich import box
from rich.console import Console
from rich.table import Table

from simulator.benchmarks.ope_logs import write_wide_log
from simulator.benchmarks.ope_measures import in_a_process

ASKED: dict[str, Mapping[str, Any]] = {
    "columns": {},
    "--policy uniform": {"policies": ["uniform"]},
    "--interval bootstrap": {"interval": "bootstrap", "estimators": ["ips", "snips"]},
    "--segment context.device": {"segments": ["context.device"], "estimators": ["ips"]},
}
"""What is asked: sums of columns; of a distribution of ten actions; a fold over the rows; and a look into the JSON."""


AS_TEXT = ("columns", "--policy uniform")


def main(gigabytes: float) -> None:
    """Print seconds and peaks."""
    base = in_a_process(question={})
    caption = f"{base.peak:.0f} MB of each peak are the imports"
    table = Table("log", "asked", "seconds", "peak MB", box=box.SIMPLE, caption=caption)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "log.parquet"
        rows = write_wide_log(path, gigabytes=gigabytes)
        _measure(table, path, list(ASKED))
        text = path.with_suffix(".ndjson")
        pl.scan_parquet(path).sink_ndjson(text)
        path.unlink()
        _measure(table, text, AS_TEXT)
    console = Console(width=100)
    console.print(f"{rows:,} rows")
    console.print(table)


def _measure(table: Table, path: Path, asked: Sequence[str]) -> None:
    size = path.stat().st_size / 1e9
    for name in asked:
        spent = in_a_process(path, question=ASKED[name])
        log = f"{size:.1f} GB {path.suffix}"
        table.add_row(log, name, f"{spent.seconds:.1f}", f"{spent.peak:.0f}")


if __name__ == "__main__":
    main(float(sys.argv[1]) if sys.argv[1:] else 10.0)
