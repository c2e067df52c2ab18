"""Context crossed with action features: what lets one regression for all actions tell what suits whom."""

import functools
from collections.abc import Mapping

import numpy as np

from bandit.policies.situation import Situation, Table

MOST_PRODUCTS = 4096
"""Where context and action features make more products than this, none is made."""
_ID = "\0id"
"""The name of an action's id as a feature; `id` alone may be a feature of the caller's."""


def crossed(situation: Situation, *, ids: bool) -> Situation:
    """Return the situation whose actions have their own features and those times each feature of the context.

    With `ids` the action's id is one of its own features, which gives every action coefficients of its own beside the
    ones that all share: the hybrid model of Li, Chu, Langford and Schapire 2010, algorithm 2.
    """
    table = situation.table()
    if table and not ids:
        return Situation.of(situation.ids, table=_crossed_table(situation.context, table))
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


def _crossed_table(context: Mapping[str, float], table: Table) -> Table:
    names, values = table
    if len(names) * len(context) > MOST_PRODUCTS:
        return table
    products = values[:, :, None] * np.fromiter(context.values(), np.float64, len(context))
    return _names(names, tuple(context)), np.concatenate([values, products.reshape(len(values), -1)], axis=1)


@functools.lru_cache(maxsize=256)
def _names(own: tuple[str, ...], context: tuple[str, ...]) -> tuple[str, ...]:
    return own + tuple(f"{a}*{c}" for a in own for c in context)
