"""Ranks many targets on one log against a baseline, or, without one, against the best of them."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import combinations
from pathlib import Path
from typing import Literal

from ope.bad_rows import REFUSE, beside_decisions
from ope.comparing.joint import FORMS, joint
from ope.comparing.max_t import Differences, Pair, differences
from ope.errors import InvalidRequest
from ope.evaluate import open_sources
from ope.evaluation import Evaluation
from ope.judge import judge
from ope.log import read_log
from ope.one_loop import loop_of
from ope.question import Question
from ope.request import Request
from ope.scored import scored

Verdict = Literal["reference", "better", "worse", "not told apart"]


@dataclass(frozen=True, slots=True)
class Ranked:
    """One target: its estimate, its difference from the reference and what all statements together allow to say.

    `interval` is simultaneous, `p_adjusted` holds the familywise error; both are NaN for the reference itself.
    """

    policy: str
    value: float
    stderr: float
    ess: float
    difference: float
    difference_stderr: float
    interval: tuple[float, float]
    p_adjusted: float
    verdict: Verdict


@dataclass(frozen=True, slots=True)
class Comparison:
    """Targets by value, best first; `reference` is the baseline, or the best where `baseline` is None."""

    n: int
    estimator: str
    baseline: str | None
    reference: str
    level: float
    statements: int
    critical: float
    seed: int
    ranking: tuple[Ranked, ...]
    notes: tuple[str, ...]

    @property
    def may_be_best(self) -> tuple[str, ...]:
        """The targets that cannot be told apart from the best; only without a baseline, else empty."""
        return () if self.baseline else tuple(one.policy for one in self.ranking if one.verdict != "worse")


def compare_files(
    paths: Sequence[Path | str],
    question: Question,
    *,
    estimator: str = "snips",
    baseline: str | None = None,
    seed: int = 0,
) -> Comparison:
    """Return the policies of a question ranked on the files as one log.

    With a baseline each other policy is compared with it; without one every pair is, so that the best of them, which
    the log chose, may be the reference. Raises InvalidRequest for what cannot be asked, InvalidLog for a bad row.
    """
    question = _checked(question, estimator, baseline)
    request = Request.of(question)
    level = request.ask.confidence.level
    names = [policy.name for policy in request.policies]
    sources, aside = beside_decisions(open_sources(paths, question), report=False)
    request = replace(request, loop=loop_of(sources, cut=()))
    with scored(sources, request.scorer, request.columns, report=False) as sources:
        log = read_log(sources, request)
        judged = {policy.name: judge(log, request, aside, policy=policy) for policy in request.policies}
        found = joint(log, request, estimator)
    reference = names.index(baseline) if baseline else int(found.values.argmax())
    pairs = [(j, reference) for j in range(len(names)) if j != reference] if baseline else list(_all_pairs(len(names)))
    compared = differences(found, pairs, level=level, seed=seed)
    ranked = [_ranked(j, reference, judged[name], name, pairs, compared, level) for j, name in enumerate(names)]
    return Comparison(
        n=found.n,
        estimator=estimator,
        baseline=baseline,
        reference=names[reference],
        level=level,
        statements=len(pairs),
        critical=compared.critical,
        seed=seed,
        ranking=tuple(sorted(ranked, key=lambda one: -one.value)),
        notes=tuple(f"{name}: {note}" for name, evaluation in judged.items() for note in evaluation.notes),
    )


def _checked(question: Question, estimator: str, baseline: str | None) -> Question:
    if estimator not in FORMS:
        raise InvalidRequest(f"--estimator {estimator}: targets are compared by one of {', '.join(FORMS)}.")
    policies = list(dict.fromkeys([*question.policies, *([] if baseline is None else [baseline])]))
    if len(policies) < 2:
        raise InvalidRequest(f"{len(policies)} policies: give two or more to compare, with --policy.")
    return replace(question, policies=policies, estimators=[estimator], interval="normal", on_bad_rows=REFUSE)


def _all_pairs(count: int) -> Sequence[Pair]:
    return list(combinations(range(count), 2))


def _ranked(
    j: int, reference: int, judged: Evaluation, name: str, pairs: Sequence[Pair], compared: Differences, level: float
) -> Ranked:
    [estimate] = judged.estimates
    common = (name, estimate.value, estimate.stderr, judged.diagnostics.ess)
    if j == reference:
        nan = float("nan")
        return Ranked(*common, 0.0, 0.0, (nan, nan), nan, "reference")
    place, sign = _place(pairs, j, reference)
    difference, stderr = sign * float(compared.values[place]), float(compared.stderrs[place])
    reach = compared.critical * stderr
    p = float(compared.adjusted[place])
    verdict: Verdict = "not told apart"
    if p <= 1 - level:
        verdict = "better" if difference > 0 else "worse"
    return Ranked(*common, difference, stderr, (difference - reach, difference + reach), p, verdict)


def _place(pairs: Sequence[Pair], j: int, reference: int) -> tuple[int, int]:
    """Return where the pair stands, and the sign that makes it j less the reference."""
    return (pairs.index((j, reference)), 1) if (j, reference) in pairs else (pairs.index((reference, j)), -1)
