"""What is said of a decision that was erased: its id, its times and this are all that is left of it."""

from datetime import UTC, datetime, timedelta

from store.errors import Gone
from store.records import Decision


def unless_erased(decision: Decision) -> Decision:
    """Return the decision. Raises `Gone` where it was erased."""
    if decision.erased_at is None:
        return decision
    when = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=decision.erased_at)
    raise Gone(
        f"decision {decision.decision_id!r} of loop {decision.loop!r} was erased at {when:%Y-%m-%dT%H:%M:%SZ}: its id "
        "stays known, and nothing can be added to it"
    )
