"""Decisions as columns: what the propensity audit needs of many draws at once."""

from collections.abc import Iterable, Sequence
from itertools import chain

import msgspec
import numpy as np
from numpy.typing import NDArray

from store.drift.evidence import Floats, Places
from store.records import Decision, Odds, Slot

Marks = NDArray[np.bool_]

_SAME = 1e-9


class Distributions(msgspec.Struct, frozen=True):
    """The first slots' whole distributions, one after the other.

    Per decision, shape (n,): where its own begins (`start`), its length (`size`), the place of the served action in it
    or -1 (`served`), how many probabilities are above 0 (`supported`), the `least` of these, and the `largest`. Over
    all, shape (sum of sizes,): the probabilities `p`.
    """

    start: Places
    size: Places
    served: Places
    supported: Floats
    least: Floats
    largest: Floats
    p: Floats

    def per_decision(self, values: Floats) -> Floats:
        """Return the sums of values, which are aligned with `p`, over each decision."""
        return np.asarray(np.add.reduceat(values, self.start))

    def spread(self, values: Marks) -> Marks:
        """Repeat each decision's value for each of its probabilities."""
        return np.repeat(values, self.size)


class Draws(msgspec.Struct, frozen=True):
    """Draws of slots, shape (n,) each: of which decision, in which slot, and what is logged of them."""

    decision: Places
    slot: Places
    propensity: Floats
    explored: Floats
    supported: Floats
    least: Floats
    exploration: Floats

    def keep(self, marks: Marks) -> "Draws":
        """Return those that are marked."""
        return Draws(*(getattr(self, name)[marks] for name in self.__struct_fields__))

    def possible(self) -> Marks:
        """Mark the draws that can have been made: nothing is served or explored with probability 0."""
        within = (self.least * (1 - _SAME) <= self.propensity) & (self.propensity <= 1 + _SAME)
        shared = (self.supported > 1) | (self.propensity >= 1 - _SAME)
        known = (self.supported > 0) & (self.least > 0) & ((self.explored == 0) | (self.exploration > 0))
        return np.asarray(within & shared & known)


def distributions(decisions: Sequence[Decision]) -> Distributions:
    """Return the distributions of the first slots."""
    size = np.array([len(d.propensities) for d in decisions])
    start = np.cumsum(size) - size
    p = np.fromiter(chain.from_iterable(d.propensities for d in decisions), np.float64, int(size.sum()))
    return Distributions(
        start=start,
        size=size,
        served=np.array([_place(d) for d in decisions]),
        supported=np.add.reduceat((p > 0).astype(float), start),
        least=np.minimum.reduceat(np.where(p > 0, p, np.inf), start),
        largest=np.maximum.reduceat(p, start),
        p=p,
    )


def first_draws(decisions: Sequence[Decision], law: Distributions) -> Draws:
    """Return the draws of the first slots."""
    return Draws(
        decision=np.arange(len(decisions)),
        slot=np.zeros(len(decisions), dtype=np.intp),
        propensity=np.array([d.ranking[0].propensity for d in decisions]),
        explored=np.array([float(d.ranking[0].explored) for d in decisions]),
        supported=law.supported,
        least=law.least,
        exploration=np.array([d.exploration for d in decisions]),
    )


def lower_draws(decisions: Iterable[Decision]) -> Draws:
    """Return the draws of the slots below the first, where their odds are logged."""
    rows = [
        (number, k, slot.propensity, slot.explored, odds.supported, odds.least, odds.exploration)
        for number, d in enumerate(decisions)
        for k, (slot, odds) in enumerate(lower(d), start=1)
    ]
    columns = np.array(rows, dtype=np.float64).reshape(-1, 7).T
    return Draws(columns[0].astype(np.intp), columns[1].astype(np.intp), *columns[2:])


def lower(decision: Decision) -> Iterable[tuple[Slot, Odds]]:
    """Return the slots below the first with their odds, or nothing where these are not logged for all of them."""
    slots, odds = decision.ranking[1:], decision.odds
    return zip(slots, odds, strict=True) if len(slots) == len(odds) else ()


def _place(decision: Decision) -> int:
    try:
        return decision.actions.index(decision.ranking[0].action)
    except ValueError:
        return -1
