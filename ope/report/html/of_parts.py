"""The parts of a log as figures: segments below each other, windows over time, each with what it is worth."""

import datetime as dt
from collections.abc import Mapping, Sequence

from ope.diagnostics.thresholds import DEFAULTS
from ope.evaluation import Estimate, Evaluation, PartEvaluation
from ope.report.html.plots import Drawn, Figure, Forest, Group, Lollipops, Mark, OverTime, Section, Table
from ope.report.html.scale import marks_in_words
from ope.report.html.words import EARNED, between, mark, policy_name, told
from ope.report.numbers import UNDEFINED, plain
from ope.report.table import parts_estimator

MOST = 25
"""How many parts of a policy a plot has; the table has all."""
_LIMIT = DEFAULTS["segment_ess_warn"]
_EVERY_DAY = "T00:00:00Z"

Parts = Mapping[str, Sequence[PartEvaluation]]


def sections_of_parts(report: Mapping[str, Evaluation]) -> list[Section]:
    """Return a section for each column that cuts the log."""
    columns = dict.fromkeys(part.column for one in report.values() for part in one.parts)
    return [_section(column, report) for column in columns]


def ess_figure(title: str, groups: Sequence[Group], limit: float, table: Table) -> Figure:
    """Return effective rows as a figure: what is below the limit is hardly known."""
    says = _weak([mark for group in groups for mark in group.marks], limit)
    shown = [Group(group.heading, list(group.marks)[:MOST]) for group in groups]
    says += more(max((len(group.marks) for group in groups), default=0))
    alt = f"Effective rows, one line each. {says}"
    return Figure(title, alt, Lollipops(shown, "effective rows", limit), table, caption=says)


def more(parts: int) -> str:
    """Return what is said of a plot that has not all parts."""
    return f" The plot has the first {MOST} of {parts}; the numbers have all." if parts > MOST else ""


def _section(column: str, report: Mapping[str, Evaluation]) -> Section:
    parts = {name: [part for part in one.parts if part.column == column] for name, one in report.items()}
    shown = parts_estimator([part.evaluation for of in parts.values() for part in of])
    if any(_seconds(part.value) is not None for of in parts.values() for part in of):
        figures = [figure for name, of in parts.items() for figure in _over_time(policy_name(name), of, shown)]
        return Section("Over time", figures=figures)
    return Section(f"By {column}", figures=_segments(column, parts, shown))


def _segments(column: str, parts: Parts, shown: str) -> list[Figure]:
    heading = {name: policy_name(name) if len(parts) > 1 else "" for name in parts}
    values = [Group(heading[name], [_value(part, shown) for part in of[:MOST]]) for name, of in parts.items()]
    worth = [Group(heading[name], [_worth(part) for part in of]) for name, of in parts.items()]
    most = max(len(of) for of in parts.values())
    alt = f"Each {column} with its estimate ({shown}) and interval, policy by policy.{more(most)}"
    title = f"What each policy would have earned by {column} ({shown})"
    caption = f"{marks_in_words([group.marks for group in values])}{more(most)}".strip()
    return [
        Figure(title, alt, Forest(values, EARNED), _values(column, parts, shown), caption=caption),
        ess_figure(f"How many rows each {column} is worth", worth, _LIMIT, _worths(column, parts)),
    ]


def _over_time(policy: str, parts: Sequence[PartEvaluation], shown: str) -> list[Figure]:
    timed = [(at, part) for part in parts if (at := _seconds(part.value)) is not None]
    times, inside = [at for at, _ in timed], [part for _, part in timed]
    worth = [_worth(part) for part in inside]
    drawn: Drawn = OverTime(times, [_value(part, shown) for part in inside], EARNED)
    says = _weak(worth, _LIMIT)
    return [
        Figure(
            f"{policy} over time ({shown})", f"{len(timed)} windows with their estimates and intervals.", drawn,
            _values("window", {policy: parts}, shown),
            caption=f"Dots: {EARNED}, at the start of each window. Bars: intervals, cut off at the plot's edge.",
        ),
        Figure(
            f"How many rows each window is worth for {policy}", f"Effective rows of {len(timed)} windows. {says}",
            OverTime(times, worth, "effective rows", limit=_LIMIT), _worths("window", {policy: parts}), caption=says,
        ),
    ]  # fmt: skip


def _weak(marks: Sequence[Mark], limit: float) -> str:
    weak = sum(mark.value is not None and mark.value < limit for mark in marks)
    if not weak:
        return f"All {len(marks)} have at least {plain(limit)} effective rows (dashed line)."
    return f"{weak} of {len(marks)} have fewer than {plain(limit)} effective rows (dashed line): hardly known."


def _value(part: PartEvaluation, shown: str) -> Mark:
    return mark(_name(part), _chosen(part, shown))


def _worth(part: PartEvaluation) -> Mark:
    return Mark(_name(part), part.evaluation.diagnostics.ess)


def _name(part: PartEvaluation) -> str:
    if part.value is None:
        return "(none)"
    return part.value.removesuffix(_EVERY_DAY) or "(empty)"


def _seconds(value: str | None) -> float | None:
    if value is None or not value.endswith("Z"):
        return None  # windows are named by their start in UTC; a number is no time
    try:
        return dt.datetime.fromisoformat(value).timestamp()
    except ValueError:
        return None


def _chosen(part: PartEvaluation, shown: str) -> Estimate | None:
    return next((one for one in part.evaluation.estimates if one.estimator == shown), None)


def _values(column: str, parts: Parts, shown: str) -> Table:
    rows = [(policy_name(name), _name(part), *_said(_chosen(part, shown))) for name, of in parts.items() for part in of]
    return Table(("policy", column, shown, "interval"), rows, words=2)


def _said(best: Estimate | None) -> tuple[str, str]:
    return (UNDEFINED, UNDEFINED) if best is None else (told(best)[0], between(best))


def _worths(column: str, parts: Parts) -> Table:
    rows = [
        (policy_name(name), _name(part), f"{part.evaluation.n:,}", plain(part.evaluation.diagnostics.ess, 3))
        for name, of in parts.items()
        for part in of
    ]
    return Table(("policy", column, "rows", "worth"), rows, words=2)
