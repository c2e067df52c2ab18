"""The betting bound: wagers against each possible mean, for the tightest lower bound that holds at every look."""

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import NoReturn

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]

AIM = 0.05
"""The error probability at which bets are the right size. Bounds for any other hold as well, and are then nested."""
HALF = 0.5
"""Of what may be lost on one row, the share that is put at stake: 1/4 to 3/4 is advised."""
NODES = 512
FEWER = 64
LARGEST = 1e9
"""Values are cut here, so that their squares and sums stay finite, and wealth grows by no more on one row, so that no
product of a few overflows: a lower bound on less is one on the values too."""


def spaced(count: int) -> tuple[float, ...]:
    """Return means from 0 to 1, closer near 0, where rare rewards are."""
    return tuple((i / count) ** 2 for i in range(count + 1))


@dataclass(frozen=True, slots=True)
class Betting:
    """What a lower confidence sequence keeps of values of at least 0 whose mean is at most 1: a wealth for each mean.

    Waudby-Smith, Wu, Ramdas, Karampatziakis and Mineiro 2022, theorem 1, with k = 0: against mean ν, row t multiplies
    the wealth by 1 + λ_t (x_t - ν), where λ_t = √(2 ln(1/α) / (σ²_{t-1} t ln(1 + t))), at most 1/(2 ν). Wealth falls
    with ν, so that the means it speaks against are an interval from 0 on; the bound is the last node of that.

    Valid at every look, for rewards that depend on the past and policies that learned from it. It is a fold in decision
    order, because the bets are. Wealth is kept as a number and a power of two: scaling is exact, which is what makes
    the state the same to the bit however the rows are cut.
    """

    nodes: tuple[float, ...] = spaced(NODES)
    wealth: tuple[float, ...] = ()
    powers: tuple[int, ...] = ()
    n: int = 0
    total: float = 0.0
    scatter: float = 0.0

    def fold(self, values: Floats) -> "Betting":
        """Return the state after more values, shape (m,), in their order."""
        if not values.size:
            return self
        values = np.minimum(values, LARGEST)
        bets, total, scatter = self._bets(values)
        wealth, powers = self._wagered(values, bets)
        return Betting(self.nodes, tuple(wealth.tolist()), tuple(powers.tolist()), self.n + values.size, total, scatter)

    def lower(self, alpha: float) -> float:
        """Return the bound that is ever above the mean with a probability of at most `alpha`."""
        return self.around(alpha)[0]

    def around(self, alpha: float) -> tuple[float, float]:
        """Return the nodes on both sides of the exact bound: twice the same one where it is at an end of the nodes."""
        against = self.log_wealth() >= -math.log(alpha)
        first = len(self.nodes) if against.all() else int(np.argmin(against))
        low = self.nodes[first - 1] if first else self.nodes[0]
        return low, self.nodes[min(first, len(self.nodes) - 1)]

    def log_wealth(self) -> Floats:
        """Return the logarithm of the wealth against each node, shape (nodes,); 0 is what each begins with."""
        if not self.wealth:
            return np.zeros(len(self.nodes))
        found: Floats = np.log(self.wealth) + math.log(2) * np.array(self.powers)
        return found

    def _bets(self, values: Floats) -> tuple[Floats, float, float]:
        seen = self.n + np.arange(1, values.size + 1)
        sums = np.cumsum(np.concatenate(([self.total], values)))
        means = np.minimum((0.5 + sums[1:]) / (seen + 1), 1.0)
        scatter = np.cumsum(np.concatenate(([self.scatter], (values - means) ** 2)))
        variance_before = (0.25 + scatter[:-1]) / seen
        bets: Floats = np.sqrt(2 * math.log(1 / AIM) / (variance_before * seen * np.log1p(seen)))
        return bets, float(sums[-1]), float(scatter[-1])

    def _wagered(self, values: Floats, bets: Floats) -> tuple[Floats, npt.NDArray[np.int64]]:
        nodes = np.array(self.nodes)
        most = np.divide(HALF, nodes, out=np.full_like(nodes, np.inf), where=nodes > 0)
        wealth = np.array(self.wealth or np.ones_like(nodes))
        powers = np.array(self.powers or np.zeros(len(nodes)), dtype=np.int64)
        rows = _rows_at_once(float((bets * values).max()))
        for i in range(0, values.size, rows):
            at_stake = np.minimum(bets[i : i + rows, None], most)
            factors = np.minimum(1 + at_stake * (values[i : i + rows, None] - nodes), LARGEST)
            # One row after the other, beginning with what there is: any other grouping would round differently.
            product = np.multiply.reduce(np.concatenate((wealth[None], factors)), axis=0)
            wealth, twos = np.frexp(product)
            powers += twos
        return wealth, powers

    def __add__(self, other: object) -> NoReturn:
        """Refuse: read the logs one after the other."""
        raise TypeError("a confidence sequence is a fold in decision order; fold the second log's rows instead")


def sharp_lower(values: Callable[[], Iterable[Floats]], alpha: float, *, passes: int = 4) -> float:
    """Return the bound to 1e-6 of what it can be, never above it, by reading the values several times.

    `values` begins anew, chunk by chunk in decision order, each time that it is called.
    """
    nodes = spaced(FEWER)
    for _ in range(passes):
        state = Betting(nodes)
        for chunk in values():
            state = state.fold(chunk)
        low, high = state.around(alpha)
        if low == high:
            break
        nodes = tuple(np.linspace(low, high, FEWER + 1).tolist())
    return low


def _rows_at_once(largest_gain: float) -> int:
    """Return how many factors multiply safely: none is below 1/2 or, beyond that, above the largest gain and 1."""
    return max(1, min(512, int(280 / math.log10(2 + min(largest_gain, LARGEST)))))
