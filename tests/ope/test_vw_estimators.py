"""Agreement with VowpalWabbit's estimators, which were written by the authors of the papers: IPS, SNIPS, intervals."""

import math

import numpy as np
import polars as pl
import pytest
from estimators.bandits import cressieread, cs, gaussian, ips, snips

from ope.evaluate import evaluate_frame
from ope.intervals.confidence import Confidence
from ope.intervals.cressie_read import WeightSums, of_the_paper
from ope.intervals.mixture import Mixture
from ope.intervals.outcomes import Claim, ips_outcomes
from ope.intervals.two_sided import TwoSided
from ope.question import Question

LOGS = [(seed, n, rate) for seed in range(3) for n in (2, 30, 500) for rate in (0.5, 0.05)]
ALL = pytest.mark.parametrize(("seed", "n", "rate"), LOGS)


def log(seed, n, rate):
    """Propensities of the logger and of the target, and rewards of 0 or 1."""
    rng = np.random.default_rng(seed)
    return rng.uniform(0.1, 1, n), rng.uniform(0, 1, n), (rng.random(n) < rate).astype(float)


def theirs(interval, rows, alpha):
    """Their interval over the rows."""
    for p_log, p_target, reward in zip(*(column.tolist() for column in rows), strict=True):
        interval.add_example(p_log, reward, p_target)
    return interval.get(alpha)


@ALL
@pytest.mark.parametrize("most", [10.0, math.inf])
def test_cressie_read_agrees(seed, n, rate, most) -> None:
    """Both bounds, with and without a largest weight, to 1e-9."""
    rows = log(seed, n, rate)
    p_log, p_target, reward = rows
    sums = WeightSums.of(p_target / p_log, reward)
    expected = theirs(cressieread.Interval(wmin=0, wmax=most), rows, 0.1)
    ours = of_the_paper(sums, 0.05, most=most), 1 - of_the_paper(sums.turned(), 0.05, most=most)
    assert ours == pytest.approx(expected, abs=1e-9)


@ALL
def test_the_mixture_agrees(seed, n, rate) -> None:
    """Both bounds of their confidence sequence, to 1e-9, where the mean so far stays below 1.

    They expect it of the next value even where it is above 1, which the theorem does not allow.
    """
    rng = np.random.default_rng(seed)
    p_log, _, reward = log(seed, n, rate)
    w = np.minimum(rng.exponential(0.7, n), np.where(np.arange(n) < 20, 1.0, 8.0))
    rows = (p_log, w * p_log, reward)
    outcomes = ips_outcomes(rows[1] / p_log, reward)
    for values in (outcomes.above, outcomes.below):
        assert ((0.5 + np.cumsum(values)) / np.arange(2, n + 2)).max() < 1
    found = TwoSided(Mixture(), Mixture()).fold(outcomes).bounds(Claim(0.0, 1.0), Confidence(0.9))
    assert found == pytest.approx(theirs(cs.Interval(), rows, 0.1), abs=1e-9)


def judged(rows, **asked):
    """What the question answers over the rows."""
    frame = dict(zip(("propensity", "target_propensity", "reward"), rows, strict=True))
    (evaluation,) = evaluate_frame(pl.DataFrame(frame), Question(**asked)).values()
    return evaluation.estimates


@ALL
def test_ips_and_snips_agree(seed, n, rate) -> None:
    """The values, to 1e-9."""
    rows = log(seed, n, rate)
    expected = []
    for estimator in (ips.Estimator(), snips.Estimator()):
        for p_log, p_target, reward in zip(*(column.tolist() for column in rows), strict=True):
            estimator.add_example(p_log, reward, p_target)
        expected.append(estimator.get())
    found = [one.value for one in judged(rows, estimators=["ips", "snips"])]
    assert found == pytest.approx(expected, rel=1e-9, abs=1e-12)


@ALL
def test_the_normal_interval_agrees(seed, n, rate) -> None:
    """That of IPS, to 1e-9."""
    rows = log(seed, n, rate)
    (found,) = judged(rows, estimators=["ips"], level=0.9)
    assert found.interval == pytest.approx(theirs(gaussian.Interval(), rows, 0.1), abs=1e-9)


@ALL
def test_what_is_reported_as_cressie_read_is_theirs_or_wider(seed, n, rate) -> None:
    """Never inside theirs, and by 2/n beyond it at most: we bound what so short a log cannot show, too."""
    rows = log(seed, n, rate)
    asked = {"interval": "cressie_read", "reward_range": (0, 1), "largest_weight": 10.0, "level": 0.9}
    (found,) = judged(rows, estimators=["ips"], **asked)
    low, high = theirs(cressieread.Interval(wmin=0, wmax=10.0), rows, 0.1)
    assert found.interval[0] <= low + 1e-9
    assert found.interval[1] >= high - 1e-9
    if n > 2:
        assert found.interval == pytest.approx((low, high), abs=2 / n)
