"""Models side by side, weighted by how well each predicted: the linear policies need not be told their world.

Dynamic model averaging (Raftery, Karny and Ettler 2010, eq. 15 and 16): a model's weight is the product of its one-step
predictive densities, flattened by a power below 1 at each step, so that the weights can turn when the world does.
"""

import functools
from collections.abc import Sequence
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from bandit.compiled import compiled
from bandit.policies.base import AGAIN, NEWEST, Entry, Floats
from bandit.policies.crossing import crossed
from bandit.policies.hashed import HashedRegression
from bandit.policies.regression import Regressions
from bandit.policies.situation import Situation

_POWER = 0.99
"""What a step leaves of the logarithm of the weights: about the last hundred outcomes count."""
_LEAST = 0.01
"""A model with less weight than this is not asked."""


Family: TypeAlias = Regressions | HashedRegression
_Weighed: TypeAlias = tuple[float, Floats, Floats]
"""A weight, and the mean and variance of each action, shape (K,)."""


class Portfolio:
    """Families of regressions, each with one copy per memory; `log_weights` (families, M) are relative."""

    def __init__(self, config: Any, decay: float) -> None:  # noqa: ANN401  # the config of a linear policy
        names = ("disjoint", "shared") if config.arms == "auto" else (config.arms,)
        decays = [decay * memory for memory in config.memories]
        self.families = {name: _family(name, config, decays) for name in names}
        self.log_weights: Floats = np.zeros((len(names), len(decays)))
        self._known: dict[bool, list[tuple[str, Family, Floats, float]]] = {}

    def restore(self, header: dict[str, Any], arrays: dict[str, NDArray[Any]]) -> None:
        """Take on the state that `header` and `arrays` returned."""
        self.log_weights = arrays["weights"].copy()
        self._known.clear()
        for name, family in self.families.items():
            family.restore(header[name], {part: arrays[f"{name}.{part}"] for part in family.arrays()})

    def header(self) -> dict[str, dict[str, list[Any]]]:
        """Return the families' names of columns and actions."""
        return {name: family.header() for name, family in self.families.items()}

    def arrays(self) -> dict[str, NDArray[Any]]:
        """Return the families' numbers and the weights."""
        parts = {f"{name}.{part}": x for name, family in self.families.items() for part, x in family.arrays().items()}
        return {"weights": self.log_weights, **parts}

    def scores(self, situation: Situation) -> tuple[Floats, Floats]:
        """Return the mean and standard deviation of each eligible action's expected reward under the mixture, (K,)."""
        said = (
            (share, *family.moments(_view(situation, name), row)) for name, family, row, share in self._asked(situation)
        )
        _, mean, variance = functools.reduce(_pooled, said)
        return mean, np.sqrt(variance)

    def weights(self, situation: Situation) -> Floats:
        """Return the weights of the models that have a say here, shape (families, M); they sum to 1."""
        # Who has no say is left out first: next to it, all others may be too small for float64.
        relative = np.where(self._apply(situation)[:, None], self.log_weights, -np.inf)
        w = np.exp(relative - relative.max())
        w /= w.sum()
        w[w < _LEAST] = 0.0
        return np.asarray(w / w.sum())

    def _asked(self, situation: Situation) -> list[tuple[str, Family, Floats, float]]:
        """Return who is asked: the family's name, the family, its copies' weights (M,) and their sum."""
        bare = len(self.families) > 1 and situation.bare()
        if bare not in self._known:
            rows = zip(self.families.items(), self.weights(situation), strict=True)
            self._known[bare] = [(name, family, row, float(row.sum())) for (name, family), row in rows if row.any()]
        return self._known[bare]

    def learn(self, situation: Situation, arm: int, reward: float, entry: Entry = NEWEST) -> None:
        """Fold one reward into every model, and judge each by how likely it said that reward was."""
        seen = situation.only(arm)
        applies = self._apply(seen)
        densities = np.zeros_like(self.log_weights)
        for i, (name, family) in enumerate(self.families.items()):
            if applies[i]:
                densities[i] = family.learn(_view(seen, name), 0, reward, entry)
        self._judge(applies, densities, entry)

    def correct(self, situation: Situation, arm: int, reward: float, previous: float, entry: Entry = AGAIN) -> None:
        """Replace a learned reward in every model; where it settles, judge each by how likely it was without it."""
        seen = situation.only(arm)
        applies = self._apply(seen)
        densities = np.zeros_like(self.log_weights)
        for i, (name, family) in enumerate(self.families.items()):
            if applies[i]:
                densities[i] = family.correct(_view(seen, name), 0, reward, previous, entry)
        self._judge(applies, densities, entry)

    def _judge(self, applies: NDArray[np.bool_], densities: Floats, entry: Entry) -> None:
        if not entry.settles:
            return
        # Who had nothing to say keeps its place among the others.
        densities[~applies] = densities[applies].mean()
        self.log_weights = _POWER * self.log_weights + densities
        self.log_weights -= self.log_weights.max()
        self._known.clear()

    def _apply(self, situation: Situation) -> NDArray[np.bool_]:
        """Say which families can tell these actions apart: without action features the shared one cannot."""
        if len(self.families) == 1 or not situation.bare():
            return np.ones(len(self.families), dtype=bool)
        return np.array([name != "shared" for name in self.families])


def _pooled(one: _Weighed, other: _Weighed) -> _Weighed:
    """Return the mixture of two, each with its weight, means and variances; its own weight is the sum of theirs."""
    return (one[0] + other[0], *_mixed(*one, *other))


@compiled
def _mixed(  # two mixtures
    w: float, mean: Floats, variance: Floats, w2: float, mean2: Floats, variance2: Floats
) -> tuple[Floats, Floats]:
    # Within and between: summing squares instead would cancel where means are large.
    share = w / (w + w2)
    between = share * (1 - share) * (mean - mean2) ** 2
    return share * mean + (1 - share) * mean2, share * variance + (1 - share) * variance2 + between


def _family(name: str, config: Any, decays: Sequence[float]) -> Family:  # noqa: ANN401  # as above
    if name == "disjoint" and config.hash_bits is not None:
        return HashedRegression(config.prior_variance, config.hash_bits, decays)
    shared = name != "disjoint"
    return Regressions(config.prior_variance, config.max_features, config.max_actions, decays, shared=shared)


def _view(situation: Situation, family: str) -> Situation:
    return situation if family == "disjoint" else crossed(situation, ids=family == "hybrid")
