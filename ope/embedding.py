"""Many actions that share what they are: weights of an action's category (MIPS), fitted by counting.

The canonical propensities become those of the category that was logged, under logger and target, so that every form
has them: `ips` is then MIPS, `snips` its self-normalised form (Saito and Joachims 2022).
"""

from collections.abc import Sequence
from dataclasses import replace

import narwhals as nw
import polars as pl

from ope.errors import InvalidLog, InvalidRequest
from ope.formats.source import Source
from ope.frames import Columns, Rows, carried, require
from ope.policies import DISTRIBUTION, Policy, action_ids, logged_action, parse_policy
from ope.scoring import has_distribution, rows_under

ROW, ID, CATEGORY = "embedding row", "embedding id", "embedding of row"
SHARE, SHARES, LOGGED, TARGET = "p(e|a)", "p(e|a) of each", "p(e) logged", "p(e) target"


def count_embeddings(sources: Sequence[Source], column: str) -> pl.DataFrame:
    """Return p(e|a), how often an action had a category: one row for each pair that occurs; a pass of its own.

    Raises InvalidRequest for a column that is not there or holds no categories, InvalidLog for a row without one.
    """
    pairs: list[pl.DataFrame] = []
    for source in sources:
        require(source, column, option="--embedding")
        if source.frame.collect_schema()[column].is_float():
            raise InvalidRequest(
                f"{source.name}: {column} holds fractions; categories are counted. Cut it into bins, or name another."
            )
        named = source.frame.to_native().select(logged_action().alias(ID), _category(column))
        pairs.append(named.group_by(ID, CATEGORY).len().collect(engine="streaming"))
        if pairs[-1][CATEGORY].null_count():
            raise InvalidLog(f"{source.name}: {column} is null in some rows. Give each logged action its category.")
    counted = pl.concat(pairs).group_by(ID, CATEGORY).agg(pl.col("len").sum())
    return counted.select(ID, CATEGORY, (pl.col("len") / pl.col("len").sum().over(ID)).alias(SHARE))


def embedding_rows(source: Source, columns: Columns, policy: Policy, shares: pl.DataFrame, *, predicted: bool) -> Rows:
    """Return canonical rows with w = Σ_a π(a|x) p(e|a) / Σ_a π_log(a|x) p(e|a), e the category that was logged.

    Saito and Joachims 2022. An action that the log never shows has no known category and adds nothing; what
    of the target is off support is not known.
    """
    if not has_distribution(source):
        require(source, DISTRIBUTION, option=DISTRIBUTION)
    frame = source.frame.to_native().with_row_index(ROW).with_columns(_category(columns.embedding or ""))
    each = frame.select(ROW, CATEGORY, action_ids().alias(ID)).explode(ID)
    known = each.join(shares.lazy(), on=[ID, CATEGORY], how="left", maintain_order="left")
    lists = known.group_by(ROW, maintain_order=True).agg(pl.col(SHARE).fill_null(0.0).alias(SHARES))
    whole = frame.join(lists, on=ROW, how="left", maintain_order="left")
    return marginal_rows(replace(source, frame=nw.from_native(whole)), columns, policy, predicted=predicted)


def marginal_rows(source: Source, columns: Columns, policy: Policy, *, predicted: bool) -> Rows:
    """Return canonical rows with w of what was logged of an action, of a log that has p(e|a) for each in SHARES."""
    # A policy's value of a list is its expectation over the row's actions: of p(e|a) here.
    logged, target = (one.value(pl.col(SHARES)) for one in (parse_policy("logged"), policy))
    whole = source.frame.to_native()
    marginal = nw.from_native(whole.with_columns(logged.alias(LOGGED), target.alias(TARGET)))
    also = carried(source) | {name: nw.col(name) for name in (LOGGED, TARGET)}
    rows = rows_under(policy, Source(source.name, marginal, source.raw), columns, predicted=predicted, also=also)
    named = rows.frame.with_columns(propensity=nw.col(LOGGED), target_propensity=nw.col(TARGET))
    kept = [name for name in rows.columns if name not in {LOGGED, TARGET, "off_support"}]
    return Rows(
        source, named.select(*kept), rows.origin | {"propensity": "the propensity of what was logged of the action"}
    )


def _category(column: str) -> pl.Expr:
    return pl.col(column).cast(pl.String).alias(CATEGORY)
