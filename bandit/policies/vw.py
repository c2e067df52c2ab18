"""Vowpal Wabbit's contextual bandits (`--cb_explore_adf`); the one module that speaks to it.

VW gives the probabilities, in float32; they are renormalised in float64 here, and capped and floored like any other
policy's. Costs are negative rewards. An example is parsed anew each time: a parked one costs 33 kB that VW never frees.
"""

import functools
import re
import struct
from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Literal, Self, cast

import msgspec
import numpy as np
import vowpal_wabbit_next as vw
from msgspec import Meta

from bandit.policies.base import Belief, Frozen, Pmf
from bandit.policies.situation import Situation
from store.errors import InvalidInput
from store.registry import statefile

_UNSAFE = re.compile(r"[\s:|%]")
"""Characters that end or divide a feature name in VW's text format, and the one that they are escaped with."""


class VwConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What of VW can be set.

    `explorer`: `squarecb` (Foster & Rakhlin 2020, with `gamma_scale`) or `epsilon` (greedy, with `epsilon`).
    `interactions` crosses context with action features; without it, the context cannot tell actions apart.
    `bits`: log2 of the number of weights.
    """

    explorer: Literal["squarecb", "epsilon"] = "squarecb"
    interactions: bool = True
    epsilon: Annotated[float, Meta(ge=0, le=1)] = 0.05
    gamma_scale: Annotated[float, Meta(gt=0, le=1e6)] = 10.0
    learning_rate: Annotated[float, Meta(gt=0, le=100)] = 0.5
    bits: Annotated[int, Meta(ge=10, le=22)] = 18

    def arguments(self) -> list[str]:
        """Return VW's command line."""
        explorers = {
            "squarecb": ["--squarecb", "--gamma_scale", str(self.gamma_scale)],
            "epsilon": ["--epsilon", str(self.epsilon)],
        }
        crosses = ["--quadratic", "ca"] if self.interactions else []
        rate = ["--learning_rate", str(self.learning_rate)]
        return ["--quiet", "--cb_explore_adf", "-b", str(self.bits), *rate, *explorers[self.explorer], *crosses]


class VowpalWabbit:
    """A `cb_explore_adf` workspace as a policy."""

    kind: ClassVar[str] = "vw"
    config_type: ClassVar[type[msgspec.Struct]] = VwConfig
    forgets: ClassVar[bool] = False

    def __init__(self, config: VwConfig, model: bytes | None = None) -> None:
        self.config = config
        self._workspace = vw.Workspace(config.arguments(), model_data=model)
        self._parse = vw.TextFormatParser(self._workspace).parse_line

    @classmethod
    def create(cls, config: VwConfig, *, decay: float = 1.0) -> Self:  # noqa: ARG003  # it does not forget
        """Make the policy with all weights 0."""
        return cls(config)

    @classmethod
    def load(cls, config: VwConfig, state: bytes, *, decay: float = 1.0) -> Self:  # noqa: ARG003  # as above
        """Make the policy from a state that `dump` wrote."""
        _, arrays = statefile.unpack(cls.kind, state)
        try:
            return cls(config, arrays["model"].tobytes())
        except RuntimeError as error:
            raise InvalidInput(f"the VW model is damaged ({error}): use an older checkpoint") from error

    def dump(self) -> bytes:
        """Return the model without what predictions leave in it, so that the bytes depend on what was learned alone.

        Loading resets VW's performance counters; the clock `t` that is left paces learning rates only where VW is not
        adaptive, and ours always is.
        """
        model = bytearray(_reloaded(self.config, self._workspace))
        clock = _clock_at(self.config)
        model[clock : clock + 8] = bytes(8)
        return statefile.pack(self.kind, {}, {"model": np.frombuffer(model, dtype=np.uint8)})

    def believe(self, situation: Situation, frozen: Frozen) -> Belief:  # noqa: ARG002  # VW draws nothing
        """Return VW's probabilities."""
        prediction = self._workspace.predict_one([self._parse(line) for line in _lines(situation)])
        probabilities = np.zeros(len(situation.ids))
        for arm, probability in cast("list[tuple[int, float]]", prediction):  # what ActionProbs is made of
            probabilities[arm] = probability
        return Pmf(probabilities / probabilities.sum())

    def learn(self, situation: Situation, arm: int, reward: float, propensity: float) -> None:
        """Fold in one cost with the propensity that it was logged with."""
        lines = _lines(situation)
        lines[1 + arm] = f"0:{-reward!r}:{propensity!r} {lines[1 + arm]}"
        self._workspace.learn_one([self._parse(line) for line in lines])

    def correct(self, situation: Situation, arm: int, reward: float, previous: float) -> None:
        """Leave the model as it is: VW cannot take a step back; evaluation and re-learning see the corrected log."""


def _reloaded(config: VwConfig, workspace: "vw.Workspace[Any]") -> bytes:
    model: bytes = vw.Workspace(config.arguments(), model_data=workspace.serialize()).serialize()
    return model


@functools.lru_cache
def _clock_at(config: VwConfig) -> int:
    """Find where VW's clock stands in a model of these arguments: the one float64 that a prediction moves."""
    workspace = vw.Workspace(config.arguments())
    example = [vw.TextFormatParser(workspace).parse_line(line) for line in ("shared |c x", "|a y")]
    before = _reloaded(config, workspace)
    workspace.predict_one(example)
    after = _reloaded(config, workspace)
    end = max(i for i, (old, new) in enumerate(zip(before, after, strict=True)) if old != new) + 1
    if struct.unpack("<dd", before[end - 8 : end] + after[end - 8 : end]) != (0.0, 1.0):
        raise RuntimeError("this Vowpal Wabbit writes its models in a way that Honeyguide does not know")
    return end - 8


def _lines(situation: Situation) -> list[str]:
    context = "shared |c " + _text(situation.context)
    actions = [
        f"|a {_escape('id=' + arm)} {_text(features)}"
        for arm, features in zip(situation.ids, situation.actions(), strict=True)
    ]
    return [context, *actions]


def _text(features: Mapping[str, float]) -> str:
    return " ".join(f"{_escape(name)}:{value!r}" for name, value in features.items())


def _escape(name: str) -> str:
    return _UNSAFE.sub(lambda found: f"%{ord(found[0]):02x}", name) if _UNSAFE.search(name) else name
