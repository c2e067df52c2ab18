"""How much a loop explores, as its config says; settings that contradict each other are refused."""

from typing import Literal

import msgspec

from bandit.exploration.budget import BudgetConfig
from bandit.exploration.ceiling import CeilingConfig
from bandit.exploration.conservative import ConservativeConfig
from bandit.exploration.schedule import ColdStart, ScheduleEntry, check_cap_and_floor, check_schedule, in_force
from bandit.exploration.value_guard import ValueGuardConfig
from store.errors import InvalidInput


class ExplorationConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How much a loop explores.

    `cap` bounds the total probability off the greedy actions, `floor` is the total probability that is spread evenly
    so that every eligible action can be evaluated. `mode` is the kill switch: `greedy` or `baseline` serve only that,
    from the next decision on. The rest is off where it is null; each part says itself what it does.
    """

    mode: Literal["on", "greedy", "baseline"] = "on"
    cap: float = 0.2
    floor: float = 0.01
    schedule: tuple[ScheduleEntry, ...] | None = None
    cold_start: ColdStart | None = ColdStart(500, 1.0)
    ceiling: CeilingConfig | None = None
    value_guard: ValueGuardConfig | None = None
    conservative: ConservativeConfig | None = None
    budget: BudgetConfig | None = None

    def __post_init__(self) -> None:
        check_cap_and_floor("exploration.", self.cap, self.floor)
        if self.schedule is not None:
            check_schedule(self.schedule)
        for setting, value, floor in self._other_caps():
            if floor > value:
                raise InvalidInput(
                    f"{setting} is {value!r}, below a floor of {floor!r} that can be in force with it; "
                    "every action has its share of the floor whatever else holds: lower the floor or raise this"
                )
        if self.conservative is not None and self._largest_floor() >= self.conservative.alpha:
            raise InvalidInput(
                f"exploration.conservative.alpha is {self.conservative.alpha!r} and the floor up to "
                f"{self._largest_floor()!r}; the floor alone could lose that much, so the gate would never open: "
                "lower the floor or raise alpha"
            )

    def is_plain(self, learned: int) -> bool:
        """Say whether cap and floor are all there is after `learned` outcomes."""
        return (
            self.mode == "on"
            and self.schedule is None
            and (self.cold_start is None or self.cold_start.outcomes <= learned)
            and self.ceiling is None
            and self.value_guard is None
            and self.conservative is None
            and self.budget is None
        )

    def in_force(self, learned: int) -> tuple[float, float]:
        """Return the cap and the floor after `learned` outcomes."""
        return in_force(self.cap, self.floor, self.schedule, self.cold_start, learned)

    def _largest_floor(self) -> float:
        return max([self.floor, *(entry.floor for entry in self.schedule or ())])

    def _other_caps(self) -> list[tuple[str, float, float]]:
        """Return each setting that can act as a cap, its value, and the largest floor that it can meet."""
        found = []
        if self.cold_start is not None:
            _, floor = in_force(self.cap, self.floor, self.schedule, None, 0)
            ramp = self.cold_start.outcomes
            met = [floor, *(entry.floor for entry in self.schedule or () if entry.after < ramp)]
            found.append(("exploration.cold_start.cap", self.cold_start.cap, max(met)))
        if self.ceiling is not None:
            found.append(("exploration.ceiling.probability", self.ceiling.probability, self._largest_floor()))
        if self.budget is not None:
            found.append(("exploration.budget.share", self.budget.share, self._largest_floor()))
        return found
