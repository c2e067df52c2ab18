"""The next slot of a ranking, and the plain slate, where each slot is sampled from what is left."""

import functools
from collections.abc import Iterable, Sequence
from typing import TypeAlias

import msgspec
import numpy as np

from bandit.compiled import compiled
from bandit.exploration import Guard, Plan, Terms, fold, references
from bandit.exploration.plan import Floats, Marks
from bandit.policies.base import Arms, Belief

Placed: TypeAlias = Sequence[int]
"""Indices of the actions in the slots above."""


class Step(msgspec.Struct, frozen=True):
    """The next slot: indices of its candidates, the plan over them, and the ranking guards that acted on it."""

    among: Arms
    plan: Plan
    acted: tuple[str, ...] = ()

    @property
    def reason(self) -> str | None:
        """What acted on the slot or forced it, or None."""
        if not self.acted:
            return self.plan.reason
        return ", ".join((*self.acted, self.plan.reason) if self.plan.reason else self.acted)

    def whole(self, order: Arms) -> Plan:
        """Return the plan over all eligible actions: who is no candidate has probability 0. `order` has shape (K,)."""
        plan = self.plan
        if len(self.among) == len(order):
            return plan
        q, greedy = np.zeros(len(order)), np.zeros(len(order), np.bool_)
        q[self.among], greedy[self.among] = plan.q, plan.greedy
        return Plan(q, greedy, int(self.among[plan.baseline]), plan.reason, plan.trace)


class Exploring(msgspec.Struct, frozen=True):
    """How a slot explores: the fold over its distribution, and the cap and the floor that are in force.

    A slot that must not explore goes through `references` instead and serves what is greedy by then; `switched` says
    that the kill switch decides, under which nothing explores. `steered` says that it does, or that the gate is shut:
    no ranking guard then asks for other actions, except for a pin.
    """

    fold: Sequence[Guard]
    references: Sequence[Guard] = ()
    cap: float = 1.0
    floor: float = 0.0
    steered: bool = False
    switched: bool = False


def exploring(terms: Terms, mean: Floats | None) -> Exploring:
    """Return how slots explore whose guards are made of these terms; `mean` has shape (K,)."""
    return Exploring(fold(terms, mean), references(terms, mean), terms.cap, terms.floor, steered=terms.shut)


def switched(switch: Guard) -> Exploring:
    """Return how slots explore under the kill switch: not at all."""
    return Exploring((switch,), steered=True, switched=True)


class OpenSlate:
    """A slate without ranking guards: each slot is sampled from what is left, after the `fold`."""

    __slots__ = ("_belief", "_fold", "_order")
    counts_explored = False

    def __init__(self, belief: Belief, order: Arms, fold: Sequence[Guard]) -> None:
        self._belief = belief
        self._order = order
        self._fold = fold

    def step(self, placed: Placed, explored: int) -> Step | None:  # noqa: ARG002  # explored: no guard asks
        """Return the next slot, or None when nobody is left."""
        left = _everybody(len(self._order)) if not placed else _others(len(self._order), np.array(placed))
        return Step(left, folded(start(self._belief, left, self._order), self._fold)) if len(left) else None

    def left_out(self, placed: Placed) -> dict[str, int]:  # noqa: ARG002  # nobody is
        """Return how many actions each guard keeps from the next slot."""
        return {}


def start(belief: Belief, among: Arms, order: Arms) -> Plan:
    """Return the policy's own distribution over the candidates; greedy are all actions of the highest mean."""
    q = belief.distribution(among)
    if len(among) == len(order):
        return Plan(q, *_greedy_and_first(q if belief.mean is None else belief.mean, order))
    greedy, first = _greedy_and_first(q if belief.mean is None else belief.mean[among], order[among])
    return Plan(q, greedy, first, left=among)


@compiled
def _greedy_and_first(scores: Floats, order: Arms) -> tuple[Marks, int]:
    return np.asarray(scores == scores.max()), int(order.argmin())


def folded(plan: Plan, guards: Iterable[Guard]) -> Plan:
    """Return the plan after all guards, in order."""
    for guard in guards:
        plan = guard(plan)
    return plan


@functools.lru_cache(maxsize=64)
def _everybody(count: int) -> Arms:
    arms = np.arange(count)
    arms.flags.writeable = False
    return arms


@compiled
def _others(count: int, placed: Arms) -> Arms:
    free = np.ones(count, np.bool_)
    free[placed] = False
    return np.nonzero(free)[0]
