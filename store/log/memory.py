"""A `Store` in memory: for tests, simulations and as the readable definition of what the port means."""

import bisect
import itertools
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence

import msgspec

from store.errors import HoneyguideError, NotStored
from store.lineage import Erased, Erasure, Line, Taint
from store.log.deleted import check_deletion, gone, log_begins
from store.log.erased import unless_erased
from store.ports import Operation
from store.records import (
    AuditRecord,
    Checkpoint,
    Counts,
    Decision,
    Deletion,
    Due,
    Example,
    Logged,
    LoopRecord,
    Outcome,
    Relearning,
    Reward,
)

Key = tuple[str, str]


class _State:
    """Everything that is stored; copied whole to make a batch all-or-nothing."""

    def __init__(self) -> None:
        self.loops: dict[str, LoopRecord] = {}
        self.decisions: dict[Key, Decision] = {}
        self.log: list[Decision] = []
        self.open: list[tuple[int, int, Decision]] = []
        self.rewards: list[Reward] = []
        self.outcomes: dict[str, list[tuple[Outcome, Decision]]] = defaultdict(list)
        self.activated: dict[Key, int] = {}
        self.configs: list[LoopRecord] = []
        self.checkpoints: dict[Key, list[Checkpoint]] = defaultdict(list)
        self.audits: dict[str, AuditRecord] = {}
        self.relearnings: list[Relearning] = []
        self.lines: list[Line] = []
        self.taints: dict[Key, Taint] = {}
        self.erasures: dict[tuple[int, str], Erasure] = {}
        self.deletions: dict[str, list[Deletion]] = defaultdict(list)
        self.known_rewards: set[Key] = set()
        self.counts: dict[str, Counts] = defaultdict(Counts)

    def copy(self) -> "_State":
        new = _State()
        for name in _COPIED:
            setattr(new, name, getattr(self, name).copy())
        new.deletions.update({k: v.copy() for k, v in self.deletions.items()})
        new.counts.update(self.counts)
        new.outcomes.update({k: v.copy() for k, v in self.outcomes.items()})
        new.checkpoints.update({k: v.copy() for k, v in self.checkpoints.items()})
        return new

    def decision(self, loop: str, decision_id: str) -> Decision | None:
        found = self.decisions.get((loop, decision_id))
        if found is not None and found.position <= self.deleted(loop):
            raise gone(loop, decision_id, found.position, found.at, self.deletions[loop])
        return found

    def deleted(self, loop: str) -> int:
        """The newest decision that was deleted, 0 when none was."""
        return self.deletions[loop][-1].decisions if self.deletions[loop] else 0


_COPIED = (
    *("loops", "decisions", "log", "open", "rewards", "activated", "audits", "configs", "relearnings"),
    *("known_rewards", "lines", "taints", "erasures"),
)


class _MemoryTransaction:
    """The `Transaction` port over a `_State`."""

    def __init__(self, state: _State) -> None:
        self._state = state

    def decision(self, loop: str, decision_id: str) -> Decision | None:
        found = self._state.decision(loop, decision_id)
        return None if found is None else unless_erased(found)

    def add_decision(self, decision: Decision) -> Decision:
        stored = decision.placed(len(self._state.log) + 1)
        self._state.decisions[stored.loop, stored.decision_id] = stored
        self._state.log.append(stored)
        bisect.insort(self._state.open, (stored.due, stored.position, stored), key=lambda entry: entry[:2])
        return stored

    def close(self, decision: Decision) -> None:
        self._state.open = [entry for entry in self._state.open if entry[1] != decision.position]

    def due(self, now: int, limit: int) -> list[Due]:
        found = [decision for due, _, decision in self._state.open if due <= now][:limit]
        return [Due(decision, self.latest_outcome(decision), self.rewards(decision)) for decision in found]

    def has_reward(self, loop: str, reward_id: str) -> bool:
        known = (loop, reward_id) in self._state.known_rewards
        return known or any(r.loop == loop and r.reward_id == reward_id for r in self._state.rewards)

    def add_reward(self, reward: Reward) -> None:
        self._state.rewards.append(reward)

    def rewards(self, decision: Decision) -> list[Reward]:
        return [r for r in self._state.rewards if (r.loop, r.decision_id) == (decision.loop, decision.decision_id)]

    def activate(self, decision: Decision, at: int) -> None:
        self._state.activated[decision.loop, decision.decision_id] = at

    def activated(self, decision: Decision) -> int | None:
        return self._state.activated.get((decision.loop, decision.decision_id))

    def early(self, loop: str, decision_id: str) -> list[Reward]:
        return [r for r in self._state.rewards if _waits(r, loop) and r.decision_id == decision_id]

    def early_before(self, loop: str, received_at: int, limit: int) -> list[Reward]:
        waiting = [r for r in self._state.rewards if _waits(r, loop) and r.received_at <= received_at]
        return sorted(waiting, key=lambda r: r.received_at)[:limit]

    def settle_early(self, reward: Reward) -> None:
        waiting = msgspec.structs.replace(reward, status="early")
        self._state.rewards[self._state.rewards.index(waiting)] = reward

    def latest_outcome(self, decision: Decision) -> Outcome | None:
        entries = self._state.outcomes[decision.loop]
        return next((o for o, _ in reversed(entries) if o.decision_id == decision.decision_id), None)

    def add_outcome(self, decision: Decision, outcome: Outcome) -> Outcome:
        entries = self._state.outcomes[outcome.loop]
        stored = msgspec.structs.replace(outcome, position=len(entries) + 1)
        entries.append((stored, decision))
        return stored

    def count(self, loop: str, **by: float) -> None:
        counts = self._state.counts[loop]
        changed = {name: getattr(counts, name) + amount for name, amount in by.items()}
        self._state.counts[loop] = msgspec.structs.replace(counts, **changed)

    def put_loop(self, record: LoopRecord) -> None:
        self._state.loops[record.name] = record
        self._state.configs.append(record)

    def save_checkpoint(self, checkpoint: Checkpoint, *, keep: int) -> None:
        kept = [*self._state.checkpoints[checkpoint.loop, checkpoint.line], checkpoint]
        unique = {c.position: c for c in kept}
        newest = sorted(unique.values(), key=lambda c: -c.position)
        self._state.checkpoints[checkpoint.loop, checkpoint.line] = newest[:keep]

    def add_relearning(self, relearning: Relearning) -> None:
        self._state.relearnings.append(relearning)

    def put_line(self, line: Line) -> None:
        others = [other for other in self._state.lines if (other.loop, other.name) != (line.loop, line.name)]
        self._state.lines = [*others, line]

    def add_taint(self, taint: Taint) -> None:
        self._state.taints[taint.loop, taint.line] = taint

    def drop_checkpoints(self, loop: str, line: str, *, since: int) -> None:
        kept = [c for c in self._state.checkpoints[loop, line] if c.position < since]
        self._state.checkpoints[loop, line] = kept

    def erase(self, decision: Decision, at: int) -> Erased:
        state, key = self._state, (decision.loop, decision.decision_id)
        left = decision.erased(at)
        self.close(decision)
        state.decisions[key] = left
        state.log = [left if d.position == left.position else d for d in state.log]
        entries = state.outcomes[decision.loop]
        own = [i for i, (_, made) in enumerate(entries) if made.position == left.position]
        for i in own:
            entries[i] = entries[i][0].erased(), left
        rewards = [r for r in state.rewards if (r.loop, r.decision_id) == key]
        state.rewards = [r.erased() if (r.loop, r.decision_id) == key else r for r in state.rewards]
        return Erased(1, len(own), len(rewards))

    def save_erasure(self, erasure: Erasure) -> None:
        self._state.erasures[erasure.at, erasure.loop] = erasure

    def delete(self, deletion: Deletion) -> None:
        state, loop = self._state, deletion.loop
        open_ones = (position for _, position, d in state.open if d.loop == loop)
        check_deletion(deletion, min(open_ones, default=None), len(state.outcomes[loop]))
        newest = max(d.at for d in state.log if d.loop == loop and d.position <= deletion.decisions)
        state.deletions[loop].append(deletion)
        lost = [r for r in state.rewards if r.loop == loop and _is_lost(r, state, newest)]
        state.known_rewards |= {(loop, r.reward_id) for r in lost if r.reward_id is not None}
        state.rewards = [r for r in state.rewards if r not in lost]

    def touch(self) -> None:
        """There is no disk."""

    def save_audit(self, audit: AuditRecord) -> None:
        self._state.audits[audit.loop] = audit


class MemoryStore:
    """The `Store` port in memory; a batch copies the whole state, so it is for small data.

    Decisions and outcomes that were deleted are out of reach, but take up memory still.
    """

    def __init__(self) -> None:
        self._state = _State()
        self._next = self._state

    def begin(self, operations: Sequence[Operation[object]]) -> list[object]:
        self._next = self._state.copy()
        try:
            return [_run(operation, _MemoryTransaction(self._next)) for operation in operations]
        except Exception as error:
            raise NotStored(f"nothing was written ({error!r}); send the request again") from error

    def commit(self) -> None:
        self._state = self._next

    def loops(self) -> list[LoopRecord]:
        return [self._state.loops[name] for name in sorted(self._state.loops)]

    def configs(self, loop: str) -> list[LoopRecord]:
        return [record for record in self._state.configs if record.name == loop]

    def decision(self, loop: str, decision_id: str) -> Decision | None:
        found = self._state.decision(loop, decision_id)
        return None if found is None else unless_erased(found)

    def rewards(self, loop: str, decision_id: str) -> list[Reward]:
        self._state.decision(loop, decision_id)  # refuses what was deleted
        return [r for r in self._state.rewards if (r.loop, r.decision_id) == (loop, decision_id)]

    def outcomes(self, loop: str, decision_id: str) -> list[Outcome]:
        self._state.decision(loop, decision_id)  # refuses what was deleted
        return [o for o, _ in self._state.outcomes[loop] if o.decision_id == decision_id]

    def activated(self, loop: str, decision_id: str) -> int | None:
        self._state.decision(loop, decision_id)  # refuses what was deleted
        return self._state.activated.get((loop, decision_id))

    def logged(self, loop: str, *, since: int, until: int, after: int, limit: int) -> list[Logged]:
        after = max(after, self._state.deleted(loop))
        found = (d for d in _whole(self._state.log) if d.loop == loop and since <= d.at < until)
        rows = [d for d in found if d.position > after]
        latest = {o.decision_id: o for o, _ in self._state.outcomes[loop]}
        return [Logged(d, latest.get(d.decision_id)) for d in rows[:limit]]

    def decisions(self, *, after: int, limit: int) -> list[Decision]:
        left = (d for d in _whole(self._state.log[after:]) if d.position > self._state.deleted(d.loop))
        return list(itertools.islice(left, limit))

    def erased(self, loop: str, *, since: int, until: int) -> int:
        own = [d for d in self._state.log if d.loop == loop and since <= d.at < until]
        return sum(d.erased_at is not None and d.position > self._state.deleted(loop) for d in own)

    def first_open(self, loop: str) -> int | None:
        return min((position for _, position, d in self._state.open if d.loop == loop), default=None)

    def examples(self, loop: str, *, after: int, limit: int) -> list[Example]:
        log = self._state.outcomes[loop]
        if after < self.log_start(loop) - 1:
            raise log_begins(loop, after, self._state.deletions[loop][-1])
        found = log[after : after + limit]
        return [Example(o, d, None if o.revises is None else log[o.revises - 1][0]) for o, d in found]

    def log_start(self, loop: str) -> int:
        deletions = self._state.deletions[loop]
        return deletions[-1].outcomes + 1 if deletions else 1

    def deletions(self, loop: str) -> list[Deletion]:
        return self._state.deletions[loop].copy()

    def relearnings(self, loop: str, line: str) -> list[Relearning]:
        found = [r for r in self._state.relearnings if (r.loop, r.line) == (loop, line)]
        return sorted(found, key=lambda r: r.position)

    def lines(self, loop: str) -> list[Line]:
        return sorted((line for line in self._state.lines if line.loop == loop), key=_age)

    def taints(self, loop: str) -> list[Taint]:
        return [taint for (name, _), taint in sorted(self._state.taints.items()) if name == loop]

    def erasures(self) -> list[Erasure]:
        return [erasure for _, erasure in sorted(self._state.erasures.items())]

    def log_position(self, loop: str) -> int:
        return len(self._state.outcomes[loop])

    def anything_due(self, now: int) -> bool:
        return bool(self._state.open) and self._state.open[0][0] <= now

    def anything_waiting(self, loop: str, received_at: int) -> bool:
        return any(_waits(r, loop) and r.received_at <= received_at for r in self._state.rewards)

    def counts(self, loop: str) -> Counts:
        return self._state.counts[loop]

    def checkpoints(self, loop: str, line: str) -> Iterator[Checkpoint]:
        yield from self._state.checkpoints[loop, line]

    def audits(self) -> list[AuditRecord]:
        return [self._state.audits[name] for name in sorted(self._state.audits)]

    def stored_through(self, loop: str) -> dict[str, int]:
        kept = self._state.checkpoints.items()
        return {line: stored[0].position for (name, line), stored in sorted(kept) if name == loop and stored}

    def last_checkpoint(self, loop: str) -> tuple[int, int]:
        forks = {line.name for line in self.lines(loop) if line.why == "fork"}
        kept = self._state.checkpoints.items()
        stored = [(c.position, c.at) for (name, line), own in kept if name == loop and line not in forks for c in own]
        return max(stored, default=(0, 0))

    def close(self) -> None:
        """Nothing is held."""


def _whole(log: Iterable[Decision]) -> Iterator[Decision]:
    return (decision for decision in log if decision.erased_at is None)


def _age(line: Line) -> tuple[int, str]:
    return line.opened_at, line.name


def _is_lost(reward: Reward, state: _State, newest: int) -> bool:
    """Say whether a reward goes with the decisions of its loop that are deleted, the newest of which is from then."""
    decision = state.decisions.get((reward.loop, reward.decision_id))
    if decision is None:
        return reward.status == "dropped" and reward.received_at <= newest
    return decision.position <= state.deleted(reward.loop)


def _waits(reward: Reward, loop: str) -> bool:
    return reward.status == "early" and reward.loop == loop


def _run(operation: Operation[object], tx: _MemoryTransaction) -> object:
    try:
        return operation(tx)
    except HoneyguideError as error:
        return error
