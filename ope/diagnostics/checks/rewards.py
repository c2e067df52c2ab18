"""Whether the rewards can tell one policy from another."""

from collections.abc import Iterator

import polars as pl

from ope.diagnostics.checks.base import Check, count
from ope.diagnostics.facts import Facts, Named
from ope.diagnostics.findings import Answer, Finding, Unknown, grade
from ope.diagnostics.question import Question

CODES = ("reward_constant", "rewards_few")


def _ask(q: Question) -> Named:
    if not q.has("reward"):
        return {}
    r = pl.col("reward").filter(pl.col("reward").is_finite())
    named = {"rewards": r.count(), "least": r.min(), "most": r.max()}
    if q.has("outcome"):
        named["expired"] = count(pl.col("outcome") == "expired")
    return named


def _judge(facts: Facts) -> Iterator[Answer]:
    rewards = facts.total.get("rewards") or 0
    if not rewards:
        yield from (Unknown(code, "there is no reward.") for code in CODES)
        return
    least, most = facts.total["least"], facts.total["most"]
    if least == most:
        yield Finding(
            "reward_constant", "refuse", float(rewards), None,
            f"all {rewards:,} rewards are {least:g}: every policy is worth the same.",
            "Rewards were probably never joined to their decisions, and a default filled in. Look at the ids on "
            "which they are joined, and how long they may take.",
        )  # fmt: skip
    else:
        yield Finding("reward_constant", "ok", None, None, f"rewards lie between {least:g} and {most:g}.")
    usual = facts.usual_reward
    other = rewards - facts.at_usual
    severity, threshold = grade(other, warn=facts.limit("rewards_few_warn"), low=True)
    says = f"{other:,} {'reward differs' if other == 1 else 'rewards differ'} from the usual {usual:g}."
    if severity == "ok":
        yield Finding("rewards_few", "ok", float(other), threshold, says)
        return
    yield Finding(
        "rewards_few", severity, float(other), threshold,
        f"{says} An interval that rests on so few is not to be trusted, and none at all collapses it to a point.",
        "Gather more rows, or log a reward that comes more often.",
    )  # fmt: skip


CHECK = Check(CODES, _judge, _ask)
