"""What a row's times and reward must be among themselves; finds, counts and quotes those that break a rule."""

from collections.abc import Sequence
from dataclasses import dataclass

import narwhals as nw
import polars as pl

from ope.delays.timed import AT, CAME, REWARD, Timed
from ope.delays.waiting import Waiting
from ope.engine import only_row
from ope.errors import InvalidLog
from ope.formats.asides import SHOWN, Asides, BadRow
from ope.formats.columns import LINE
from ope.formats.files import reading


@dataclass(frozen=True, slots=True)
class TimeRule:
    """One rule: which rows break it, the columns to quote, the rule in words and what to do about a breach."""

    broken: pl.Expr
    quoted: Sequence[str]
    says: str
    way_out: str


def rules(log: Timed, waiting: Waiting) -> list[TimeRule]:
    """Return the rules, in the order in which they are checked."""
    at, came, reward = pl.col(AT), pl.col(CAME), pl.col(REWARD)
    earns = reward.is_not_null() & (reward != waiting.silence)
    return [
        TimeRule(at.is_null(), [AT], "a decision has the time at which it was made", "Log it with the decision."),
        TimeRule(
            came.is_null() & _said(log, CAME),
            [CAME],
            "when the reward came is a time, or null where none did",
            "Write it as 2026-03-14T08:00:00Z.",
        ),
        TimeRule(
            reward.is_not_null() & ~reward.is_finite(),
            [REWARD],
            "a reward is a finite number, or null where none came",
            "Log the reward as a number.",
        ),
        *_of_range(waiting),
        TimeRule(
            earns & came.is_null(),
            [REWARD, CAME],
            f"a reward has the time at which it came, unless it is the default of {waiting.silence:g}",
            "Log the time with the reward, or say with --default-reward what silence is worth.",
        ),
        TimeRule(
            came.is_not_null() & reward.is_null(),
            [CAME, REWARD],
            "what came at a time is a reward",
            "Log the reward, or leave out the time.",
        ),
        TimeRule(
            came < at,
            [AT, CAME],
            "a reward does not come before its decision",
            "Mend the clocks: log both times by one clock, or count such rewards as come at once.",
        ),
    ]


def _of_range(waiting: Waiting) -> list[TimeRule]:
    if waiting.within is None:
        return []
    low, high = waiting.within
    outside = (pl.col(REWARD) < low) | (pl.col(REWARD) > high)
    says = f"--reward-range says that a reward is between {low:g} and {high:g}"
    return [TimeRule(outside, [REWARD], says, "Declare all that can be, or mend the row.")]


def lawful(log: Timed, waiting: Waiting, *, report: bool) -> tuple[Timed, Asides]:
    """Return the rows that keep every rule, and what is to be reported of the others.

    Raises InvalidLog for the first row that breaks one, unless rows are to be reported.
    """
    checked = rules(log, waiting)
    broken = pl.any_horizontal(*(rule.broken.fill_null(value=False) for rule in checked))
    with reading(log.source.name):
        count = int(log.frame.select(broken.sum()).collect(engine="streaming").item() or 0)
        shown = _listed(log, checked, broken, most=SHOWN if report else 1) if count else []
    if count and not report:
        row, rule = shown[0]
        more = f" ({count:,} rows break a rule.)" if count > 1 else ""
        raise InvalidLog(f"{row}. {rule.way_out}{more}")
    return log.keeping(~broken) if count else log, Asides(count, tuple(row for row, _ in shown))


def _said(log: Timed, column: str) -> pl.Expr:
    name = log.said[column]
    if log.frame.collect_schema()[name] == pl.String:
        return pl.col(name).str.strip_chars().str.len_bytes() > 0
    return pl.col(name).is_not_null()


def _listed(log: Timed, checked: Sequence[TimeRule], broken: pl.Expr, *, most: int) -> list[tuple[BadRow, TimeRule]]:
    marks = [rule.broken.fill_null(value=False).alias(str(place)) for place, rule in enumerate(checked)]
    found = log.frame.filter(broken).head(most).select(LINE, *marks).collect(engine="streaming")
    return [
        _quoted(log, row[LINE], next(rule for place, rule in enumerate(checked) if row[str(place)]))
        for row in found.rows(named=True)
    ]


def _quoted(log: Timed, line: int, rule: TimeRule) -> tuple[BadRow, TimeRule]:
    names = [log.said[column] for column in rule.quoted]
    raw = only_row(log.source.raw.filter(nw.col(LINE) == line).select(*names))
    value = " and ".join(f"{name} is {_shown(raw[name])}" for name in names)
    return BadRow(log.source.name, line, value, rule.says), rule


def _shown(value: object) -> str:
    return repr(value) if isinstance(value, str | int | float) or value is None else str(value)
