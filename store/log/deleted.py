"""What is said of a decision that was deleted: its id, its times and this are all that is left of it."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

from store.errors import Gone, InvalidInput
from store.records import Deletion


def gone(loop: str, decision_id: str, position: int, at: int, deletions: Sequence[Deletion]) -> Gone:
    """Return the answer for a decision made at `at`, which the first of the deletions that reached it took."""
    when = next(deletion.at for deletion in deletions if deletion.decisions >= position)
    return Gone(
        f"decision {decision_id!r} of loop {loop!r} was made on {day(at)} and deleted by retention on {day(when)}: "
        "its id stays known, and nothing can be added to it"
    )


def log_begins(loop: str, after: int, deletion: Deletion) -> Gone:
    """Return the answer for a reader of the outcome log who would begin behind `after`, which is too early."""
    return Gone(
        f"the outcome log of loop {loop!r} begins at {deletion.outcomes + 1}: decisions with outcomes up to "
        f"{deletion.outcomes} were deleted by retention on {day(deletion.at)}, and {after + 1} was asked for"
    )


def check_deletion(deletion: Deletion, first_open: int | None, log_position: int) -> None:
    """Refuse a deletion that reaches an open decision, or the end of the outcome log."""
    if first_open is not None and first_open <= deletion.decisions:
        raise InvalidInput(
            f"decision {first_open} of loop {deletion.loop!r} is open, so those through {deletion.decisions} cannot be "
            "deleted: wait until its window has closed"
        )
    if deletion.outcomes >= log_position:
        raise InvalidInput(
            f"outcome {deletion.outcomes} is the newest of loop {deletion.loop!r}, from which positions are counted "
            "on, and cannot be deleted: delete fewer decisions"
        )


def day(at: int) -> str:
    """Write the UTC day of a time in microseconds since 1970."""
    return (datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=at)).date().isoformat()
