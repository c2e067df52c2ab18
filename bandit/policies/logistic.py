"""Logistic Thompson Sampling: a Bayesian logistic regression per action id, for rewards in [0, 1].

Chapelle and Li 2011, An Empirical Evaluation of Thompson Sampling, algorithm 3: an online Laplace approximation whose
precision is diagonal, here with one outcome per batch.
"""

import math
from typing import Annotated, ClassVar, Self

import msgspec
import numpy as np
from msgspec import Meta

from bandit.compiled import compiled
from bandit.policies import winning
from bandit.policies.base import AGAIN, NEWEST, Arms, Belief, Entry, Floats, Frozen
from bandit.policies.columns import Columns
from bandit.policies.situation import Situation
from store.registry import statefile

_MACKAY = math.pi / 8


class LogisticTsConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The weights' prior N(0, `prior_variance`), and the factor `scale` of the posterior's deviations.

    `max_features` bounds the columns, `max_actions` the ids with a regression of their own.
    """

    scale: Annotated[float, Meta(gt=0, le=100)] = 0.5
    prior_variance: Annotated[float, Meta(gt=0, le=1e6)] = 1.0
    max_features: Annotated[int, Meta(ge=1, le=100_000)] = 4096
    max_actions: Annotated[int, Meta(ge=1, le=10_000)] = 1000


class Logits:
    """Independent Gaussian posteriors of each action's logit, shapes (K,): the highest logit is the highest reward.

    `mean` approximates the expected reward E[sigmoid(logit)] as sigmoid(k logit), k = 1 / sqrt(1 + pi variance / 8)
    (MacKay 1992, The Evidence Framework Applied to Classification Networks, eq. 7); `deviation` is the delta method's
    at that point.
    """

    __slots__ = ("deviation", "logit", "mean", "scale", "variance")

    def __init__(self, logit: Floats, variance: Floats, scale: float) -> None:
        shrunk = 1 / np.sqrt(1 + _MACKAY * variance)
        mean = sigmoid(shrunk * logit)
        self.mean: Floats | None = mean
        self.deviation: Floats | None = mean * (1 - mean) * shrunk * np.sqrt(variance)
        self.logit = logit
        self.variance = variance
        self.scale = scale

    def distribution(self, among: Arms) -> Floats:
        """Return the probability of each action's draw to be the highest of those asked for."""
        return winning.gaussian(self.logit[among], self.scale * np.sqrt(self.variance[among]))


class LogisticTs:
    """The regressions: `mean` and `precision` of the weights, shapes (1 + A, d); row 0 is the prior.

    A reward outside [0, 1] counts as the nearer end. With a `decay` below 1 each outcome of an action leaves that share
    of what its regression knew and gives the rest of the prior back.
    """

    kind: ClassVar[str] = "logistic_ts"
    config_type: ClassVar[type[msgspec.Struct]] = LogisticTsConfig
    forgets: ClassVar[bool] = True
    corrects: ClassVar[bool] = False

    def __init__(self, config: LogisticTsConfig, *, decay: float = 1.0) -> None:
        self.config = config
        self.decay = decay
        self.columns = Columns(config.max_features)
        self.arms: dict[str, int] = {}
        self.mean: Floats = np.zeros((1, 1))
        self.precision: Floats = np.full((1, 1), 1 / config.prior_variance)

    @classmethod
    def create(cls, config: LogisticTsConfig, *, decay: float = 1.0) -> Self:
        """Make the policy with all weights at their prior."""
        return cls(config, decay=decay)

    @classmethod
    def load(cls, config: LogisticTsConfig, state: bytes, *, decay: float = 1.0) -> Self:
        """Make the policy from a state that `dump` wrote."""
        header, arrays = statefile.unpack(cls.kind, state)
        made = cls(config, decay=decay)
        made.columns.restore(header["columns"])
        made.arms = {arm: row for row, arm in enumerate(header["arms"], start=1)}
        made.mean, made.precision = (arrays[name].copy() for name in ("mean", "precision"))
        return made

    def dump(self) -> bytes:
        """Return the state as named arrays."""
        header = {"columns": list(self.columns.index), "arms": list(self.arms)}
        return statefile.pack(self.kind, header, {"mean": self.mean, "precision": self.precision})

    def believe(self, situation: Situation, frozen: Frozen) -> Belief:  # noqa: ARG002  # nothing is drawn
        """Return the posterior of each action's logit."""
        rows = np.array([self.arms.get(arm, 0) for arm in situation.ids])
        logit, variance = _scores(self.mean, self.precision, rows, self.columns.matrix(situation))
        return Logits(logit, variance, self.config.scale)

    def learn(
        self,
        situation: Situation,
        arm: int,
        reward: float,
        propensity: float,  # noqa: ARG002  # it plays no part in a likelihood
        entry: Entry = NEWEST,  # noqa: ARG002  # corrections are approximate
    ) -> None:
        """Fold in one reward, O(d)."""
        self._make_room(situation, arm)
        row = self.arms.get(situation.ids[arm])
        if row is not None:
            x = self.columns.vector(situation.context, situation.action(arm))
            mean, precision = self.mean[row], self.precision[row]
            _forget(mean, precision, self.decay, 1 / self.config.prior_variance)
            _move(mean, precision, x, _clipped(reward))
            _sharpen(mean, precision, x)

    def correct(
        self,
        situation: Situation,
        arm: int,
        reward: float,
        previous: float,
        entry: Entry = AGAIN,  # noqa: ARG002  # as above
    ) -> None:
        """Move the weights by the change of a learned reward; the first order of what learning it at once had done."""
        row = self.arms.get(situation.ids[arm])
        if row is not None:
            x = self.columns.vector(situation.context, situation.action(arm))
            mean = self.mean[row]
            change = _clipped(reward) - _clipped(previous)
            _move(mean, self.precision[row], x, float(sigmoid(x @ mean)) + change)

    def _make_room(self, situation: Situation, arm: int) -> None:
        before = len(self.columns)
        self.columns.add(situation.context, situation.action(arm))
        new = ((0, 0), (0, len(self.columns) - before))
        if new[1][1]:
            self.mean = np.pad(self.mean, new)
            self.precision = np.pad(self.precision, new, constant_values=1 / self.config.prior_variance)
        if situation.ids[arm] not in self.arms and len(self.arms) < self.config.max_actions:
            self.arms[situation.ids[arm]] = len(self.mean)
            self.mean = np.concatenate([self.mean, self.mean[:1]])
            self.precision = np.concatenate([self.precision, self.precision[:1]])


def _clipped(reward: float) -> float:
    return min(max(reward, 0.0), 1.0)


@compiled
def sigmoid(logit: Floats) -> Floats:
    """Return 1 / (1 + exp(-logit))."""
    return 0.5 * (1 + np.tanh(0.5 * logit))


@compiled
def _scores(mean: Floats, precision: Floats, rows: Arms, x: Floats) -> tuple[Floats, Floats]:
    """Return each logit's posterior mean and variance; shapes (A, d), (A, d), (K,), (K, d)."""
    count, width = x.shape
    logit, variance = np.zeros(count), np.zeros(count)
    for k in range(count):
        for i in range(width):
            logit[k] += mean[rows[k], i] * x[k, i]
            variance[k] += x[k, i] * x[k, i] / precision[rows[k], i]
    return logit, variance


@compiled
def _forget(mean: Floats, precision: Floats, decay: float, prior: float) -> None:
    """Raise the posterior to the power `decay` and multiply by the prior to the power 1 - `decay`, in place."""
    for i in range(len(mean)):
        kept = decay * precision[i]
        precision[i] = kept + (1 - decay) * prior
        mean[i] *= kept / precision[i]


@compiled
def _move(mean: Floats, precision: Floats, x: Floats, target: float) -> None:
    """Move the weights w to the least of sum precision (w - mean)^2 / 2 + log(1 + exp(w.x)) - target w.x, in place.

    The solution is mean + t x / precision with t = target - sigmoid(w.x): one unknown, the logit s = w.x. Its equation
    is increasing and has its root within v = sum x^2 / precision of where it starts: Newton, kept inside by halving.
    """
    start, v = 0.0, 0.0
    for i in range(len(x)):
        start += mean[i] * x[i]
        v += x[i] * x[i] / precision[i]
    low, high = start + v * (target - 1), start + v * target
    s = min(max(start, low), high)
    for _ in range(200):
        p = 0.5 * (1 + math.tanh(0.5 * s))
        miss = s - start - v * (target - p)
        if miss > 0:
            high = s
        else:
            low = s
        step = s - miss / (1 + v * p * (1 - p))
        if not low < step < high:
            step = 0.5 * (low + high)
        if abs(step - s) <= 1e-15 * abs(s):
            break
        s = step
    t = target - 0.5 * (1 + math.tanh(0.5 * s))
    for i in range(len(x)):
        mean[i] += t * x[i] / precision[i]


@compiled
def _sharpen(mean: Floats, precision: Floats, x: Floats) -> None:
    """Add the curvature of an outcome's log-likelihood at the new weights to the precision, in place."""
    s = 0.0
    for i in range(len(x)):
        s += mean[i] * x[i]
    p = 0.5 * (1 + math.tanh(0.5 * s))
    for i in range(len(x)):
        precision[i] += x[i] * x[i] * p * (1 - p)
