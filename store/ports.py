"""The ports: what an adapter must offer. `tests/store/test_conformance.py` is their executable definition."""

from collections.abc import Callable, Iterator, Sequence
from typing import Protocol, TypeAlias, TypeVar

from store.lineage import Erased, Erasure, Line, Taint
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

T = TypeVar("T")


class Transaction(Protocol):
    """What an operation may read and append inside one durable transaction. Reads see what it appended."""

    def decision(self, loop: str, decision_id: str) -> Decision | None:
        """Return the decision, or None. Raises `Gone` where it was erased or deleted."""

    def add_decision(self, decision: Decision) -> Decision:
        """Append an open decision whose id is new; returned with its position."""

    def close(self, decision: Decision) -> None:
        """Take the decision from the open ones, so that it no longer falls due."""

    def due(self, now: int, limit: int) -> list[Due]:
        """Return open decisions of all loops whose window closed at or before `now`, earliest first.

        Each comes with all that has been said of it, so that closing one to which nothing came reads no more.
        """

    def has_reward(self, loop: str, reward_id: str) -> bool:
        """Say whether a reward with that id is stored."""

    def add_reward(self, reward: Reward) -> None:
        """Append a reward."""

    def rewards(self, decision: Decision) -> list[Reward]:
        """Return the decision's rewards in the order of arrival."""

    def activate(self, decision: Decision, at: int) -> None:
        """Note that a deferred decision was shown, once."""

    def activated(self, decision: Decision) -> int | None:
        """Return when the decision was activated, or None."""

    def early(self, loop: str, decision_id: str) -> list[Reward]:
        """Return the rewards that wait for this decision, oldest first."""

    def early_before(self, loop: str, received_at: int, limit: int) -> list[Reward]:
        """Return the loop's rewards that wait for a decision and came at or before that time, oldest first."""

    def settle_early(self, reward: Reward) -> None:
        """Replace the waiting status of an early reward by `reward.status`."""

    def latest_outcome(self, decision: Decision) -> Outcome | None:
        """Return the decision's newest entry in the outcome log, or None while it is open."""

    def add_outcome(self, decision: Decision, outcome: Outcome) -> Outcome:
        """Append to the loop's outcome log an entry for that decision; returned with the next position."""

    def count(self, loop: str, **by: float) -> None:
        """Add to the loop's counts, by field name of `Counts`."""

    def put_loop(self, record: LoopRecord) -> None:
        """Create or replace a loop; its config stays known by its revision."""

    def save_checkpoint(self, checkpoint: Checkpoint, *, keep: int) -> None:
        """Store a checkpoint and drop all but the newest `keep` of its line."""

    def add_relearning(self, relearning: Relearning) -> None:
        """Append that a line is to learn its log anew, at most once for each position."""

    def put_line(self, line: Line) -> None:
        """Write down a line, or what it passes over by now."""

    def add_taint(self, taint: Taint) -> None:
        """Mark a line as tainted, in place of a mark that it had."""

    def drop_checkpoints(self, loop: str, line: str, *, since: int) -> None:
        """Remove the line's checkpoints from that position on."""

    def erase(self, decision: Decision, at: int) -> Erased:
        """Make the decision, its outcomes and its rewards tombstones, and close it if it is open; counts them.

        Places in the logs, ids, links and times stay; nothing is appended. What the archive holds is read as erased,
        and stays in its files.
        """

    def save_erasure(self, erasure: Erasure) -> None:
        """Write down an erasure, or how it stands now."""

    def delete(self, deletion: Deletion) -> None:
        """Take a loop's decisions through `deletion.decisions` away for good, with all that belongs to them.

        Their ids stay known, and so do those of their rewards. With them go rewards that waited in vain and came no
        later than the newest of them was made. Raises `InvalidInput` where one of them is still open, or where
        `deletion.outcomes` is not behind the end of the log, from which positions are counted on.
        """

    def touch(self) -> None:
        """Write what means nothing, so that the commit needs the disk as much as any other."""

    def save_audit(self, audit: AuditRecord) -> None:
        """Store how far a loop's propensity audit has come, in place of the one before."""


Operation: TypeAlias = Callable[[Transaction], T]
"""Something to do inside a transaction. A `HoneyguideError` that it raises before its first append is its own answer;
any other error undoes the whole batch."""


class Store(Protocol):
    """A durable log of loops, decisions, rewards and outcomes, with one writer."""

    def begin(self, operations: Sequence[Operation[object]]) -> list[object]:
        """Run the operations in order in one transaction that `commit` makes durable; nothing is answered before that.

        Returns one result per operation: its value, or the `HoneyguideError` that it raised.
        Raises `NotStored`, with nothing left open, when the batch cannot be written.
        """

    def commit(self) -> None:
        """Make what `begin` ran durable; may run in another thread than everything else.

        Raises `NotStored` when nothing of it was written.
        """

    def loops(self) -> list[LoopRecord]:
        """Return all loops by name."""

    def configs(self, loop: str) -> list[LoopRecord]:
        """Return every config that the loop has had, oldest first."""

    def decision(self, loop: str, decision_id: str) -> Decision | None:
        """Return the decision, or None. Raises `Gone` where it was erased.

        This and what follows for one decision raise `Gone` where it was deleted.
        """

    def rewards(self, loop: str, decision_id: str) -> list[Reward]:
        """Return the decision's rewards in the order of arrival."""

    def outcomes(self, loop: str, decision_id: str) -> list[Outcome]:
        """Return the decision's outcomes in the order of the log."""

    def activated(self, loop: str, decision_id: str) -> int | None:
        """Return when a deferred decision was activated, or None."""

    def logged(self, loop: str, *, since: int, until: int, after: int, limit: int) -> list[Logged]:
        """Return decisions with `since <= at < until` and position > `after`, in log order, as settled so far.

        Those that were erased are passed over, here and in `decisions`.
        """

    def erased(self, loop: str, *, since: int, until: int) -> int:
        """Return how many of the loop's decisions with `since <= at < until` were erased."""

    def decisions(self, *, after: int, limit: int) -> list[Decision]:
        """Return the decisions of all loops with position > `after`, in log order."""

    def first_open(self, loop: str) -> int | None:
        """Return the position of the oldest decision without an outcome, or None."""

    def examples(self, loop: str, *, after: int, limit: int) -> list[Example]:
        """Return outcomes with position > `after`, in order, each with its decision and the entry that it revises.

        Those of a decision that was erased are of the kind `erased`, and so is it. Raises `Gone` where `after` is
        before `log_start` - 1: a fold must not pass over what was deleted unawares.
        """

    def log_start(self, loop: str) -> int:
        """Return the position from which on every outcome can be read, with all that belongs to it: 1 at first.

        Before it may be outcomes of decisions that were not deleted; they are read with their decision only.
        """

    def deletions(self, loop: str) -> list[Deletion]:
        """Return what was deleted of the loop's log, oldest first."""

    def relearnings(self, loop: str, line: str) -> list[Relearning]:
        """Return where the line learned its log anew, by position."""

    def lines(self, loop: str) -> list[Line]:
        """Return the loop's lines that were written down, oldest first."""

    def taints(self, loop: str) -> list[Taint]:
        """Return the loop's tainted lines, by name."""

    def erasures(self) -> list[Erasure]:
        """Return what was erased, of all loops, oldest first."""

    def log_position(self, loop: str) -> int:
        """Return the position of the newest durable outcome, 0 when there is none."""

    def anything_due(self, now: int) -> bool:
        """Say whether an open decision's window closed at or before `now`."""

    def anything_waiting(self, loop: str, received_at: int) -> bool:
        """Say whether a reward that came at or before that time still waits for its decision."""

    def counts(self, loop: str) -> Counts:
        """Return the loop's running totals."""

    def checkpoints(self, loop: str, line: str) -> Iterator[Checkpoint]:
        """Yield the line's checkpoints, newest first."""

    def stored_through(self, loop: str) -> dict[str, int]:
        """Return the position of the newest checkpoint of each line that has one."""

    def audits(self) -> list[AuditRecord]:
        """Return the stored audit of each loop that has one, by the loop's name."""

    def last_checkpoint(self, loop: str) -> tuple[int, int]:
        """Return position and time of the newest checkpoint of all lines that may have served; zeros without one.

        A fork has not.
        """

    def close(self) -> None:
        """Release files and connections."""


def write(store: Store, operations: Sequence[Operation[object]]) -> list[object]:
    """Run the operations in one transaction and return their results once they are durable; raises `NotStored`."""
    results = store.begin(operations)
    store.commit()
    return results
