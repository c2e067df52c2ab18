"""Brings a log's rows under canonical names for one target policy; sums nothing."""

from collections.abc import Mapping, Sequence
from types import MappingProxyType

import narwhals as nw
import polars as pl

from ope.errors import InvalidLog, InvalidRequest
from ope.formats.source import Source
from ope.frames import Columns, Rows, number, require
from ope.policies import DISTRIBUTION, N_ACTIONS, PREDICTED, Policy, at_logged_action, logged_action
from ope.rules import DISTRIBUTION_LEAST, DISTRIBUTION_SUM
from ope.weights import AGAINST

SHOWN_IDS = 10
OF_A_POLICY = ("target_propensity", "known", "q_target")
"""The canonical columns that differ between two policies over one log."""


def rows_under(
    policy: Policy,
    source: Source,
    columns: Columns,
    *,
    predicted: bool,
    also: Mapping[str, nw.Expr] = MappingProxyType({}),
    against: Policy | None = None,
) -> Rows:
    """Return the canonical rows of a log for a policy that only needs the log, with the columns of `also`.

    With `against` they have that policy's columns too.

    Raises InvalidRequest for a column that the policy needs and the log lacks, InvalidLog for one of
    the wrong type. Predictions are read where the log has them and `predicted` asks for them.
    """
    source = in_polars(source)
    distribution = has_distribution(source)
    for one in [policy] if against is None else [policy, against]:
        for column, option in _needed(one, columns, distribution=distribution):
            require(source, column, option=option)
    scored = _scores(policy, source, distribution=distribution, predicted=predicted)
    if against is not None:
        theirs = _scores(against, source, distribution=distribution, predicted=predicted)
        scored |= {AGAINST + name: theirs[name] for name in OF_A_POLICY if name in theirs}
    scored |= _said_of_actions([policy, *([] if against is None else [against])], source, distribution=distribution)
    logged = {name: number(source, getattr(columns, name)) for name in ("reward", "propensity")}
    renamed = source.frame.with_columns(**logged, **also).to_native()
    frame = renamed.select("reward", "propensity", *also, **scored)
    return Rows(source=source, frame=nw.from_native(frame), origin=_origin(policy, columns))


def seen_ids(sources: Sequence[Source]) -> str:
    """Return the first ids that the logs' `action` columns hold, for an error to name."""
    ids: set[str] = set()
    for source in sources:
        native = in_polars(source).frame.to_native()
        distinct = native.select(logged_action().unique()).collect(engine="streaming")
        ids |= set(distinct["action"].drop_nulls())
    more = f" and {len(ids) - SHOWN_IDS:,} more" if len(ids) > SHOWN_IDS else ""
    return ", ".join(sorted(ids)[:SHOWN_IDS]) + more


def _needed(policy: Policy, columns: Columns, *, distribution: bool) -> list[tuple[str, str]]:
    needed = [(columns.reward, "--reward"), (columns.propensity, "--propensity")]
    if policy.action is not None or distribution:
        needed.append(("action", "action"))
    if policy.name == "uniform" and not distribution:
        needed.append((N_ACTIONS, N_ACTIONS))
    return needed


def _scores(policy: Policy, source: Source, *, distribution: bool, predicted: bool) -> dict[str, pl.Expr]:
    scores = {"target_propensity": policy.propensity(distribution).cast(pl.Float64)}
    known = policy.known(distribution=distribution)
    if known is not None:
        scores["known"] = known.cast(pl.Int64)
    if distribution:
        scores["off_support"] = policy.off_support
    if distribution and predicted and PREDICTED in source.columns:
        scores |= _predictions(policy)
    return scores


def _said_of_actions(policies: Sequence[Policy], source: Source, *, distribution: bool) -> dict[str, pl.Expr]:
    """Return what the rules for the eligible actions judge; a row without a distribution is judged by its others."""
    if distribution:
        masses = pl.col(DISTRIBUTION).list.eval(pl.element().struct.field("propensity").cast(pl.Float64))
        # To polars, nothing at all adds up to -0.0.
        total = pl.when(masses.list.len() == 0).then(0.0).otherwise(masses.list.sum())
        return {DISTRIBUTION_SUM: total.fill_null(1.0), DISTRIBUTION_LEAST: masses.list.min().fill_null(0.0)}
    if any(policy.name == "uniform" for policy in policies):
        number(source, N_ACTIONS)  # or say that it holds none
        return {N_ACTIONS: pl.col(N_ACTIONS).cast(pl.Float64)}
    return {}


def _predictions(policy: Policy) -> dict[str, pl.Expr]:
    predicted = pl.col(PREDICTED).cast(pl.List(pl.Float64))
    given = predicted.list.drop_nulls().list.len()
    whole = (given == predicted.list.len()) & (given == pl.col(DISTRIBUTION).list.len())
    usable = pl.when(whole).then(predicted)  # unaligned lists cannot even be multiplied
    return {
        "q_logged": at_logged_action(usable),
        "q_target": policy.value(usable),
        "q_missing": given.fill_null(0).eq(0).cast(pl.Int64),
    }


def has_distribution(source: Source) -> bool:
    """Say whether the log has distributions; raises InvalidLog where they are not lists of {action, propensity}."""
    if DISTRIBUTION not in source.columns:
        return False
    kind = source.frame.collect_schema()[DISTRIBUTION]
    inner = kind.inner if isinstance(kind, nw.List) else None
    fields = {field.name for field in inner.fields} if isinstance(inner, nw.Struct) else set()
    if {"action", "propensity"} <= fields:
        return True
    raise InvalidLog(
        f"{source.name}: column 'distribution' holds {kind}; a policy is scored on a list of "
        "{action, propensity}. Export to Parquet or NDJSON, or drop it and give n_actions."
    )


def in_polars(source: Source) -> Source:
    """Return the source as a polars lazy frame; raises InvalidRequest for an engine that keeps its rows elsewhere."""
    frame = source.frame
    if isinstance(frame, nw.DataFrame):
        frame = nw.from_native(frame.to_polars().lazy())
    if not isinstance(frame.to_native(), pl.LazyFrame):
        raise InvalidRequest(
            f"{source.name}: --policy is scored in polars or pandas, not in {frame.implementation}. "
            "Write its propensities first (honeyguide ope score FILE --policy … --out rows.parquet) and judge those, "
            "or hand over a polars LazyFrame."
        )
    return Source(name=source.name, frame=frame, raw=frame)


def _origin(policy: Policy, columns: Columns) -> dict[str, str]:
    under = f"under policy {policy.name}"
    return {
        "reward": columns.reward,
        "propensity": columns.propensity,
        "target_propensity": f"the propensity {under}",
        DISTRIBUTION_SUM: f"the sum of {DISTRIBUTION}",
        DISTRIBUTION_LEAST: f"the least propensity in {DISTRIBUTION}",
        "q_logged": f"the logged action's entry in {PREDICTED}",
        "q_target": f"the predicted reward {under}",
        f"{AGAINST}target_propensity": "the propensity under the policy of --against",
        f"{AGAINST}q_target": "the predicted reward under the policy of --against",
    }
