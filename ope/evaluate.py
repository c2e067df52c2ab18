"""The one flow of an evaluation: sources -> canonical rows -> sums -> estimates and diagnostics."""

import math
from collections.abc import Mapping, Sequence
from functools import reduce
from operator import add
from pathlib import Path
from typing import Any

import narwhals as nw
import polars as pl

from ope.bad_rows import beside_decisions, reported, without_bad_rows
from ope.diagnostics import diagnose
from ope.errors import InvalidLog, InvalidRequest
from ope.estimators.asked import Asked
from ope.evaluation import OF_COLUMNS, Estimate, Evaluation
from ope.formats.asides import Asides
from ope.formats.columns import ROW_WEIGHT
from ope.formats.files import open_log
from ope.formats.source import Source
from ope.frames import Rows
from ope.intervals.sequence import sequence
from ope.log import Log, read_log
from ope.policies import N_ACTIONS, Policy
from ope.question import USUAL, Question
from ope.replaying import replayed
from ope.request import Request
from ope.row_weights import scaled
from ope.scored import scored
from ope.scoring import seen_ids
from ope.tally import Plan, Tally, tally

BOUNDED = "ips"
"""What a confidence sequence is of."""


def evaluate_files(paths: Sequence[Path | str], question: Question = USUAL) -> dict[str, Evaluation]:
    """Return the evaluation of each policy on the files as one log, in the order asked; without any, of "columns".

    Raises InvalidRequest for what cannot be asked, InvalidLog for what cannot be read.
    """
    request = Request.of(question)
    return _evaluate(open_files(paths, question), request)


def open_files(paths: Sequence[Path | str], question: Question) -> list[Source]:
    """Return the files as sources; raises InvalidRequest for a path that is no log file."""
    numeric = [*question.columns.numeric, N_ACTIONS, ROW_WEIGHT]
    kind, report = question.log_format, reported(question.on_bad_rows)
    return [open_log(Path(path), numeric=numeric, kind=kind, report=report) for path in paths]


def evaluate_frame(
    frame: Any,  # noqa: ANN401 - whatever narwhals takes: pandas, polars, pyarrow, DuckDB, PySpark; or arrays by name
    question: Question = USUAL,
) -> dict[str, Evaluation]:
    """Return the evaluation of each policy on a frame, or on a mapping of names to arrays; see evaluate_files."""
    request = Request.of(question)
    log = nw.from_native(pl.DataFrame(frame) if isinstance(frame, Mapping) else frame)
    return _evaluate([Source(name="frame", frame=log, raw=log)], request)


def _evaluate(sources: Sequence[Source], request: Request) -> dict[str, Evaluation]:
    if not sources:
        raise InvalidRequest("no log was given; name at least one file.")
    sources, aside = beside_decisions(sources, report=request.report)
    with scored(sources, request.scorer, request.columns, report=request.report) as sources:
        log = read_log(sources, request)
        if not request.policies:
            return {OF_COLUMNS: judge(log, request, aside, policy=None)}
        return {policy.name: judge(log, request, aside, policy=policy) for policy in request.policies}


def judge(log: Log, request: Request, aside: Asides, *, policy: Policy | None) -> Evaluation:
    """Return what the log says of one target; raises InvalidLog for a row that breaks a rule."""
    sources = log.sources
    logs = [log.rows(source, request, policy) for source in sources]
    if request.report:
        logs, broken = without_bad_rows(logs)
        aside += broken
    logs = scaled(logs)
    columns = frozenset[str].intersection(*(frozenset(rows.columns) for rows in logs))
    asked = request.wanted.allowed(
        columns,
        where=sources[0].name,
        slots=0 if log.found is None else log.found.slots,
        loggers=list(log.loggers),
        why_not=lambda missing: log.why_not(missing, policy),
    )
    total = _total(logs, Plan.of(block for one in asked for block in one.blocks), aside)
    if policy is not None and total.known == 0:
        raise InvalidRequest(
            f"--policy {policy.name}: action {policy.action!r} never occurs in the log. "
            f"Its actions are {seen_ids(sources)}."
        )
    asked, left_out = _predicted_only(asked, total, given=request.wanted.given)
    found = [_estimate(one, total, logs, request) for one in asked]
    return Evaluation(
        n=total.sums.n,
        estimates=tuple(estimate for estimate, _ in found),
        diagnostics=diagnose(total.sums),
        notes=(
            *_of_scorer(request, policy),
            *aside.notes(),
            *left_out,
            *_unbounded(asked, request),
            *(note for _, note in found if note),
        ),
        bad_rows=aside if request.report else None,
    )


def _of_scorer(request: Request, policy: Policy | None) -> Sequence[str]:
    scorer = request.scorer
    return () if scorer is None or policy is None or policy.name not in scorer.targets else scorer.notes(policy.name)


def _unbounded(asked: tuple[Asked, ...], request: Request) -> list[str]:
    names = [one.name for one in asked if one.name != BOUNDED]
    if request.interval is not None or not names:
        return []
    return [f"{request.method} bounds {BOUNDED}; without an interval: {', '.join(names)}"]


def _total(logs: Sequence[Rows], plan: Plan, aside: Asides) -> Tally:
    tallies = [found for rows in logs if (found := tally(rows, plan)) is not None]
    if not tallies:
        names = ", ".join(rows.source.name for rows in logs)
        broken = f" Of {aside.broken:,} bad rows, the first is: {aside.shown[0]}." if aside.broken else ""
        left_out = "".join(f" {note[0].upper()}{note[1:]}." for note in aside.notes())
        raise InvalidLog(f"{names}: no rows; an estimate needs at least one settled decision.{left_out}{broken}")
    return reduce(add, tallies)


def _predicted_only(asked: tuple[Asked, ...], total: Tally, *, given: bool) -> tuple[tuple[Asked, ...], list[str]]:
    left_out = [one.name for one in asked if one.estimator.form.needs]
    if not (total.unpredicted and left_out):
        return asked, []
    why = f"{', '.join(left_out)}: predicted_rewards is null in {total.unpredicted:,} of {total.sums.n:,} rows"
    if given:
        raise InvalidRequest(f"{why}; they need it in each. Ask for --estimators ips,snips.")
    return tuple(one for one in asked if not one.estimator.form.needs), [f"left out {why}"]


def _estimate(asked: Asked, total: Tally, logs: Sequence[Rows], request: Request) -> tuple[Estimate, str | None]:
    value, stderr, note = _fold(asked, total, logs) if not asked.members else _of_sums(asked, total)
    bounds = _bounds(asked, value, stderr, logs, request)
    return Estimate(asked.name, value, stderr, bounds, request.level, request.method), note


def _bounds(asked: Asked, value: float, stderr: float, logs: Sequence[Rows], request: Request) -> tuple[float, float]:
    if request.interval is not None:
        return request.interval(value, stderr, level=request.level)
    if asked.name != BOUNDED or request.within is None:
        return math.nan, math.nan
    return sequence(logs, request.within).at(request.level)


def _of_sums(asked: Asked, total: Tally) -> tuple[float, float, str | None]:
    member, note = asked.chosen(total.sums)
    found = member.of(total.sums)
    return found.value, found.stderr(total.sums), note


def _fold(asked: Asked, total: Tally, logs: Sequence[Rows]) -> tuple[float, float, str]:
    most = total.sums.max_weight if asked.most is None else asked.most
    found = replayed(logs, most=most)
    note = f"{asked.name}: kept {found.kept:,} of {found.seen:,} rows, for weights of at most {most:g}"
    return found.value, found.stderr, note
