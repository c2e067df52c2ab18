"""Whether the target learned from the outcomes on which it is judged (invariant: no evaluation on training data)."""

from collections.abc import Iterator

import polars as pl

from ope.diagnostics.checks.base import Check, count, first_rows, rows_of
from ope.diagnostics.facts import Facts, Named
from ope.diagnostics.findings import Answer, Finding, Unknown, grade
from ope.diagnostics.question import Question

_WAY_OUT = (
    "Judge the target on decisions made after the state that it has was frozen, or freeze an earlier state; data that "
    "chose it may not judge it."
)


def _overlapping(q: Question) -> pl.Expr | None:
    """Return the mask of rows that the target may have learned from, or None where nothing tells.

    A decision of `line@q` was made when the outcome log had come to q at least, so that its own outcome
    stands behind q. A target that folded the log through P >= q may have it; with q >= P it cannot.
    """
    if q.has("trained"):
        return pl.col("trained") > 0
    through = q.asked.trained_through
    if through is None or not q.has("model_version"):
        return None
    position = pl.col("model_version").str.extract(r"@(\d+)$").cast(pl.Int64, strict=False)
    return (position < through).fill_null(value=True)


def _ask(q: Question) -> Named:
    mask = _overlapping(q)
    return {} if mask is None else {"overlap": count(mask)}


def _judge(facts: Facts) -> Iterator[Answer]:
    mask = _overlapping(facts.question)
    if mask is None:
        why = "nothing says what the target learned from: give --target-version LINE@POSITION, or a column trained."
        yield Unknown("overlap", why)
        return
    rows = int(facts.total["overlap"] or 0)
    severity, threshold = grade(rows / facts.n, refuse=facts.limit("overlap_refuse"))
    if severity == "ok":
        yield Finding("overlap", "ok", 0.0, threshold, "the target has learned from none of these rows.")
        return
    may = "was" if facts.question.has("trained") else "may have been"
    where, _ = first_rows(facts, mask)
    says = f"the outcome of {rows_of(rows, facts.n)} {may} learned by the target, which then looks better than it is."
    yield Finding("overlap", severity, rows / facts.n, threshold, says, _WAY_OUT, where)


CHECK = Check(("overlap",), _judge, _ask)
