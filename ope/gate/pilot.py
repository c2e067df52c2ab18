"""A log as a sample of the decisions to come, changed so that the candidate's lift is what one asks about."""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from ope.errors import InvalidLog, InvalidRequest
from ope.gate.config import Gate
from ope.gate.rows import Part
from ope.gate.tally import Floats, effective

MOST = 200_000
"""Rows that a plan is made from: of a longer log, evenly spaced ones."""
_HALVINGS = 60


@dataclass(frozen=True, slots=True, eq=False)
class Pilot:
    """Weights of candidate and champion and rewards as shares of their range, shape (m,); `n` rows were in the log.

    `pair` are the two rewards that there were, where there were no others.
    """

    w: Floats
    v: Floats
    s: Floats
    n: int
    pair: tuple[float, float] | None

    @staticmethod
    def of(parts: Iterable[Part], gate: Gate) -> "Pilot":
        """Return the decisions as a pilot; raises InvalidLog where nothing can be learned from them."""
        found = list(parts)
        w, v, r = (np.concatenate([getattr(part, name) for part in found] or [np.empty(0)]) for name in ("w", "v", "r"))
        n, step = len(r), -(-len(r) // MOST)
        s = (r - gate.reward_range[0]) / gate.width
        values = np.unique(s)
        if len(values) < 2 or not (w != v).any():
            what = "all rewards are equal" if len(values) == 1 else "candidate and champion do the same in every row"
            raise InvalidLog(
                f"{n:,} decisions: {what if n else 'there is none with an outcome'}. A plan needs a log whose rewards "
                "and weights vary as those to come will."
            )
        pair = (float(values[0]), float(values[1])) if len(values) == 2 else None
        return Pilot(w[:: step or 1], v[:: step or 1], s[:: step or 1], n, pair)

    @property
    def lift(self) -> float:
        """The lift that the log itself shows, as a share of the reward range."""
        return self._lift_of(self.s)

    @property
    def deviation(self) -> float:
        """The standard deviation of what a row says of the lift, as a share of the reward range."""
        return float(np.std(self.w * self.s - 1 + self.v * (1 - self.s)))

    @property
    def worth(self) -> float:
        """What a row is worth of a decision of the policy of which it is worth less (Kish 1965)."""
        return min(effective(float(one.sum()), float(one @ one)) for one in (self.w, self.v)) / len(self.s)

    def lifts(self) -> tuple[float, float]:
        """Return the smallest and the largest lift that the log's rewards can be changed to."""
        low, high = self.pair or (0.0, 1.0)
        apart = np.sign(self.w - self.v)
        best = np.where(apart > 0, high, np.where(apart < 0, low, self.s))
        worst = np.where(apart > 0, low, np.where(apart < 0, high, self.s))
        return self._lift_of(worst), self._lift_of(best)

    def with_lift(self, lift: float) -> "Shifted":
        """Return the rows with rewards moved by c (w - v), kept in their range, where c makes the lift what is asked.

        What the candidate would rather do than the champion then earns more, and the other less. Raises InvalidRequest
        for a lift that no rewards of the range can make.
        """
        least, most = self.lifts()
        if not least < lift < most:
            raise InvalidRequest(
                f"a lift of {lift:.4g} of the reward range is not to be had: with these weights and rewards it is "
                f"between {least:.4g} and {most:.4g}. Ask about another, with --lift."
            )
        below, above = -1.0, 1.0
        while self._lift_of(self._moved(below)) > lift:
            below *= 2
        while self._lift_of(self._moved(above)) < lift:
            above *= 2
        for _ in range(_HALVINGS):
            middle = (below + above) / 2
            below, above = (middle, above) if self._lift_of(self._moved(middle)) < lift else (below, middle)
        return Shifted(self.w, self.v, self._moved(above), self.pair)

    def _moved(self, c: float) -> Floats:
        moved: Floats = np.clip(self.s + c * (self.w - self.v), *(self.pair or (0.0, 1.0)))
        return moved

    def _lift_of(self, s: Floats) -> float:
        return float(np.mean(self.w * s - 1 + self.v * (1 - s)))


@dataclass(frozen=True, slots=True, eq=False)
class Shifted:
    """Rows with a lift of choice. Where rewards are a pair, `s` is what they are expected to be: each is one of two.

    A reward of 0 or 1 that is moved a little is seldom another one, and varies as such.
    """

    w: Floats
    v: Floats
    s: Floats
    pair: tuple[float, float] | None

    def outcomes(self) -> list[tuple[Floats, Floats | float]]:
        """Return the values that the evidence is made of, each with its probability in each row."""
        if self.pair is None:
            return [(self._value(self.s), 1.0)]
        low, high = self.pair
        chance = (self.s - low) / (high - low)
        return [(self._value(np.full_like(self.s, reward)), p) for reward, p in ((low, 1 - chance), (high, chance))]

    def sampled(self, rows: int, rng: np.random.Generator) -> tuple[Floats, Floats, Floats]:
        """Return decisions as they might come: rows drawn with replacement, with weights and reward."""
        drawn = rng.integers(0, len(self.s), rows)
        s = self.s[drawn]
        if self.pair is not None:
            low, high = self.pair
            s = np.where(rng.random(rows) < (s - low) / (high - low), high, low)
        return self.w[drawn], self.v[drawn], s

    def sampled_values(self, rows: int, rng: np.random.Generator) -> Floats:
        """Return the values that the evidence of such decisions is made of."""
        w, v, s = self.sampled(rows, rng)
        return (w * s + v * (1 - s)) / 2

    def _value(self, s: Floats) -> Floats:
        return (self.w * s + self.v * (1 - s)) / 2
