"""One pass over a world, written out beforehand: every round's context, actions and the reward that each would earn.

Whoever learns on it meets the same rounds with the same luck, so the averages of two policies can be compared in pairs.
"""

from pathlib import Path

import msgspec
import numpy as np
from numpy.typing import NDArray

from simulator.worlds.classification import ClassificationWorld
from store.errors import InvalidInput

CONTEXT = "x"
"""The name of the context's list of numbers."""

Floats = NDArray[np.float64]


class Rounds(msgspec.Struct, frozen=True):
    """`contexts` (n, d); `features` (n, K, m), m = 0 where actions have none; `rewards` and `expected` (n, K) in 0..1.

    `rewards` is what each action would earn in this pass, `expected` its mean given context and features. Action k is
    the k-th of `actions`, which are sorted.
    """

    name: str
    actions: tuple[str, ...]
    contexts: Floats
    features: Floats
    rewards: Floats
    expected: Floats

    def __post_init__(self) -> None:
        n, k = len(self.contexts), len(self.actions)
        shapes = (self.features.shape[:2], self.rewards.shape, self.expected.shape)
        if n == 0 or set(shapes) != {(n, k)}:
            raise InvalidInput(
                f"world {self.name!r} has {n} contexts, {k} actions and arrays of {', '.join(map(str, shapes))}: "
                "give at least one round, and one entry per round and action in each array"
            )
        if list(self.actions) != sorted(set(self.actions)):
            raise InvalidInput(f"world {self.name!r} has actions {self.actions}: name each once, in sorted order")

    def __len__(self) -> int:
        return len(self.contexts)

    @property
    def uniform(self) -> float:
        """What choosing evenly earns per round: the mean over the actions of the rewards of this pass."""
        return float(self.rewards.mean())

    @property
    def best(self) -> float:
        """What choosing the action of the highest expected reward earns per round; only luck earns more."""
        return float(self.expected.max(axis=1).mean())

    def context(self, i: int) -> dict[str, list[float]]:
        """Return a round's context as a decision takes it."""
        values: list[float] = self.contexts[i].tolist()
        return {CONTEXT: values}

    def action_features(self, i: int) -> list[dict[str, float]]:
        """Return the features of a round's actions as a decision takes them; empty where they have none."""
        names = [f"a{j}" for j in range(self.features.shape[2])]
        return [dict(zip(names, values, strict=True)) for values in self.features[i].tolist()]

    def write(self, path: Path) -> None:
        """Write what a learner in another process may know, and the rewards that it is told one of per round."""
        np.savez(path, contexts=self.contexts, features=self.features, rewards=self.rewards)


def one_pass(world: ClassificationWorld, seed: int) -> Rounds:
    """Return a labelled data set as a pass: each row once, in the seed's order; the right label earns 1."""
    order = np.argsort(world.actions)
    met = world.shuffled(seed)
    right = (met.labels[:, None] == order).astype(np.float64)
    return Rounds(
        name=world.name,
        actions=tuple(world.actions[k] for k in order),
        contexts=met.rows,
        features=np.zeros((*right.shape, 0)),
        rewards=right,
        expected=right,
    )
