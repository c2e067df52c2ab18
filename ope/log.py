"""One log out of several sources, read as its weights ask: of actions, categories, numbers or rankings."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import reduce
from operator import add

import polars as pl

from ope.against import columns_against
from ope.embedding import count_embeddings, embedding_rows, marginal_rows
from ope.errors import InvalidRequest
from ope.estimators.asked import predictions_missing
from ope.formats.source import Source
from ope.frames import Rows, carried, rows_from_columns
from ope.kernel import kernel_rows
from ope.loggers import count_loggers, logger_columns
from ope.policies import Policy, parse_policy
from ope.request import Request
from ope.scoring import in_polars, rows_under
from ope.slates.rows import ranking_rows, why_not
from ope.slates.survey import Survey, survey


@dataclass(frozen=True, slots=True)
class Log:
    """The sources of one log, and what a first pass has counted of it.

    `found` says what it has of rankings, where they are asked about; `loggers` who logged how many rows; `shares` how
    often an action had a category.
    """

    sources: Sequence[Source]
    found: Survey | None
    loggers: dict[str, int]
    shares: pl.DataFrame | None = None

    def rows(self, source: Source, request: Request, policy: Policy | None) -> Rows:
        """Return a source's canonical rows for a policy, or for the target that the log's columns hold."""
        rows = self._rows(source, request, policy)
        return replace(rows, origin=rows.origin | request.declared.origin)

    def _rows(self, source: Source, request: Request, policy: Policy | None) -> Rows:
        if self.found is not None:
            return ranking_rows(source, request.columns, self.found, policy=policy, against=request.against)
        predicted = request.wanted.predicted
        if request.bandwidth is not None:
            return kernel_rows(
                source, request.columns, bandwidth=request.bandwidth, predicted=predicted, against=request.against
            )
        other = None if request.against is None or policy is None else parse_policy(request.against, request.scorer)
        if request.embedding_model is not None and policy is not None:
            return marginal_rows(source, request.columns, policy, predicted=predicted, against=other)
        if self.shares is not None and policy is not None:
            return embedding_rows(source, request.columns, policy, self.shares, predicted=predicted, against=other)
        also = carried(source) | logger_columns(source, request.columns, self.loggers)
        if policy is None:
            others = (
                {}
                if request.against is None
                else columns_against(source, request.columns, request.against, predicted=predicted)
            )
            return rows_from_columns(source, request.columns, predicted=predicted, also=also, others=others)
        return rows_under(policy, source, request.columns, predicted=predicted, also=also, against=other)

    def why_not(self, missing: Sequence[str], policy: Policy | None) -> str:
        """Return in words what the log lacks of these canonical columns, and where it might come from."""
        if self.found is None:
            return predictions_missing(missing)
        reasons = [why_not(column, self.found, policy=policy) for column in missing]
        return f"more than the log has: {'; '.join(reasons)}."


def read_log(sources: Sequence[Source], request: Request) -> Log:
    """Return the log, with what a first pass has to count for what is asked; most of the time, nothing.

    Raises InvalidRequest for options that do not go together.
    """
    if not request.wanted.of_rankings:
        return _of_actions(sources, request)
    if request.bandwidth is not None:
        raise InvalidRequest("--bandwidth is for actions that are numbers; a ranking of them is not judged.")
    if request.columns.embedding is not None:
        raise InvalidRequest("an embedding is of an action; rankings are not judged by it. Leave --embedding out.")
    scored = [in_polars(source) for source in sources]
    return Log(scored, reduce(add, (survey(source) for source in scored)), {})


def _of_actions(sources: Sequence[Source], request: Request) -> Log:
    embedding = request.columns.embedding
    if embedding is None:
        return Log(sources, None, count_loggers(sources, request.columns))
    if not request.policies or request.columns.logger is not None:
        raise InvalidRequest(
            "--embedding needs --policy, whose probability of each action it adds up, and one logger. With columns of "
            "your own, name those of the category: --propensity and --target-propensity."
        )
    if request.embedding_model is not None:
        return Log(sources, None, {})
    scored = [in_polars(source) for source in sources]
    return Log(scored, None, {}, count_embeddings(scored, embedding))
