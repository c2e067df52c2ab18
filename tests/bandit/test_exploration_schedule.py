"""Schedules, the cold-start ramp, and settings that contradict each other."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bandit.exploration import ExplorationConfig
from bandit.settings import LoopConfig
from store.errors import InvalidInput

SCHEDULE = [{"after": 100, "cap": 0.1, "floor": 0.02}, {"after": 500, "cap": 0.05, "floor": 0.05}]


def config(**parts: object) -> ExplorationConfig:
    return msgspec.convert(parts, ExplorationConfig)


def test_the_newest_reached_entry_is_in_force() -> None:
    """Before the first entry the loop's own cap and floor hold, from `after` outcomes on the entry's."""
    scheduled = config(schedule=SCHEDULE, cold_start=None)
    found = [scheduled.in_force(n) for n in (0, 99, 100, 499, 500, 9999)]
    assert found == [(0.2, 0.01)] * 2 + [(0.1, 0.02)] * 2 + [(0.05, 0.05)] * 2


def test_the_ramp_is_a_straight_line() -> None:
    """From 1 to 0.2 over 400 outcomes: 0.8 after 100, 0.2 from 400 on. It meets the cap that is in force."""
    ramp = config(cold_start={"outcomes": 400, "cap": 1.0})
    assert [ramp.in_force(n)[0] for n in (0, 100, 400, 900)] == pytest.approx([1.0, 0.8, 0.2, 0.2])
    both = config(schedule=SCHEDULE, cold_start={"outcomes": 400, "cap": 1.0})
    assert both.in_force(200)[0] == pytest.approx(1.0 - 0.9 / 2)


@pytest.mark.parametrize(
    ("parts", "said"),
    [
        ({"schedule": []}, "use null for none"),
        ({"schedule": [SCHEDULE[1], SCHEDULE[0]]}, "sort the entries"),
        ({"schedule": [{"after": -1, "cap": 0.1, "floor": 0}]}, "at least 0"),
        ({"schedule": [{"after": 5, "cap": 0.1, "floor": 0.2}]}, r"schedule\[0\]\.floor is 0\.2"),
        ({"schedule": [{"after": 5, "cap": float("nan"), "floor": 0.2}]}, "0 <= floor <= cap <= 1"),
        ({"cold_start": {"outcomes": 0, "cap": 0.5}}, r"cold_start\.outcomes"),
        ({"cold_start": {"outcomes": 9, "cap": 1.5}}, r"cold_start\.cap"),
        ({"cold_start": {"outcomes": 9, "cap": 0.005}}, "below a floor of 0.01"),
        ({"cold_start": {"outcomes": 600, "cap": 0.03}, "schedule": SCHEDULE}, "below a floor of 0.05"),
        ({"ceiling": {"probability": 0.001, "outcomes": 5}}, "below a floor of 0.01"),
        ({"budget": {"share": 0.02, "window_s": 60}, "schedule": SCHEDULE}, "below a floor of 0.05"),
        ({"budget": {"share": float("nan"), "window_s": 60}}, r"budget\.share"),
        ({"budget": {"share": 0.1, "window_s": 0.5}}, r"budget\.window_s"),
        ({"budget": {"share": 0.1, "window_s": 60, "entity": ""}}, "name a key"),
        ({"conservative": {"alpha": 0.0}}, "between 0 and 1"),
        ({"conservative": {"alpha": 0.1, "confidence": 1.0}}, r"conservative\.confidence"),
        ({"conservative": {"alpha": 0.01}}, "would never open"),
    ],
)
def test_contradictions_are_refused(parts: dict[str, object], said: str) -> None:
    """Settings that cannot hold together, or are no numbers, are refused with what to change."""
    with pytest.raises((InvalidInput, msgspec.ValidationError), match=said):
        config(**parts)


def test_the_gate_needs_bounded_rewards() -> None:
    """A share of the baseline's reward means nothing where rewards may be negative or have no bounds."""
    exploration = config(conservative={"alpha": 0.1})
    for span in (None, [-1, 1], [-2, 0]):
        with pytest.raises((InvalidInput, msgspec.ValidationError), match=r"set reward\.range"):
            msgspec.convert({"exploration": msgspec.to_builtins(exploration), "reward": {"range": span}}, LoopConfig)
    LoopConfig(exploration=exploration, reward=msgspec.convert({"range": [0, 1]}, type(LoopConfig().reward)))


@given(st.integers(0, 1000), st.integers(1, 800), st.floats(0.05, 1))
def test_the_floor_never_passes_the_cap(learned: int, outcomes: int, start: float) -> None:
    """Whatever is in force, 0 <= floor <= cap <= 1."""
    cap, floor = config(schedule=SCHEDULE, cold_start={"outcomes": outcomes, "cap": start}).in_force(learned)
    assert 0 <= floor <= cap <= 1
