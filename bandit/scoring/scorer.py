"""Scores the rows of an exported log for several targets at once: the port of `ope`, implemented with our policies."""

from collections.abc import Callable, Mapping, Sequence

import polars as pl

from bandit.scoring.row import NEEDED, READS, Row, read_row
from bandit.scoring.target import Target
from ope.errors import InvalidLog, InvalidRequest
from ope.scorer import Scored
from store.errors import InvalidInput


class PolicyScorer:
    """Asks each target about each row, in order; `progress` is told how many rows are done."""

    reads: Sequence[str] = READS

    def __init__(self, targets: Sequence[Target], progress: Callable[[int], None] = lambda _: None) -> None:
        self._targets = {target.name: target for target in targets}
        self._progress = progress
        self._done = 0

    @property
    def targets(self) -> Sequence[str]:
        """The names of the targets."""
        return list(self._targets)

    def begin(self, logs: Mapping[str, pl.LazyFrame]) -> None:
        """Refuse a log without features, and one of several loops."""
        loops: set[str] = set()
        for name, log in logs.items():
            columns = log.collect_schema().names()
            lacks = [column for column in NEEDED if column not in columns]
            if lacks:
                raise InvalidRequest(
                    f"{name}: there is no column {' or '.join(map(repr, lacks))}; a policy decides on the "
                    "context and the actions as logged. Use a log of `honeyguide export`, or one with its columns."
                )
            if "loop" in columns:
                loops |= set(log.select(pl.col("loop").unique()).collect(engine="streaming")["loop"].drop_nulls())
        if len(loops) > 1:
            raise InvalidLog(
                f"{', '.join(logs)}: rows of {len(loops)} loops, {', '.join(sorted(loops))}; a policy is scored "
                "on one loop's decisions. Export and judge each loop by itself."
            )
        for target in self._targets.values():
            target.begin(logs)

    def score(self, rows: pl.DataFrame) -> Mapping[str, Scored]:
        """Return what each target does in the next rows."""
        first = self._done + 1
        read = [_read(row, number) for number, row in enumerate(rows.iter_rows(named=True), start=first)]
        found = {name: _scored(target, read, first) for name, target in self._targets.items()}
        self._done += len(read)
        self._progress(self._done)
        return found

    def notes(self, target: str) -> Sequence[str]:
        """Return what a target has to say."""
        return self._targets[target].notes()


def _read(row: Mapping[str, object], number: int) -> Row | InvalidInput:
    try:
        return read_row(row, number)
    except InvalidInput as error:
        return error


def _scored(target: Target, rows: Sequence[Row | InvalidInput], first: int) -> Scored:
    propensity: list[float | None] = []
    distribution: list[list[float] | None] = []
    wrong: dict[int, str] = {}
    for place, row in enumerate(rows):
        try:
            if isinstance(row, InvalidInput):
                raise row
            p, whole = target.score(row, first + place)
        except (InvalidLog, InvalidRequest):
            raise  # of the log as a whole, not of this row alone
        except InvalidInput as error:
            wrong[place] = str(error)
            propensity.append(None)
            distribution.append(None)
        else:
            propensity.append(p)
            distribution.append(whole)
    return Scored(propensity, distribution, wrong)
