"""Targets that learn: progressively, from all that was logged, or counterfactually, from what they would choose."""

from collections.abc import Mapping

import msgspec
import polars as pl

from bandit.policies import randomness
from bandit.scoring.learning import Learning
from bandit.scoring.outcomes import Clock, clock_of
from bandit.scoring.row import Row
from bandit.scoring.serve import Server, aligned
from bandit.settings import LoopConfig
from ope.errors import InvalidLog, InvalidRequest
from store.records import Slot

_ACCEPT = b"honeyguide ope accept"
"""Keys the draws of acceptance: nothing else is drawn with it, so they are independent of what served."""


class Progressive:
    """Each row is scored by the state that had folded the outcomes of the log that were appended before it.

    Progressive validation (Blum, Kalai and Langford 1999), with off-policy learning: the state learned what the logging
    policy chose, with its propensities. The value is that of the states on the decisions they are scored on.
    """

    def __init__(self, name: str, config: LoopConfig, secrets: Mapping[str, bytes], fresh: bytes) -> None:
        self.name = name
        self._learning = Learning(config)
        self._server = Server(config, fresh)
        self._secrets = secrets
        self._clock: Clock | None = None
        self._last = (0, 0)
        self.as_served = False
        self._rankings = 0

    def begin(self, logs: Mapping[str, pl.LazyFrame]) -> None:
        """See how the log tells what was known when."""
        self._learning.held.clock = self._clock = clock_of(logs)

    def score(self, row: Row, number: int) -> tuple[float, list[float]]:
        """Learn what was known by then, say what would have been done, and hold the row's own outcome back."""
        p, whole = self._serve(row, number)
        self._learning.held.hold(row, number)
        self._rankings += len(row.ranking) > 1
        return p, whole

    def notes(self) -> list[str]:
        """Say of what the value is, and what each state had learned."""
        says = self._clock.says if self._clock else ""
        learned = self._learning.learner.position
        return [
            f"value of its successive states, which learned from the logged choices: {says}; {learned:,} outcomes",
            *self._late(),
            *self._server.notes(served=self.as_served),
        ]

    def _late(self) -> list[str]:
        # An export has a decision's first and newest outcome; what slots earned in between has no position there.
        if not self._rankings:
            return []
        told = f"{self._rankings:,} rows are rankings, each learned when its last reward was final"
        return [f"{told}: what a serving loop learned of its slots before then is not in the log"]

    def _serve(self, row: Row, number: int) -> tuple[float, list[float]]:
        if row.at is not None:
            if row.at < self._last[0]:
                raise InvalidLog(
                    f"row {number:,} was decided before row {self._last[1]:,}; a policy that learns meets decisions in "
                    "their order. Sort the log by `at`, and name its files in that order."
                )
            self._last = (row.at, number)
        self._learning.catch_up(row, number)
        learner = self._learning.learner
        secret = self._secrets.get(row.loop or "")
        self.as_served = secret is not None
        self._server.secret = secret or self._server.secret
        # The name of the state that served: where it is the same line, its posterior draws are the same too.
        position = learner.position if row.position is None else row.position
        made = self._server.serve(row, learner.policy, f"{learner.line}@{position}", learner.settled)
        return aligned(made, row)


class Counterfactual(Progressive):
    """Learns only from accepted rows: those that its own run could have met.

    A row is accepted with probability π(a)/(M p(a)), which makes the accepted ones a run of the policy by itself, with
    its own choices (Li, Chu, Langford and Wang 2011; for loggers that are not uniform, Dudík, Erhan, Langford and Li
    2012, with a constant c = 1/M). Every row, accepted or not, is scored by the state of the run so far: since the rows
    between two accepted ones are as many on average at any time, the mean over the rows is that over the run.
    """

    def __init__(
        self, name: str, config: LoopConfig, secrets: Mapping[str, bytes], fresh: bytes, *, most: float | None
    ) -> None:
        super().__init__(name, config, secrets, fresh)
        self._most = most
        self._rows = self._accepted = self._capped = 0

    def begin(self, logs: Mapping[str, pl.LazyFrame]) -> None:
        """Take the largest weight that there can be as M, unless it is given."""
        super().begin(logs)
        if self._most is None:
            least = [log.select(pl.col("propensity").min()).collect(engine="streaming").item() for log in logs.values()]
            known = [one for one in least if one is not None and one > 0]
            self._most = 1 / min(known) if known else 1.0
        elif not self._most > 0:
            raise InvalidRequest(f"--max-weight is {self._most!r}; it must be above 0.")

    def score(self, row: Row, number: int) -> tuple[float, list[float]]:
        """Learn what the run knew by then, say what it would have done, and accept the row or not."""
        if len(row.ranking) > 1:
            raise InvalidLog(
                f"row {number:,} is a ranking of {len(row.ranking)}; {self.name} learns from what it would choose, "
                "which is one action. Judge progressive: on rankings instead."
            )
        p, whole = self._serve(row, number)
        logged = row.ranking[0].propensity
        share = p / (logged * (self._most or 1.0)) if logged > 0 else 0.0
        self._rows += 1
        self._capped += share > 1 + 1e-9
        if randomness.uniform(_ACCEPT, row.decision_id, self.name, number) < share:
            self._accepted += 1
            # It would have been chosen with the run's own propensity.
            own = [Slot(row.action, p, explored=False)]
            self._learning.held.hold(msgspec.structs.replace(row, ranking=own), number)
        return p, whole

    def notes(self) -> list[str]:
        """Say of what the value is, and how far the run came."""
        told = (
            f"value of learning by itself for {self._accepted:,} decisions: of {self._rows:,} rows, these were taken "
            f"as its own choices, for weights of at most {self._most:g}"
        )
        if self._capped:
            told += (
                f"; {self._capped:,} rows have a larger weight and were not taken often enough, so that the run is not "
                "quite its own: raise --max-weight"
            )
        return [told, *self._server.notes(served=self.as_served)]
