"""A loop's ranking guards as they are configured, and the contradictions between them that are refused."""

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Annotated, Literal, TypeAlias, TypeVar

import msgspec

from store.errors import InvalidInput
from store.records import LARGEST, MAX_ID_LENGTH

Scalar: TypeAlias = str | bool | int | float
Name: TypeAlias = Annotated[str, msgspec.Meta(min_length=1, max_length=MAX_ID_LENGTH)]
Count: TypeAlias = Annotated[int, msgspec.Meta(ge=1, le=5000)]
Position: TypeAlias = Annotated[int, msgspec.Meta(ge=0, lt=100)]
Share: TypeAlias = Annotated[float, msgspec.Meta(ge=0, le=1)]

MAX_GUARDS = 100
MAX_WINDOW_S = 31_536_000


class Eligible(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag_field="kind", tag="eligible"):
    """Keep the actions whose feature, a dotted path into what was sent, obeys the rule.

    `min` and `max` ask for a number, `equals` for the same value of the same type (2 and 2.0 are the same, 1 and true
    are not). An action without the feature goes, or stays with `when_missing` "keep".
    """

    feature: Name
    min: float | None = None
    max: float | None = None
    equals: Scalar | None = None
    when_missing: Literal["remove", "keep"] = "remove"

    def __post_init__(self) -> None:
        bounded = self.min is not None or self.max is not None
        if bounded == (self.equals is not None):
            raise InvalidInput(
                f"guard eligible of {self.feature!r} needs either 'min' and 'max', one or both, or 'equals'"
            )
        if self.min is not None and self.max is not None and self.min > self.max:
            raise InvalidInput(
                f"guard eligible of {self.feature!r} has min {self.min!r} above max {self.max!r}: nothing can pass"
            )


class Pin(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag_field="kind", tag="pin"):
    """Give a slot, counted from 0, to an action wherever that is eligible."""

    slot: Position
    action: Name


class ProtectedHead(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag_field="kind", tag="protected_head"):
    """Serve only greedy actions in the first `slots` slots."""

    slots: Annotated[int, msgspec.Meta(ge=1, le=100)]


class MaxExplored(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag_field="kind", tag="max_explored"):
    """Serve only greedy actions from the slot on above which `items` slots have explored."""

    items: Annotated[int, msgspec.Meta(ge=0, le=100)]


class QualityFloor(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag_field="kind", tag="quality_floor"):
    """Keep the actions whose lower bound is at most (1 - `share`) |best| below the best lower bound.

    A lower bound is the predicted reward less `deviations` posterior standard deviations.
    """

    share: Share
    deviations: Annotated[float, msgspec.Meta(ge=0, le=10)] = 1.0


class Diversity(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag_field="kind", tag="diversity"):
    """Serve at most `max` actions of the same value of a feature; an action without it is free."""

    feature: Name
    max: Count


class FrequencyCap(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag_field="kind", tag="frequency_cap"):
    """Keep an action from an entity that it was served to `max` times within the last `window_s` seconds."""

    entity: Name
    max: Count
    window_s: Annotated[float, msgspec.Meta(ge=0.1, le=MAX_WINDOW_S)]


class MinimumExposure(
    msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag_field="kind", tag="minimum_exposure"
):
    """Give an action, or all actions with a feature's value together, at least this probability in the first slot."""

    probability: Annotated[float, msgspec.Meta(gt=0, le=1)]
    action: Name | None = None
    feature: Name | None = None
    equals: Scalar | None = None

    def __post_init__(self) -> None:
        if (self.action is None) == (self.feature is None) or (self.feature is None) != (self.equals is None):
            raise InvalidInput("guard minimum_exposure needs either 'action', or 'feature' and 'equals'")

    @property
    def group(self) -> str:
        """What it is for, in words that tell it from the others."""
        # msgspec reads 2.0 as a float: to a feature it is the 2 that an integer is.
        value = float(self.equals) if type(self.equals) is int else self.equals
        return f"action {self.action!r}" if self.feature is None else f"{self.feature} = {value!r}"


GuardConfig: TypeAlias = (
    Eligible | Pin | ProtectedHead | MaxExplored | QualityFloor | Diversity | FrequencyCap | MinimumExposure
)

T = TypeVar("T")


def of_kind(guards: Iterable[GuardConfig], kind: type[T]) -> list[T]:
    """Return the guards of one kind, in order."""
    return [guard for guard in guards if isinstance(guard, kind)]


def check_guards(guards: Sequence[GuardConfig], *, cap: float, floor: float) -> None:
    """Refuse guards that contradict each other, or the loop's exploration cap and floor; raises `InvalidInput`."""
    if len(guards) > MAX_GUARDS:
        raise InvalidInput(f"there are {len(guards)} guards; at most {MAX_GUARDS} are allowed: leave some out")
    for guard in guards:
        _check_numbers(guard)
    pins = of_kind(guards, Pin)
    _refuse_repeated((f"slot {pin.slot}" for pin in pins), "pins are for", "pin one action there")
    _refuse_repeated((f"action {pin.action!r}" for pin in pins), "pins are for", "pin it once")
    for kind in (ProtectedHead, MaxExplored, QualityFloor):
        if len(of_kind(guards, kind)) > 1:
            raise InvalidInput(f"guards has more than one {kind.__struct_config__.tag}: keep one")
    _check_exposure(of_kind(guards, MinimumExposure), cap=cap, floor=floor)


def _check_exposure(exposures: Sequence[MinimumExposure], *, cap: float, floor: float) -> None:
    _refuse_repeated((exposure.group for exposure in exposures), "minimum_exposure guards are for", "keep one")
    if len({exposure.feature for exposure in exposures}) > 1:
        raise InvalidInput("minimum_exposure guards may overlap: name actions only, or values of one feature only")
    asked = sum(exposure.probability for exposure in exposures)
    if exposures and asked + floor > cap + 1e-12:
        raise InvalidInput(
            f"minimum_exposure asks for {asked:g} in all and exploration.floor for {floor:g}, "
            f"together more than exploration.cap {cap:g} allows: lower a probability or the floor, or raise the cap"
        )


def _check_numbers(guard: GuardConfig) -> None:
    for name in guard.__struct_fields__:
        value = getattr(guard, name)
        if isinstance(value, float) and not abs(value) <= LARGEST:
            raise InvalidInput(f"guards has {name} {value!r}; it must be a finite number of at most 1e15")


def _refuse_repeated(names: Iterable[str], what: str, way_out: str) -> None:
    name, count = max(Counter(names).items(), key=lambda item: item[1], default=("", 0))
    if count > 1:
        raise InvalidInput(f"{count} {what} {name}: {way_out}")
