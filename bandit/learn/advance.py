"""The fold of a line over a stored log, a piece at a time, with what the line learned anew."""

from bandit.learn.learner import Learner
from bandit.learn.passing import learned, passed_over
from store.ports import Store
from store.records import Example


def advance(store: Store, loop: str, learner: Learner, *, through: int, limit: int) -> list[Example] | None:
    """Fold the next outcomes, at most `limit` and through that position; returns them, or None when none are left.

    Where the line learned its log anew, it does so before the next outcome, `limit` entries of the log at a time; the
    answer is empty then. So a line comes to the same state from the beginning and from any of its checkpoints. With a
    `through` that is behind the end of the log it does so although there is no next outcome yet.
    """
    position = learner.position
    if position >= through:
        return None
    if learner.relearned is not None:
        _relearn(store, loop, learner, limit)
        return []
    end = min([through, *(there for there in learner.relearnings if there > position)])
    examples = store.examples(loop, after=position, limit=min(limit, end - position))
    learner.fold(examples, passed_over(store, loop, learner.passes_over, examples))
    return examples or None


def _relearn(store: Store, loop: str, learner: Learner, limit: int) -> None:
    """Learn anew the decisions whose first outcome is among the next entries, with their newest one so far."""
    there, end = learner.relearned or 0, learner.position
    entries = store.examples(loop, after=there, limit=min(limit, end - there))
    newest = []
    for decision in (example.decision for example in entries if example.before is None):
        so_far = [o for o in store.outcomes(loop, decision.decision_id) if o.position <= end]
        newest += [Example(o, decision) for o in learned(learner.passes_over, decision, so_far)[-1:]]
    learner.relearn(newest, through=entries[-1].outcome.position)
