"""The intervals of one evaluation: which of its estimators a method bounds, and what is to be said of the others."""

from collections.abc import Sequence
from dataclasses import dataclass

from ope.decision_order import Decisions, in_decision_order
from ope.errors import InvalidRequest
from ope.estimators.asked import Asked
from ope.frames import Rows
from ope.intervals.ask import Ask
from ope.intervals.evidence import Evidence
from ope.intervals.interval import NONE, Interval
from ope.intervals.table import Method
from ope.sums import W


@dataclass(frozen=True, slots=True)
class Bounding:
    """A method, what is asked of it, and the rows that it may read; `notes` say what has no interval, and of order."""

    method: Method
    ask: Ask
    rows: Decisions
    notes: tuple[str, ...] = ()

    @staticmethod
    def over(logs: Sequence[Rows], method: Method, ask: Ask, asked: Sequence[Asked]) -> "Bounding":
        """Return it for these estimators; raises InvalidRequest where none of them has an interval."""
        left = [one.name for one in asked if not _bounds(method, one, ask)]
        if left and len(left) == len(asked):
            raise InvalidRequest(f"{method.without(left, ask)}.")
        notes = [method.without(left, ask)] if left else []
        if not method.ordered:
            return Bounding(method, ask, Decisions(logs, method.name), tuple(notes))
        rows = in_decision_order(logs, what=method.name)
        return Bounding(method, ask, rows, (*notes, *([rows.note] if rows.note else [])))

    def of_differences(self, paired: Sequence[Asked]) -> list[str]:
        """Return what is to be said of the differences of two policies that have no interval."""
        left = [one.name for one in paired if not self.method.holds_for_difference(one.name)]
        return [self.method.without_difference(left)] if left else []

    def of(self, asked: Asked, evidence: Evidence) -> Interval:
        """Return the interval of an estimate, and none where the method does not bound it."""
        held = (
            self.method.holds_for_difference(asked.name) if evidence.paired else _bounds(self.method, asked, self.ask)
        )
        return self.method.bounds(evidence, self.ask).checked(evidence.sums.mean_of(W)) if held else NONE


def _bounds(method: Method, asked: Asked, ask: Ask) -> bool:
    return method.holds_for(asked.name, ask, fold=not asked.members)
