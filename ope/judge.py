"""One log, one target: its rows, their sums, and what they say."""

import math
from collections.abc import Sequence
from functools import reduce
from operator import add

from ope.bad_rows import without_bad_rows
from ope.diagnostics import diagnose
from ope.errors import InvalidRequest, NoRows
from ope.estimators.asked import Asked
from ope.estimators.table import RANKING_COLUMNS
from ope.evaluation import Comparison, Estimate, Evaluation
from ope.formats.asides import Asides
from ope.formats.source import Source
from ope.frames import Rows
from ope.intervals.sequence import sequence
from ope.log import Log
from ope.policies import Policy
from ope.replaying import replayed
from ope.request import Request
from ope.row_weights import scaled
from ope.scoring import seen_ids
from ope.tally import KNOWN, Plan, Tally, tally
from ope.weights import AGAINST

BOUNDED = "ips"
"""What a confidence sequence is of."""
OF_A_POLICY = RANKING_COLUMNS | {"q_target"}
"""What an estimator needs of each policy, and not of the log."""


def judge(log: Log, request: Request, aside: Asides, *, policy: Policy | None) -> Evaluation:
    """Return what the log says of a policy, or of the target that its columns hold.

    `aside` is what was found beside its decisions. Raises InvalidRequest for what cannot be asked of it, InvalidLog for
    a broken row, NoRows where there is none.
    """
    sources = log.sources
    logs = [log.rows(source, request, policy) for source in sources]
    if request.report:
        logs, broken = without_bad_rows(logs)
        aside += broken
    logs = scaled(logs)
    columns = frozenset[str].intersection(*(frozenset(rows.columns) for rows in logs))
    asked = request.wanted.allowed(
        columns,
        where=sources[0].name,
        slots=0 if log.found is None else log.found.slots,
        loggers=list(log.loggers),
        why_not=lambda missing: log.why_not(missing, policy),
    )
    paired = (
        () if request.against is None else tuple(one.paired() for one in asked if _can_be_paired(one, columns, request))
    )
    total = _total(logs, Plan.of(block for one in (*asked, *paired) for block in one.blocks), aside)
    if not request.part:
        _check_known(total, request, policy, sources)
    asked, left_out = _predicted_only(asked, total, given=request.wanted.given)
    paired = tuple(one for one in paired if one.name in {kept.name for kept in asked})
    found = [_estimate(one, total, logs, request) for one in asked]
    differences = [_estimate(one, total, logs, request) for one in paired]
    notes = [f"less {request.against}: {note}" for _, note in differences if note]
    return Evaluation(
        n=total.sums.n,
        estimates=tuple(estimate for estimate, _ in found),
        diagnostics=diagnose(total.sums),
        notes=(
            *_of_scorer(request, policy),
            *aside.notes(),
            *left_out,
            *_unbounded(asked, request),
            *(note for _, note in found if note),
            *_unpaired(asked, paired, request),
            *notes,
        ),
        bad_rows=aside if request.report and not request.part else None,
        against=_comparison(request, differences),
    )


def _of_scorer(request: Request, policy: Policy | None) -> Sequence[str]:
    scorer = request.scorer
    if scorer is None or policy is None or policy.name not in scorer.targets or request.part:
        return ()
    return scorer.notes(policy.name)


def _can_be_paired(asked: Asked, columns: frozenset[str], request: Request) -> bool:
    theirs = {AGAINST + column for column in asked.needs & OF_A_POLICY}
    # Taming weights biases one policy more than the other: nobody gets that for a lift who did not ask for it.
    wanted = request.wanted.given or not asked.estimator.transform
    return bool(asked.members) and theirs <= columns and wanted


def _unpaired(asked: Sequence[Asked], paired: Sequence[Asked], request: Request) -> list[str]:
    without = {one.name: one for one in asked if one.name not in {other.name for other in paired}}
    if request.against is None or not without:
        return []
    tamed = [name for name, one in without.items() if one.estimator.transform and not request.wanted.given]
    others = [name for name in without if name not in tamed]
    why = {
        "their bias differs between policies; name them to see it": tamed,
        "they need its predictions, or are no sums": others,
    }
    return [f"not compared with {request.against}: {', '.join(names)}; {says}" for says, names in why.items() if names]


def _comparison(request: Request, differences: Sequence[tuple[Estimate, str | None]]) -> Comparison | None:
    if request.against is None:
        return None
    return Comparison(request.against, tuple(estimate for estimate, _ in differences))


def _check_known(total: Tally, request: Request, policy: Policy | None, sources: Sequence[Source]) -> None:
    for column, option in zip(KNOWN, ("--policy", "--against"), strict=True):
        if policy is None or total.known.get(column) != 0:
            continue
        name = policy.name if option == "--policy" else request.against
        raise InvalidRequest(
            f"{option} {name}: action {str(name).partition(':')[2]!r} never occurs in the log. "
            f"Its actions are {seen_ids(sources)}."
        )


def _unbounded(asked: tuple[Asked, ...], request: Request) -> list[str]:
    names = [one.name for one in asked if one.name != BOUNDED]
    if request.interval is not None or not names:
        return []
    return [f"{request.method} bounds {BOUNDED}; without an interval: {', '.join(names)}"]


def _total(logs: Sequence[Rows], plan: Plan, aside: Asides) -> Tally:
    tallies = [found for rows in logs if (found := tally(rows, plan)) is not None]
    if not tallies:
        names = ", ".join(rows.source.name for rows in logs)
        broken = f" Of {aside.broken:,} bad rows, the first is: {aside.shown[0]}." if aside.broken else ""
        left_out = "".join(f" {note[0].upper()}{note[1:]}." for note in aside.notes())
        raise NoRows(f"{names}: no rows; an estimate needs at least one settled decision.{left_out}{broken}")
    return reduce(add, tallies)


def _predicted_only(asked: tuple[Asked, ...], total: Tally, *, given: bool) -> tuple[tuple[Asked, ...], list[str]]:
    left_out = [one.name for one in asked if one.estimator.form.needs]
    if not (total.unpredicted and left_out):
        return asked, []
    why = f"{', '.join(left_out)}: predicted_rewards is null in {total.unpredicted:,} of {total.sums.n:,} rows"
    if given:
        raise InvalidRequest(f"{why}; they need it in each. Ask for --estimators ips,snips.")
    return tuple(one for one in asked if not one.estimator.form.needs), [f"left out {why}"]


def _estimate(asked: Asked, total: Tally, logs: Sequence[Rows], request: Request) -> tuple[Estimate, str | None]:
    value, stderr, note = _fold(asked, total, logs) if not asked.members else _of_sums(asked, total)
    bounds = _bounds(asked, value, stderr, logs, request)
    return Estimate(asked.name, value, stderr, bounds, request.level, request.method), note


def _bounds(asked: Asked, value: float, stderr: float, logs: Sequence[Rows], request: Request) -> tuple[float, float]:
    if request.interval is not None:
        return request.interval(value, stderr, level=request.level)
    if asked.name != BOUNDED or request.within is None:
        return math.nan, math.nan
    return sequence(logs, request.within).at(request.level)


def _of_sums(asked: Asked, total: Tally) -> tuple[float, float, str | None]:
    member, note = asked.chosen(total.sums)
    found = member.of(total.sums)
    return found.value, found.stderr(total.sums), note


def _fold(asked: Asked, total: Tally, logs: Sequence[Rows]) -> tuple[float, float, str]:
    most = total.sums.max_weight if asked.most is None else asked.most
    found = replayed(logs, most=most)
    note = f"{asked.name}: kept {found.kept:,} of {found.seen:,} rows, for weights of at most {most:g}"
    return found.value, found.stderr, note
