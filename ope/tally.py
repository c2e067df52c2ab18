"""One pass over a log's rows: the sums and how many rows broke a rule, written once in narwhals.

Row-wise expressions and plain sums only, so that polars (lazy, streaming), DuckDB, pandas and
PySpark run it unchanged.
"""

from collections.abc import Iterable
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
from ope.raw_weights import raw_weight
from ope.row_weights import weighted
from ope.rules import row_holds
from ope.sums import Array, Sums, W
from ope.terms import Term
from ope.weights import AGAINST, RAW, safe_name

Named: TypeAlias = dict[str, nw.Expr]
Pair: TypeAlias = tuple[Term, Term]
KNOWN = ("known", f"{AGAINST}known")
CARRIED = ("off_support", "q_missing", *KNOWN)

# |mean of k rows − mean of n| <= √(n/k)·sd: centred on the first 1,000 rows, a sum of squares over a
# million loses 3 digits at most, whatever the offset, and needs no pass of its own.
HEAD = 1_000


@dataclass(frozen=True, slots=True)
class Plan:
    """What one pass sums: the terms, and the pairs of them whose products are wanted."""

    terms: tuple[Term, ...]
    pairs: tuple[Pair, ...]

    @staticmethod
    def of(blocks: Iterable[Iterable[Term]]) -> "Plan":
        """Return the plan for terms that are read together, block by block; the plain weight is always read."""
        ordered = [tuple(block) for block in ((W,), *blocks)]
        terms = tuple(dict.fromkeys(term for block in ordered for term in block))
        place = {term: i for i, term in enumerate(terms)}
        pairs = (
            pair for block in ordered for pair in combinations_with_replacement(sorted(block, key=place.__getitem__), 2)
        )
        return Plan(terms, tuple(dict.fromkeys(pairs)))


@dataclass(frozen=True, slots=True)
class Tally:
    """The sums of one source; of its rows, `unpredicted` had no predicted reward.

    `known` counts the rows where a fixed policy's action occurs, of the target and of the policy that it is compared
    with, by the name of the column; other policies have none.
    """

    sums: Sums
    unpredicted: int
    known: dict[str, int]

    def __add__(self, other: "Tally") -> "Tally":
        """Merge the tallies of two sources of one log."""
        known = {name: rows + other.known[name] for name, rows in self.known.items()}
        return Tally(self.sums + other.sums, self.unpredicted + other.unpredicted, known)


def tally(rows: Rows, plan: Plan) -> Tally | None:
    """Return the rows' tally, or None where there is no row; raises InvalidLog for a broken one."""
    with reading(rows.source.name):
        pivot = _of_head(rows.frame, {"c": nw.col("reward")}, nw.col("c").median())["c"]
        frame = weighed(rows.frame, plan)
        terms = weighted(row_terms(plan, pivot=pivot), rows.columns)
        centres = _of_head(frame, terms, nw.all().mean())
        total = _totals(rows, frame, plan, terms=terms, centres=centres)
    if total["n"] == 0:
        return None
    broken = int(total["n"] - (total["kept"] or 0))  # DuckDB sums integers to a Decimal
    if broken:
        raise first_breach(rows, broken=broken)
    return _tally(total, plan, centres, pivot=pivot)


def row_terms(plan: Plan, *, pivot: float) -> Named:
    """Return the expression of each term by its name, over a frame that has a column for each weight."""
    return {term.name: term.of(nw.col(term.weight.name), pivot=pivot) for term in plan.terms}


def weighed(frame: Frame, plan: Plan) -> Frame:
    """Return the frame with a column for each weight of the plan."""
    # Weights are columns of their own before terms are made of them: eager engines compute each once.
    weights = sorted({term.weight for term in plan.terms})
    columns = {weight.column for weight in weights} | {RAW}
    # Those of single loggers are made of the plain ones.
    plain = {RAW} | {AGAINST + RAW for column in columns if column.startswith((AGAINST + RAW, f"{AGAINST}logger:"))}
    raw = _with(_with(frame, _raw(sorted(plain))), _raw(sorted(columns - plain)))
    return _with(raw, {one.name: one.of(nw.col(safe_name(one.column))) for one in weights if one.transform})


def _raw(columns: Iterable[str]) -> Named:
    found = {column: raw_weight(column) for column in columns}
    return {safe_name(column): expression for column, expression in found.items() if expression is not None}


def _with(frame: Frame, columns: Named) -> Frame:
    return frame.with_columns(**columns) if columns else frame


def _of_head(frame: Frame, expressions: Named, summary: nw.Expr) -> dict[str, float]:
    named = [expression.alias(name) for name, expression in expressions.items()]
    head = only_row(frame.head(HEAD).select(*named).select(summary))
    # Where there is no finite answer the pass is about to refuse the rows: any centre will do.
    return {name: float(at) if at is not None and np.isfinite(at) else 0.0 for name, at in head.items()}


def _totals(rows: Rows, frame: Frame, plan: Plan, *, terms: Named, centres: dict[str, float]) -> dict[str, Any]:
    carried = [name for name in CARRIED if name in rows.columns]
    wide = frame.select(
        *(expression.alias(name) for name, expression in terms.items()),
        *(nw.col(name) for name in carried),
        kept=row_holds(rows.columns, rows.rules).cast(nw.Int64()),
    )
    sums = [nw.col(name).sum() for name in (*terms, *carried, "kept")]
    counted = [nw.len().alias("n"), nw.col(W.name).max().alias("max_weight")]
    return only_row(wide.select(*counted, *sums, *_products(plan, centres)))


def _products(plan: Plan, centres: dict[str, float]) -> list[nw.Expr]:
    centred = {name: nw.col(name) - centre for name, centre in centres.items()}
    return [(centred[a.name] * centred[b.name]).sum().alias(_pair(a, b)) for a, b in plan.pairs]


@np.errstate(all="ignore")  # an overflow is reported as null, where it is printed
def _tally(total: dict[str, Any], plan: Plan, centres: dict[str, float], *, pivot: float) -> Tally:
    n = total["n"]
    mean = np.array([total[term.name] or 0.0 for term in plan.terms]) / n
    off_centre = mean - np.array([centres[term.name] for term in plan.terms])
    sums = Sums(
        n=n,
        pivot=pivot,
        terms=plan.terms,
        mean=mean,
        scatter=_centred(total, plan) - n * np.outer(off_centre, off_centre),
        max_weight=total["max_weight"],
        off_support=total.get("off_support"),
    )
    known = {name: int(total[name] or 0) for name in KNOWN if name in total}
    return Tally(sums, int(total.get("q_missing") or 0), known)


def _centred(total: dict[str, Any], plan: Plan) -> Array:
    products = np.full((len(plan.terms), len(plan.terms)), np.nan)
    place = {term: i for i, term in enumerate(plan.terms)}
    for a, b in plan.pairs:
        products[place[a], place[b]] = products[place[b], place[a]] = total[_pair(a, b)] or 0.0
    return products


def _pair(a: Term, b: Term) -> str:
    return f"{a.name}·{b.name}"
