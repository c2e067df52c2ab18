"""One pass over a log's rows: the sums and how many rows broke a rule, written once in narwhals.

Row-wise expressions and plain sums only, so that polars (lazy, streaming), DuckDB, pandas and
PySpark run it unchanged.
"""

from dataclasses import dataclass
from itertools import combinations_with_replacement
from typing import Any, TypeAlias

import narwhals as nw
import numpy as np

from ope.breach import first_breach
from ope.engine import only_row
from ope.formats.files import reading
from ope.formats.source import Frame
from ope.frames import Rows
from ope.row_weights import weighted
from ope.rules import row_holds
from ope.sums import TERMS, Sums

Named: TypeAlias = dict[str, nw.Expr]
CARRIED = ("off_support", "q_missing", "known")

# |mean of k rows − mean of n| <= √(n/k)·sd: centred on the first 1,000 rows, a sum of squares over a
# million loses 3 digits at most, whatever the offset, and needs no pass of its own.
HEAD = 1_000


@dataclass(frozen=True, slots=True)
class Tally:
    """The sums of one source; of its rows, `unpredicted` had no predicted reward.

    `known` counts the rows where a fixed target's action occurs, None for other targets.
    """

    sums: Sums
    unpredicted: int
    known: int | None

    def __add__(self, other: "Tally") -> "Tally":
        """Merge the tallies of two sources of one log."""
        known = None if self.known is None or other.known is None else self.known + other.known
        return Tally(self.sums + other.sums, self.unpredicted + other.unpredicted, known)


def tally(rows: Rows) -> Tally | None:
    """Return the rows' tally, or None where there is no row; raises InvalidLog for a broken one."""
    with reading(rows.source.name):
        pivot = _of_head(rows.frame, {"c": nw.col("reward")}, nw.col("c").median())["c"]
        terms = weighted(row_terms(rows.columns, pivot=pivot), rows.columns)
        centres = _of_head(rows.frame, terms, nw.all().mean())
        total = _totals(rows, terms, centres)
    if total["n"] == 0:
        return None
    broken = total["n"] - (total["kept"] or 0)
    if broken:
        raise first_breach(rows, broken=broken)
    return _tally(total, centres, pivot=pivot)


def row_terms(columns: list[str], *, pivot: float) -> Named:
    """Return the expression of each term that the columns allow, by the names in TERMS."""
    w = nw.col("target_propensity") / nw.col("propensity")
    terms = {"w": w, "y": w * (nw.col("reward") - pivot)}
    if "q_target" in columns:
        terms["d"] = nw.col("q_target") - pivot
    if "q_target" in columns and "q_logged" in columns:
        terms["z"] = w * (nw.col("reward") - nw.col("q_logged"))
    return terms


def _of_head(frame: Frame, expressions: Named, summary: nw.Expr) -> dict[str, float]:
    named = [expression.alias(name) for name, expression in expressions.items()]
    head = only_row(frame.head(HEAD).select(*named).select(summary))
    # Where there is no finite answer the pass is about to refuse the rows: any centre will do.
    return {name: float(at) if at is not None and np.isfinite(at) else 0.0 for name, at in head.items()}


def _totals(rows: Rows, terms: Named, centres: dict[str, float]) -> dict[str, Any]:
    carried = [name for name in CARRIED if name in rows.columns]
    wide = rows.frame.select(
        *(expression.alias(name) for name, expression in terms.items()),
        *(nw.col(name) for name in carried),
        kept=row_holds(rows.columns).cast(nw.Int64()),
    )
    sums = [nw.col(name).sum() for name in (*terms, *carried, "kept")]
    counted = [nw.len().alias("n"), nw.col("w").max().alias("max_weight")]
    return only_row(wide.select(*counted, *sums, *_products(centres)))


def _products(centres: dict[str, float]) -> list[nw.Expr]:
    centred = {name: nw.col(name) - centre for name, centre in centres.items()}
    return [(centred[a] * centred[b]).sum().alias(f"{a}·{b}") for a, b in combinations_with_replacement(centres, 2)]


@np.errstate(all="ignore")  # an overflow is reported as null, where it is printed
def _tally(total: dict[str, Any], centres: dict[str, float], *, pivot: float) -> Tally:
    n = total["n"]
    unpredicted = int(total.get("q_missing") or 0)
    known = total.get("known")
    mean = np.array([total.get(name) or 0.0 for name in TERMS]) / n
    off_centre = mean - np.array([centres.get(name, 0.0) for name in TERMS])
    products = np.array([[_product(total, a, b) for b in TERMS] for a in TERMS])
    sums = Sums(
        n=n,
        pivot=pivot,
        mean=mean,
        scatter=products - n * np.outer(off_centre, off_centre),
        max_weight=total["max_weight"],
        off_support=total.get("off_support"),
        terms=frozenset(centres) - ({"d", "z"} if unpredicted else set()),
    )
    return Tally(sums, unpredicted, None if known is None else int(known))


def _product(total: dict[str, Any], a: str, b: str) -> float:
    return float(total.get(f"{a}·{b}", total.get(f"{b}·{a}")) or 0.0)
