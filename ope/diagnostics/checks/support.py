"""Whether the logger could play what the target would: the target's mass on actions of probability 0."""

from collections.abc import Iterator

import polars as pl

from ope.diagnostics.checks.base import Check, first_rows, share
from ope.diagnostics.facts import Facts, Named
from ope.diagnostics.findings import Answer, Finding, Unknown, Where, grade
from ope.diagnostics.question import Question
from ope.formats.columns import ROW_WEIGHT

_WAY_OUT = (
    "No estimator can know what those choices earn. Give every eligible action a floor under its probability, or judge "
    "a target that plays only what was explored."
)


def _ask(q: Question) -> Named:
    return {one.off_support: _mean(q, pl.col(one.off_support)) for one in q.targets if one.off_support}


def _mean(q: Question, part: pl.Expr) -> pl.Expr:
    if not q.has(ROW_WEIGHT):
        return part.mean()
    return (part * pl.col("h")).sum() / pl.col("h").filter(part.is_not_null()).sum()


def _judge(facts: Facts) -> Iterator[Answer]:
    if not facts.question.targets:
        yield Unknown("support_deficit", "no target: name one with --policy.")
    for target in facts.question.targets:
        deficit = facts.total[target.off_support] if target.off_support else None
        if target.off_support is None or deficit is None:
            yield Unknown("support_deficit", _why_not(facts), target.name)
            continue
        severity, threshold = grade(deficit, warn=facts.limit("support_warn"), refuse=facts.limit("support_refuse"))
        says = f"the target puts {share(deficit)} of its choices where the logger would never go."
        where = Where(policy=target.name)
        if severity != "ok":
            at, _ = first_rows(facts, pl.col(target.off_support) > 0)
            where = Where(policy=target.name, file=at.file, rows=at.rows)
        yield Finding(
            "support_deficit", severity, deficit, threshold, says, _WAY_OUT if severity != "ok" else "", where
        )


def _why_not(facts: Facts) -> str:
    if not facts.question.has("distribution"):
        return "the log has no distribution, so that nobody knows what the logger could have played."
    return "the target's choices elsewhere are unknown: name it with --policy, or look at mean_weight."


CHECK = Check(("support_deficit",), _judge, _ask)
