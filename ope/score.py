"""Writes what an evaluation would judge, row by row, as plain numbers that any engine can add up."""

from collections.abc import Sequence
from functools import reduce
from operator import and_
from pathlib import Path

import narwhals as nw
import polars as pl

from ope.atomic import atomically
from ope.bad_rows import beside_decisions
from ope.engine import only_row
from ope.engines.table import POLARS
from ope.errors import InvalidRequest
from ope.evaluate import open_sources
from ope.formats.columns import LINE, ROW_WEIGHT
from ope.formats.files import reading
from ope.formats.source import Source
from ope.frames import PREDICTED, REQUIRED, UNDER_A_POLICY, Rows
from ope.log import Log, read_log
from ope.loggers import LOGGER, propensity_of
from ope.policies import Policy
from ope.question import Question
from ope.request import Request
from ope.scored import scored
from ope.scoring import seen_ids

WRITTEN = (*REQUIRED, *PREDICTED, *UNDER_A_POLICY, ROW_WEIGHT, LOGGER)
KEPT = ("loop", "decision_id", "at", "action", "distribution", "outcome", "rewarded_at", "model_version", "trained")
"""What the linter and the gate look at besides, under these names, where the log has them."""


def score_files(paths: Sequence[Path], out: Path, question: Question) -> int:
    """Write the canonical rows of the files under the question's one policy, or its columns; return how many.

    They keep the log's own columns of KEPT, so that the linter and the gate go on with them.
    `out` is replaced when all is there. Raises InvalidRequest for what cannot be asked, InvalidLog for what cannot be
    read; whether a row keeps the rules is seen where it is evaluated.
    """
    request = Request.of(question)
    if len(request.policies) > 1 or request.engine != POLARS or request.bandwidth is not None:
        raise InvalidRequest("one --policy at a time is scored, in polars, over actions that are no numbers.")
    policy = next(iter(request.policies), None)
    sources, _ = beside_decisions(open_sources(paths, question), report=False)
    with scored(sources, request.scorer, request.columns, report=False) as known:
        log = read_log(known, request)
        logs = [log.rows(source, request, policy) for source in log.sources]
        _occurs(logs, log, policy)
        with atomically(out) as file, reading(", ".join(map(str, paths))):
            _plain(logs, log).sink_parquet(file)
    return int(pl.scan_parquet(out, glob=False).select(pl.len()).collect().item())


def _occurs(logs: Sequence[Rows], log: Log, policy: Policy | None) -> None:
    if policy is None or policy.action is None:
        return
    known = 0
    for rows in logs:
        with reading(rows.source.name):
            known += only_row(rows.frame.select(nw.col("known").sum()))["known"] or 0
    if not known:
        raise InvalidRequest(
            f"--policy {policy.name}: action {policy.action!r} never occurs in the log. "
            f"Its actions are {seen_ids(log.sources)}."
        )


def _plain(logs: Sequence[Rows], log: Log) -> pl.LazyFrame:
    shared = reduce(and_, (frozenset(rows.columns) for rows in logs))
    wanted = [*WRITTEN, *map(propensity_of, log.loggers)]
    columns = [name for name in dict.fromkeys(wanted) if name in shared and name != LINE]
    also = [name for name in KEPT if all(name in source.columns for source in log.sources)]
    return pl.concat([_beside(rows, columns, source, also) for rows, source in zip(logs, log.sources, strict=True)])


def _beside(rows: Rows, columns: Sequence[str], source: Source, also: Sequence[str]) -> pl.LazyFrame:
    frame: pl.LazyFrame = rows.frame.select(*columns).to_native()
    if not also:
        return frame
    beside: pl.LazyFrame = source.frame.select(*also).to_native()
    return pl.concat([frame, beside], how="horizontal")
