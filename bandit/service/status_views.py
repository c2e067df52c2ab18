"""The body of `GET …/status`: is it learning, how does it explore, does its log agree with itself?"""

import msgspec

from bandit.exploration import ExplorationConfig, History
from bandit.learn.learner import Learner
from bandit.service.views import instant
from bandit.settings import LoopConfig
from store.drift.findings import Finding
from store.drift.propensity_audit import PropensityAudit
from store.records import Counts


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
