"""Brings a log of rankings under canonical names, for the target's own columns or a policy that needs only the log."""

import narwhals as nw
import polars as pl

from ope.errors import InvalidRequest
from ope.formats.source import Source
from ope.frames import Columns, Rows, carried, number, require
from ope.policies import DISTRIBUTION, Policy
from ope.scoring import has_distribution
from ope.slates.survey import Survey
from ope.slates.weights import SLATE, scored_against, scored_by_columns, scored_by_policy
from ope.weights import AGAINST

SOURCES: dict[str, tuple[str, ...]] = {
    "slate": ("pscore", "target_pscore"),
    "item:0": ("pscore_item_position", "target_pscore_item_position"),
    "prefix:0": ("pscore_cascade", "target_pscore_cascade"),
    "reward:0": ("slot_rewards",),
    "pseudo": ("pi_weight", "pscore_item_position", "target_pscore_item_position"),
    "cascade_dr": ("pscore_cascade", "target_pscore_cascade", "slot_rewards", "q_slot_logged", "q_slot_target"),
}
"""What each canonical column is made of; a policy brings the target's part itself."""
WAY_OUT = "Export the log anew, or give the column."
UNKNOWN_PAIRS = (
    "the pseudo-inverse needs how likely two actions stand in two slots together, which an export does not hold; "
    "give its weights as a column pi_weight, without --policy"
)


def ranking_rows(
    source: Source, columns: Columns, found: Survey, *, policy: Policy | None, against: str | None = None
) -> Rows:
    """Return the canonical rows, where propensity and target propensity are those of the whole ranking.

    `against` is the policy that it is compared with: `logged`, or under a policy another one of that kind.
    Raises InvalidRequest for a column that is missing, or not whole, and cannot be done without.
    """
    if policy is not None:
        if not has_distribution(source):
            require(source, DISTRIBUTION, option=DISTRIBUTION)
        scores = scored_by_policy(policy.name, found)
    else:
        scores = scored_by_columns(found)
    if SLATE not in scores:
        raise InvalidRequest(f"{source.name}: {why_not(SLATE, found, policy=policy)}. {WAY_OUT}")
    if against is not None:
        scores |= {AGAINST + name: score for name, score in scored_against(against, found, policy=policy).items()}
    require(source, columns.reward, option="--reward")
    also = carried(source)
    frame = source.frame.with_columns(number(source, columns.reward).alias("reward"), **also).to_native()
    canonical = {
        "reward": pl.col("reward"),
        "propensity": pl.col("pscore").cast(pl.Float64),
        "target_propensity": scores[SLATE] * pl.col("pscore"),
    }
    named = nw.from_native(frame.select(*also, **canonical, **scores))
    return Rows(source=source, frame=named, origin=_origin(columns, policy))


def why_not(canonical: str, found: Survey, *, policy: Policy | None) -> str:
    """Return in words why a canonical column cannot be had."""
    if canonical == "pseudo" and policy is not None:
        return UNKNOWN_PAIRS
    # A policy brings the target's part; how long a ranking is, it reads off the prefixes.
    sources = SOURCES[canonical] if policy is None else ("pscore_cascade", *SOURCES[canonical])
    wanted = [name for name in dict.fromkeys(sources) if policy is None or not name.startswith("target_")]
    return " and ".join(found.why_not[name] for name in wanted if name in found.why_not)


def _origin(columns: Columns, policy: Policy | None) -> dict[str, str]:
    target = "target_pscore" if policy is None else f"the ranking's propensity under policy {policy.name}"
    return {"reward": columns.reward, "propensity": "pscore", "target_propensity": target, "pseudo": "pi_weight"}
