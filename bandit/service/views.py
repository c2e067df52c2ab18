"""What the service takes and answers, as the public contract spells it."""

import functools
import re
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any, Literal

import msgspec

from bandit.decide import MAX_TOP_N
from bandit.exploration import ExplorationConfig, History
from bandit.learn.learner import Learner
from bandit.service.changes import Change
from bandit.settings import LoopConfig
from store.drift.findings import Finding
from store.drift.propensity_audit import PropensityAudit
from store.errors import InvalidInput
from store.records import SECOND, Counts, Decision, Outcome, Reward, Slot

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


class RewardCounts(msgspec.Struct, frozen=True):
    """What became of rewards: not counted again, before their decision, after the window, behind another, given up.

    `skewed` came from a clock that is minutes from ours, `disordered` happened before one that had come already.
    """

    duplicate: int
    early: int
    waiting: int
    late: int
    extra: int
    dropped: int
    skewed: int
    disordered: int


class BudgetView(msgspec.Struct, frozen=True):
    """The budget's limit, and what the decisions of its window spent."""

    share: float
    window_s: float
    entity: str | None
    decisions: int
    spent: float
    entities: int


class CeilingView(msgspec.Struct, frozen=True):
    """The ceiling of new actions, and how many actions are known well enough to have none."""

    probability: float
    outcomes: int
    established: int


class ValueGuardView(msgspec.Struct, frozen=True):
    """The largest expected loss of a decision, and the mean one since the server or the settings began."""

    max_loss: float
    mean_loss: float | None


class ConservativeView(msgspec.Struct, frozen=True):
    """What was surely earned by staying near the baseline, and what is owed for leaving it; `margin` is between."""

    alpha: float
    confidence: float
    earned: float
    owed: float
    margin: float


class ExplorationView(msgspec.Struct, frozen=True):
    """How much a loop may explore and how much it did: the mean probability off the greedy action, and the share.

    `cap` and `floor` are those in force now.
    """

    mode: str
    cap: float
    floor: float
    expected: float | None
    realised: float | None
    ceiling: CeilingView | None
    value_guard: ValueGuardView | None
    conservative: ConservativeView | None
    budget: BudgetView | None


class AlarmView(msgspec.Struct, frozen=True):
    """A test that alarmed, and when it was noticed: the position and time of the newest decision audited then."""

    test: str
    slot: int
    action: str | None
    position: int
    at: str
    e_value: float
    message: str


class AuditView(msgspec.Struct, frozen=True):
    """Do choices agree with their logged propensities? `alarms` is empty where nothing speaks against it.

    Audited are `decisions` behind position `since` of the decision log, through `position`; `forced` of them had one
    possible choice. `unknown_slots` are slots below the first whose odds are not logged. `tests` are those with the
    most evidence, at most three of each kind. `error` says why the audit does not go on.
    """

    alpha: float
    decisions: int
    forced: int
    unknown_slots: int
    since: int
    position: int
    tests: list[Finding]
    alarms: list[AlarmView]
    error: str | None


class LearningView(msgspec.Struct, frozen=True):
    """When outcomes are learned; `waiting` are on disk and not in the state that serves, which moves at `next_at`."""

    mode: str
    delay: str
    next_at: str | None
    waiting: int


class RelearningView(msgspec.Struct, frozen=True):
    """The line that learns the log, another one or anew, before it serves or goes on, and how far it is."""

    line: str
    position: int


class StatusView(msgspec.Struct, frozen=True):
    """Is the loop learning? `learned_through` follows `log_position`, the newest outcome on disk.

    `log_start` is the first outcome that can be read, `learned_from` the first that the model knows decisions of.
    """

    loop: str
    decisions: int
    activated: int
    rewards: int
    reward_counts: RewardCounts
    outcomes: dict[str, int]
    log_start: int
    log_position: int
    learned_from: int
    learned_through: int
    model_version: str
    checkpoint: int | None
    learning_error: str | None
    fallbacks: int
    learning: LearningView
    relearning: RelearningView | None
    exploration: ExplorationView
    audit: AuditView


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


def reward_counts(counts: Counts) -> RewardCounts:
    """Pick the counts of rewards."""
    return RewardCounts(
        duplicate=counts.duplicate_rewards,
        early=counts.early_rewards,
        waiting=counts.waiting_rewards,
        late=counts.late_rewards,
        extra=counts.extra_rewards,
        dropped=counts.dropped_rewards,
        skewed=counts.skewed_rewards,
        disordered=counts.disordered_rewards,
    )


def learning_view(config: LoopConfig, next_at: int | None, waiting: int) -> LearningView:
    """Return when a loop learns, with the `delay` that its config comes to."""
    delay = "provisional" if config.provisional else "wait"
    return LearningView(config.learning.mode, delay, None if next_at is None else instant(next_at), waiting)


def relearning_view(serving: Learner, behind: Learner | None) -> RelearningView | None:
    """Return how far the line that learns the log has come; `behind` is what is to serve next, if anything."""
    for learner in (behind, serving):
        if learner is not None and learner.relearned:
            return RelearningView(learner.line, learner.relearned)
    return RelearningView(behind.line, behind.position) if behind and behind.line != serving.line else None


def exploration_view(
    config: ExplorationConfig, counts: Counts, history: History, learned: int, now: int
) -> ExplorationView:
    """Return the loop's exploration, allowed and spent, after `learned` outcomes."""
    n = counts.decisions
    cap, floor = config.in_force(learned)
    return ExplorationView(
        mode=config.mode,
        cap=cap,
        floor=floor,
        expected=counts.expected_exploration / n if n else None,
        realised=counts.explored / n if n else None,
        ceiling=_ceiling_view(config, history),
        value_guard=_value_guard_view(config, history),
        conservative=_conservative_view(history),
        budget=_budget_view(history, now),
    )


def audit_view(audit: PropensityAudit, error: str | None) -> AuditView:
    """Return how a loop's propensity audit stands."""
    return AuditView(
        alpha=audit.alpha,
        decisions=audit.decisions,
        forced=audit.forced,
        unknown_slots=audit.unknown_slots,
        since=audit.since,
        position=audit.position,
        tests=audit.view(),
        alarms=[
            AlarmView(a.test, a.slot, a.action, a.position, instant(a.at), a.e_value, a.message) for a in audit.alarms
        ],
        error=error,
    )


def _ceiling_view(config: ExplorationConfig, history: History) -> CeilingView | None:
    if config.ceiling is None or history.learned is None:
        return None
    return CeilingView(config.ceiling.probability, config.ceiling.outcomes, history.learned.established)


def _value_guard_view(config: ExplorationConfig, history: History) -> ValueGuardView | None:
    return ValueGuardView(config.value_guard.max_loss, history.mean_loss) if config.value_guard else None


def _conservative_view(history: History) -> ConservativeView | None:
    gate = history.gate
    if gate is None:
        return None
    return ConservativeView(gate.config.alpha, gate.config.confidence, gate.earned, gate.ledger.owed, gate.margin)


def _budget_view(history: History, now: int) -> BudgetView | None:
    budget = history.budget
    if budget is None:
        return None
    config, total = budget.config, budget.total(now)
    return BudgetView(config.share, config.window_s, config.entity, total.decisions, total.exploration, budget.entities)


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
