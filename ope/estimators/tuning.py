"""Chooses how far weights may go, from the sums of all candidates at once; what is chosen is biased, and is no gate."""

import math
from collections.abc import Callable, Sequence
from itertools import takewhile
from typing import TypeAlias

import numpy as np
from scipy.special import stdtrit

from ope.estimators.member import Valued
from ope.sums import Sums, W

Rule: TypeAlias = Callable[[Sums, Sequence[Valued]], int]
SLOPE_DELTA, MSE_DELTA = 0.1, 0.05
REACH = math.sqrt(6) - 1


def slope(sums: Sums, members: Sequence[Valued]) -> int:
    """Return the index of the member that SLOPE++ selects (Tucker and Lee 2021; Su et al. 2020).

    From the widest interval to the narrowest, as long as each estimate agrees with all before it: |θ_j − θ_i| ≤
    cnf_i + (√6 − 1) cnf_j, with cnf the t quantile at 0.9 times the standard error. The last that agrees is taken.
    """
    found = [member.of(sums) for member in members]
    reach = float(stdtrit(max(sums.n - 1, 1), 1 - SLOPE_DELTA))
    value = np.array([one.value for one in found])
    width = reach * np.array([one.stderr(sums) for one in found])
    order = np.argsort(-width, kind="stable")

    def agrees(place: int) -> bool:
        i, before = order[place], order[:place]
        return bool(np.all(np.abs(value[before] - value[i]) <= width[i] + REACH * width[before]))

    return int(order[[0, *takewhile(agrees, range(1, len(order)))][-1]])


@np.errstate(all="ignore")  # an overflow is no minimum, and is reported as null where it is printed
def mse(sums: Sums, members: Sequence[Valued]) -> int:
    """Return the index of the least bound on the mean squared error (Su, Dimakopoulou, Krishnamurthy, Dudík 2020).

    The bound is variance/n + (|bias| + √(2 w̄² ln(2/δ)/n) + 2 max w ln(2/δ)/(3n))², with the bias counted from the
    last member, whose weights nothing tames, and δ = 0.05. It presumes rewards between 0 and 1.
    """
    found = [member.of(sums) for member in members]
    surprise = math.log(2 / MSE_DELTA) / sums.n
    square = sums.scatter_of(W, W) / sums.n + sums.mean_of(W) ** 2
    slack = math.sqrt(2 * square * surprise) + 2 * sums.max_weight * surprise / 3
    # The sample variance over n − 1 becomes that over n, which the bound is written in.
    variance = [one.stderr(sums) ** 2 * (1 - 1 / sums.n if one.ddof else 1) for one in found]
    bounds = [
        spread + (abs(found[-1].value - one.value) + slack) ** 2 for spread, one in zip(variance, found, strict=True)
    ]
    return int(np.argmin(np.nan_to_num(np.array(bounds), nan=math.inf)))


RULES: dict[str, Rule] = {"slope": slope, "mse": mse}
