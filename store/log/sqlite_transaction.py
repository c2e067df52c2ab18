"""The `Transaction` port over the embedded store's one writing connection."""

import sqlite3
from collections import defaultdict

import msgspec

from store.log import rows
from store.records import Checkpoint, Decision, LoopRecord, Outcome, Reward


class SqliteTransaction:
    """One batch's reads and appends; `flush` writes the totals that it added up."""

    def __init__(self, connection: sqlite3.Connection, loop_ids: dict[str, int]) -> None:
        self._sql = connection.execute
        self._ids = loop_ids
        self._next_decision: int | None = None
        self._next_outcome: dict[str, int] = {}
        self.added: dict[str, dict[str, float]] = defaultdict(lambda: defaultdict(float))

    def decision(self, loop: str, decision_id: str) -> Decision | None:
        row = self._sql(
            f"SELECT {rows.DECISION} FROM decisions d WHERE d.loop = ? AND d.decision_id = ?",
            (self._ids[loop], decision_id),
        ).fetchone()
        return rows.decision(loop, row) if row else None

    def add_decision(self, decision: Decision) -> Decision:
        if self._next_decision is None:
            self._next_decision = self._sql("SELECT coalesce(max(position), 0) + 1 FROM decisions").fetchone()[0]
        stored = msgspec.structs.replace(decision, position=self._next_decision)
        self._next_decision += 1
        loop_id = self._ids[stored.loop]
        self._sql("INSERT INTO decisions VALUES (?, ?, ?, ?, ?, ?, ?)", rows.decision_row(loop_id, stored))
        self._sql("INSERT INTO open_decisions VALUES (?, ?, ?)", (stored.due, stored.position, loop_id))
        return stored

    def close(self, decision: Decision) -> None:
        self._sql(
            "DELETE FROM open_decisions WHERE due = ? AND position = ?",
            (decision.due, decision.position),
        )

    def due(self, now: int, limit: int) -> list[Decision]:
        names = {loop_id: name for name, loop_id in self._ids.items()}
        found = self._sql(
            f"SELECT d.loop, {rows.DECISION} FROM open_decisions o JOIN decisions d USING (position)"
            " WHERE o.due <= ? ORDER BY o.due, o.position LIMIT ?",
            (now, limit),
        )
        return [rows.decision(names[loop_id], row) for loop_id, *row in found]

    def has_reward(self, loop: str, reward_id: str) -> bool:
        query = "SELECT 1 FROM rewards WHERE loop = ? AND reward_id = ?"
        return self._sql(query, (self._ids[loop], reward_id)).fetchone() is not None

    def add_reward(self, reward: Reward) -> None:
        r = reward
        self._sql(
            "INSERT INTO rewards VALUES (NULL, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (
                self._ids[r.loop],
                r.decision_id,
                r.reward_id,
                r.value,
                r.slot,
                r.component,
                r.occurred_at,
                r.received_at,
                r.status,
            ),
        )

    def early(self, loop: str, decision_id: str) -> list[Reward]:
        return self._rewards(loop, "r.status = 'early' AND r.decision_id = ? ORDER BY r.position", decision_id)

    def early_before(self, loop: str, received_at: int, limit: int) -> list[Reward]:
        where = "r.status = 'early' AND r.received_at <= ? ORDER BY r.received_at, r.position LIMIT ?"
        return self._rewards(loop, where, received_at, limit)

    def settle_early(self, reward: Reward) -> None:
        # Two waiting rewards without an id may be alike to the last field: settle exactly one of them.
        self._sql(
            "UPDATE rewards SET status = ? WHERE position = (SELECT min(position) FROM rewards WHERE loop = ?"
            " AND decision_id = ? AND status = 'early' AND reward_id IS ? AND value = ? AND received_at = ?"
            " AND slot IS ?)",
            (
                reward.status,
                self._ids[reward.loop],
                reward.decision_id,
                reward.reward_id,
                reward.value,
                reward.received_at,
                reward.slot,
            ),
        )

    def latest_outcome(self, decision: Decision) -> Outcome | None:
        row = self._sql(
            f"SELECT {rows.OUTCOME} FROM outcomes o JOIN decisions d ON d.position = o.decision"
            " WHERE o.decision = ? ORDER BY o.position DESC LIMIT 1",
            (decision.position,),
        ).fetchone()
        return rows.outcome(decision.loop, row) if row else None

    def add_outcome(self, decision: Decision, outcome: Outcome) -> Outcome:
        loop_id = self._ids[outcome.loop]
        position = self._next_outcome.get(outcome.loop)
        if position is None:
            query = "SELECT coalesce(max(position), 0) + 1 FROM outcomes WHERE loop = ?"
            position = self._sql(query, (loop_id,)).fetchone()[0]
        self._next_outcome[outcome.loop] = position + 1
        o = msgspec.structs.replace(outcome, position=position)
        self._sql(
            "INSERT INTO outcomes VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
            (loop_id, o.position, decision.position, o.kind, o.value, o.at, o.slot, o.previous),
        )
        return o

    def count(self, loop: str, **by: float) -> None:
        added = self.added[loop]
        for name, amount in by.items():
            added[name] += amount

    def put_loop(self, record: LoopRecord) -> None:
        self._sql(
            "INSERT INTO loops (name, config, secret, revision, updated_at) VALUES (?, ?, ?, ?, ?)"
            " ON CONFLICT (name) DO UPDATE SET config = excluded.config, revision = excluded.revision,"
            " updated_at = excluded.updated_at",
            (
                record.name,
                record.config.decode(),
                record.secret,
                record.revision,
                record.updated_at,
            ),
        )
        query = "SELECT id FROM loops WHERE name = ?"
        self._ids[record.name] = self._sql(query, (record.name,)).fetchone()[0]

    def save_checkpoint(self, checkpoint: Checkpoint, *, keep: int) -> None:
        c = checkpoint
        loop_id = self._ids[c.loop]
        self._sql(
            "INSERT OR REPLACE INTO checkpoints VALUES (?, ?, ?, ?, ?, ?, ?)",
            (loop_id, c.line, c.position, c.state, c.digest, c.fingerprint, c.at),
        )
        self._sql(
            "DELETE FROM checkpoints WHERE loop = ? AND line = ? AND position NOT IN"
            " (SELECT position FROM checkpoints WHERE loop = ? AND line = ? ORDER BY position DESC LIMIT ?)",
            (loop_id, c.line, loop_id, c.line, keep),
        )

    def flush(self) -> None:
        """Write the totals that this batch added up."""
        for loop, by in self.added.items():
            for name, amount in by.items():
                self._sql(
                    "INSERT INTO counts VALUES (?, ?, ?)"
                    " ON CONFLICT (loop, name) DO UPDATE SET value = value + excluded.value",
                    (self._ids[loop], name, amount),
                )

    def _rewards(self, loop: str, where: str, *values: object) -> list[Reward]:
        query = f"SELECT {rows.REWARD} FROM rewards r WHERE r.loop = ? AND {where}"
        return [rows.reward(loop, row) for row in self._sql(query, (self._ids[loop], *values))]
