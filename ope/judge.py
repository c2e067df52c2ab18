"""One log, one target: its rows, their sums, and what they say."""

from collections.abc import Sequence
from functools import reduce
from operator import add

from ope.bad_rows import without_bad_rows
from ope.bounding import Bounding
from ope.decision_order import Decisions
from ope.delays.fit import fitting
from ope.diagnostics import diagnose
from ope.errors import InvalidRequest, NoRows
from ope.estimators.asked import Asked
from ope.estimators.table import RANKING_COLUMNS
from ope.evaluation import Comparison, Estimate, Evaluation
from ope.formats.asides import Asides
from ope.formats.source import Source
from ope.frames import Rows
from ope.intervals.checks import held_to
from ope.intervals.evidence import Evidence
from ope.log import Log
from ope.one_loop import held_to_loop
from ope.ordered import why_unordered
from ope.policies import Policy
from ope.replaying import replayed
from ope.request import Request
from ope.reward_models.given import told
from ope.row_weights import scaled
from ope.scoring import seen_ids
from ope.tally import KNOWN, Plan, Tally, tally
from ope.weight_bins import weight_bins
from ope.weights import AGAINST

OF_A_POLICY = RANKING_COLUMNS | {"q_target"}
"""What an estimator needs of each policy, and not of the log."""


def judge(log: Log, request: Request, aside: Asides, *, policy: Policy | None) -> Evaluation:
    """Return what the log says of a policy, or of the target that its columns hold.

    `aside` is what was found beside its decisions. Raises InvalidRequest for what cannot be asked of it, InvalidLog for
    a broken row, NoRows where there is none.
    """
    sources = log.sources
    logs, broken = _rows(log, request, policy)
    aside += broken
    columns = frozenset[str].intersection(*(frozenset(rows.columns) for rows in logs))
    asked = request.wanted.allowed(
        columns,
        where=sources[0].name,
        slots=0 if log.found is None else log.found.slots,
        loggers=list(log.loggers),
        why_not=lambda missing: log.why_not(missing, policy),
    )
    asked, unfit = fitting(asked, request.waiting.way, given=request.wanted.given)
    asked, unordered = _sums_only(asked, logs, given=request.wanted.given)
    paired = (
        () if request.against is None else tuple(one.paired() for one in asked if _can_be_paired(one, columns, request))
    )
    total = _total(logs, Plan.of(block for one in (*asked, *paired) for block in one.blocks), aside)
    if not request.part:
        _check_known(total, request, policy, sources)
    asked, left_out = _predicted_only(asked, total, given=request.wanted.given)
    paired = tuple(one for one in paired if one.name in {kept.name for kept in asked})
    bounding = Bounding.over(logs, request.method, request.ask, asked)
    found = [_estimate(one, total, bounding) for one in asked]
    differences = [_estimate(one, total, bounding) for one in paired]
    of_differences = [*bounding.of_differences(paired), *(note for _, notes in differences for note in notes)]
    return Evaluation(
        n=total.sums.n,
        estimates=tuple(estimate for estimate, _ in found),
        diagnostics=diagnose(total.sums),
        notes=(
            *_of_scorer(request, policy),
            *aside.notes(),
            *unfit,
            *unordered,
            *left_out,
            *bounding.notes,
            *(note for _, notes in found for note in notes),
            *_unpaired(asked, paired, request),
            *(f"less {request.against}: {note}" for note in of_differences),
            *([] if request.part else told(request, asked)),
        ),
        bad_rows=aside if request.report and not request.part else None,
        predictions_from=request.predictions_from if any(one.estimator.form.needs for one in asked) else None,
        against=_comparison(request, differences),
        weights=weight_bins(logs) if request.weights and not request.part else None,
    )


def _rows(log: Log, request: Request, policy: Policy | None) -> tuple[list[Rows], Asides]:
    """Return the rows with all rules that they must keep, and what was left out for breaking one."""
    rows = [held_to_loop(log.rows(source, request, policy), request.loop) for source in log.sources]
    logs, broken = [held_to(one, request.ask.within) for one in rows], Asides()
    if request.report:
        logs, broken = without_bad_rows(logs)
    return scaled(logs), broken


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


def _comparison(request: Request, differences: Sequence[tuple[Estimate, list[str]]]) -> Comparison | None:
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


def _total(logs: Sequence[Rows], plan: Plan, aside: Asides) -> Tally:
    tallies = [found for rows in logs if (found := tally(rows, plan)) is not None]
    if not tallies:
        names = ", ".join(rows.source.name for rows in logs)
        broken = f" Of {aside.broken:,} bad rows, the first is: {aside.shown[0]}." if aside.broken else ""
        left_out = "".join(f" {note[0].upper()}{note[1:]}." for note in aside.notes())
        raise NoRows(f"{names}: no rows; an estimate needs at least one settled decision.{left_out}{broken}")
    return reduce(add, tallies)


def _sums_only(asked: tuple[Asked, ...], logs: Sequence[Rows], *, given: bool) -> tuple[tuple[Asked, ...], list[str]]:
    folds = [one.name for one in asked if not one.members]
    why = next(filter(None, map(why_unordered, logs)), None)
    if given or not folds or why is None:
        return asked, []  # where a fold was named, it says itself why it cannot be
    return tuple(one for one in asked if one.members), [f"left out {', '.join(folds)}: {why.partition('.')[0]}"]


def _predicted_only(asked: tuple[Asked, ...], total: Tally, *, given: bool) -> tuple[tuple[Asked, ...], list[str]]:
    left_out = [one.name for one in asked if one.estimator.form.needs]
    if not (total.unpredicted and left_out):
        return asked, []
    why = f"{', '.join(left_out)}: predicted_rewards is null in {total.unpredicted:,} of {total.sums.n:,} rows"
    if given:
        raise InvalidRequest(f"{why}; they need it in each. Ask for --estimators ips,snips.")
    return tuple(one for one in asked if not one.estimator.form.needs), [f"left out {why}"]


def _estimate(asked: Asked, total: Tally, bounding: Bounding) -> tuple[Estimate, list[str]]:
    found, note = _fold(asked, total, bounding.rows) if not asked.members else _of_sums(asked, total, bounding.rows)
    interval = bounding.of(asked, found)
    method, level = bounding.method.name, bounding.ask.confidence.level
    notes = [*([note] if note else []), *(f"{asked.name}: {one}" for one in interval.notes)]
    return Estimate(asked.name, found.value, found.stderr, (interval.low, interval.high), level, method), notes


def _of_sums(asked: Asked, total: Tally, rows: Decisions) -> tuple[Evidence, str | None]:
    member, note = asked.chosen(total.sums)
    found = member.of(total.sums)
    return Evidence(asked.name, found.value, found.stderr(total.sums), member, total.sums, rows), note


def _fold(asked: Asked, total: Tally, rows: Decisions) -> tuple[Evidence, str]:
    most = total.sums.max_weight if asked.most is None else asked.most
    found = replayed(rows.logs, most=most)
    note = f"{asked.name}: kept {found.kept:,} of {found.seen:,} rows, for weights of at most {most:g}"
    return Evidence(asked.name, found.value, found.stderr, None, total.sums, rows), note
