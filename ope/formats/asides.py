"""What a log holds beside decisions that can be judged: broken rows, and lines that are no decision at all."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, TypeAlias

from ope.formats.columns import ROW_WEIGHT

SHOWN = 20
"""How many broken rows are listed; all are counted."""

_SHOWN_CHARACTERS = 80


@dataclass(frozen=True, slots=True)
class BadRow:
    """One row that breaks a rule: where it stands (from 1), what it says and what it should say."""

    source: str
    row: int | None
    value: str
    rule: str

    def __str__(self) -> str:
        where = "a row" if self.row is None else f"row {self.row:,}"
        return f"{self.source}: {where}: {self.value}; {self.rule}"


@dataclass(frozen=True, slots=True)
class NoDecision:
    """One line that is whole but no decision to judge; `why` is the same for all of its kind."""

    why: str


Aside: TypeAlias = BadRow | NoDecision
Row: TypeAlias = dict[str, Any]
"""A decision, by the columns' names; what a reader of lines yields beside the asides."""


class Unreadable(ValueError):
    """A row cannot be read or written: what it says, and the rule that it breaks."""

    def __init__(self, value: str, rule: str) -> None:
        super().__init__(value, rule)
        self.value, self.rule = value, rule

    def at(self, source: str, row: int) -> BadRow:
        """Return the same as a row that stands aside."""
        return BadRow(source, row, self.value, self.rule)


@dataclass(frozen=True, slots=True)
class Asides:
    """How many rows were broken, the first of them, and how many lines were no decision, by reason.

    `weighted` says whether any decision stands for more than itself.
    """

    broken: int = 0
    shown: tuple[BadRow, ...] = ()
    no_decision: tuple[tuple[str, int], ...] = ()
    weighted: bool = False

    def __add__(self, other: "Asides") -> "Asides":
        """Merge what stands aside in two logs."""
        counts = Counter(dict(self.no_decision))
        counts.update(dict(other.no_decision))
        shown = (self.shown + other.shown)[:SHOWN]
        weighted = self.weighted or other.weighted
        return Asides(self.broken + other.broken, shown, tuple(counts.items()), weighted)

    def notes(self) -> tuple[str, ...]:
        """Say in words what was left out."""
        return tuple(f"left out {count:,} lines: {why}" for why, count in self.no_decision)


def gathered(found: Iterable[Row | Aside]) -> Asides:
    """Return what stands aside among what a reader found."""
    counts: Counter[str] = Counter()
    broken, shown, weighted = 0, list[BadRow](), False
    for one in found:
        if isinstance(one, NoDecision):
            counts[one.why] += 1
        elif isinstance(one, BadRow):
            broken += 1
            if len(shown) < SHOWN:
                shown.append(one)
        else:
            weighted = weighted or one.get(ROW_WEIGHT, 1) != 1
    return Asides(broken, tuple(shown), tuple(counts.items()), weighted)


def excerpt(value: bytes | str) -> str:
    """Return the beginning of a value, on one line and printable, so that an error can quote it."""
    text = value[: 2 * _SHOWN_CHARACTERS].decode(errors="replace") if isinstance(value, bytes) else value
    return repr(text if len(text) <= _SHOWN_CHARACTERS else text[:_SHOWN_CHARACTERS] + "…")
