"""The port of what scores targets that the log alone does not know: policies, and policies that learn.

`ope` knows no policy class; whoever has some implements `Scorer`, and the rows' distributions come back as numbers.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

import polars as pl


@dataclass(frozen=True, slots=True)
class Scored:
    """What one target would have done in each of n rows.

    `propensity` is its probability of the logged action and `distribution` its whole distribution, aligned with the
    row's logged one, or, in a log without, over the row's actions by id. Both are None in a row that cannot be scored,
    and `wrong` says why, by the row's place among these: the value, the rule and the way out.
    """

    propensity: Sequence[float | None]
    distribution: Sequence[Sequence[float] | None]
    wrong: Mapping[int, str] = field(default_factory=dict)


class Scorer(Protocol):
    """Scores the rows of one log, in order, for several targets at once. It may learn on the way: one for each log."""

    @property
    def targets(self) -> Sequence[str]:
        """The names of the targets."""

    @property
    def reads(self) -> Sequence[str]:
        """The columns that are looked at where the log has them, by their names in an export."""

    def begin(self, logs: Mapping[str, pl.LazyFrame]) -> None:
        """Look at the whole log before its first row: its sources by name, with those of the columns that are there.

        Raises InvalidRequest for a column that a target needs and the log lacks, InvalidLog for rows that no target may
        be judged by.
        """

    def score(self, rows: pl.DataFrame) -> Mapping[str, Scored]:
        """Return what each target does in the next rows."""

    def notes(self, target: str) -> Sequence[str]:
        """Say in words what the reader of a target's estimates has to know, after the last row."""
