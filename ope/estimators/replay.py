"""Replay: keep the rows in which the target would have done the same, and take their mean; an ordered fold."""

import math
from dataclasses import dataclass, replace
from typing import NoReturn

import numpy as np
import numpy.typing as npt

from ope.errors import InvalidRequest

Floats = npt.NDArray[np.float64]
SEED = 0
ROUNDING = 1e-9


@dataclass(frozen=True, slots=True)
class Replay:
    """The rows that were kept so far, by rejection (Li, Chu, Langford and Wang 2011, algorithm 2).

    A row is kept with probability w/`most`, so that the kept ones are as if the target had logged them; with a logger
    that is uniform over K actions, a target that never draws and most = K, exactly where both chose the same. `most`
    is the largest weight that can be. `mean` and `square` are the kept rewards' mean and centred sum of squares.

    It is a fold in decision order: which rows are kept depends on how many came before, because each takes one random
    number. Two states are therefore no state of both logs.
    """

    most: float
    seen: int = 0
    kept: int = 0
    mean: float = 0.0
    square: float = 0.0

    def fold(self, weights: Floats, rewards: Floats) -> "Replay":
        """Return the state after some more rows, in their order; raises InvalidRequest for a weight above `most`."""
        if weights.size and weights.max() > self.most * (1 + ROUNDING):
            raise InvalidRequest(
                f"replay with weights of at most {self.most:g}, and a row has {weights.max():g}; rejection needs the "
                "largest that can be. Leave it out, or ask for a larger one."
            )
        # One number for each row, wherever the log is cut.
        chance = np.random.Generator(np.random.PCG64(SEED).advance(self.seen))
        new = rewards[chance.random(weights.size) * self.most < weights]
        return self._with(new, seen=self.seen + weights.size)

    def _with(self, new: Floats, *, seen: int) -> "Replay":
        if not new.size:
            return replace(self, seen=seen)
        kept, mean = self.kept + new.size, float(new.mean())
        step = mean - self.mean
        between = step * step * self.kept * new.size / kept
        square = self.square + float(((new - mean) ** 2).sum()) + between
        return Replay(self.most, seen, kept, self.mean + step * new.size / kept, square)

    @property
    def stderr(self) -> float:
        """The standard error of the mean, NaN for less than two kept rows."""
        return math.sqrt(self.square / (self.kept - 1) / self.kept) if self.kept > 1 else math.nan

    @property
    def value(self) -> float:
        """The mean reward of the kept rows, NaN where none was kept."""
        return self.mean if self.kept else math.nan

    def __add__(self, other: object) -> NoReturn:
        """Refuse: read the logs one after the other."""
        raise TypeError("replay is a fold in decision order, and two of them do not add up; fold the second log's rows")
