"""Beta-Bernoulli Thompson Sampling: one success rate per action id, whatever the features.

Thompson 1933; Chapelle and Li 2011, algorithm 2. The probabilities are integrals, not estimates from draws.
"""

from typing import Annotated, Any, ClassVar, Self

import msgspec
import numpy as np
from msgspec import Meta

from bandit.policies.ages import Ages
from bandit.policies.base import AGAIN, NEWEST, Arms, Belief, Entry, Floats, Frozen
from bandit.policies.situation import Situation
from bandit.policies.winning_beta import beta
from store.registry import statefile


class BetaTsConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The prior Beta(`prior_successes`, `prior_failures`) of each action, and how many ids get counts of their own."""

    prior_successes: Annotated[float, Meta(ge=0.1, le=1e6)] = 1.0
    prior_failures: Annotated[float, Meta(ge=0.1, le=1e6)] = 1.0
    max_actions: Annotated[int, Meta(ge=1, le=1_000_000)] = 10_000


class Betas:
    """Independent Beta posteriors, shapes (K,): each action with the probability that its draw is the highest."""

    __slots__ = ("deviation", "failures", "mean", "successes")

    def __init__(self, successes: Floats, failures: Floats) -> None:
        total = successes + failures
        self.successes = successes
        self.failures = failures
        self.mean: Floats | None = successes / total
        self.deviation: Floats | None = np.sqrt(successes / total * (failures / total) / (total + 1))

    def distribution(self, among: Arms) -> Floats:
        """Return the probability of each action to be the best of those asked for."""
        return beta(self.successes[among], self.failures[among])


class BetaTs:
    """Successes and failures per action, shape (1 + A, 2); row 0 is the prior, which an action never learned has.

    A reward in [0, 1] counts as that much of a success and the rest of a failure; one outside counts as the nearer
    end. With a `decay` each outcome of an action leaves that share of its counts beyond the prior's.
    """

    kind: ClassVar[str] = "beta_ts"
    config_type: ClassVar[type[msgspec.Struct]] = BetaTsConfig
    forgets: ClassVar[bool] = True
    corrects: ClassVar[bool] = True

    def __init__(self, config: BetaTsConfig, *, decay: float = 1.0) -> None:
        self.config = config
        self.decay = decay
        self.arms: dict[str, int] = {}
        self.counts: Floats = np.array([[config.prior_successes, config.prior_failures]])
        self._ages = Ages(np.array([decay]))

    @classmethod
    def create(cls, config: BetaTsConfig, *, decay: float = 1.0) -> Self:
        """Make the policy with prior counts alone."""
        return cls(config, decay=decay)

    @classmethod
    def load(cls, config: BetaTsConfig, state: bytes, *, decay: float = 1.0) -> Self:
        """Make the policy from a state that `dump` wrote."""
        header, arrays = statefile.unpack(cls.kind, state)
        made = cls(config, decay=decay)
        made.arms = {arm: row for row, arm in enumerate(header["arms"], start=1)}
        made.counts = arrays["counts"].copy()
        made._ages.restore(arrays)
        return made

    def dump(self) -> bytes:
        """Return the counts."""
        header: dict[str, Any] = {"arms": list(self.arms)}
        return statefile.pack(self.kind, header, {"counts": self.counts, **self._ages.arrays()})

    def believe(self, situation: Situation, frozen: Frozen) -> Belief:  # noqa: ARG002  # nothing is drawn
        """Return each action's posterior."""
        counts = self.counts[[self.arms.get(arm, 0) for arm in situation.ids]]
        return Betas(counts[:, 0].copy(), counts[:, 1].copy())

    def learn(
        self,
        situation: Situation,
        arm: int,
        reward: float,
        propensity: float,  # noqa: ARG002  # it plays no part in a likelihood
        entry: Entry = NEWEST,
    ) -> None:
        """Count one reward."""
        row = self._row(situation.ids[arm])
        if row is not None:
            success = min(max(reward, 0.0), 1.0)
            kept = self.decay * self.counts[row] + (1 - self.decay) * self.counts[0]
            self.counts[row] = kept + np.array([success, 1 - success])
            self._ages.add(row, entry.step)

    def correct(self, situation: Situation, arm: int, reward: float, previous: float, entry: Entry = AGAIN) -> None:
        """Move what is left of a reward between the two counts; rounding never takes one below the prior."""
        row = self.arms.get(situation.ids[arm])
        if row is not None:
            successes, failures = self.counts[row] - self.counts[0]
            (left,) = self._ages.weights(row, entry.step)
            change = left * (min(max(reward, 0.0), 1.0) - min(max(previous, 0.0), 1.0))
            self.counts[row] += np.array([1, -1]) * min(max(change, -successes), failures)

    def _row(self, arm: str) -> int | None:
        if arm not in self.arms and len(self.arms) < self.config.max_actions:
            self.arms[arm] = len(self.counts)
            self.counts = np.concatenate([self.counts, self.counts[:1]])
        return self.arms.get(arm)
