"""What serves, or is to serve next: a line's state, and what the guards know of the log at the same position."""

from bandit.exploration import History
from bandit.learn.advance import advance
from bandit.learn.learner import Learner
from bandit.learn.lines import Known
from store.ports import Store

SLICE = 16
"""Outcomes folded before the event loop serves whoever waits: about a millisecond of learning."""


class Serving:
    """A learner and the history of the guards, brought forward together.

    `known` is the learner's line and a config that it learns with. `saved` is the position of the line's newest
    checkpoint, None before the first; `saved_at` is when that was, or when the learner was opened, in microseconds.
    """

    __slots__ = ("history", "known", "learner", "saved", "saved_at")

    def __init__(self, known: Known, learner: Learner, history: History, saved: int | None, saved_at: int) -> None:
        self.known = known
        self.learner = learner
        self.history = history
        self.saved = saved
        self.saved_at = saved_at

    @property
    def unsaved(self) -> int:
        """How many outcomes the state is ahead of its newest checkpoint."""
        return self.learner.position - (self.learner.began if self.saved is None else self.saved)

    def reached(self, position: int) -> bool:
        """Say whether the outcomes through that position are learned, and known to the guards."""
        seen = self.history.position
        return self.learner.position >= position and (seen is None or seen >= position)

    def step(self, store: Store, loop: str, through: int) -> bool:
        """Take in the next outcomes, at most through that position; returns False when there were none."""
        position, seen = self.learner.position, self.history.position
        if seen is not None and seen < position:
            # The guards may begin before the checkpoint that the learner began from.
            self.history.learn(store.examples(loop, after=seen, limit=min(SLICE, position - seen)))
            return True
        examples = advance(store, loop, self.learner, through=through, limit=SLICE)
        self.history.learn(examples or [])
        return examples is not None
