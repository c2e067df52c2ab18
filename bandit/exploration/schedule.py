"""Caps and floors that change with what the line has learned, and the ramp of a loop that starts knowing nothing."""

from collections.abc import Sequence

import msgspec

from store.errors import InvalidInput

MOST_ENTRIES = 100


class ScheduleEntry(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """From `after` learned outcomes on, `cap` and `floor` replace those of the loop."""

    after: int
    cap: float
    floor: float


class ColdStart(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """While the first `outcomes` are learned, the cap goes in a straight line from `cap` to the one in force."""

    outcomes: int
    cap: float

    def __post_init__(self) -> None:
        if not 1 <= self.outcomes <= 1_000_000_000:
            raise InvalidInput(
                f"exploration.cold_start.outcomes is {self.outcomes!r}; it must be 1 to 1e9: leave the ramp out instead"
            )
        if not 0 <= self.cap <= 1:
            raise InvalidInput(f"exploration.cold_start.cap is {self.cap!r}; it must be 0 to 1")


def check_schedule(schedule: Sequence[ScheduleEntry]) -> None:
    """Refuse entries that do not ascend, or whose numbers contradict each other."""
    if not 1 <= len(schedule) <= MOST_ENTRIES:
        raise InvalidInput(
            f"exploration.schedule has {len(schedule)} entries; it takes 1 to {MOST_ENTRIES}: use null for none"
        )
    before = -1
    for i, entry in enumerate(schedule):
        if entry.after <= before:
            raise InvalidInput(
                f"exploration.schedule[{i}].after is {entry.after!r}; it must be at least 0 and above the entry "
                "before it: sort the entries"
            )
        check_cap_and_floor(f"exploration.schedule[{i}].", entry.cap, entry.floor)
        before = entry.after


def check_cap_and_floor(where: str, cap: float, floor: float) -> None:
    """Refuse a floor above its cap, or numbers outside [0, 1]."""
    if not 0 <= floor <= cap <= 1:
        raise InvalidInput(
            f"{where}floor is {floor!r} and {where}cap {cap!r}; "
            "they must be 0 <= floor <= cap <= 1: lower the floor or raise the cap"
        )


def in_force(
    cap: float, floor: float, schedule: Sequence[ScheduleEntry] | None, cold_start: ColdStart | None, learned: int
) -> tuple[float, float]:
    """Return cap and floor after `learned` outcomes: the schedule's newest reached entry, under the ramp."""
    for entry in schedule or ():
        if entry.after <= learned:
            cap, floor = entry.cap, entry.floor
    if cold_start is not None and learned < cold_start.outcomes:
        cap = cold_start.cap + (cap - cold_start.cap) * (learned / cold_start.outcomes)
        cap = max(cap, floor)  # equal but for rounding: the ramp begins and ends at or above the floor
    return cap, floor
