"""Context crossed with action features: what lets one regression for all actions tell what suits whom."""

import functools
from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from bandit.policies.situation import Situation, Table

MOST_PRODUCTS = 4096
"""Where context and action features make more products than this, none is made."""
_ID = "\0id"
"""The name of an action's id as a feature; `id` alone may be a feature of the caller's."""


class Crossed(Situation):
    """Actions with their own features `own` and those times each feature of a context; multiplied out when asked for.

    `factors` are the context's values, shape (C,), in the order of its names.
    """

    __slots__ = ("factors", "names", "own")

    def __init__(self, ids: list[str], own: Table, context: Mapping[str, float]) -> None:
        super().__init__({}, [])
        self.ids = ids
        self.own = own
        self.names = tuple(context)
        self.factors: NDArray[np.float64] = np.fromiter(context.values(), np.float64, len(context))

    def table(self) -> Table:
        """Return the features of all actions as one array."""
        if self._table is None:
            values = self.own[1]
            products = (values[:, :, None] * self.factors).reshape(len(values), -1)
            names = tuple(name for name, _, _ in product_names(self.own[0], self.names))
            self._table = names, np.concatenate([values, products], axis=1)
        return self._table

    def action(self, i: int) -> dict[str, float]:
        """Return the features of the i-th action; a product that is named like an own feature is added to it."""
        names, values = self.own
        own = dict(zip(names, values[i].tolist(), strict=True))
        return _crossed_features(dict(zip(self.names, self.factors.tolist(), strict=True)), own)


def crossed(situation: Situation, *, ids: bool) -> Situation:
    """Return the situation whose actions have their own features and those times each feature of the context.

    With `ids` the action's id is one of its own features, which gives every action coefficients of its own beside the
    ones that all share: the hybrid model of Li, Chu, Langford and Schapire 2010, algorithm 2.
    """
    table = situation.table()
    if table and not ids:
        if len(table[0]) * len(situation.context) > MOST_PRODUCTS:
            return Situation.of(situation.ids, table=table)
        return Crossed(situation.ids, table, situation.context)
    own = situation.actions()
    if ids:
        own = [{f"{_ID}={name}": 1.0, **features} for name, features in zip(situation.ids, own, strict=True)]
    return Situation.of(situation.ids, flat=[_crossed_features(situation.context, features) for features in own])


def _crossed_features(context: Mapping[str, float], features: Mapping[str, float]) -> dict[str, float]:
    flat = dict(features)
    if len(features) * len(context) <= MOST_PRODUCTS:
        for a, x in features.items():
            for c, y in context.items():
                flat[f"{a}*{c}"] = flat.get(f"{a}*{c}", 0.0) + x * y
    return flat


@functools.lru_cache(maxsize=256)
def product_names(own: tuple[str, ...], context: tuple[str, ...]) -> tuple[tuple[str, int, int], ...]:
    """Return the names of the own features and then of their products, each with the places of its two factors.

    Places count from 1, in `own` and in `context`; 0 stands for a factor of 1.
    """
    plain = [(a, i, 0) for i, a in enumerate(own, start=1)]
    products = [(f"{a}*{c}", i, j) for i, a in enumerate(own, start=1) for j, c in enumerate(context, start=1)]
    return (*plain, *products)
