"""What is asked of a log, as one checked value."""

from dataclasses import dataclass

from ope.bad_rows import reported
from ope.errors import InvalidRequest
from ope.estimators.asked import Wanted, wanted
from ope.frames import Columns
from ope.intervals.sequence import Range
from ope.intervals.table import SEQUENCE, Interval, checked_level, interval_method
from ope.kernel import checked_bandwidth
from ope.parts import Cuts, window_seconds
from ope.policies import Policy, parse_policy
from ope.question import CANONICAL, Question
from ope.scorer import Scorer

NO_CUTS = Cuts()


@dataclass(frozen=True, slots=True)
class Request:
    """What is asked of a log.

    `interval` is None for the method that is a fold over the rows; `within` is the declared range of rewards; `report`
    says whether bad rows are left out and listed; `part` whether the rows are only a part of the log. `scorer` scores
    those of the policies that are its targets.
    """

    columns: Columns
    policies: tuple[Policy, ...]
    wanted: Wanted
    bandwidth: float | None
    method: str
    interval: Interval | None
    level: float
    within: Range | None = None
    report: bool = False
    against: str | None = None
    cuts: Cuts = NO_CUTS
    part: bool = False
    scorer: Scorer | None = None

    @staticmethod
    def of(question: Question) -> "Request":
        """Return the question with its names looked up; raises InvalidRequest for what cannot be asked."""
        _check(question)
        return Request(
            columns=question.columns,
            policies=tuple(parse_policy(spec, question.scorer) for spec in dict.fromkeys(question.policies)),
            wanted=wanted(question.estimators, max_weight=question.max_weight),
            bandwidth=checked_bandwidth(question.bandwidth, target_action=question.columns.target_action),
            method=question.interval,
            interval=interval_method(question.interval),
            level=checked_level(question.level),
            within=None if question.reward_range is None else Range(*question.reward_range),
            report=reported(question.on_bad_rows),
            against=question.against,
            cuts=Cuts(tuple(dict.fromkeys(question.segments)), window_seconds(question.window)),
            scorer=question.scorer,
        )


def _check(question: Question) -> None:
    columns, policies = question.columns, question.policies
    if policies and columns.target_propensity != CANONICAL.target_propensity:
        raise InvalidRequest(
            f"--target-propensity {columns.target_propensity} and --policy {policies[0]} are two "
            "answers to one question; give one of them."
        )
    if policies and columns.target_action is not None:
        raise InvalidRequest(
            f"--target-action {columns.target_action} and --policy {policies[0]} are two answers to one question; "
            "give one of them."
        )
    if policies and question.against is not None:
        parse_policy(question.against, question.scorer)
    if question.interval == SEQUENCE and question.reward_range is None:
        raise InvalidRequest(
            f"--interval {question.interval} needs --reward-range LO,HI: the rewards that can be, not those that were "
            "seen."
        )
