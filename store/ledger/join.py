"""The rules of the ledger: what a decision, a reward or the passing of time appends to the log.

Each function is an operation for one transaction: it reads, decides, and only then appends, so that an error it
raises on purpose leaves nothing behind.
"""

from collections.abc import Callable

import msgspec

from store.errors import Conflict, InvalidInput
from store.ports import Transaction
from store.records import SECOND, Decision, Outcome, OutcomeKind, Reward, RewardRules

RulesOf = Callable[[str], RewardRules]


class Recorded(msgspec.Struct, frozen=True):
    """A decision as stored; `repeated` says that it was there before."""

    decision: Decision
    repeated: bool = False


class Receipt(msgspec.Struct, frozen=True):
    """The answer to a reward: was it counted before, after its window, or before its decision?"""

    duplicate: bool = False
    late: bool = False
    early: bool = False


def record_decision(tx: Transaction, decision: Decision, rules: RewardRules, *, known_id: bool) -> Recorded:
    """Append a decision and join what came early; a retried id gets the stored decision.

    `known_id` says that the caller chose the id, so it may have been used before.

    Raises `Conflict` when the id was used with another body.
    """
    if known_id:
        stored = tx.decision(decision.loop, decision.decision_id)
        if stored is not None:
            return Recorded(_same_request(stored, decision), repeated=True)
    decision = tx.add_decision(decision)
    _count_decision(tx, decision)
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
    latest = tx.latest_outcome(decision)
    tx.add_reward(_join(tx, decision, latest, reward, rules))
    return Receipt(late=_is_late(decision, latest, reward))


def expire(tx: Transaction, now: int, rules_of: RulesOf, *, limit: int) -> list[Outcome]:
    """Close up to `limit` decisions whose window has passed, earliest first, with their loop's default reward."""
    return [_expire(tx, decision, rules_of(decision.loop)) for decision in tx.due(now, limit)]


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


def _join(tx: Transaction, decision: Decision, latest: Outcome | None, reward: Reward, rules: RewardRules) -> Reward:
    if _is_late(decision, latest, reward):
        return _join_late(tx, decision, latest, reward, rules)
    if latest is not None:
        tx.count(reward.loop, extra_rewards=1)
        return msgspec.structs.replace(reward, status="extra")
    _append(tx, decision, "rewarded", reward.value, at=reward.received_at, slot=reward.slot)
    return msgspec.structs.replace(reward, status="joined")


def _is_late(decision: Decision, latest: Outcome | None, reward: Reward) -> bool:
    # A clock that stepped back can bring a reward "in time" after its decision expired: the log's order decides.
    return reward.received_at >= decision.due or (latest is not None and latest.kind != "rewarded")


def _join_late(
    tx: Transaction, decision: Decision, latest: Outcome | None, reward: Reward, rules: RewardRules
) -> Reward:
    tx.count(reward.loop, late_rewards=1)
    # Expiry runs on a timer; the log must not depend on whether the timer or the reward came first.
    latest = latest or _expire(tx, decision, rules)
    in_time = reward.received_at <= decision.due + round(rules.correction_window_s * SECOND)
    if rules.late == "log" or latest.kind != "expired" or not in_time:
        return msgspec.structs.replace(reward, status="late")
    previous = latest.value
    _append(
        tx,
        decision,
        "corrected",
        reward.value,
        at=reward.received_at,
        slot=reward.slot,
        previous=previous,
    )
    return msgspec.structs.replace(reward, status="joined")


def _join_early(tx: Transaction, decision: Decision, reward: Reward, rules: RewardRules) -> None:
    try:
        _check_slot(reward, decision)
    except InvalidInput:
        # Its sender was answered long ago; all that is left is to count it.
        _settle_early(tx, msgspec.structs.replace(reward, status="dropped"))
    else:
        _settle_early(tx, _join(tx, decision, tx.latest_outcome(decision), reward, rules))


def _settle_early(tx: Transaction, reward: Reward) -> None:
    tx.settle_early(reward)
    tx.count(reward.loop, waiting_rewards=-1, dropped_rewards=int(reward.status == "dropped"))


def _expire(tx: Transaction, decision: Decision, rules: RewardRules) -> Outcome:
    return _append(tx, decision, "expired", rules.default, at=decision.due)


def _append(
    tx: Transaction,
    decision: Decision,
    kind: OutcomeKind,
    value: float,
    *,
    at: int,
    slot: int | None = None,
    previous: float | None = None,
) -> Outcome:
    if kind != "corrected":
        tx.close(decision)
    tx.count(decision.loop, **{kind: 1})
    return tx.add_outcome(
        decision,
        Outcome(
            loop=decision.loop,
            position=0,
            decision_id=decision.decision_id,
            kind=kind,
            value=value,
            at=at,
            slot=slot,
            previous=previous,
        ),
    )
