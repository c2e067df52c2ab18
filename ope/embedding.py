"""Many actions that share what they are: weights of an action's category (MIPS), fitted by counting.

The canonical propensities become those of the category that was logged, under logger and target, so that every form
has them: `ips` is then MIPS, `snips` its self-normalised form (Saito and Joachims 2022).
"""

from collections.abc import Sequence

import narwhals as nw
import polars as pl

from ope.errors import InvalidLog, InvalidRequest
from ope.formats.source import Source
from ope.frames import Columns, Rows, carried, require
from ope.policies import DISTRIBUTION, Policy, action_ids, logged_action, parse_policy
from ope.scoring import has_distribution, rows_under
from ope.weights import AGAINST

ROW, ID, CATEGORY = "embedding row", "embedding id", "embedding of row"
SHARE, SHARES = "p(e|a)", "p(e|a) of each"
LOGGED, TARGET, OTHER = "p(e) logged", "p(e) target", "p(e) other"
MARGINALS = ("propensity", "target_propensity", f"{AGAINST}target_propensity")


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


def embedding_rows(
    source: Source,
    columns: Columns,
    policy: Policy,
    shares: pl.DataFrame,
    *,
    predicted: bool,
    against: Policy | None = None,
) -> Rows:
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
    # A policy's value of a list is its expectation over the row's actions: of p(e|a) here.
    judged = {LOGGED: parse_policy("logged"), TARGET: policy} | ({} if against is None else {OTHER: against})
    marginal = nw.from_native(whole.with_columns(**{name: one.value(pl.col(SHARES)) for name, one in judged.items()}))
    also = carried(source) | {name: nw.col(name) for name in judged}
    scored = Source(source.name, marginal, source.raw)
    rows = rows_under(policy, scored, columns, predicted=predicted, also=also, against=against)
    marginals = dict(zip((LOGGED, TARGET, OTHER), MARGINALS, strict=True))
    named = rows.frame.with_columns(**{marginals[name]: nw.col(name) for name in judged})
    kept = [name for name in rows.columns if name not in {*judged, "off_support"}]
    return Rows(source, named.select(*kept), rows.origin | {"propensity": "the logged category's propensity"})


def _category(column: str) -> pl.Expr:
    return pl.col(column).cast(pl.String).alias(CATEGORY)
