"""A policy's belief as arrays of numbers for the log, and the belief that such arrays were."""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, TypeAlias

import msgspec
import numpy as np

from bandit.exploration.plan import Floats
from bandit.policies.base import Arms, Belief, Draws, Gaussian, Index, Pmf, Ruled
from bandit.policies.beta import Betas
from bandit.policies.logistic import Logits
from bandit.policies.plain import Ordered
from bandit.policies.ranked import Ranked, leaders
from bandit.policies.rules import RULES
from bandit.ranking.why_not import NotExact, WhyNot

MOST_PLACES = 20_000
"""Places of frozen draws that a ranking logs at most: draws times the actions of each that may be asked for."""

FOREIGN = ""
"""The shape of a belief that another package brings; it has no numbers."""

Numbers: TypeAlias = list[list[float]]


class Asked(NamedTuple):
    """What the slots of a ranking ask of a belief.

    At most `depth` - 1 of the actions are missing when one is asked for, any number where it is None, and `deviation`
    says whether a guard looks at the deviations.
    """

    depth: int | None
    deviation: bool


def written(belief: Belief, asked: Asked) -> tuple[str, Numbers]:
    """Return a belief's shape and arrays; no array where it cannot be logged. `mean` is logged by the decision."""
    # The type itself: what another package makes of one may answer otherwise.
    write = _WRITERS.get(type(belief))
    return (FOREIGN, []) if write is None else write(belief, asked)


def read(shape: str, numbers: Numbers, mean: Floats | None, order: Arms) -> Belief:
    """Return the belief; `mean` and `order`, the places in the request, have shape (K,). Raises `NotExact`."""
    if shape == FOREIGN:
        raise NotExact(WhyNot.FOREIGN)
    if shape == "draws" and not numbers:
        raise NotExact(WhyNot.TOO_MANY_DRAWS)
    arrays = [np.array(array, dtype=np.float64) for array in numbers]
    if shape in RULES:
        return Ruled(_given(mean), arrays[1], RULES[shape](*arrays[0].tolist()))
    if shape not in READERS:
        raise NotExact(WhyNot.NEWER_ROW)
    return READERS[shape](arrays, mean, order)


def _rule(belief: Ruled, asked: Asked) -> tuple[str, Numbers]:  # noqa: ARG001  # some rules need the deviations
    for name, rule in RULES.items():
        if type(belief.rule) is rule and belief.deviation is not None:
            return name, [list(msgspec.structs.astuple(belief.rule)), belief.deviation.tolist()]
    return FOREIGN, []


def _draws(belief: Draws, asked: Asked) -> tuple[str, Numbers]:
    draws, count = belief.scores.shape
    depth = count if asked.depth is None else min(asked.depth, count)
    if draws * depth > MOST_PLACES:
        return "draws", []
    # Integers: MessagePack writes those below 128 as one byte.
    return "draws", [[depth], leaders(belief.scores, depth).ravel().tolist(), *_deviation(belief, asked)]


def _deviation(belief: Belief, asked: Asked) -> Numbers:
    return [belief.deviation.tolist()] if asked.deviation and belief.deviation is not None else []


def _given(mean: Floats | None) -> Floats:
    if mean is None:
        raise NotExact(WhyNot.DIFFERS)  # no version wrote such a row
    return mean


_WRITERS: dict[type, Callable[[Any, Asked], tuple[str, Numbers]]] = {
    Gaussian: lambda b, _: ("gaussian", [b.deviation.tolist(), [b.scale]]),
    Betas: lambda b, _: ("beta", [b.successes.tolist(), b.failures.tolist()]),
    Logits: lambda b, _: ("logits", [b.logit.tolist(), b.variance.tolist(), [b.scale]]),
    Index: lambda b, asked: ("index", [b.scores.tolist(), *_deviation(b, asked)]),
    Pmf: lambda b, asked: ("pmf", [b.probabilities.tolist(), *_deviation(b, asked)]),
    Ordered: lambda _, __: ("ordered", []),
    Ruled: _rule,
    Draws: _draws,
}

READERS: dict[str, Callable[[Sequence[Floats], Floats | None, Arms], Belief]] = {
    "gaussian": lambda arrays, mean, _: Gaussian(_given(mean), arrays[0], float(arrays[1][0])),
    "beta": lambda arrays, _, __: Betas(arrays[0], arrays[1]),
    "logits": lambda arrays, _, __: Logits(arrays[0], arrays[1], float(arrays[2][0])),
    "index": lambda arrays, mean, _: Index(arrays[0], _given(mean), *arrays[1:]),
    "pmf": lambda arrays, mean, _: Pmf(arrays[0], mean, *arrays[1:]),
    "ordered": lambda _, __, order: Ordered(order),
    "draws": lambda arrays, mean, _: Ranked(
        arrays[1].astype(np.intp).reshape(-1, int(arrays[0][0])), _given(mean), *arrays[2:]
    ),
}
