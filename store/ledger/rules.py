"""What a loop does with rewards: the part of its config that the ledger, and learning, go by."""

import math
from typing import Annotated, Literal, TypeAlias

import msgspec

from store.errors import InvalidInput
from store.ledger.formula import read_formula
from store.records import LARGEST, MAX_ID_LENGTH, SECOND

Aggregation: TypeAlias = Literal["first", "last", "sum", "mean", "max", "min"]
Credit: TypeAlias = Literal["slot", "all", "cascade"]

MAX_COMPONENTS = 32


class Component(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A named part of a reward: what it is where nothing came, how several are joined (null: as the loop's), its range.

    `default` is a number, `aggregation` as in `RewardRules`, `range` refuses values outside it (null: the loop's).
    """

    default: float = 0
    aggregation: Aggregation | None = None
    range: tuple[float, float] | None = None


class Components(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Named parts of a reward, and the formula that makes one number of them."""

    parts: dict[str, Component]
    formula: str

    def __post_init__(self) -> None:
        if not 0 < len(self.parts) <= MAX_COMPONENTS:
            raise InvalidInput(f"reward.components has {len(self.parts)} parts; it takes 1 to {MAX_COMPONENTS}")
        for name, part in self.parts.items():
            if not (name.isidentifier() and len(name) <= MAX_ID_LENGTH):
                raise InvalidInput(
                    f"reward.components.parts has {name[:50]!r}; a name is letters, digits and '_', not a digit first"
                )
            _check_range(f"reward.components.parts.{name}.", part.range, part.default)
        read_formula(self.formula, frozenset(self.parts))

    def read(self, found: dict[str, float]) -> float:
        """Return the reward of these component values; those that are not there have their default."""
        values = {name: found.get(name, float(part.default)) for name, part in self.parts.items()}
        return max(-LARGEST, min(LARGEST, read_formula(self.formula, frozenset(self.parts))(values)))


class RewardRules(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a loop does with rewards; part of its config.

    `window_s` seconds after a decision without a reward, `default` becomes its outcome. `aggregation` says how several
    rewards make one value. A reward after the window is kept; with `late: "correct"` it also corrects what was learned
    as long as it arrives within `correction_window_s`. A value outside `range` is refused. `credit` says which slots of
    a ranking learn what; `components` are named parts of a reward and the formula that joins them.
    """

    window_s: Annotated[float, msgspec.Meta(ge=0.1, le=315_360_000)] = 600
    default: float = 0
    aggregation: Aggregation = "first"
    range: tuple[float, float] | None = None
    late: Literal["log", "correct"] = "correct"
    correction_window_s: Annotated[float, msgspec.Meta(ge=0, le=315_360_000)] = 2_592_000
    credit: Credit = "slot"
    components: Components | None = None

    def __post_init__(self) -> None:
        _check_range("reward.", self.range, self.default)
        if self.components is not None and self.default != 0:
            raise InvalidInput(
                f"reward.default is {self.default!r} and reward.components is set; where nothing came, the reward is "
                "what the formula makes of the components' defaults: leave reward.default out"
            )

    def check(self, what: str, value: float, component: str | None = None) -> None:
        """Refuse a component that is not declared, or a value outside the declared range."""
        allowed = self.range
        if component is not None or self.components is not None:
            allowed = self._part(component).range or self.range
        if allowed is not None and not allowed[0] <= value <= allowed[1]:
            raise InvalidInput(
                f"{what} is {value!r}, outside the loop's reward range [{allowed[0]!r}, {allowed[1]!r}]: "
                "send a value inside it, or widen the range with PUT"
            )

    def _part(self, component: str | None) -> Component:
        parts = {} if self.components is None else self.components.parts
        if component is None or component not in parts:
            names = ", ".join(sorted(parts))
            way_out = f"name one of {names}" if names else "leave it out, or declare reward.components with PUT"
            raise InvalidInput(f"component is {component!r}, which the loop does not declare: {way_out}")
        return parts[component]

    def aggregation_of(self, component: str | None) -> Aggregation:
        """Return how several rewards of a component are joined."""
        parts = {} if self.components is None else self.components.parts
        part = parts.get(component) if component is not None else None
        return (part.aggregation if part else None) or self.aggregation

    @property
    def nothing(self) -> float:
        """The outcome of a decision for which no reward came."""
        return self.default if self.components is None else self.components.read({})

    def closes_at_first(self, slots: int) -> bool:
        """Say whether the first reward of a decision with so many slots leaves nothing to wait for."""
        return self.aggregation == "first" and self.components is None and slots == 1

    def due(self, at: int) -> int:
        """When the window of a decision made at `at` closes, in microseconds."""
        return at + round(self.window_s * SECOND)

    def corrects_until(self, due: int) -> int:
        """When the correction window of a decision that fell due at `due` closes, in microseconds."""
        return due + round(self.correction_window_s * SECOND)


def _check_range(where: str, span: tuple[float, float] | None, default: float) -> None:
    if not abs(default) <= LARGEST:
        raise InvalidInput(f"{where}default is {default!r}; it must be a finite number of at most 1e15")
    if span is None:
        return
    low, high = span
    if not (math.isfinite(low) and math.isfinite(high) and low < high):
        raise InvalidInput(f"{where}range is [{low!r}, {high!r}]; give two finite numbers, the lower first")
    if not low <= default <= high:
        raise InvalidInput(
            f"{where}default is {default!r}, outside {where}range [{low!r}, {high!r}]: choose one inside it"
        )
