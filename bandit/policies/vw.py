"""Vowpal Wabbit's contextual bandits (`--cb_explore_adf`); the one module that speaks to it.

VW gives the probabilities, in float32; they are renormalised in float64 here, and capped and floored like any other
policy's. Costs are negative rewards. An example is made anew each time: a parked one costs 33 kB that VW never frees.
Features are pushed as numbers: writing them as text costs more than VW's own work, and VW reads decimals inexactly.
"""

import functools
import re
import struct
from collections.abc import Callable, Mapping
from typing import Any, ClassVar, Self, cast

import msgspec
import numpy as np
import vowpal_wabbit_next as vw
from vowpal_wabbit_next import _core  # its public wrappers compare eleven labels in Python, as long as VW predicts

from bandit.policies.base import AGAIN, NEWEST, Belief, Entry, Floats, Frozen, Pmf
from bandit.policies.situation import Situation
from bandit.policies.vw_config import PLACE_BREAKS_TIES, VwConfig
from bandit.policies.vw_features import Indices, Row, rows
from store.errors import InvalidInput
from store.registry import statefile

NAMES_KEPT, LISTS_KEPT = 16_384, 64
"""Feature names, and lists of them, whose indices are remembered: VW hashes a name anew in 2 microseconds."""

_CONTEXT, _ACTION = "c", "a"
_NO_NAME = np.zeros(1, np.uint64)
_SUM_TOLERANCE = 1e-3
_UNSAFE = re.compile(r"[\s:|%]")
"""Characters that end or divide a feature name in VW's text format, and the one that they are escaped with."""


class VowpalWabbit:
    """A `cb_explore_adf` workspace as a policy."""

    kind: ClassVar[str] = "vw"
    config_type: ClassVar[type[msgspec.Struct]] = VwConfig
    forgets: ClassVar[bool] = False
    corrects: ClassVar[bool] = False

    def __init__(self, config: VwConfig, model: bytes | None = None) -> None:
        self.config = config
        self._workspace = vw.Workspace(config.arguments(), model_data=model)
        self._core = self._workspace._workspace  # noqa: SLF001  # see the import
        index = functools.lru_cache(NAMES_KEPT)(functools.partial(_index, self._core))
        self._indices = functools.lru_cache(LISTS_KEPT)(functools.partial(_indices, index))

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
        clock = _options_end(model) + _clock_at(self.config)
        model[clock : clock + 8] = bytes(8)
        return statefile.pack(self.kind, {}, {"model": np.frombuffer(model, dtype=np.uint8)})

    def believe(self, situation: Situation, frozen: Frozen) -> Belief:
        """Return VW's probabilities.

        Where an explorer breaks ties by place, a frozen draw decides the places, not the ids' order.
        Raises `ArithmeticError` where VW's answer is no distribution, so that the loop's fallback decides.
        """
        examples = self._examples(situation)
        order = self._shuffled(situation, frozen) if self.config.explorer in PLACE_BREAKS_TIES else None
        if order is not None:
            examples = [examples[0], *[examples[1 + k] for k in order]]
        prediction = cast("list[tuple[int, float]]", self._core.predict_multi_ex_one(examples))
        return Pmf(_checked(prediction, order))

    def learn(
        self,
        situation: Situation,
        arm: int,
        reward: float,
        propensity: float,
        entry: Entry = NEWEST,  # noqa: ARG002  # nothing is corrected
    ) -> None:
        """Fold in one cost with the propensity that it was logged with.

        Raises `InvalidInput` for a reward that is not finite or beyond 1e15.
        """
        label = vw.CBLabel(label=(self.config.cost(reward), propensity))
        examples = self._examples(situation)
        examples[1 + arm]._set_label(label)  # noqa: SLF001  # see the import
        self._core.learn_multi_ex_one(examples)

    def correct(self, situation: Situation, arm: int, reward: float, previous: float, entry: Entry = AGAIN) -> None:
        """Leave the model as it is: VW cannot take a step back; evaluation and re-learning see the corrected log."""

    def _examples(self, situation: Situation) -> list[_core.Example]:
        """Return the context's example, then one per action."""
        # The context has nothing like an action's id, so the first feature of its row is dropped again.
        ((indices, values),) = self._rows(_CONTEXT, _NO_NAME, situation.context)
        examples = [_core._parse_line_text(self._core, "shared |")]  # noqa: SLF001  # see the import
        examples[0][ord(_CONTEXT)].push_many_features(indices[1:], values[1:])
        for row in self._action_rows(situation):
            example = _core.Example()
            example[ord(_ACTION)].push_many_features(*row)
            examples.append(example)
        return examples

    def _shuffled(self, situation: Situation, frozen: Frozen) -> list[int]:
        keys = self._indices(_ACTION, tuple(situation.ids), "id=")
        # The generator's own words: making a bounded integer of one costs as much as all the rest here.
        factor = np.uint64(frozen().bit_generator.random_raw() | 1)  # odd, so that no two ids fall together
        order: list[int] = (keys * factor).argsort(kind="stable").tolist()  # by id and draw, wherever the id stands
        return order

    def _action_rows(self, situation: Situation) -> list[Row]:
        first = self._indices(_ACTION, tuple(situation.ids), "id=")
        table = situation.table()
        if table:
            return rows(first, self._indices(_ACTION, table[0]), table[1])
        each = enumerate(situation.actions())
        return [row for k, features in each for row in self._rows(_ACTION, first[k : k + 1], features)]

    def _rows(self, namespace: str, first: Indices, features: Mapping[str, float]) -> list[Row]:
        values = np.fromiter(features.values(), np.float64, len(features))
        return rows(first, self._indices(namespace, tuple(features)), values.reshape(1, -1))


def _indices(index: Callable[[str, str], int], namespace: str, names: tuple[str, ...], prefix: str = "") -> Indices:
    return np.array([index(namespace, prefix + name) for name in names], np.uint64)


def _index(core: _core.Workspace, namespace: str, name: str) -> int:
    """Return what VW's own text parser makes of a name: models and hashes are those of the text format."""
    line = f"|{namespace} {_UNSAFE.sub(_escaped, name) or '%'}"
    (index,) = _core._parse_line_text(core, line)[ord(namespace)].indices  # noqa: SLF001  # see the import
    return int(index)


def _escaped(found: re.Match[str]) -> str:
    return f"%{ord(found[0]):02x}"


def _checked(prediction: list[tuple[int, float]], order: list[int] | None) -> Floats:
    """Return probabilities by arm, shape (K,), renormalised in float64: VW's sum to 1 in float32 only.

    `order` says which arm stood in each place, None where the place is the arm.
    """
    by_arm = [0.0] * len(prediction)
    for place, probability in prediction:
        by_arm[place if order is None else order[place]] = probability
    probabilities = np.array(by_arm)
    total = probabilities.sum()
    if not (abs(total - 1) <= _SUM_TOLERANCE and probabilities.min() >= 0):  # a NaN fails the comparison too
        raise ArithmeticError(f"Vowpal Wabbit's probabilities sum to {total!r} or are negative: the model is damaged")
    return np.asarray(probabilities / total)


def _reloaded(config: VwConfig, workspace: "vw.Workspace[Any]") -> bytes:
    model: bytes = vw.Workspace(config.arguments(), model_data=workspace.serialize()).serialize()
    return model


@functools.lru_cache
def _clock_at(config: VwConfig) -> int:
    """Find how far behind the options VW's clock stands in a model: the one float64 that a prediction moves."""
    workspace = vw.Workspace(config.arguments())
    example = [vw.TextFormatParser(workspace).parse_line(line) for line in ("shared |c x", "|a y")]
    before = _reloaded(config, workspace)
    workspace.predict_one(example)
    after = _reloaded(config, workspace)
    end = max(i for i, (old, new) in enumerate(zip(before, after, strict=True)) if old != new) + 1
    if struct.unpack("<dd", before[end - 8 : end] + after[end - 8 : end]) != (0.0, 1.0):
        raise RuntimeError("this Vowpal Wabbit writes its models in a way that Honeyguide does not know")
    return end - 8 - _options_end(after)


def _options_end(model: bytes | bytearray) -> int:
    # Their text has no fixed length: bagging keeps the state of its random numbers in it.
    return model.index(b"\0", model.index(b"--cb_adf "))
