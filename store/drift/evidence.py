"""Anytime-valid evidence that draws were not made with the probabilities that the log holds.

Evidence is an e-value: a number that, if the log is right, starts at 1 and has a mean of at most 1 at whichever time it
is looked at, so that it ever reaches 1/a with a probability of at most a (Ville 1939; Ramdas, Gruenwald, Vovk and
Shafer 2023, "Game-theoretic statistics and safe anytime-valid inference"). Values are natural logarithms of it.
"""

import math
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

Floats: TypeAlias = NDArray[np.float64]
Places: TypeAlias = NDArray[np.intp]
"""Indices of tests."""

_RATES = 2.0 ** np.arange(3, -11, -1)
"""The lambdas, 8 down to 1/1024: the large ones for sums of rare events, the small ones for millions of draws."""
_PRICES = np.exp(_RATES) - 1 - _RATES
_HALVINGS = 30
_STAKES = (0.9, 0.3, 0.1, 0.03)
_EVEN = 1e-9


def log_evidence(deviation: Floats, variance: Floats) -> Floats:
    r"""Return the evidence that sums S deviate from 0 more than sums V of variances allow; shapes (J,).

    S adds up x - E[x] with |x - E[x]| <= 1, V adds up Var[x], both given all before the draw. For every lambda > 0

        exp(lambda S - (exp(lambda) - 1 - lambda) V)

    is a supermartingale (Bennett 1962; Freedman 1975), and so is that of -S, and so is the mean over both signs and 14
    lambdas: the sub-Poisson mixture of Howard, Ramdas, McAuliffe and Sekhon (2021, "Time-uniform, nonparametric,
    nonasymptotic confidence sequences", section 3), with a discrete mixture. The state is the two sums.
    """
    up: Floats = deviation[:, None] * _RATES
    cost: Floats = variance[:, None] * _PRICES
    return _log_mean_exp(np.concatenate([up - cost, -up - cost], axis=-1))


def bounds(variance: Floats, log_threshold: Floats) -> Floats:
    """Return the |S| at which `log_evidence` reaches the thresholds; shapes (J,).

    Read over time, it is a confidence sequence for S. By bisection between 0 and where one lambda alone is enough.
    """
    low = np.zeros(len(variance))
    needed = log_threshold + math.log(2 * len(_RATES))
    high = np.min((needed[:, None] + variance[:, None] * _PRICES) / _RATES, axis=-1)
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        enough = log_evidence(middle, variance) >= log_threshold
        low, high = np.where(enough, low, middle), np.where(enough, middle, high)
    return np.asarray(high)


class Tallies:
    """Sums of several tests, one column each: draws, observed, expected and variance, shape (4, J).

    Every observation must be within 1 of its expectation, see `log_evidence`.
    """

    __slots__ = ("sums",)

    def __init__(self) -> None:
        self.sums: Floats = np.zeros((4, 0))

    def add(self, places: Places, observed: Floats, expected: Floats, variance: Floats) -> None:
        """Count draws, each at its place; shapes (n,). Places that are not there yet are made."""
        if len(places):
            self.sums = _wider(self.sums, int(places.max()) + 1)
            for row, values in enumerate((None, observed, expected, variance)):
                self.sums[row] += np.bincount(places, values, self.sums.shape[1])

    def log_evidence(self) -> Floats:
        """Return each test's evidence, shape (J,)."""
        return log_evidence(self.sums[1] - self.sums[2], self.sums[3])


class Weights:
    r"""Evidence, per place, that the mean importance weight against uniform over the supported actions is not 1.

    A draw of an action of probability p among n of probability above 0, the smallest of them being m, has the weight
    w = 1 / (n p), whose mean is 1 whatever the distribution, and which is at most 1 / (n m). So for stakes c in [0, 1]

        1 + c (w - 1)                       a mean above 1: the unlikely was drawn too often
        1 - c (w - 1) n m / (1 - n m)       a mean below 1: it was drawn too rarely

    are at least 0 with a mean of 1, and the product over draws is a test martingale (betting, as in Waudby-Smith and
    Ramdas 2024, "Estimating means of bounded random variables by betting"); the mean over both sides and four stakes is
    one too. The state is the eight logarithms. Even distributions have the weight 1 and say nothing.

    `sums` has shape (10, J): draws, the sum of the weights, and the logarithms.
    """

    __slots__ = ("sums",)

    def __init__(self) -> None:
        self.sums: Floats = np.zeros((2 + 2 * len(_STAKES), 0))

    def add(self, places: Places, propensity: Floats, supported: Floats, least: Floats) -> None:
        """Count draws of actions of these probabilities, each at its place; shapes (n,), 0 < least <= propensity."""
        telling = supported * least < 1 - _EVEN
        if telling.any():
            places, floor = places[telling], (supported * least)[telling]
            over = 1 / (supported * propensity)[telling] - 1
            under = -over * floor / (1 - floor)
            rows = [np.ones(len(places)), over + 1]
            rows += [np.log1p(stake * gain) for gain in (over, under) for stake in _STAKES]
            self.sums = _wider(self.sums, int(places.max()) + 1)
            for row, values in enumerate(rows):
                self.sums[row] += np.bincount(places, values, self.sums.shape[1])

    def log_evidence(self) -> Floats:
        """Return each place's evidence, shape (J,)."""
        return _log_mean_exp(self.sums[2:].T)


def log_thresholds(alpha: float, tests: int, families: int) -> Floats:
    """Return the evidence at which tests alarm, shape (tests,), so that all together are ever wrong at most at `alpha`.

    The families share alpha evenly. Within one, the test of place j = 0, 1, 2 ... has 6 / (pi (j + 1))^2 of the share,
    which adds up to all of it over infinitely many: a new test changes nothing for those before it.
    """
    return np.asarray(2 * np.log(math.pi * np.arange(1, tests + 1)) + math.log(families / (6 * alpha)))


def _log_mean_exp(values: Floats) -> Floats:
    # Written out: the library's own costs ten times as much for the few numbers of most loops.
    largest = np.max(values, axis=-1)
    spread = np.sum(np.exp(values - largest[..., None]), axis=-1)
    return np.asarray(largest + np.log(spread / values.shape[-1]))


def _wider(sums: Floats, width: int) -> Floats:
    missing = width - sums.shape[1]
    return np.pad(sums, ((0, 0), (0, missing))) if missing > 0 else sums
