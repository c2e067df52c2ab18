"""What one learner earned in one pass, and whether the propensities that it logged are true."""

from collections.abc import Sequence
from typing import Literal, TypeAlias

import msgspec
import numpy as np

from simulator.worlds.rounds import Rounds

OURS = "honeyguide"

Propensity: TypeAlias = Literal["exact", "partial", "none"]
"""`exact`: the probability that was sampled from, above 0 for every action. `partial`: some actions may have 0, so not
every policy can be evaluated. `none`: the library does not say."""


class Contestant(msgspec.Struct, frozen=True, order=True):
    """Who learns: a policy of a library."""

    library: str
    policy: str

    @property
    def name(self) -> str:
        """How tables call it: ours by the policy alone."""
        return self.policy if self.library == OURS else f"{self.library} {self.policy}"


class Pass(msgspec.Struct, frozen=True):
    """A pass over a world: `reward` is the average per round, `uniform` what choosing evenly earns on the same rounds.

    `best` is what knowing the world earns, `seconds` the time to decide and learn once. Where propensities were logged,
    `ips_error` is how far their estimate of choosing evenly, mean of r / (K p), is from `uniform`, and `weight` is the
    mean of 1 / (K p), which is 1 in expectation if every propensity is true and above 0; `ess` is the effective sample
    size of these weights, as a share of the rounds (Kish 1965): how much the log is worth to such an estimate.
    """

    world: str
    seed: int
    contestant: Contestant
    propensity: Propensity
    reward: float
    uniform: float
    best: float
    seconds: float
    ips_error: float | None = None
    weight: float | None = None
    ess: float | None = None


class Failure(msgspec.Struct, frozen=True):
    """A learner that could not be measured, and why."""

    world: str
    seed: int
    contestant: Contestant
    reason: str


class Log(msgspec.Struct, frozen=True):
    """What each round earned, the logged propensities or None, and the seconds per round."""

    earned: Sequence[float]
    propensities: Sequence[float] | None
    seconds: float


def summarise(rounds: Rounds, seed: int, contestant: Contestant, propensity: Propensity, log: Log) -> Pass:
    """Return the pass that a log describes."""
    error = weight = ess = None
    if log.propensities is not None:
        weights = 1 / (len(rounds.actions) * np.array(log.propensities))
        weight = float(weights.mean())
        error = float((weights * log.earned).mean()) - rounds.uniform
        ess = float(weights.sum() ** 2 / (weights**2).sum() / len(weights))
    return Pass(
        world=rounds.name,
        seed=seed,
        contestant=contestant,
        propensity=propensity,
        reward=float(np.mean(log.earned)),
        uniform=rounds.uniform,
        best=rounds.best,
        seconds=log.seconds,
        ips_error=error,
        weight=weight,
        ess=ess,
    )
