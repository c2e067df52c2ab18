"""Rows to records and back; each record is made in exactly one function."""

from typing import Any

import msgspec

from store.lineage import Erased, Erasure, Line, PassesOver, Taint
from store.records import (
    AuditRecord,
    Cell,
    Checkpoint,
    Decision,
    Deletion,
    Example,
    Law,
    LoopRecord,
    Odds,
    Outcome,
    Relearning,
    Reward,
    Slot,
    tombstone,
)

Row = tuple[Any, ...]

DECISION = "d.position, d.decision_id, d.at, d.due, d.request, d.answer"
REWARD = "r.decision_id, r.reward_id, r.value, r.slot, r.component, r.occurred_at, r.received_at, r.status"
OUTCOME = "o.position, o.kind, o.value, o.at, o.previous, o.earned, o.revises, o.root"
REVISES = OUTCOME.split(", ").index("o.revises")
REVISED = OUTCOME.replace("o.", "p.")
"""The columns of the entry that an outcome revises."""


class _Answer(msgspec.Struct, array_like=True, frozen=True):
    """The part of a decision that no query needs, packed."""

    actions: list[str]
    propensities: list[float]
    predicted: list[float] | None
    ranking: list[tuple[str, float, bool, str | None]]
    policy: str
    model_version: str
    component: str
    fallback: str | None
    trace: list[str]
    exploration: float
    guard_state: dict[str, float] = {}
    withheld: list[str] = []
    short: str | None = None
    law: Law | None = None
    deferred: bool = False
    odds: list[Odds] = []
    revision: int = 0


_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(_Answer).decode
_earned = msgspec.msgpack.Decoder(tuple[float, tuple[Cell, ...]]).decode


def decision_row(loop_id: int, d: Decision) -> Row:
    """Flatten a decision for `INSERT INTO decisions`."""
    answer = _Answer(
        d.actions,
        d.propensities,
        d.predicted,
        [(s.action, s.propensity, s.explored, s.reason) for s in d.ranking],
        d.policy,
        d.model_version,
        d.component,
        d.fallback,
        d.trace,
        d.exploration,
        d.guard_state,
        d.withheld,
        d.short,
        d.law,
        d.deferred,
        d.odds,
        d.revision,
    )
    return (d.position, loop_id, d.decision_id, d.at, d.due, d.request, _encode(answer))


def reward_row(loop_id: int, r: Reward) -> Row:
    """Flatten a reward for `INSERT INTO rewards`, which numbers it."""
    return (
        loop_id,
        r.decision_id,
        r.reward_id,
        r.value,
        r.slot,
        r.component,
        r.occurred_at,
        r.received_at,
        r.status,
    )


def outcome_row(loop_id: int, decision: int, o: Outcome) -> Row:
    """Flatten the outcome of the decision at that position for `INSERT INTO outcomes`."""
    earned = _encode((o.unrewarded, o.earned)) if o.earned else None
    return (loop_id, o.position, decision, o.kind, o.value, o.at, o.previous, earned, o.revises, o.root)


class Pruned(msgspec.Struct, array_like=True, frozen=True):
    """What is left of a decision whose rows were pruned: where in the archive its outcomes and rewards are."""

    outcomes: list[int] = []
    rewards: list[int] = []
    activated: int | None = None


_decode_pruned = msgspec.msgpack.Decoder(Pruned).decode


def pruned_row(pruned: Pruned, position: int) -> Row:
    """Flatten for `UPDATE decisions SET request = ?, answer = x'' WHERE position = ?`: no answer says it is pruned."""
    return (_encode(pruned), position)


def is_pruned(row: Row) -> bool:
    """Say whether a row of the `DECISION` columns has lost its content to the archive, or for good."""
    return not row[5]


def is_deleted(row: Row) -> bool:
    """Say whether a row of the `DECISION` columns has lost its content for good: its id and its times are left."""
    return not row[5] and not row[4]


def pruned(request: bytes) -> Pruned:
    """Read what is left of a pruned decision from its `request`, which is empty where none of it is in the archive."""
    return _decode_pruned(request) if request else Pruned()


_ERASED = b"\xcf"
"""How an erased decision's `answer` begins: MessagePack's mark of the eight bytes that follow, which say when."""
IS_ERASED = "substr(answer, 1, 1) IS x'cf'"
"""What is so of the row of an erased decision; its `request` is empty, or what `Pruned` is."""

HAS_PRUNED = f"(answer = x'' OR {IS_ERASED})"
"""What is so of a row whose `request` says what is in the archive."""


def erased_answer(at: int) -> bytes:
    """Return the `answer` of a decision that was erased at that time."""
    return _ERASED + at.to_bytes(8)


def is_erased(row: Row) -> bool:
    """Say whether a row of the `DECISION` columns is that of an erased decision."""
    return bool(row[5][:1] == _ERASED)


def decision(loop: str, row: Row) -> Decision:
    """Read a decision from a row of the `DECISION` columns."""
    position, decision_id, at, due, request, answer = row
    if is_erased(row):
        when = int.from_bytes(answer[1:])
        return tombstone(loop=loop, decision_id=decision_id, at=at, due=due, position=position, erased_at=when)
    a = _decode(answer)
    return Decision(
        loop=loop,
        decision_id=decision_id,
        at=at,
        due=due,
        request=request,
        actions=a.actions,
        propensities=a.propensities,
        predicted=a.predicted,
        ranking=[Slot(*slot) for slot in a.ranking],
        policy=a.policy,
        model_version=a.model_version,
        component=a.component,
        fallback=a.fallback,
        trace=a.trace,
        exploration=a.exploration,
        guard_state=a.guard_state,
        withheld=a.withheld,
        short=a.short,
        law=a.law,
        deferred=a.deferred,
        odds=a.odds,
        revision=a.revision,
        position=position,
    )


def reward(loop: str, row: Row) -> Reward:
    """Read a reward from a row of the `REWARD` columns."""
    decision_id, reward_id, value, slot, component, occurred_at, received_at, status = row
    return Reward(
        loop=loop,
        decision_id=decision_id,
        reward_id=reward_id,
        value=value,
        slot=slot,
        component=component,
        occurred_at=occurred_at,
        received_at=received_at,
        status=status,
    )


def outcome(loop: str, decision_id: str, row: Row) -> Outcome:
    """Read a decision's outcome from a row of the `OUTCOME` or `REVISED` columns."""
    position, kind, value, at, previous, made_of, revises, root = row
    unrewarded, earned = _earned(made_of) if made_of else (0.0, ())
    return Outcome(
        loop=loop,
        position=position,
        decision_id=decision_id,
        kind=kind,
        value=value,
        at=at,
        previous=previous,
        earned=earned,
        unrewarded=unrewarded,
        revises=revises,
        root=root,
    )


def archived_outcome(row: Row) -> Row:
    """Return the `OUTCOME` columns of a row of the archive, which has the decision's position in second place."""
    return (row[0], *row[2:])


def archived_reward(loop: str, row: Row) -> Reward:
    """Read a reward from a row of the archive, which has its position in first place."""
    return reward(loop, row[1:])


def example(loop: str, entry: Row, revised: Row, made: Row) -> Example:
    """Read an outcome, the one that it revises (or nulls) and their decision from rows of the columns of each."""
    settled = decision(loop, made)
    before = outcome(loop, settled.decision_id, revised) if revised[0] else None
    found = outcome(loop, settled.decision_id, entry)
    if settled.erased_at is None:
        return Example(found, settled, before)
    return Example(found.erased(), settled, before and before.erased())


def due(loop: str, row: Row) -> tuple[Decision, Outcome | None]:
    """Read a decision and its newest outcome, if it has one, from `OUTCOME` and `DECISION`."""
    width = OUTCOME.count(",") + 1
    waiting = decision(loop, row[width:])
    return waiting, outcome(loop, waiting.decision_id, row[:width]) if row[0] else None


def relearning(loop: str, line: str, row: Row) -> Relearning:
    """Read where a line learned anew from `position, at, since`."""
    position, at, since = row
    return Relearning(loop=loop, line=line, position=position, at=at, since=since)


def deletion(loop: str, row: Row) -> Deletion:
    """Read what was deleted from `decisions, outcomes, at`."""
    decisions, outcomes, at = row
    return Deletion(loop=loop, decisions=decisions, outcomes=outcomes, at=at)


def line(loop: str, row: Row) -> Line:
    """Read a line from `name, origin, why, passes_over, opened_at`."""
    name, origin, why, passes_over, opened_at = row
    rule = msgspec.json.decode(passes_over, type=PassesOver)
    return Line(loop=loop, name=name, origin=origin, why=why, passes_over=rule, opened_at=opened_at)


def line_row(loop_id: int, line: Line) -> Row:
    """Flatten a line for `INSERT INTO lines`."""
    rule = msgspec.json.encode(line.passes_over).decode()
    return (loop_id, line.name, line.origin, line.why, rule, line.opened_at)


def taint(loop: str, row: Row) -> Taint:
    """Read a taint from `line, position, at`."""
    line, position, at = row
    return Taint(loop=loop, line=line, position=position, at=at)


def erasure(row: Row) -> Erasure:
    """Read an erasure from `name, at, what, decisions, outcomes, rewards, done_at`."""
    loop, at, what, decisions, outcomes, rewards, done_at = row
    count = Erased(decisions, outcomes, rewards)
    return Erasure(loop=loop, at=at, what=tuple(msgspec.json.decode(what)), count=count, done_at=done_at)


def erasure_row(loop_id: int, e: Erasure) -> Row:
    """Flatten an erasure for `INSERT INTO erasures`."""
    what, count = msgspec.json.encode(e.what).decode(), e.count
    return (loop_id, e.at, what, count.decisions, count.outcomes, count.rewards, e.done_at)


def loop_record(row: Row) -> LoopRecord:
    """Read a loop from `name, config, secret, revision, updated_at`."""
    name, config, secret, revision, updated_at = row
    return LoopRecord(name=name, config=config.encode(), secret=secret, revision=revision, updated_at=updated_at)


def checkpoint(loop: str, row: Row) -> Checkpoint:
    """Read a checkpoint from `line, position, settled, state, digest, fingerprint, at, began`."""
    line, position, settled, state, digest, fingerprint, at, began = row
    return Checkpoint(
        loop=loop,
        line=line,
        position=position,
        settled=settled,
        state=state,
        digest=digest,
        fingerprint=fingerprint,
        at=at,
        began=began,
    )


def audit(row: Row) -> AuditRecord:
    """Read an audit from `name, position, state, at`."""
    loop, position, state, at = row
    return AuditRecord(loop=loop, position=position, state=state, at=at)
