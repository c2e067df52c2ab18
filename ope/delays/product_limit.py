"""The distribution of the delays of rewards, estimated from a log in which slow rewards are missing.

What a log shows of a reward's delay D is right-truncated: it is there only if D ≤ C, the age of its decision. In
reversed time that is left truncation, where the product-limit estimator (Kaplan and Meier 1958) holds with the rewards
that were "at risk" at t, those with D ≤ t ≤ C (Lynden-Bell 1971; Woodroofe 1985; for delays of reports Lagakos, Barraj
and De Gruttola 1988):

    F(u) = Π_{t > u} (1 − d(t)/N(t)),  d(t) = #{D = t},  N(t) = #{D ≤ t ≤ C}.

It is P(D ≤ u | D ≤ the window), and presumes that D does not depend on C among the rewards that will come. Unlike
censoring the silent rows at their age, it does not presume that as many rewards come of new decisions as of old ones,
which a policy that learns would break.
"""

from collections.abc import Sequence
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

Floats: TypeAlias = npt.NDArray[np.float64]
Counts: TypeAlias = npt.NDArray[np.int64]


def delay_distribution(delays: Sequence[int] | Counts, ages: Sequence[int] | Counts) -> Floats:
    """Return F(u), shape (k,), for u = 0 … k − 1, out of counts of the same shape.

    `delays[t]` is how many rewards came after t steps, `ages[t]` how many of these rewards' decisions are t steps old,
    where those that are older than the window of k − 1 steps are counted as being so old.
    """
    came, aged = np.asarray(delays, dtype=np.int64), np.asarray(ages, dtype=np.int64)
    # D ≤ C, so whoever is younger than t came before t: D ≤ t ≤ C is D ≤ t less C < t.
    at_risk = np.cumsum(came) - (np.cumsum(aged) - aged)
    kept = 1.0 - came / np.maximum(at_risk, 1)
    later = np.cumprod(kept[::-1])[::-1]
    return np.append(later[1:], 1.0)
