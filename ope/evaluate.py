"""The one flow of an evaluation: sources -> canonical rows -> sums -> estimates and diagnostics."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import reduce
from operator import add
from pathlib import Path
from typing import Any

import narwhals as nw

from ope.bad_rows import REFUSE, beside_decisions, reported, without_bad_rows
from ope.diagnostics import diagnose
from ope.errors import InvalidLog, InvalidRequest
from ope.estimators.table import Estimator, allowed, chosen
from ope.evaluation import OF_COLUMNS, Estimate, Evaluation
from ope.formats.asides import Asides
from ope.formats.columns import ROW_WEIGHT
from ope.formats.files import open_log
from ope.formats.source import Source
from ope.frames import Columns, Rows, rows_from_columns
from ope.intervals.table import Interval, checked_level, interval_method
from ope.policies import N_ACTIONS, Policy, parse_policy
from ope.row_weights import scaled
from ope.scoring import rows_under, seen_ids
from ope.tally import Tally, tally

CANONICAL = Columns()


@dataclass(frozen=True, slots=True)
class Request:
    """What is asked of a log; raises InvalidRequest when made of unknown names."""

    columns: Columns
    policies: tuple[Policy, ...]
    estimators: tuple[Estimator, ...] | None
    method: str
    interval: Interval
    level: float
    report: bool = False

    @property
    def predicted(self) -> bool:
        """Whether any estimator that may run reads predicted rewards."""
        return self.estimators is None or any(one.needs for one in self.estimators)


def evaluate_files(
    paths: Sequence[Path | str],
    *,
    policies: Sequence[str] = (),
    columns: Columns = CANONICAL,
    estimators: Sequence[str] | None = None,
    interval: str = "normal",
    level: float = 0.95,
    log_format: str | None = None,
    on_bad_rows: str = REFUSE,
) -> dict[str, Evaluation]:
    """Return the evaluation of each policy on the files as one log, in the order asked.

    Without `policies` the target is what the log's target-propensity column holds, and its key is
    "columns". `log_format` is the files' format where their names and first lines do not tell, and `on_bad_rows`
    whether bad rows are refused or reported.
    Raises InvalidRequest for what cannot be asked, InvalidLog for what cannot be read.
    """
    request = replace(_request(policies, columns, estimators, interval, level), report=reported(on_bad_rows))
    numeric = [*(getattr(columns, name) for name in Columns.__slots__), N_ACTIONS, ROW_WEIGHT]
    sources = [open_log(Path(path), numeric=numeric, kind=log_format, report=request.report) for path in paths]
    return _evaluate(sources, request)


def evaluate_frame(
    frame: Any,  # noqa: ANN401 - whatever narwhals takes: pandas, polars, pyarrow, DuckDB, PySpark
    *,
    policies: Sequence[str] = (),
    columns: Columns = CANONICAL,
    estimators: Sequence[str] | None = None,
    interval: str = "normal",
    level: float = 0.95,
    on_bad_rows: str = REFUSE,
) -> dict[str, Evaluation]:
    """Return the evaluation of each policy on a frame in memory or a lazy one; see evaluate_files."""
    request = replace(_request(policies, columns, estimators, interval, level), report=reported(on_bad_rows))
    log = nw.from_native(frame)
    return _evaluate([Source(name="frame", frame=log, raw=log)], request)


def _request(
    policies: Sequence[str],
    columns: Columns,
    estimators: Sequence[str] | None,
    interval: str,
    level: float,
) -> Request:
    if policies and columns.target_propensity != CANONICAL.target_propensity:
        raise InvalidRequest(
            f"--target-propensity {columns.target_propensity} and --policy {policies[0]} are two "
            "answers to one question; give one of them."
        )
    return Request(
        columns=columns,
        policies=tuple(parse_policy(spec) for spec in dict.fromkeys(policies)),
        estimators=chosen(estimators),
        method=interval,
        interval=interval_method(interval),
        level=checked_level(level),
    )


def _evaluate(sources: Sequence[Source], request: Request) -> dict[str, Evaluation]:
    if not sources:
        raise InvalidRequest("no log was given; name at least one file.")
    sources, aside = beside_decisions(sources, report=request.report)
    if not request.policies:
        return {OF_COLUMNS: _judge(sources, _column_rows(request), request, aside)}
    return {
        policy.name: _judge(sources, _policy_rows(policy, request), request, aside, policy=policy)
        for policy in request.policies
    }


def _column_rows(request: Request) -> Callable[[Source], Rows]:
    return lambda source: rows_from_columns(source, request.columns, predicted=request.predicted)


def _policy_rows(policy: Policy, request: Request) -> Callable[[Source], Rows]:
    return lambda source: rows_under(policy, source, request.columns, predicted=request.predicted)


def _judge(
    sources: Sequence[Source],
    rows_of: Callable[[Source], Rows],
    request: Request,
    aside: Asides,
    *,
    policy: Policy | None = None,
) -> Evaluation:
    logs = [rows_of(source) for source in sources]
    if request.report:
        logs, broken = without_bad_rows(logs)
        aside += broken
    logs = scaled(logs)
    columns = frozenset[str].intersection(*(frozenset(rows.columns) for rows in logs))
    estimators = allowed(request.estimators, columns, where=sources[0].name)
    total = _total(logs, aside)
    if policy is not None and total.known == 0:
        raise InvalidRequest(
            f"--policy {policy.name}: action {policy.action!r} never occurs in the log. "
            f"Its actions are {seen_ids(sources)}."
        )
    estimators, notes = _predicted_only(estimators, total, asked=request.estimators is not None)
    return Evaluation(
        n=total.sums.n,
        estimates=tuple(_estimate(estimator, total, request) for estimator in estimators),
        diagnostics=diagnose(total.sums),
        notes=(*aside.notes(), *notes),
        bad_rows=aside if request.report else None,
    )


def _total(logs: Sequence[Rows], aside: Asides) -> Tally:
    tallies = [found for rows in logs if (found := tally(rows)) is not None]
    if not tallies:
        names = ", ".join(rows.source.name for rows in logs)
        broken = f" Of {aside.broken:,} bad rows, the first is: {aside.shown[0]}." if aside.broken else ""
        left_out = "".join(f" {note[0].upper()}{note[1:]}." for note in aside.notes())
        raise InvalidLog(f"{names}: no rows; an estimate needs at least one settled decision.{left_out}{broken}")
    return reduce(add, tallies)


def _predicted_only(
    estimators: tuple[Estimator, ...], total: Tally, *, asked: bool
) -> tuple[tuple[Estimator, ...], tuple[str, ...]]:
    left_out = [estimator.name for estimator in estimators if estimator.needs]
    if not (total.unpredicted and left_out):
        return estimators, ()
    why = f"{', '.join(left_out)}: predicted_rewards is null in {total.unpredicted:,} of {total.sums.n:,} rows"
    if asked:
        raise InvalidRequest(f"{why}; they need it in each. Ask for --estimators ips,snips.")
    return tuple(one for one in estimators if not one.needs), (f"left out {why}",)


def _estimate(estimator: Estimator, total: Tally, request: Request) -> Estimate:
    found = estimator.of(total.sums)
    stderr = found.stderr(total.sums)
    bounds = request.interval(found.value, stderr, level=request.level)
    return Estimate(estimator.name, found.value, stderr, bounds, request.level, request.method)
