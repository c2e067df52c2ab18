"""A slate: for every state that a ranking can be in, the distribution that its next slot is sampled from.

What stands above matters only through which actions it is and how many of them explored, never through their order, so
that the same question can be asked again for other rankings than the one that was served.
"""

from collections.abc import Iterable, Sequence
from typing import TypeAlias

import msgspec
import numpy as np

from bandit.exploration import Plan, only_greedy
from bandit.exploration.plan import Marks
from bandit.policies.base import Arms, Belief
from bandit.ranking.exposure import Groups, expose
from bandit.ranking.features import feature_of, key_of, same
from bandit.ranking.guards import (
    Diversity,
    GuardConfig,
    MaxExplored,
    MinimumExposure,
    Pin,
    ProtectedHead,
    QualityFloor,
    of_kind,
)
from bandit.ranking.steps import Exploring, OpenSlate, Placed, Step, folded, start
from store.records import Action


class GuardedSlate:
    """A slate whose slots go through ranking guards.

    Args:
        actions: the eligible actions, sorted by id; K of them.
        belief: the policy's belief about them.
        order: each action's place in the request, shape (K,).
        exploring: what every slot that is not forced goes through.
        guards: the loop's ranking guards.
        slots: how many slots are asked for; a pin beyond them does not act.

    """

    __slots__ = (
        "_belief",
        "_diversity",
        "_explore_at_most",
        "_exploring",
        "_exposure",
        "_good",
        "_head",
        "_order",
        "_pins",
    )

    @property
    def counts_explored(self) -> bool:
        """Whether a slot depends on how many above it explored."""
        return self._explore_at_most is not None

    def __init__(
        self,
        actions: Sequence[Action],
        belief: Belief,
        order: Arms,
        exploring: Exploring,
        guards: Sequence[GuardConfig],
        slots: int,
    ) -> None:
        self._belief, self._order, self._exploring = belief, order, exploring
        self._pins = _pins(actions, of_kind(guards, Pin), slots)
        self._head = max((guard.slots for guard in of_kind(guards, ProtectedHead)), default=0)
        self._explore_at_most = min((guard.items for guard in of_kind(guards, MaxExplored)), default=None)
        self._good = _good(belief, of_kind(guards, QualityFloor))
        self._diversity = [_Diversity(actions, guard) for guard in of_kind(guards, Diversity)]
        exposures = of_kind(guards, MinimumExposure)
        self._exposure = (
            (_groups(actions, exposures), np.array([g.probability for g in exposures])) if exposures else None
        )

    def step(self, placed: Placed, explored: int) -> Step | None:
        """Return the next slot, or None when no candidate is left for it."""
        slot = len(placed)
        if slot in self._pins and self._pins[slot] not in placed:
            return _pinned(self._pins[slot])
        among, kept = self._candidates(placed)
        acted = names_of(kept)
        if not len(among):
            waiting = [arm for _, arm in sorted(self._pins.items()) if arm not in placed]
            return _pinned(waiting[0]) if waiting else None
        plan = start(self._belief, among, self._order)
        forced_by = self._forced_by(slot, explored)
        if forced_by:
            return Step(among, _forced(folded(plan, self._exploring.references), forced_by), acted)
        plan = folded(plan, self._exploring.fold)
        if slot == 0 and self._exposure and not self._exploring.steered:
            exposed = self._exposed(plan, among)
            acted = acted if exposed is plan else (*acted, "minimum_exposure")
            plan = exposed
        return Step(among, plan, acted)

    def left_out(self, placed: Placed) -> dict[str, int]:
        """Return how many actions each guard keeps from the next slot."""
        return self._candidates(placed)[1]

    def _candidates(self, placed: Placed) -> tuple[Arms, dict[str, int]]:
        """Return who may stand in the next slot, and how many each guard keeps from it."""
        taken = [*placed, *(arm for arm in self._pins.values() if arm not in placed)]
        free = np.ones(len(self._order), dtype=np.bool_)
        free[taken] = False
        kept: dict[str, int] = {}
        rules = [] if self._good is None else [("quality_floor", self._good)]
        rules += [(f"diversity ({diversity.feature})", diversity.open(taken)) for diversity in self._diversity]
        for name, allowed in rules:
            left = free & allowed
            if left.sum() < free.sum():
                kept[name] = int(free.sum() - left.sum())
            free = left
        return np.flatnonzero(free), kept

    def _forced_by(self, slot: int, explored: int) -> str | None:
        if self._exploring.switched:
            return None
        if slot < self._head:
            return "protected_head"
        return "max_explored" if self._explore_at_most is not None and explored >= self._explore_at_most else None

    def _exposed(self, plan: Plan, among: Arms) -> Plan:
        groups, least = self._exposure or (np.empty(0, np.intp), np.empty(0))
        phi = min(self._exploring.floor / len(among), float(plan.q.min()))
        q = expose(plan.q, plan.greedy, groups[among], least, phi, self._exploring.cap)
        if np.abs(q - plan.q).max() <= 1e-12:
            return plan
        return msgspec.structs.replace(plan, q=q, trace=(*plan.trace, "minimum_exposure"))


Slate: TypeAlias = OpenSlate | GuardedSlate


def names_of(counts: Iterable[str]) -> tuple[str, ...]:
    """Return the kinds of guards, each once, of names such as "diversity (category)"."""
    return tuple(dict.fromkeys(name.partition(" ")[0] for name in counts))


class _Diversity:
    """How many of each value are there, and may be there; shapes (K,)."""

    __slots__ = ("_codes", "_max", "_values", "feature")

    def __init__(self, actions: Sequence[Action], guard: Diversity) -> None:
        keys = [key_of(feature_of(action.features, guard.feature)) for action in actions]
        numbers = {key: i for i, key in enumerate(dict.fromkeys(key for key in keys if key is not None))}
        self._codes = np.array([-1 if key is None else numbers[key] for key in keys])
        self._values = len(numbers)
        self._max = guard.max
        self.feature = guard.feature

    def open(self, taken: Placed) -> Marks:
        """Mark the actions whose value has room beside those that stand or will stand in the ranking."""
        codes = self._codes[list(taken)]
        counts = np.bincount(codes[codes >= 0], minlength=self._values + 1)
        # Those without a value have code -1, the last place, which counts nobody.
        return np.asarray(counts[self._codes] < self._max)


def _pinned(arm: int) -> Step:
    among = np.array([arm])
    return Step(among, Plan(np.ones(1), np.ones(1, np.bool_), 0, "pin", ("pin",), among))


def _forced(plan: Plan, name: str) -> Plan:
    forced = only_greedy(plan)
    return msgspec.structs.replace(forced, reason=name, trace=(*plan.trace, name))


def _pins(actions: Sequence[Action], pins: Iterable[Pin], slots: int) -> dict[int, int]:
    """Return the index of the action that each pinned slot goes to; one that is not eligible is not pinned."""
    places = {action.id: i for i, action in enumerate(actions)}
    return {pin.slot: places[pin.action] for pin in pins if pin.slot < slots and pin.action in places}


def _good(belief: Belief, floors: Sequence[QualityFloor]) -> Marks | None:
    """Mark the actions near enough to the best; None without a quality floor, or where the policy predicts nothing."""
    if not floors or belief.mean is None:
        return None
    [floor] = floors
    lower = belief.mean if belief.deviation is None else belief.mean - floor.deviations * belief.deviation
    best = lower.max()
    return np.asarray(lower >= best - (1 - floor.share) * abs(best))


def _groups(actions: Sequence[Action], exposures: Sequence[MinimumExposure]) -> Groups:
    """Number each action by the first exposure that it falls under; -1 for none."""
    return np.array(
        [next((j for j, exposure in enumerate(exposures) if _falls_under(action, exposure)), -1) for action in actions]
    )


def _falls_under(action: Action, exposure: MinimumExposure) -> bool:
    if exposure.feature is None:
        return action.id == exposure.action
    return same(feature_of(action.features, exposure.feature), exposure.equals)
