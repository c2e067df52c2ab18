"""A labelled data set as a bandit: the context is a row, the actions are the labels, the right one earns 1.

Every label is known, so the value of any policy on these rows is an average, not an estimate. Nothing here knows a
server, a policy or a log.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from store.errors import InvalidInput


@dataclass(frozen=True, slots=True)
class ClassificationWorld:
    """Rows in the order in which they will be met.

    `rows` has shape (n, d), `labels` (n,) holds indices into `actions`, the K labels; `feature` names the row's list
    of numbers in the context.
    """

    name: str
    feature: str
    rows: NDArray[np.float64]
    labels: NDArray[np.intp]
    actions: tuple[str, ...]

    def __post_init__(self) -> None:
        if len(self.rows) != len(self.labels) or not len(self.rows):
            raise InvalidInput(
                f"world {self.name!r} has {len(self.rows)} rows and {len(self.labels)} labels: give one label per row, "
                "and at least one row"
            )

    def __len__(self) -> int:
        return len(self.labels)

    def shuffled(self, seed: int) -> "ClassificationWorld":
        """Return the same rows in an order that the seed fixes."""
        order = np.random.default_rng(seed).permutation(len(self))
        return replace(self, rows=self.rows[order], labels=self.labels[order])

    def first(self, n: int) -> "ClassificationWorld":
        """Return the first `n` rows, or all when there are fewer."""
        return replace(self, rows=self.rows[:n], labels=self.labels[:n])

    def context(self, row: int) -> dict[str, list[float]]:
        """Return the context of a row, as a decision takes it."""
        values: list[float] = self.rows[row].tolist()
        return {self.feature: values}

    def candidates(self) -> list[dict[str, object]]:
        """Return the actions, the same for every row, as a decision takes them."""
        return [{"id": action, "features": {}} for action in self.actions]

    def reward(self, row: int, action: str) -> float:
        """Return 1 if `action` is the row's label, else 0."""
        return float(self.actions[self.labels[row]] == action)

    def uniform_value(self) -> float:
        """Return what choosing evenly earns per decision: 1/K, whatever the rows."""
        return 1.0 / len(self.actions)

    def fixed_value(self, action: str) -> float:
        """Return what always choosing `action` earns per decision."""
        return float(np.mean(self.labels == self.actions.index(action)))

    def best_fixed(self) -> str:
        """Return the action that earns the most when it is always chosen; the first of equals."""
        return max(self.actions, key=self.fixed_value)

    def value(self, distributions: Mapping[int, Mapping[str, float]]) -> float:
        """Return what a policy earns per decision on the rows that it gives a distribution for.

        `distributions` maps a row to the probability of each action; an action that is missing has none. The value is
        the mean probability of the right label.
        """
        right = [p.get(self.actions[self.labels[row]], 0.0) for row, p in distributions.items()]
        return float(np.mean(right))


def digits() -> ClassificationWorld:
    """Return the 1,797 images of hand-written digits, 8 x 8 pixels scaled to 0..1, in the order of the data set.

    Source: scikit-learn's `load_digits`, the test half of E. Alpaydin and C. Kaynak's "Optical Recognition of
    Handwritten Digits" (UCI machine learning repository, 1998).
    """
    from sklearn.datasets import load_digits  # noqa: PLC0415  # a second of loading that other commands need not wait for

    bunch = load_digits()
    return ClassificationWorld(
        name="digits",
        feature="pixels",
        rows=bunch.data / 16.0,
        labels=bunch.target.astype(np.intp),
        actions=tuple(str(label) for label in bunch.target_names),
    )
