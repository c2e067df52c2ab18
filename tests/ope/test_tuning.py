"""The rules that choose how far weights go, on many small cases against the papers' own formulas."""

from dataclasses import dataclass

import numpy as np
import polars as pl
import pytest
import textbook
from scipy import stats

from ope.estimators.table import MOST
from ope.estimators.tuning import slope
from ope.evaluate import evaluate_frame
from ope.question import Question


@dataclass
class Fixed:
    """A candidate whose value and error are given."""

    value: float
    error: float
    n: int = 50

    def of(self, _):
        """Return itself: it is its own estimate."""
        return self

    def stderr(self, _):
        """Return the given error."""
        return self.error


@pytest.mark.parametrize("seed", range(40))
def test_slope_selects_as_the_paper_does(seed):
    """Seven candidates whose errors fall as their values drift away, in any order."""
    rng = np.random.default_rng(seed)
    errors = 2.0 ** -np.arange(7) * rng.uniform(0.8, 1.2, 7)
    candidates = [Fixed(v, e) for v, e in zip(rng.normal(0, 1.5, 7).cumsum() * 0.4, errors, strict=True)]
    rng.shuffle(candidates)
    reach = stats.t(49).ppf(0.9)
    expected = textbook.slope([one.value for one in candidates], [reach * one.error for one in candidates])
    assert slope(Fixed(0, 0), candidates) == expected


def test_mse_chooses_as_the_paper_does():
    """60 logs of 40 rows with heavy weights: the least bound, each of whose parts decides in some of them."""
    rng, chosen = np.random.default_rng(9), set()
    for _ in range(60):
        p = rng.beta(0.4, 2, 40).clip(0.002)
        log = {
            "reward": rng.binomial(1, 0.5, 40) * rng.uniform(1, 20),
            "propensity": p,
            "target_propensity": rng.uniform(0, 1, 40),
        }
        w = log["target_propensity"] / p
        tamed = [*(np.minimum(w, most) for most in MOST), w]
        bounds = [textbook.mse_bound(one * log["reward"], (w - one) * log["reward"], w) for one in tamed]
        best = int(np.argmin(bounds))
        [found] = evaluate_frame(pl.DataFrame(log), Question(estimators=["clipped_ips:mse"]))["columns"].estimates
        assert found.value == pytest.approx((tamed[best] * log["reward"]).mean(), rel=1e-9)
        chosen.add(best)
    assert len(chosen) > 2
