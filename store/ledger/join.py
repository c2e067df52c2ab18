"""The rules of the ledger: what a decision, a reward or the passing of time appends to the log.

Each function is an operation for one transaction: it reads, decides, and only then appends, so that an error it
raises on purpose leaves nothing behind.
"""

from collections.abc import Callable, Sequence

import msgspec

from store.errors import Conflict, InvalidInput
from store.ledger.rules import RewardRules
from store.ledger.worth import tally, worth
from store.ports import Transaction
from store.records import SECOND, Cell, Decision, Due, Outcome, OutcomeKind, Reward

RulesOf = Callable[[str], RewardRules]

SKEW = 300 * SECOND
"""How far a sender's clock may be from ours before its rewards are counted as skewed."""


class Recorded(msgspec.Struct, frozen=True):
    """A decision as stored; `repeated` says that it was there before."""

    decision: Decision
    repeated: bool = False


class Receipt(msgspec.Struct, frozen=True):
    """The answer to a reward: was it counted before, after its window, or before its decision?"""

    duplicate: bool = False
    late: bool = False
    early: bool = False


def record_decision(
    tx: Transaction, decision: Decision, rules: RewardRules, *, known_id: bool, provisional: bool = False
) -> Recorded:
    """Append a decision and join what came early; a retried id gets the stored decision.

    `known_id` says that the caller chose the id, so it may have been used before. `provisional` has the decision
    learned at once, as if nothing came for it, until something does.

    Raises `Conflict` when the id was used with another body.
    """
    if known_id:
        stored = tx.decision(decision.loop, decision.decision_id)
        if stored is not None:
            return Recorded(_same_request(stored, decision), repeated=True)
    decision = tx.add_decision(decision)
    _count_decision(tx, decision)
    if provisional and not decision.deferred:
        _append(tx, decision, "provisional", (), rules, at=decision.at)
    if known_id:
        for reward in tx.early(decision.loop, decision.decision_id):
            _join_early(tx, decision, reward, rules)
    return Recorded(decision)


def find_decision(tx: Transaction, *, loop: str, decision_id: str, body: bytes, error: InvalidInput) -> Recorded:
    """Return the decision that was stored for this body, or raise why it cannot be made now."""
    stored = tx.decision(loop, decision_id)
    if stored is None or not _same_body(stored.request, body):
        raise error
    return Recorded(stored, repeated=True)


def record_reward(tx: Transaction, reward: Reward, rules: RewardRules) -> Receipt:
    """Append a reward and what follows from it: an outcome, a correction, or nothing."""
    if reward.reward_id is not None and tx.has_reward(reward.loop, reward.reward_id):
        tx.count(reward.loop, duplicate_rewards=1)
        return Receipt(duplicate=True)
    decision = tx.decision(reward.loop, reward.decision_id)
    if decision is None:
        tx.count(reward.loop, rewards=1, early_rewards=1, waiting_rewards=1)
        tx.add_reward(msgspec.structs.replace(reward, status="early"))
        return Receipt(early=True)
    _check_slot(reward, decision)
    tx.count(reward.loop, rewards=1)
    others, latest = tx.rewards(decision), tx.latest_outcome(decision)
    _count_times(tx, decision, reward, others)
    tx.add_reward(_join(tx, decision, latest, reward, _joined(others), rules))
    return Receipt(late=_is_late(decision, latest, reward))


def activate(
    tx: Transaction, loop: str, decision_id: str, now: int, rules: RewardRules, *, provisional: bool
) -> Decision | None:
    """Say that a deferred decision was shown; rewards that came before count from now on. None: there is none.

    Once is enough, and a decision that was not deferred is active anyway: both change nothing.

    Raises `Conflict` when its window has passed.
    """
    decision = tx.decision(loop, decision_id)
    if decision is None or not _dormant(tx, decision):
        return decision
    if now >= decision.due or tx.latest_outcome(decision) is not None:
        raise Conflict(
            f"decision {decision_id!r} was not activated before its reward window closed, and is never learned: "
            "activate sooner, or give the loop a longer reward.window_s"
        )
    tx.activate(decision, now)
    tx.count(loop, activated=1)
    _open(tx, decision, rules, at=now, provisional=provisional)
    return decision


def expire(tx: Transaction, now: int, rules_of: RulesOf, *, limit: int) -> list[Outcome]:
    """Close up to `limit` decisions whose window has passed, earliest first, with what their rewards come to."""
    return [_settle(tx, due, rules_of(due.decision.loop)) for due in tx.due(now, limit)]


def drop_early(tx: Transaction, loop: str, before: int, *, limit: int) -> int:
    """Give up on rewards that came at or before that time and whose decision never did; returns how many."""
    waiting = tx.early_before(loop, before, limit)
    for reward in waiting:
        _settle_early(tx, msgspec.structs.replace(reward, status="dropped"))
    return len(waiting)


def _same_request(stored: Decision, sent: Decision) -> Decision:
    if _same_body(stored.request, sent.request):
        return stored
    raise Conflict(
        f"decision_id {sent.decision_id!r} was used on this loop with another body: "
        "repeat the same body to get the stored decision, or send a new decision_id"
    )


def _same_body(stored: bytes, sent: bytes) -> bool:
    return stored == sent or bool(_parse(stored) == _parse(sent))


def _parse(body: bytes) -> object:
    return msgspec.json.decode(body)


def _count_decision(tx: Transaction, decision: Decision) -> None:
    tx.count(
        decision.loop,
        decisions=1,
        explored=int(decision.ranking[0].explored),
        expected_exploration=decision.exploration,
        fallbacks=int(decision.fallback is not None),
    )


def _check_slot(reward: Reward, decision: Decision) -> None:
    if reward.slot is not None and not 0 <= reward.slot < len(decision.ranking):
        raise InvalidInput(
            f"slot is {reward.slot}, but the decision's ranking has {len(decision.ranking)} slots, counted from 0: "
            "send one of those, or leave slot out to reward the whole slate"
        )


def _count_times(tx: Transaction, decision: Decision, reward: Reward, others: Sequence[Reward]) -> None:
    """Count what the sender's clock says that ours does not bear out; nothing else depends on it."""
    early, late = decision.at - SKEW, reward.received_at + SKEW
    skewed = not early <= reward.occurred_at <= late
    before = max((other.occurred_at for other in others), default=reward.occurred_at)
    tx.count(reward.loop, skewed_rewards=int(skewed), disordered_rewards=int(reward.occurred_at < before))


def _dormant(tx: Transaction, decision: Decision) -> bool:
    """Say whether the decision has not been shown, as far as anybody said."""
    return decision.deferred and tx.activated(decision) is None


def _open(tx: Transaction, decision: Decision, rules: RewardRules, *, at: int, provisional: bool) -> None:
    """Take up a decision that counts from now on: with the rewards that are there, or provisionally with none."""
    there = _joined(tx.rewards(decision))
    if there and rules.closes_at_first(len(decision.ranking)):
        _append(tx, decision, "rewarded", tally(there, rules), rules, at=at)
    elif provisional:
        _append(tx, decision, "provisional", tally(there, rules), rules, at=at)


def _join(
    tx: Transaction,
    decision: Decision,
    latest: Outcome | None,
    reward: Reward,
    there: Sequence[Reward],
    rules: RewardRules,
) -> Reward:
    """Append what follows from a reward, where those that are `there` count already; returned with its status."""
    if _is_late(decision, latest, reward):
        return _join_late(tx, decision, latest, reward, there, rules)
    if (latest is not None and latest.settled) or _is_extra(reward, there, rules):
        tx.count(reward.loop, extra_rewards=1)
        return msgspec.structs.replace(reward, status="extra")
    joined = msgspec.structs.replace(reward, status="joined")
    if _dormant(tx, decision):
        return joined
    cells = tally([*there, joined], rules)
    if rules.closes_at_first(len(decision.ranking)):
        _append(tx, decision, "rewarded", cells, rules, at=reward.received_at, revised=latest)
    elif latest is not None:
        _append(tx, decision, "provisional", cells, rules, at=reward.received_at, revised=latest)
    return joined


def _is_late(decision: Decision, latest: Outcome | None, reward: Reward) -> bool:
    # A clock that stepped back can bring a reward "in time" after its window was closed: the log's order decides.
    closed = latest is not None and latest.settled and not (latest.kind == "rewarded" and latest.at < decision.due)
    return reward.received_at >= decision.due or closed


def _is_extra(reward: Reward, there: Sequence[Reward], rules: RewardRules) -> bool:
    """Say whether a reward came second where the first one counts."""
    taken = any((other.slot, other.component) == (reward.slot, reward.component) for other in there)
    return taken and rules.aggregation_of(reward.component) == "first"


def _join_late(
    tx: Transaction,
    decision: Decision,
    latest: Outcome | None,
    reward: Reward,
    there: Sequence[Reward],
    rules: RewardRules,
) -> Reward:
    tx.count(reward.loop, late_rewards=1)
    # Expiry runs on a timer; the log must not depend on whether the timer or the reward came first.
    if latest is None or not latest.settled:
        latest = _settle(tx, Due(decision, latest, there), rules)
    in_time = reward.received_at <= rules.corrects_until(decision.due)
    if rules.late == "log" or latest.kind == "censored" or not in_time or _is_extra(reward, there, rules):
        return msgspec.structs.replace(reward, status="late")
    joined = msgspec.structs.replace(reward, status="joined")
    cells = tally([*there, joined], rules)
    if cells != tally(there, rules):
        _append(tx, decision, "corrected", cells, rules, at=reward.received_at, revised=latest)
    return joined


def _joined(rewards: Sequence[Reward]) -> list[Reward]:
    """Return the rewards that count, in order of arrival."""
    return [reward for reward in rewards if reward.status == "joined"]


def _join_early(tx: Transaction, decision: Decision, reward: Reward, rules: RewardRules) -> None:
    try:
        _check_slot(reward, decision)
    except InvalidInput:
        # Its sender was answered long ago; all that is left is to count it.
        _settle_early(tx, msgspec.structs.replace(reward, status="dropped"))
    else:
        latest, there = tx.latest_outcome(decision), _joined(tx.rewards(decision))
        _settle_early(tx, _join(tx, decision, latest, reward, there, rules))


def _settle_early(tx: Transaction, reward: Reward) -> None:
    tx.settle_early(reward)
    tx.count(reward.loop, waiting_rewards=-1, dropped_rewards=int(reward.status == "dropped"))


def _settle(tx: Transaction, due: Due, rules: RewardRules) -> Outcome:
    """Close a decision whose window has passed."""
    decision = due.decision
    if _dormant(tx, decision):
        return _append(tx, decision, "censored", (), rules, at=decision.due)
    cells = tally(_joined(due.rewards), rules)
    return _append(tx, decision, "rewarded" if cells else "expired", cells, rules, at=decision.due, revised=due.outcome)


def _append(  # what an entry is made of meets here
    tx: Transaction,
    decision: Decision,
    kind: OutcomeKind,
    cells: tuple[Cell, ...],
    rules: RewardRules,
    *,
    at: int,
    revised: Outcome | None = None,
) -> Outcome:
    if kind in {"rewarded", "expired", "censored"}:
        tx.close(decision)
    tx.count(decision.loop, **{kind: 1})
    return tx.add_outcome(
        decision,
        Outcome(
            loop=decision.loop,
            position=0,
            decision_id=decision.decision_id,
            kind=kind,
            value=worth(cells, rules),
            at=at,
            previous=None if revised is None else revised.value,
            earned=_compact(cells),
            unrewarded=rules.default if _compact(cells) else 0.0,
            revises=None if revised is None else revised.position,
            root=None if revised is None else revised.root or revised.position,
        ),
    )


def _compact(cells: tuple[Cell, ...]) -> tuple[Cell, ...]:
    """Leave out what the outcome's value says already."""
    return () if len(cells) == 1 and cells[0].slot is None and cells[0].component is None else cells
