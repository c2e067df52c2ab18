"""The rules of the policies that explore by one, by the name that a log gives them; the parameters are numbers."""

from bandit.policies.greedy import Mixed
from bandit.policies.regcb import Optimistic, Survivors
from bandit.policies.softmax import Boltzmann
from bandit.policies.squarecb import InverseGap

RULES: dict[str, type[Mixed | Boltzmann | InverseGap | Survivors | Optimistic]] = {
    "mixed": Mixed,
    "boltzmann": Boltzmann,
    "inverse_gap": InverseGap,
    "survivors": Survivors,
    "optimistic": Optimistic,
}
"""A released name keeps its rule and parameters: logs have it."""
