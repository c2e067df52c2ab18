"""A policy that learns from scratch while a log goes by, as a learner of the service would."""

import msgspec

from bandit.learn.checkpoints import line_name
from bandit.learn.learner import Learner
from bandit.scoring.outcomes import Awaited, Held
from bandit.scoring.row import Row
from bandit.scoring.target import fresh
from bandit.settings import LoopConfig
from store.records import Cell, Decision, Example, Outcome, OutcomeKind, Slot


class Learning:
    """A learner at its beginning and the outcomes that wait for their time.

    Its outcome log is what it learns of the log at hand, numbered anew. Batches and `relearn_s` of the config do not
    act: each outcome is learned when it is known.
    """

    def __init__(self, config: LoopConfig) -> None:
        # The log's rewards are made of components already.
        self._rules = msgspec.structs.replace(config.reward, components=None)
        self.learner = Learner(line_name(config), fresh(config), self._rules)
        self.held = Held(provisional=config.provisional)
        self._provisional: dict[int, Outcome] = {}

    def catch_up(self, row: Row, number: int) -> None:
        """Learn what was known when a row was decided."""
        for awaited in self.held.known(row, number):
            self._learn(awaited)

    def _learn(self, awaited: Awaited) -> None:
        before = self._provisional.pop(awaited.number, None)
        made = _outcome(awaited, self.learner.position + 1, before, float(self._rules.default))
        if awaited.provisional:
            self._provisional[awaited.number] = made
        self.learner.fold([Example(made, _decision(awaited.row), before)])


def _outcome(awaited: Awaited, position: int, before: Outcome | None, nothing: float) -> Outcome:
    row = awaited.row
    return Outcome(
        loop=row.loop or "log",
        position=position,
        decision_id=row.decision_id,
        kind="provisional" if awaited.provisional else _kind(row),
        value=nothing if awaited.provisional else row.reward or 0.0,
        at=0,
        earned=() if awaited.provisional else _earned(row),
        unrewarded=nothing,
        previous=None if before is None else before.value,
        revises=None if before is None else before.position,
        root=None if before is None else before.position,
    )


def _kind(row: Row) -> OutcomeKind:
    """Return how a decision settled; what a log does not say, or corrected later, was rewarded."""
    return next((kind for kind in ("expired", "censored", "erased") if kind == row.outcome), "rewarded")


def _earned(row: Row) -> tuple[Cell, ...]:
    if len(row.ranking) == 1 or row.outcome == "expired":
        return ()
    if row.slot_rewards is None:
        return (Cell(None, None, row.reward or 0.0),)
    return tuple(Cell(slot, None, value) for slot, value in enumerate(row.slot_rewards) if value)


def _decision(row: Row) -> Decision:
    uniform = [1 / len(row.ids)] * len(row.ids)
    return Decision(
        loop=row.loop or "log",
        decision_id=row.decision_id,
        at=0,
        due=0,
        request=row.body,
        actions=row.ids,
        propensities=row.propensities or uniform,  # learning looks at those of the ranking
        predicted=None,
        ranking=[Slot(slot.action, slot.propensity, explored=False) for slot in row.ranking],
        policy="",
        model_version="",
    )
