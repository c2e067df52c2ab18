"""The bootstrap interval of any estimator that is made of sums: its terms are summed by block, in one more pass."""

from collections.abc import Iterator

import numpy as np

from ope.formats.source import Frame
from ope.intervals.ask import Ask
from ope.intervals.bootstrap import RESAMPLES, BlockSums, Studentised
from ope.intervals.evidence import Evidence
from ope.intervals.interval import Interval
from ope.ordered import in_order
from ope.sums import Sums
from ope.tally import Plan, row_terms, weighed


def bootstrap_bounds(evidence: Evidence, ask: Ask) -> Interval:
    """Return the studentised bootstrap interval, the same for the same seed and rows.

    What was fitted or chosen before, such as λ or the shares of several loggers, is taken as it is.
    """
    assert evidence.member is not None  # noqa: S101 - the table asks it of nothing else
    plan = Plan.of([evidence.member.terms])
    blocks = _blocks(evidence, plan)
    drawn = [(evidence.member.of(sums), sums) for sums in _resampled(blocks, plan, evidence.sums, ask.seed)]
    values = np.array([found.value for found, _ in drawn])
    stderrs = np.array([found.stderr(sums) for found, sums in drawn])
    studentised = Studentised.of(evidence.value, evidence.stderr, values, stderrs)
    return Interval(*ask.confidence.bounds(studentised.lower, studentised.upper))


def _blocks(evidence: Evidence, plan: Plan) -> BlockSums:
    names = [term.name for term in plan.terms]
    terms = [expression.alias(name) for name, expression in row_terms(plan, pivot=evidence.sums.pivot).items()]

    def select(frame: Frame) -> Frame:
        return weighed(frame, plan).select(*terms)

    state = BlockSums.empty(len(names))
    for part in in_order(evidence.rows.logs, select, what=evidence.rows.what):
        state = state.fold(np.stack([part.column(name) for name in names], axis=1))
    return state


def _resampled(blocks: BlockSums, plan: Plan, sums: Sums, seed: int) -> Iterator[Sums]:
    for part in blocks.resampled(RESAMPLES, seed=seed):
        for count, mean, scatter in zip(part.counts, part.means(), part.scatters(), strict=True):
            yield Sums(int(count), sums.pivot, plan.terms, mean, scatter, sums.max_weight, None)
