"""The gate's rules, in the order in which they are told: those that refuse a log, then those that hold a candidate."""

from collections.abc import Iterator
from dataclasses import dataclass

from ope.diagnostics.findings import Lint
from ope.gate.config import Gate, learns_nothing
from ope.gate.fold import Folded
from ope.gate.groups import FEW_ROWS, OF_THE_LOG, ROWS, sentence
from ope.gate.rows import Decisions
from ope.gate.verdict import Rule

_BROKEN = "Mend the rows first."


@dataclass(frozen=True, slots=True)
class Facts:
    """What the rules read; `decisions` and `folded` are None where the rows are too broken to be folded."""

    gate: Gate
    lint: Lint
    decisions: Decisions | None
    folded: Folded | None


def judged(facts: Facts) -> Iterator[Rule]:
    """Yield every rule as it came out."""
    yield _rows(facts)
    yield from (group.judge(facts.lint) for group in OF_THE_LOG)
    yield _overlap(facts)
    yield _order(facts)
    yield FEW_ROWS.judge(facts.lint)
    yield from (rule(facts) for rule in (_outcomes, _ess, _lift))


def foldable(lint: Lint) -> bool:
    """Say whether the rows are sound enough to be folded: nothing is wrong with any of them alone."""
    return not any(ROWS.is_broken_by(one) for one in lint.findings)


def _rows(facts: Facts) -> Rule:
    if facts.decisions is None or not facts.decisions.unweighed:
        return ROWS.judge(facts.lint)
    rows = facts.decisions.unweighed
    return Rule(
        "rows",
        f"{rows:,} rows have no weight: an action or a number is missing in them.",
        holds=False,
        otherwise="refuse",
        value=float(rows),
        threshold=0.0,
        way_out="Log the action, its propensity and what was eligible with each decision.",
    )


def _overlap(facts: Facts) -> Rule:
    gate = facts.gate
    found = next((one for one in facts.lint.findings if one.code == "overlap"), None)
    if found is not None:
        return Rule(
            "overlap",
            sentence(found.says),
            holds=found.severity == "ok",
            otherwise="refuse",
            value=found.value,
            threshold=found.threshold,
            way_out=found.way_out,
            because=() if found.severity == "ok" else ("overlap",),
        )
    if learns_nothing(gate.policy):
        return Rule("overlap", f"{gate.policy} has learned from no log.", holds=True, otherwise="refuse")
    if gate.trained_elsewhere:
        says = "You declared that the candidate has learned from none of these rows (--trained-elsewhere)."
        return Rule("overlap", says, holds=True, otherwise="refuse")
    return Rule(
        "overlap",
        "Nothing says what the candidate learned from; on its own training data any policy looks good.",
        holds=False,
        otherwise="refuse",
        way_out=(
            "Give --target-version LINE@POSITION, or a column `trained`; or declare with --trained-elsewhere that it "
            "has seen none of these rows, nor was chosen by them."
        ),
    )


def _order(facts: Facts) -> Rule:
    found = facts.decisions
    if found is None:
        return Rule("order", "The rows were not put in order.", holds=False, otherwise="refuse", way_out=_BROKEN)
    if found.untimed:
        return Rule(
            "order",
            f"{found.untimed:,} rows have no time that can be read, so that the order of decisions is not known.",
            holds=False,
            otherwise="refuse",
            value=float(found.untimed),
            threshold=0.0,
            way_out="Log the time of each decision: a bound that holds at every look holds in their order only.",
            because=("time_invalid",),
        )
    if not found.timed:
        says = "There is no column of times: rows were taken as they stand."
        return Rule("order", says, holds=True, otherwise="refuse")
    how = "stood in the order of their times" if found.sorted else "were sorted by their times"
    return Rule("order", f"Decisions {how}.", holds=True, otherwise="refuse", value=0.0, threshold=0.0)


def _outcomes(facts: Facts) -> Rule:
    least = facts.gate.min_outcomes
    n = 0 if facts.folded is None else facts.folded.tally.n
    says = f"{n:,} decisions with an outcome were judged; at least {least:,} are asked for."
    way_out = f"Wait for about {max(least - n, 0):,} more, or ask for fewer with --min-outcomes."
    return _at_least("outcomes", facts, float(n), float(least), says=says, way_out=way_out)


def _ess(facts: Facts) -> Rule:
    least = facts.gate.min_ess
    ess = 0.0 if facts.folded is None else facts.folded.tally.ess
    says = f"They are worth {ess:,.0f} of a policy's own decisions; at least {least:,g} are asked for."
    way_out = (
        "Gather more decisions, explore more on the actions that the candidate prefers, or take a candidate that is "
        "closer to the champion."
    )
    return _at_least("ess", facts, ess, float(least), says=says, way_out=way_out)


def _at_least(name: str, facts: Facts, value: float, least: float, *, says: str, way_out: str) -> Rule:
    if facts.folded is None:
        return Rule(name, "Nothing was folded.", holds=False, otherwise="hold", threshold=least, way_out=_BROKEN)
    holds = value >= least
    way_out = "" if holds else way_out
    return Rule(name, says, holds=holds, otherwise="hold", value=value, threshold=least, way_out=way_out)


def _lift(facts: Facts) -> Rule:
    gate, folded = facts.gate, facts.folded
    if folded is None:
        says = "The lift was not judged."
        return Rule("lift", says, holds=False, otherwise="hold", threshold=gate.margin, way_out=_BROKEN)
    lower, upper = folded.bounds(gate)
    holds = folded.above_margin(gate)
    side = "above" if holds else "not above"
    return Rule(
        "lift",
        f"At every look, but for α = {gate.alpha:g}, it is at least {lower:.4g}: {side} the margin of {gate.margin:g}.",
        holds=holds,
        otherwise="hold",
        value=lower,
        threshold=gate.margin,
        way_out="" if holds else _lift_way_out(gate, folded, upper),
    )


def _lift_way_out(gate: Gate, folded: Folded, upper: float) -> str:
    if upper <= gate.margin:
        return f"Give this candidate up: its lift is at most {upper:.4g}, with the same certainty."
    estimate = folded.tally.lift * gate.width
    if not estimate > gate.margin:
        return f"The estimate, {estimate:.4g}, is not above the margin either: wait, or try another candidate."
    return f"The estimate, {estimate:.4g}, is above the margin: wait for more decisions."
