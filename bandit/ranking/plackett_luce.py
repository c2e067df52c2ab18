"""Marginals of plain sequential renormalisation (Plackett 1975; Luce 1959), for any number of actions.

Each slot is sampled from one fixed p, renormalised over what is left. The same ranking comes from a race in which
action k arrives after an exponential time of rate p_k. With v the probability that k has not arrived yet,

    P(k in slot s) = integral over v in (0, 1) of P(exactly s of the others have arrived) dv,

where each other j has arrived with probability 1 - v^(p_j / p_k), independently: a Poisson-binomial count.
"""

import numpy as np

from bandit.compiled import compiled
from bandit.exploration.plan import Floats

_EXACT = 1e-9
_COARSE = np.polynomial.legendre.leggauss(96)
_FINE = np.polynomial.legendre.leggauss(192)


def race(p: Floats, arm: int, slot: int) -> float | None:
    """Return the probability that `arm` stands in `slot`, from 0; None where quadrature does not settle to 1e-9 of it.

    `p` has shape (K,), sums to 1 and has no 0. Gauss-Legendre with 192 nodes, accepted if 96 agree, and if the first
    slot comes out as p: where one p is far smaller than the others, both could miss the same peak.
    """
    # v = x^(m p_k): a small m stretches the early arrivals of many alike, a large one the late ones of few unlikely.
    for m in (4.0, 16.0, 64.0, 4 / float(p[arm])):
        coarse, fine = (_integral(p, arm, slot, m, *rule) for rule in (_COARSE, _FINE))
        first = _integral(p, arm, 0, m, *_FINE)
        if fine > 0 and abs(fine - coarse) <= _EXACT * fine and abs(first - p[arm]) <= _EXACT * p[arm]:
            return fine
    return None


@compiled
def _integral(p: Floats, arm: int, slot: int, m: float, nodes: Floats, weights: Floats) -> float:
    total = 0.0
    arrived = np.empty(slot + 1)
    for node in range(len(nodes)):
        x = (1 + nodes[node]) / 2
        arrived[:] = 0.0
        arrived[0] = 1.0
        for j in range(len(p)):
            if j != arm:
                here = 1 - x ** (m * p[j])
                for count in range(slot, 0, -1):
                    arrived[count] += here * (arrived[count - 1] - arrived[count])
                arrived[0] -= here * arrived[0]
        power = m * p[arm]
        total += weights[node] / 2 * power * x ** (power - 1) * arrived[slot]
    return total
