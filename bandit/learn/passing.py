"""What a line passes over: which entries of the outcome log it does not learn."""

from collections.abc import Iterable, Sequence
from itertools import takewhile

import msgspec

from store.lineage import Entity, PassesOver
from store.ports import Store
from store.records import Decision, Example, Outcome


class _Sent(msgspec.Struct, frozen=True):
    """The part of a decision's request that says for whom it was."""

    entities: dict[str, str] = {}


_sent = msgspec.json.Decoder(_Sent).decode


def is_for(decision: Decision, entities: Iterable[Entity]) -> bool:
    """Say whether a decision, which is not erased, was made for one of the entities."""
    sent = _sent(decision.request).entities
    return any(sent.get(key) == name for key, name in entities)


def learned(rule: PassesOver, decision: Decision, outcomes: Iterable[Outcome]) -> list[Outcome]:
    """Return those of a decision's outcomes, in the order of the log, that are learned under the rule."""
    if decision.erased_at is not None or (rule.without and is_for(decision, rule.without)):
        return []
    return list(takewhile(lambda o: not any(o.position in span for span in rule.spans), outcomes))


def passed_over(store: Store, loop: str, rule: PassesOver, examples: Sequence[Example]) -> frozenset[int]:
    """Return the positions of those of the examples that are not learned under the rule."""
    if not rule:
        return frozenset()
    return frozenset(e.outcome.position for e in examples if not _is_learned(store, loop, rule, e))


def _is_learned(store: Store, loop: str, rule: PassesOver, example: Example) -> bool:
    outcome, decision = example.outcome, example.decision
    outcomes = [outcome]
    first = outcome.root or outcome.position
    if first < outcome.position and any(first <= s.through and s.after < outcome.position for s in rule.spans):
        # What it revises may be in a span, or revise what is.
        outcomes = [o for o in store.outcomes(loop, decision.decision_id) if o.position <= outcome.position]
    return outcome in learned(rule, decision, outcomes)
