"""What the service takes and answers, as the public contract spells it."""

import functools
import re
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any, Literal

import msgspec

from bandit.decide import MAX_TOP_N
from bandit.service.changes import Change
from bandit.settings import LoopConfig
from store.errors import InvalidInput
from store.records import SECOND, Decision, Outcome, Reward, Slot

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_LAST = (datetime(9999, 1, 1, tzinfo=UTC) - _EPOCH) // timedelta(microseconds=1)
_LOOP_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")


def instant(at: int) -> str:
    """Write microseconds since 1970 as RFC 3339 in UTC."""
    seconds, rest = divmod(at, SECOND)
    return f"{_second(seconds)}.{rest:06d}Z"


@functools.lru_cache(maxsize=64)
def _second(seconds: int) -> str:
    return (_EPOCH + timedelta(seconds=seconds)).isoformat()[:19]


def microseconds(moment: datetime) -> int:
    """Read a time; one without a zone is UTC. Raises `InvalidInput` for one before 1970 or after 9998."""
    aware = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    at = (aware - _EPOCH) // timedelta(microseconds=1)
    if not 0 <= at < _LAST:
        raise InvalidInput(f"the time {moment.isoformat()} is not between 1970 and 9998: check the sender's clock")
    return at


def check_loop_name(name: str) -> str:
    """Return the name, or refuse it."""
    if not _LOOP_NAME.fullmatch(name):
        raise InvalidInput(
            f"loop name {name!r} is not allowed: use 1 to 100 letters, digits, '.', '_', '-', not a sign first"
        )
    return name


class RewardRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The body of `POST …/rewards`."""

    decision_id: str
    value: float
    reward_id: str | None = None
    slot: Annotated[int, msgspec.Meta(ge=0, lt=MAX_TOP_N)] | None = None
    component: str | None = None
    occurred_at: datetime | None = None


class RewardAnswer(msgspec.Struct, frozen=True):
    """The answer to a reward that is on disk."""

    status: Literal["accepted"]
    duplicate: bool
    late: bool
    early: bool


class DecisionAnswer(msgspec.Struct, frozen=True):
    """The answer to a decision request."""

    decision_id: str
    ranking: list[Slot]
    slate_propensity: float
    policy: str
    model_version: str
    component: str
    fallback: str | None
    at: str
    short: str | None


class Probability(msgspec.Struct, frozen=True):
    """An eligible action and the probability that the first slot was sampled with."""

    action: str
    propensity: float


class RewardView(msgspec.Struct, frozen=True):
    """A reward as the ledger holds it; `status` says what became of it."""

    reward_id: str | None
    value: float
    slot: int | None
    component: str | None
    status: str
    occurred_at: str
    received_at: str


class EarnedView(msgspec.Struct, frozen=True):
    """What the rewards of one slot and one component come to; null is the whole slate, or a reward without name."""

    slot: int | None
    component: str | None
    value: float


class OutcomeView(msgspec.Struct, frozen=True):
    """The newest entry of a decision in the outcome log: what it earned, of what, and what that replaced."""

    kind: str
    value: float
    earned: list[EarnedView]
    previous: float | None
    position: int
    at: str


class VerificationView(msgspec.Struct, frozen=True):
    """Whether the decision, made again from what was logged, is the one that was logged.

    The state that decided came from the checkpoint at `checkpoint` (null: from the beginning) and `folded` outcomes.
    """

    matches: bool
    difference: float | None
    reason: str | None
    checkpoint: int | None
    folded: int


class DecisionView(msgspec.Struct, frozen=True):
    """A decision explained: what was asked, what could have been answered, what was, and what came of it."""

    decision_id: str
    at: str
    due: str
    context: dict[str, Any]
    actions: list[dict[str, Any]]
    distribution: list[Probability]
    predicted_rewards: list[float] | None
    ranking: list[Slot]
    slots: list[Slot]
    slate_propensity: float
    rewards: list[RewardView]
    outcome: OutcomeView | None
    policy: str
    model_version: str
    component: str
    fallback: str | None
    trace: list[str]
    guard_state: dict[str, float]
    withheld: list[str]
    short: str | None
    deferred: bool
    activated_at: str | None
    verification: VerificationView | None


class LoopView(msgspec.Struct, frozen=True):
    """A loop and its whole config, defaults included; `line` names what it learns with."""

    loop: str
    config: LoopConfig
    line: str
    revision: int
    updated_at: str


class OpensView(msgspec.Struct, frozen=True):
    """A line that a config opens: from which position it goes on, and how many outcomes it learns before it serves."""

    line: str
    position: int
    outcomes: int


class ChangesView(msgspec.Struct, frozen=True):
    """What a PUT of a config would change; `opens` is null where the line stays."""

    loop: str
    new: bool
    changes: list[Change]
    opens: OpensView | None


def decision_answer(decision: Decision) -> DecisionAnswer:
    """Return what the caller of a decision gets."""
    return DecisionAnswer(
        decision.decision_id,
        decision.ranking,
        decision.slate_propensity,
        decision.policy,
        decision.model_version,
        decision.component,
        decision.fallback,
        instant(decision.at),
        decision.short,
    )


def decision_view(
    decision: Decision,
    rewards: list[Reward],
    outcomes: list[Outcome],
    activated: int | None,
    verification: VerificationView | None = None,
) -> DecisionView:
    """Return all that is known of a decision."""
    request = msgspec.json.decode(decision.request)
    return DecisionView(
        decision_id=decision.decision_id,
        at=instant(decision.at),
        due=instant(decision.due),
        context=request.get("context", {}),
        actions=request["actions"],
        distribution=[Probability(*pair) for pair in zip(decision.actions, decision.propensities, strict=True)],
        predicted_rewards=decision.predicted,
        ranking=decision.ranking,
        slots=decision.ranking,
        slate_propensity=decision.slate_propensity,
        rewards=[_reward_view(reward) for reward in rewards],
        outcome=_outcome_view(outcomes[-1]) if outcomes else None,
        policy=decision.policy,
        model_version=decision.model_version,
        component=decision.component,
        fallback=decision.fallback,
        trace=decision.trace,
        guard_state=decision.guard_state,
        withheld=decision.withheld,
        short=decision.short,
        deferred=decision.deferred,
        activated_at=None if activated is None else instant(activated),
        verification=verification,
    )


def _reward_view(reward: Reward) -> RewardView:
    return RewardView(
        reward_id=reward.reward_id,
        value=reward.value,
        slot=reward.slot,
        component=reward.component,
        status=reward.status,
        occurred_at=instant(reward.occurred_at),
        received_at=instant(reward.received_at),
    )


def _outcome_view(outcome: Outcome) -> OutcomeView:
    earned = [EarnedView(cell.slot, cell.component, cell.value) for cell in outcome.earned]
    return OutcomeView(outcome.kind, outcome.value, earned, outcome.previous, outcome.position, instant(outcome.at))
