"""Whether rows stand for more than one decision, which all that is summed honours and no test of draws can."""

from collections.abc import Iterator

from ope.diagnostics.checks.base import Check
from ope.diagnostics.facts import Facts
from ope.diagnostics.findings import Answer, Finding
from ope.formats.columns import ROW_WEIGHT

SUBSAMPLED = (
    "rows stand for different numbers of decisions (row_weight): the log kept some by what became of them, so that "
    "counts of its rows do not tell how decisions were made."
)


def _judge(facts: Facts) -> Iterator[Answer]:
    if not facts.question.has(ROW_WEIGHT) or not facts.total["h rows"]:
        return
    least, most, mean = (facts.total[f"h {name}"] for name in ("least", "most", "mean"))
    says = "each row stands for one decision."
    if facts.unequal or least != 1:
        says = (
            f"a row stands for {least:.4g} to {most:.4g} decisions, all {facts.n:,} for "
            f"{mean * facts.total['h rows']:,.0f}: what is judged is weighed so, and means are over decisions."
        )
    yield Finding("row_weights", "ok", None, None, says)


CHECK = Check(("row_weights",), _judge)
