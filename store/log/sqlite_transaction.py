"""The `Transaction` port over the embedded store's one writing connection.

Appends are kept back and written many rows to a statement. Each statement hands the interpreter to another thread and
has to win it back from a busy event loop, which costs far more than the rows do.
"""

import copy
import sqlite3
from collections import defaultdict
from collections.abc import Sequence

import msgspec

from store.lineage import Erased, Erasure, Line, Taint
from store.log import rows
from store.log.archive.reader import Archive
from store.log.deleted import check_deletion, gone
from store.log.erased import unless_erased
from store.log.rows import Pruned, Row
from store.records import AuditRecord, Checkpoint, Decision, Deletion, Due, LoopRecord, Outcome, Relearning, Reward

DELETIONS = "SELECT decisions, outcomes, at FROM deletions WHERE loop = ? ORDER BY decisions"
_MOST_ROWS = 64
"""Rows to a statement: few enough that the statement of each length stays prepared."""


class Cursors:
    """What the store remembers between transactions: ids of loops and the next positions of the logs."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self.loop_ids: dict[str, int] = dict(connection.execute("SELECT name, id FROM loops"))
        self.next_decision: int = connection.execute("SELECT coalesce(max(position), 0) + 1 FROM decisions").fetchone()[
            0
        ]
        self.pruned: dict[int, int] = dict(connection.execute("SELECT loop, decisions FROM pruned"))
        self.next_outcome: dict[int, int] = dict(
            connection.execute("SELECT loop, max(position) + 1 FROM outcomes GROUP BY loop")
        )

    def copy(self) -> "Cursors":
        """Return a copy that stays as it is while a transaction moves this one on."""
        new = copy.copy(self)
        new.loop_ids, new.next_outcome = self.loop_ids.copy(), self.next_outcome.copy()
        return new


class SqliteTransaction:
    """One batch's reads and appends; `flush` writes out what was kept back."""

    def __init__(self, connection: sqlite3.Connection, cursors: Cursors, archive: Archive) -> None:
        self._sql = connection.execute
        self._sql_many = connection.executemany
        self._cursors = cursors
        self._archive = archive
        self._ids = cursors.loop_ids
        self._kept: dict[str, list[Row]] = {statement: [] for statement in _STATEMENTS}
        self._counts: dict[tuple[int, str], float] = defaultdict(float)
        # What reads must see although it is not written yet.
        self._decisions: dict[tuple[str, str], Decision] = {}
        self._outcomes: dict[int, Outcome] = {}
        self._reward_ids: set[tuple[str, str]] = set()
        self._activated: dict[int, int] = {}
        self._rewards_kept: dict[tuple[str, str], list[Reward]] = defaultdict(list)

    def decision(self, loop: str, decision_id: str) -> Decision | None:
        kept = self._decisions.get((loop, decision_id))
        if kept is not None:
            return kept
        row = self._sql(
            f"SELECT {rows.DECISION} FROM decisions d WHERE d.loop = ? AND d.decision_id = ?",
            (self._ids[loop], decision_id),
        ).fetchone()
        if row and rows.is_deleted(row):
            raise gone(loop, decision_id, row[0], row[2], self._deletions(loop))
        return unless_erased(rows.decision(loop, self._archive.whole(loop, row))) if row else None

    def add_decision(self, decision: Decision) -> Decision:
        stored = decision.placed(self._cursors.next_decision)
        self._cursors.next_decision += 1
        loop_id = self._ids[stored.loop]
        self._kept[_DECISIONS].append(rows.decision_row(loop_id, stored))
        self._kept[_OPEN].append((stored.due, stored.position, loop_id))
        self._decisions[stored.loop, stored.decision_id] = stored
        return stored

    def close(self, decision: Decision) -> None:
        self._kept[_CLOSE].append((decision.due, decision.position))

    def due(self, now: int, limit: int) -> list[Due]:
        self._write_kept()
        names = {loop_id: name for name, loop_id in self._ids.items()}
        # One statement for all that have no reward, which are most: closing must not run some for each.
        found = self._sql(
            "SELECT d.loop, EXISTS (SELECT 1 FROM rewards WHERE loop = d.loop AND decision_id = d.decision_id),"
            f" {rows.OUTCOME}, {rows.DECISION} FROM open_decisions w JOIN decisions d ON d.position = w.position"
            " LEFT JOIN outcomes o ON o.loop = d.loop"
            " AND o.position = (SELECT max(position) FROM outcomes WHERE decision = d.position)"
            " WHERE w.due <= ? ORDER BY w.due, w.position LIMIT ?",
            (now, limit),
        ).fetchall()
        return [self._due(names[loop_id], row, rewarded=rewarded) for loop_id, rewarded, *row in found]

    def _due(self, loop: str, row: Row, *, rewarded: bool) -> Due:
        decision, outcome = rows.due(loop, row)
        return Due(decision, outcome, self.rewards(decision) if rewarded else [])

    def has_reward(self, loop: str, reward_id: str) -> bool:
        query = "SELECT 1 FROM rewards WHERE loop = ? AND reward_id = ?"
        if (loop, reward_id) in self._reward_ids:
            return True
        if self._sql(query, (self._ids[loop], reward_id)).fetchone() is not None:
            return True
        pruned = query.replace("rewards", "pruned_rewards")
        return bool(self._cursors.pruned) and self._sql(pruned, (self._ids[loop], reward_id)).fetchone() is not None

    def add_reward(self, reward: Reward) -> None:
        self._kept[_REWARDS].append(rows.reward_row(self._ids[reward.loop], reward))
        self._rewards_kept[reward.loop, reward.decision_id].append(reward)
        if reward.reward_id is not None:
            self._reward_ids.add((reward.loop, reward.reward_id))

    def rewards(self, decision: Decision) -> list[Reward]:
        query = f"SELECT {rows.REWARD} FROM rewards r WHERE r.loop = ? AND r.decision_id = ? ORDER BY r.position"
        written = self._sql(query, (self._ids[decision.loop], decision.decision_id))
        kept = self._rewards_kept.get((decision.loop, decision.decision_id), [])
        archived = self._archive.rows(decision.loop, "rewards", self._pruned(decision).rewards)
        return [
            *(rows.archived_reward(decision.loop, row) for row in archived),
            *(rows.reward(decision.loop, row) for row in written),
            *kept,
        ]

    def activate(self, decision: Decision, at: int) -> None:
        self._kept[_ACTIVATED].append((decision.position, at))
        self._activated[decision.position] = at

    def activated(self, decision: Decision) -> int | None:
        kept = self._activated.get(decision.position)
        if kept is not None:
            return kept
        row = self._sql("SELECT at FROM activations WHERE decision = ?", (decision.position,)).fetchone()
        return row[0] if row else self._pruned(decision).activated

    def early(self, loop: str, decision_id: str) -> list[Reward]:
        return self._rewards(loop, "r.status = 'early' AND r.decision_id = ? ORDER BY r.position", decision_id)

    def early_before(self, loop: str, received_at: int, limit: int) -> list[Reward]:
        where = "r.status = 'early' AND r.received_at <= ? ORDER BY r.received_at, r.position LIMIT ?"
        return self._rewards(loop, where, received_at, limit)

    def settle_early(self, reward: Reward) -> None:
        self._write_kept()
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
        kept = self._outcomes.get(decision.position)
        if kept is not None or (decision.loop, decision.decision_id) in self._decisions:
            return kept
        row = self._sql(
            f"SELECT {rows.OUTCOME} FROM outcomes o WHERE o.decision = ? ORDER BY o.position DESC LIMIT 1",
            (decision.position,),
        ).fetchone()
        if row:
            return rows.outcome(decision.loop, decision.decision_id, row)
        archived = self._archive.rows(decision.loop, "outcomes", self._pruned(decision).outcomes[-1:])
        if not archived:
            return None
        return rows.outcome(decision.loop, decision.decision_id, rows.archived_outcome(archived[0]))

    def add_outcome(self, decision: Decision, outcome: Outcome) -> Outcome:
        loop_id = self._ids[outcome.loop]
        position = self._cursors.next_outcome.get(loop_id, 1)
        self._cursors.next_outcome[loop_id] = position + 1
        stored = msgspec.structs.replace(outcome, position=position)
        self._kept[_OUTCOMES].append(rows.outcome_row(loop_id, decision.position, stored))
        self._outcomes[decision.position] = stored
        return stored

    def count(self, loop: str, **by: float) -> None:
        loop_id = self._ids[loop]
        for name, amount in by.items():
            self._counts[loop_id, name] += amount

    def put_loop(self, record: LoopRecord) -> None:
        self._sql(
            "INSERT INTO loops (name, config, secret, revision, updated_at) VALUES (?, ?, ?, ?, ?)"
            " ON CONFLICT (name) DO UPDATE SET config = excluded.config, revision = excluded.revision,"
            " updated_at = excluded.updated_at",
            (record.name, record.config.decode(), record.secret, record.revision, record.updated_at),
        )
        query = "SELECT id FROM loops WHERE name = ?"
        self._ids[record.name] = self._sql(query, (record.name,)).fetchone()[0]
        self._sql(
            "INSERT OR REPLACE INTO configs VALUES (?, ?, ?, ?)",
            (self._ids[record.name], record.revision, record.config.decode(), record.updated_at),
        )

    def save_checkpoint(self, checkpoint: Checkpoint, *, keep: int) -> None:
        c = checkpoint
        loop_id = self._ids[c.loop]
        self._sql(
            "INSERT OR REPLACE INTO checkpoints (loop, line, position, settled, state, digest, fingerprint, at, began)"
            " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (loop_id, c.line, c.position, c.settled, c.state, c.digest, c.fingerprint, c.at, c.began),
        )
        self._sql(
            "DELETE FROM checkpoints WHERE loop = ? AND line = ? AND position NOT IN"
            " (SELECT position FROM checkpoints WHERE loop = ? AND line = ? ORDER BY position DESC LIMIT ?)",
            (loop_id, c.line, loop_id, c.line, keep),
        )

    def add_relearning(self, relearning: Relearning) -> None:
        r = relearning
        loop_id = self._ids[r.loop]
        self._sql("INSERT INTO relearnings VALUES (?, ?, ?, ?, ?)", (loop_id, r.line, r.position, r.at, r.since))

    def delete(self, deletion: Deletion) -> None:
        self._write_kept()
        loop_id, past = self._ids[deletion.loop], self._deletions(deletion.loop)
        check_deletion(
            deletion,
            self._sql("SELECT min(position) FROM open_decisions WHERE loop = ?", (loop_id,)).fetchone()[0],
            self._cursors.next_outcome.get(loop_id, 1) - 1,
        )
        after = past[-1].decisions if past else 0
        values = {"loop": loop_id, "after": after, "through": deletion.decisions, "outcomes": deletion.outcomes}
        for statement in _DELETE:
            self._sql(statement, values)
        row = (loop_id, deletion.decisions, deletion.outcomes, deletion.at)
        self._sql("INSERT INTO deletions VALUES (?, ?, ?, ?)", row)
        pruned = max(self._cursors.pruned.get(loop_id, 0), deletion.decisions)
        self._cursors.pruned = {**self._cursors.pruned, loop_id: pruned}

    def _deletions(self, loop: str) -> list[Deletion]:
        found = self._sql(DELETIONS, (self._ids[loop],))
        return [rows.deletion(loop, row) for row in found]

    def put_line(self, line: Line) -> None:
        self._sql("INSERT OR REPLACE INTO lines VALUES (?, ?, ?, ?, ?, ?)", rows.line_row(self._ids[line.loop], line))

    def add_taint(self, taint: Taint) -> None:
        t = taint
        self._sql("INSERT OR REPLACE INTO taints VALUES (?, ?, ?, ?)", (self._ids[t.loop], t.line, t.position, t.at))

    def drop_checkpoints(self, loop: str, line: str, *, since: int) -> None:
        query = "DELETE FROM checkpoints WHERE loop = ? AND line = ? AND position >= ?"
        self._sql(query, (self._ids[loop], line, since))

    def erase(self, decision: Decision, at: int) -> Erased:
        self._write_kept()
        pruned, loop_id = self._pruned(decision), self._ids[decision.loop]
        outcomes = self._sql(_ERASE_OUTCOMES, (decision.position,)).rowcount
        rewards = self._sql(_ERASE_REWARDS, (loop_id, decision.decision_id)).rowcount
        self._sql(_CLOSE, (decision.due, decision.position))
        self._sql(_ERASE_DECISION, (rows.erased_answer(at), decision.position))
        return Erased(1, outcomes + len(pruned.outcomes), rewards + len(pruned.rewards))

    def save_erasure(self, erasure: Erasure) -> None:
        row = rows.erasure_row(self._ids[erasure.loop], erasure)
        self._sql("INSERT OR REPLACE INTO erasures VALUES (?, ?, ?, ?, ?, ?, ?)", row)

    def touch(self) -> None:
        # Nobody reads this number; setting it writes the file's first page, changed or not.
        self._sql("PRAGMA user_version = 0")

    def save_audit(self, audit: AuditRecord) -> None:
        self._sql(
            "INSERT OR REPLACE INTO audits VALUES (?, ?, ?, ?)",
            (self._ids[audit.loop], audit.position, audit.state, audit.at),
        )

    def flush(self) -> None:
        """Write what was kept back, and the totals that this batch added up."""
        counts = [(loop_id, name, amount) for (loop_id, name), amount in self._counts.items() if amount]
        self._kept[_COUNTS] = counts
        self._write_kept()

    def _pruned(self, decision: Decision) -> Pruned:
        """Return where in the archive the decision's rows are, if they were pruned."""
        if decision.position > self._cursors.pruned.get(self._ids[decision.loop], 0):
            return _NOT_PRUNED
        query = f"SELECT request FROM decisions WHERE position = ? AND {rows.HAS_PRUNED}"
        row = self._sql(query, (decision.position,)).fetchone()
        return rows.pruned(row[0]) if row else _NOT_PRUNED

    def _write_kept(self) -> None:
        for statement, kept in self._kept.items():
            for start in range(0, len(kept), _MOST_ROWS):
                self._write_rows(statement, kept[start : start + _MOST_ROWS])
            kept.clear()
        self._rewards_kept.clear()

    def _write_rows(self, statement: str, kept: Sequence[Row]) -> None:
        if statement is _CLOSE:
            # A list of row values would not be looked up in the key, but compared with every open decision.
            self._sql_many(statement, kept)
            return
        row = f"({', '.join('?' * len(kept[0]))})"
        self._sql(statement.format(rows=", ".join([row] * len(kept))), [value for r in kept for value in r])

    def _rewards(self, loop: str, where: str, *values: object) -> list[Reward]:
        self._write_kept()
        query = f"SELECT {rows.REWARD} FROM rewards r WHERE r.loop = ? AND {where}"
        return [rows.reward(loop, row) for row in self._sql(query, (self._ids[loop], *values))]


_NOT_PRUNED = Pruned()
_LOST = """
SELECT r.position FROM rewards r LEFT JOIN decisions d ON d.loop = r.loop AND d.decision_id = r.decision_id
WHERE r.loop = :loop AND r.position < (SELECT max(position) FROM rewards) AND (
    d.position <= :through
    OR d.position IS NULL AND r.status = 'dropped' AND r.received_at <= (
        SELECT max(at) FROM decisions WHERE +loop = :loop AND position > :after AND position <= :through
    )
)
"""
"""The rewards that go. The newest of all stays until there is a newer one: positions are counted on from it."""
_THESE = "+loop = :loop AND position > :after AND position <= :through"
_DELETE = (
    f"""INSERT INTO pruned_rewards SELECT loop, reward_id, position FROM rewards
    WHERE reward_id IS NOT NULL AND position IN ({_LOST})""",
    f"DELETE FROM rewards WHERE position IN ({_LOST})",
    f"DELETE FROM activations WHERE decision IN (SELECT position FROM decisions WHERE {_THESE})",
    "DELETE FROM outcomes WHERE loop = :loop AND decision <= :through",
    f"UPDATE decisions SET request = x'', answer = x'' WHERE {_THESE}",
    """INSERT INTO pruned (loop, decisions, outcomes) VALUES (:loop, :through, :outcomes) ON CONFLICT (loop) DO UPDATE
    SET decisions = max(decisions, excluded.decisions), outcomes = max(outcomes, excluded.outcomes)""",
)
_DECISIONS = "INSERT INTO decisions VALUES {rows}"
_OPEN = "INSERT INTO open_decisions VALUES {rows}"
_CLOSE = "DELETE FROM open_decisions WHERE due = ? AND position = ?"
_REWARDS = (
    "INSERT INTO rewards (loop, decision_id, reward_id, value, slot, component, occurred_at, received_at, status)"
    " VALUES {rows}"
)
_OUTCOMES = "INSERT INTO outcomes VALUES {rows}"
_ERASE_OUTCOMES = "UPDATE outcomes SET kind = 'erased', value = 0, previous = NULL, earned = NULL WHERE decision = ?"
_ERASE_REWARDS = (
    "UPDATE rewards SET value = 0, slot = NULL, component = NULL, occurred_at = received_at, status = 'erased'"
    " WHERE loop = ? AND decision_id = ?"
)
# What a pruned one has in `request` leads to its entries and rewards.
_ERASE_DECISION = (
    "UPDATE decisions SET request = CASE answer WHEN x'' THEN request ELSE x'' END, answer = ? WHERE position = ?"
)
_COUNTS = "INSERT INTO counts VALUES {rows} ON CONFLICT (loop, name) DO UPDATE SET value = value + excluded.value"
_ACTIVATED = "INSERT INTO activations VALUES {rows}"
_STATEMENTS = (_DECISIONS, _OPEN, _CLOSE, _REWARDS, _OUTCOMES, _COUNTS, _ACTIVATED)
"""In the order in which they are written: a decision opens before it closes."""
