"""The one flow of an evaluation: sources -> canonical rows -> sums -> estimates and diagnostics."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import narwhals as nw
import polars as pl

from ope.bad_rows import beside_decisions, reported
from ope.delays.joined import joined
from ope.delays.resolve import resolved
from ope.engines.table import open_on
from ope.errors import InvalidRequest, NoRows
from ope.evaluation import OF_COLUMNS, Evaluation, PartEvaluation
from ope.formats.asides import Asides
from ope.formats.columns import ROW_WEIGHT
from ope.formats.source import Source
from ope.judge import judge
from ope.log import read_log
from ope.one_loop import loop_of
from ope.parts import Part, parts_of
from ope.policies import N_ACTIONS
from ope.question import USUAL, Question
from ope.request import Request
from ope.reward_models.given import with_predictions
from ope.scored import scored


def evaluate_files(paths: Sequence[Path | str], question: Question = USUAL) -> dict[str, Evaluation]:
    """Return the evaluation of each policy on the files as one log, in the order asked; without any, of "columns".

    Raises InvalidRequest for what cannot be asked, InvalidLog for what cannot be read.
    """
    request = Request.of(question)
    return _evaluate(open_sources(paths, question), request)


def open_sources(paths: Sequence[Path | str], question: Question) -> list[Source]:
    """Return the files on the question's engine, opened and not read; errors as of evaluate_files."""
    other = [] if question.policies or question.against is None else [question.against]
    numeric = [*question.columns.numeric, N_ACTIONS, ROW_WEIGHT, *other]
    engine, kind, report = question.engine, question.log_format, reported(question.on_bad_rows)
    return [open_on(engine, Path(path), numeric=numeric, kind=kind, report=report) for path in paths]


def evaluate_frame(
    frame: Any,  # noqa: ANN401 - whatever narwhals takes: pandas, polars, pyarrow, DuckDB, PySpark; or arrays by name
    question: Question = USUAL,
) -> dict[str, Evaluation]:
    """Return the evaluation of each policy on a frame, or on a mapping of names to arrays; see evaluate_files."""
    request = Request.of(question)
    given = pl.DataFrame(frame) if isinstance(frame, Mapping) else frame
    # Lazy, polars goes through the rows once; eager, it makes a column of each step.
    log = nw.from_native(given.lazy() if isinstance(given, pl.DataFrame) else given)
    return _evaluate([Source(name="frame", frame=log, raw=log)], request)


def _evaluate(sources: Sequence[Source], request: Request) -> dict[str, Evaluation]:
    if not sources:
        raise InvalidRequest("no log was given; name at least one file.")
    sources, aside = beside_decisions(sources, report=request.report)
    request = replace(request, loop=loop_of(sources, cut=request.cuts.segments))
    features = request.reads_features
    with scored(sources, request.scorer, request.columns, report=request.report, features=features) as known:
        settled = resolved(known, request.waiting, reward=request.columns.reward, report=request.report)
        found = [_evaluate_version(version, request, aside + settled.bad) for version in settled.versions]
        return {name: joined([one[name] for one in found], settled) for name in found[0]}


def _evaluate_version(sources: Sequence[Source], request: Request, aside: Asides) -> dict[str, Evaluation]:
    with with_predictions(sources, request) as predicted:
        whole = _evaluate_part(predicted, request, aside)
        in_part = replace(request, part=True)
        found = [(part, _evaluate_in(part, in_part)) for part in parts_of(predicted, request.cuts)]
    return {name: replace(evaluation, parts=_parts(name, found)) for name, evaluation in whole.items()}


def _parts(name: str, found: Sequence[tuple[Part, dict[str, Evaluation] | None]]) -> tuple[PartEvaluation, ...]:
    judged = [(part, evaluations[name]) for part, evaluations in found if evaluations is not None]
    return tuple(PartEvaluation(part.column, part.value, evaluation) for part, evaluation in judged)


def _evaluate_in(part: Part, request: Request) -> dict[str, Evaluation] | None:
    """Return the evaluations in one part of the log; None where all its rows are bad ones, which are told already."""
    try:
        return _evaluate_part(part.sources, request, Asides())
    except NoRows:
        return None


def _evaluate_part(sources: Sequence[Source], request: Request, aside: Asides) -> dict[str, Evaluation]:
    log = read_log(sources, request)
    if not request.policies:
        return {OF_COLUMNS: judge(log, request, aside, policy=None)}
    return {policy.name: judge(log, request, aside, policy=policy) for policy in request.policies}
