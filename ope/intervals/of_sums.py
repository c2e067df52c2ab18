"""Intervals from an evaluation's sums alone: no row is read again."""

from ope.errors import InvalidRequest
from ope.formats.columns import ROW_WEIGHT
from ope.intervals import cressie_read
from ope.intervals.ask import ROUNDING, Ask, Range
from ope.intervals.cressie_read import WeightSums
from ope.intervals.evidence import Evidence
from ope.intervals.interval import Interval
from ope.intervals.normal import normal
from ope.sums import Sums, W
from ope.terms import y_of
from ope.weights import PLAIN


def normal_bounds(evidence: Evidence, ask: Ask) -> Interval:
    """Return the interval of the central limit theorem."""
    return Interval(*normal(evidence.value, evidence.stderr, ask.confidence))


def cressie_read_bounds(evidence: Evidence, ask: Ask) -> Interval:
    """Return the Cressie-Read interval of the target's value.

    Raises InvalidRequest where the log has a larger weight than was declared, or rows that stand for several decisions.
    """
    within, most = ask.range, ask.most
    refuse_larger(evidence, ask)
    for rows in evidence.rows.logs:
        if ROW_WEIGHT in rows.columns:
            raise InvalidRequest(
                f"{rows.source.name}: cressie_read counts decisions, and these rows stand for several each. Judge by "
                "--interval normal."
            )
    sums = _weight_sums(evidence.sums, within)

    def share(of: WeightSums, alpha: float) -> float:
        return within.width * cressie_read.lower(of, alpha, most=most)

    bounds = ask.confidence.bounds(
        lambda alpha: within.low + share(sums, alpha), lambda alpha: within.high - share(sums.turned(), alpha)
    )
    return Interval(*bounds)


def refuse_larger(evidence: Evidence, ask: Ask) -> None:
    """Raise InvalidRequest where the log has a larger weight than the one that was declared."""
    seen = evidence.sums.max_weight
    if seen > ask.most * (1 + ROUNDING):
        raise InvalidRequest(
            f"--largest-weight is {ask.most:g}, and the log has a weight of {seen:g}: {evidence.rows.what} of "
            f"{evidence.name} needs the largest that there can be, 1 over the smallest propensity. Declare that, or "
            "judge ips without one."
        )


def _weight_sums(sums: Sums, within: Range) -> WeightSums:
    """Return the sums with rewards counted from the range's low end, in units of its width."""
    moved, y = sums.from_pivot(within.low), y_of(PLAIN)
    w, wr = moved.n * moved.mean_of(W), moved.n * moved.mean_of(y) / within.width
    ww = moved.scatter_of(W, W) + w * w / moved.n
    wwr = moved.scatter_of(W, y) / within.width + w * wr / moved.n
    wwrr = moved.scatter_of(y, y) / within.width**2 + wr * wr / moved.n
    return WeightSums(moved.n, w, ww, wr, wwr, wwrr, moved.max_weight)
