"""The one flow of an evaluation: sources -> canonical rows -> sums -> estimates and diagnostics."""

from collections.abc import Mapping, Sequence
from functools import reduce
from operator import add
from pathlib import Path
from typing import Any

import narwhals as nw
import polars as pl

from ope.bad_rows import beside_decisions, without_bad_rows
from ope.bounding import Bounding
from ope.decision_order import Decisions
from ope.diagnostics import diagnose
from ope.errors import InvalidLog, InvalidRequest
from ope.estimators.asked import Asked
from ope.evaluation import OF_COLUMNS, Estimate, Evaluation
from ope.formats.asides import Asides
from ope.formats.columns import ROW_WEIGHT
from ope.formats.files import open_log
from ope.formats.source import Source
from ope.frames import Rows
from ope.intervals.checks import held_to
from ope.intervals.evidence import Evidence
from ope.log import Log, read_log
from ope.policies import N_ACTIONS, Policy
from ope.question import USUAL, Question
from ope.replaying import replayed
from ope.request import Request
from ope.row_weights import scaled
from ope.scoring import seen_ids
from ope.tally import Plan, Tally, tally


def evaluate_files(paths: Sequence[Path | str], question: Question = USUAL) -> dict[str, Evaluation]:
    """Return the evaluation of each policy on the files as one log, in the order asked; without any, of "columns".

    Raises InvalidRequest for what cannot be asked, InvalidLog for what cannot be read.
    """
    request = Request.of(question)
    numeric = [*question.columns.numeric, N_ACTIONS, ROW_WEIGHT]
    kind, report = question.log_format, request.report
    return _evaluate([open_log(Path(path), numeric=numeric, kind=kind, report=report) for path in paths], request)


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
    log = read_log(sources, request)
    if not request.policies:
        return {OF_COLUMNS: _judge(log, request, aside, policy=None)}
    return {policy.name: _judge(log, request, aside, policy=policy) for policy in request.policies}


def _judge(log: Log, request: Request, aside: Asides, *, policy: Policy | None) -> Evaluation:
    sources = log.sources
    logs = [held_to(log.rows(source, request, policy), request.ask.within) for source in sources]
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
    bounding = Bounding.over(logs, request.method, request.ask, asked)
    found = [_estimate(one, total, bounding) for one in asked]
    return Evaluation(
        n=total.sums.n,
        estimates=tuple(estimate for estimate, _ in found),
        diagnostics=diagnose(total.sums),
        notes=(*aside.notes(), *left_out, *bounding.notes, *(note for _, notes in found for note in notes)),
        bad_rows=aside if request.report else None,
    )


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


def _estimate(asked: Asked, total: Tally, bounding: Bounding) -> tuple[Estimate, list[str]]:
    found, note = _fold(asked, total, bounding.rows) if not asked.members else _of_sums(asked, total, bounding.rows)
    interval = bounding.of(asked, found)
    method, level = bounding.method.name, bounding.ask.confidence.level
    notes = [*([note] if note else []), *(f"{asked.name}: {one}" for one in interval.notes)]
    return Estimate(asked.name, found.value, found.stderr, (interval.low, interval.high), level, method), notes


def _of_sums(asked: Asked, total: Tally, rows: Decisions) -> tuple[Evidence, str | None]:
    member, note = asked.chosen(total.sums)
    found = member.of(total.sums)
    return Evidence(asked.name, found.value, found.stderr(total.sums), member, total.sums, rows), note


def _fold(asked: Asked, total: Tally, rows: Decisions) -> tuple[Evidence, str]:
    most = total.sums.max_weight if asked.most is None else asked.most
    found = replayed(rows.logs, most=most)
    note = f"{asked.name}: kept {found.kept:,} of {found.seen:,} rows, for weights of at most {most:g}"
    return Evidence(asked.name, found.value, found.stderr, None, total.sums, rows), note
