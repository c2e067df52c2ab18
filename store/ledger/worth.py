"""What a decision's rewards are worth: joined per slot and component, as a whole, and for each slot to learn."""

import math
from collections.abc import Iterable, Sequence

from store.ledger.rules import Aggregation, RewardRules
from store.records import LARGEST, Cell, Outcome, Reward


def tally(rewards: Iterable[Reward], rules: RewardRules) -> tuple[Cell, ...]:
    """Return one cell per rewarded slot and component, the whole slate first; rewards are in order of arrival."""
    found: dict[tuple[int | None, str | None], list[float]] = {}
    for reward in rewards:
        found.setdefault((reward.slot, reward.component), []).append(reward.value)
    keys = sorted(found, key=lambda key: (-1 if key[0] is None else key[0], key[1] or ""))
    return tuple(Cell(*key, _joined(found[key], rules.aggregation_of(key[1]))) for key in keys)


def worth(cells: Sequence[Cell], rules: RewardRules) -> float:
    """Return what the whole slate earned: the sum over its rewarded slots, or what nothing is worth."""
    by_slot = _by_slot(cells, rules)
    return _total(by_slot.values()) if by_slot else rules.nothing


def credits_of(outcome: Outcome, slots: int, rules: RewardRules) -> list[float | None]:
    """Return what each of a ranking's slots learns from an outcome; None for one that learns nothing.

    `slot`: a slot's own reward and the slate's, or what nothing is worth. `all`: the whole slate's for each. `cascade`:
    who looked from the top stopped at the first rewarded slot, so those below were not seen (Kveton, Szepesvari, Wen
    and Ashkan 2015, section 3).
    """
    by_slot = _by_slot(outcome.earned, rules)
    # The default as it was then: a later config must not change what the log says was learned.
    nothing = outcome.unrewarded if rules.components is None else rules.nothing
    if not by_slot:
        return [outcome.value if rules.components is None else nothing] * slots
    if rules.credit == "all":
        return [_total(by_slot.values())] * slots
    slate = by_slot.get(None)
    unrewarded = nothing if slate is None else slate
    learned: list[float | None] = [
        _total((by_slot[slot], slate or 0.0)) if slot in by_slot else unrewarded for slot in range(slots)
    ]
    if rules.credit == "cascade" and slate is None:
        stop = next((slot for slot in range(slots) if by_slot.get(slot, unrewarded) > unrewarded), slots)
        learned[stop + 1 :] = [None] * len(learned[stop + 1 :])
    return learned


def rewards_by_slot(outcome: Outcome, slots: int, rules: RewardRules) -> list[float] | None:
    """Return what each of a ranking's slots earned, which adds up to what the whole did; None where that is not known.

    A slot without a reward earned 0. Not known is what was reported for the whole of several slots, or what a default
    other than 0 is made of.
    """
    by_slot = _by_slot(outcome.earned, rules)
    if not by_slot:
        known = slots == 1 or (outcome.value == 0 and outcome.kind == "expired")
        return [outcome.value] * slots if known else None
    if slots > 1 and None in by_slot:
        return None
    earned = [by_slot.get(slot, 0.0) + (by_slot.get(None, 0.0) if slot == 0 else 0.0) for slot in range(slots)]
    # A formula that changed since gives other rewards now than those that the outcome's value is the sum of.
    return earned if math.isclose(_total(earned), outcome.value, rel_tol=1e-9) else None


def _by_slot(cells: Sequence[Cell], rules: RewardRules) -> dict[int | None, float]:
    if rules.components is None:
        return {cell.slot: cell.value for cell in cells}
    found: dict[int | None, dict[str, float]] = {}
    for cell in cells:
        # A reward from before the loop had components, or of one that it has no more, says nothing now.
        if cell.component in rules.components.parts:
            found.setdefault(cell.slot, {})[cell.component] = cell.value
    return {slot: rules.components.read(parts) for slot, parts in found.items()}


def _joined(values: Sequence[float], aggregation: Aggregation) -> float:
    if aggregation == "first":
        return values[0]
    if aggregation == "last":
        return values[-1]
    if aggregation == "sum":
        return _total(values)
    if aggregation == "mean":
        return _total(values) / len(values)
    return max(values) if aggregation == "max" else min(values)


def _total(values: Iterable[float]) -> float:
    return max(-LARGEST, min(LARGEST, math.fsum(values)))
