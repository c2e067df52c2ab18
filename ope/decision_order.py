"""Brings a log's rows into the order in which its decisions were made, by their time `at`, and says what it found."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import narwhals as nw
import numpy as np
import numpy.typing as npt
import polars as pl

from ope.errors import InvalidLog
from ope.formats.columns import LINE
from ope.formats.source import Frame
from ope.frames import AT, PREDICTED, Rows
from ope.ordered import Part, in_order, weighed_rewards
from ope.times import microseconds
from ope.weights import AGAINST, RAW, REWARD

LEAST = np.iinfo(np.int64).min
"""Before every time."""
Columns = dict[str, npt.NDArray[np.float64]]


@dataclass(frozen=True, slots=True, eq=False)
class Decisions:
    """A log's weights and rewards in decision order, as often as they are asked for; `note` says how that is known.

    `sorted` holds them where the log did not stand in that order; `note` is None where it did, and its times say so.
    """

    logs: Sequence[Rows]
    what: str
    note: str | None = None
    sorted: pl.DataFrame | None = None

    def parts(self, *more: str) -> Iterator[Columns]:
        """Yield the raw weight `w`, the `reward` and some more canonical columns, some rows at a time."""
        names = (RAW, REWARD, *more)
        if self.sorted is not None:
            yield {name: self.sorted[name].to_numpy() for name in names}
            return
        for part in in_order(self.logs, weighed_rewards(*more), what=self.what):
            yield {name: part.column(name) for name in names}


def in_decision_order(logs: Sequence[Rows], *, what: str) -> Decisions:
    """Return the rows by their column `at`, where every source has one; else as they stand, and the note says so.

    Sources that stand in order, one after the other, are read in parts. Others are sorted in memory: 8 bytes a row for
    each of three to six columns. Rows of the same time keep the order in which they stand.

    Raises InvalidLog for a row without a time, InvalidRequest for an engine without an order.
    """
    without = [rows.source.name for rows in logs if AT not in rows.columns]
    if without:
        where = "the log has" if len(without) == len(logs) else f"{without[0]} has"
        return Decisions(logs, what, f"{what} reads the rows as they stand: {where} no column {AT} to order them by")
    if _stands(logs, what):
        return Decisions(logs, what)
    return Decisions(logs, what, f"{what} reads the rows sorted by {AT}: they do not stand in its order", _sort(logs))


def _stands(logs: Sequence[Rows], what: str) -> bool:
    last = LEAST
    for part in in_order(logs, _times, what=what):
        times = _microseconds(part)
        if (times < np.concatenate(([last], times[:-1]))).any():
            return False
        last = times[-1] if times.size else last
    return True


def _sort(logs: Sequence[Rows]) -> pl.DataFrame:
    needs = {name: name for name in PREDICTED} | {AGAINST + RAW: f"{AGAINST}target_propensity"}
    more = [name for name, column in needs.items() if all(column in rows.columns for rows in logs)]
    names, found = (RAW, REWARD, *more), []
    for part in in_order(logs, weighed_rewards(*more, AT), what="sorting"):
        columns = {name: part.column(name) for name in names}
        found.append(pl.DataFrame(columns | {AT: _microseconds(part)}))
    return pl.concat(found).sort(AT, maintain_order=True).drop(AT)


def _times(frame: Frame) -> Frame:
    return frame.select(nw.col(AT))


def _microseconds(part: Part) -> npt.NDArray[np.int64]:
    times = _read(part)
    if times.null_count():
        raise _untimed(part.rows)
    return times.to_numpy()


def _read(part: Part) -> pl.Series:
    column = part.frame[AT].to_polars().alias(AT)
    time = microseconds(AT, column.dtype)
    if time is None:
        raise InvalidLog(
            f"{part.rows.source.name}: {AT} holds {column.dtype}, and no times. Write the decision's time there, or "
            "rename the column."
        )
    return column.to_frame().select(time)[AT]


def _untimed(rows: Rows) -> InvalidLog:
    """Find the row in what was read, not in what was kept of it, so that its number is that of the log."""
    source, where, value = rows.source, "a row", None
    whole = Rows(source, source.frame, {})
    numbered = [LINE] if LINE in whole.columns else []
    for part in in_order([whole], lambda frame: frame.select(AT, *numbered), what=AT):
        bad = np.flatnonzero(_read(part).is_null().to_numpy())
        if bad.size:
            first = int(bad[0])
            number = part.frame[LINE].to_list()[first] if numbered else part.start + first + 1
            where, value = f"row {number:,}", part.frame[AT].to_list()[first]
            break
    return InvalidLog(
        f"{source.name}: {where}: {AT} is {value!r}; a decision's time is a number or a time, such as "
        "2026-01-31T12:00:00Z. Write it for every row, or leave the column out of the log if its rows stand in order."
    )
