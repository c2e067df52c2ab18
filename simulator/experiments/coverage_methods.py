"""Every interval of `ope` over one log, at each of some looks."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy.special import ndtri

from ope.intervals import cressie_read
from ope.intervals.betting import Betting
from ope.intervals.bootstrap import BlockSums, Studentised
from ope.intervals.confidence import Confidence
from ope.intervals.cressie_read import WeightSums
from ope.intervals.empirical_bernstein import Bounded
from ope.intervals.mixture import Mixture
from ope.intervals.outcomes import Claim, Outcomes, dr_outcomes, ips_outcomes
from ope.intervals.two_sided import Fold, TwoSided
from simulator.experiments.coverage_worlds import Floats, Rows, World

Bounds = tuple[float, float]
At = Callable[[World, Rows, list[int], Confidence], list[Bounds]]
Statistic = Callable[[BlockSums], tuple[Floats, Floats]]
RESAMPLES = 1000


@dataclass(frozen=True, slots=True)
class Method:
    """A named interval of an estimator; `at` gives its bounds at each look, which `anytime` says are valid at once."""

    name: str
    of: str
    at: At
    anytime: bool = False


def _anew(find: Callable[[World, Rows, Confidence], Bounds]) -> At:
    """Look at all rows so far, each time."""
    return lambda world, rows, looks, confidence: [find(world, rows.between(0, look), confidence) for look in looks]


def _going_on(start: Callable[[World], Fold], turn: Callable[[World, Rows], Outcomes], *, doubly: bool = False) -> At:
    """Go on from the state of the look before."""

    def at(world: World, rows: Rows, looks: list[int], confidence: Confidence) -> list[Bounds]:
        claim = Claim(0.0, 1.0, k=world.most if doubly else 0.0)
        state = TwoSided(start(world), start(world))
        found = []
        for before, look in zip([0, *looks], looks, strict=False):
            state = state.fold(turn(world, rows.between(before, look)))
            found.append(state.bounds(claim, confidence))
        return found

    return at


def _ips(_: World, rows: Rows) -> Outcomes:
    return ips_outcomes(rows.w, rows.r)


def _dr(world: World, rows: Rows) -> Outcomes:
    return dr_outcomes(rows.w, rows.r, rows.q, rows.d, most=world.most)


def _sums(rows: Rows) -> BlockSums:
    columns = np.stack([rows.w, rows.w * rows.r, rows.d + rows.w * (rows.r - rows.q)], axis=1)
    return BlockSums.empty(3).fold(columns)


def _mean(column: int) -> Statistic:
    """The mean of a column, and its standard error, in each place."""

    def statistic(sums: BlockSums) -> tuple[Floats, Floats]:
        variance = sums.scatters()[:, column, column] / (sums.counts - 1) / sums.counts
        return sums.means()[:, column], np.sqrt(np.maximum(variance, 0))

    return statistic


def _ratio(sums: BlockSums) -> tuple[Floats, Floats]:
    """SNIPS and its delta-method error in each place; undefined where no weight is above 0."""
    with np.errstate(invalid="ignore"):
        value = sums.sums[:, 1] / sums.sums[:, 0]
        ww, wy, yy = sums.products[:, 0, 0], sums.products[:, 0, 1], sums.products[:, 1, 1]
        error = np.sqrt(np.maximum(yy - 2 * value * wy + value**2 * ww, 0)) / sums.sums[:, 0]
    return value, error


def _whole(sums: BlockSums) -> BlockSums:
    return BlockSums(sums.counts.sum(keepdims=True), sums.sums.sum(0)[None], sums.products.sum(0)[None])


def _normal(statistic: Statistic) -> At:
    def find(_: World, rows: Rows, confidence: Confidence) -> Bounds:
        (value,), (stderr,) = statistic(_whole(_sums(rows)))
        return confidence.bounds(lambda a: value + ndtri(a) * stderr, lambda a: value - ndtri(a) * stderr)

    return _anew(find)


def _resampled(sums: BlockSums, statistic: Statistic) -> Studentised:
    (value,), (stderr,) = statistic(_whole(sums))
    found = [statistic(part) for part in sums.resampled(RESAMPLES, seed=0)]
    values, stderrs = (np.concatenate(one) for one in zip(*found, strict=True))
    return Studentised.of(float(value), float(stderr), values, stderrs)


def _bootstrap(statistic: Statistic) -> At:
    def find(_: World, rows: Rows, confidence: Confidence) -> Bounds:
        found = _resampled(_sums(rows), statistic)
        return confidence.bounds(found.lower, found.upper)

    return _anew(find)


def _percentiles(statistic: Statistic) -> At:
    """The percentile bootstrap, which `ope` does not offer: to see why."""

    def find(_: World, rows: Rows, confidence: Confidence) -> Bounds:
        values = np.concatenate([statistic(part)[0] for part in _sums(rows).resampled(RESAMPLES, seed=0)])
        return confidence.bounds(lambda a: float(np.quantile(values, a)), lambda a: float(np.quantile(values, 1 - a)))

    return _anew(find)


def _cressie_read(world: World, rows: Rows, confidence: Confidence) -> Bounds:
    sums = WeightSums.of(rows.w, rows.r)
    return confidence.bounds(
        lambda alpha: cressie_read.lower(sums, alpha, most=world.most),
        lambda alpha: 1 - cressie_read.lower(sums.turned(), alpha, most=world.most),
    )


def _betting(_: World) -> Betting:
    return Betting()


def _mixture(_: World) -> Mixture:
    return Mixture()


METHODS = (
    Method("normal", "ips", _normal(_mean(1))),
    Method("normal", "snips", _normal(_ratio)),
    Method("normal", "dr", _normal(_mean(2))),
    Method("percentiles", "snips", _percentiles(_ratio)),
    Method("bootstrap", "ips", _bootstrap(_mean(1))),
    Method("bootstrap", "snips", _bootstrap(_ratio)),
    Method("bootstrap", "dr", _bootstrap(_mean(2))),
    Method("cressie_read", "ips", _anew(_cressie_read)),
    Method("empirical_bernstein", "ips", _going_on(lambda world: Bounded(world.most), _ips)),
    Method("eb_mixture", "ips", _going_on(_mixture, _ips), anytime=True),
    Method("eb_mixture", "dr", _going_on(_mixture, _dr, doubly=True), anytime=True),
    Method("betting", "ips", _going_on(_betting, _ips), anytime=True),
    Method("betting", "dr", _going_on(_betting, _dr, doubly=True), anytime=True),
)
