"""All guards together: for any policy, settings, past and eligible set the rules hold in the order of precedence."""

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support import decision

from bandit.exploration import ExplorationConfig, History, Known, Plan, history_of, limits, settled
from store.records import Example, Outcome


@st.composite
def settings(draw: st.DrawFn) -> ExplorationConfig:
    """Any settings that are not refused."""
    cap = draw(st.floats(0.01, 1))
    floor = cap * draw(st.sampled_from([0.0, 1.0]) | st.floats(0, 1))
    above = st.floats(floor, 1)
    parts: dict[str, object] = {
        "cap": cap,
        "floor": floor,
        "mode": draw(st.sampled_from(["on"] * 4 + ["greedy", "baseline"])),
    }
    if draw(st.booleans()):
        later = draw(st.floats(floor, 1))
        parts["schedule"] = [{"after": 10, "cap": later, "floor": floor}]
    if draw(st.booleans()):
        parts["cold_start"] = {"outcomes": 20, "cap": draw(above)}
    if draw(st.booleans()):
        parts["ceiling"] = {"probability": max(1e-3, draw(above)), "outcomes": 1}
    if draw(st.booleans()):
        parts["value_guard"] = {"max_loss": draw(st.floats(0, 1))}
    if draw(st.booleans()):
        parts["budget"] = {"share": draw(above), "window_s": 60, "entity": draw(st.sampled_from([None, "user"]))}
    if draw(st.booleans()) and floor < 0.9:
        parts["conservative"] = {"alpha": draw(st.floats(floor + 0.01, 0.99))}
    return msgspec.convert(parts, ExplorationConfig)


def past_of(config: ExplorationConfig, draw: st.DataObject) -> History:
    """A past in which something was spent, earned and learned."""
    past = history_of(config, 1.0, 0, History())
    for _ in range(draw.draw(st.integers(0, 5))):
        spent = msgspec.structs.replace(decision(), exploration=draw.draw(st.floats(0, 1)))
        past.spend(spent, {"user": "ann"})
    state = {"baseline": 0.0, "gate_since": 0.0, "gate_price": 0.0}
    earned = msgspec.structs.replace(decision(), propensities=[1.0, 0.0, 0.0], guard_state=state)
    count = draw.draw(st.sampled_from([0, 2, 400]))
    entries = [
        Outcome(loop="a", position=i + 1, decision_id="d", kind="rewarded", value=1.0, at=0) for i in range(count)
    ]
    past.learn([Example(entry, earned) for entry in entries])
    return past


@given(settings(), st.data())
def test_the_rules_hold_in_their_order(config: ExplorationConfig, data: st.DataObject) -> None:
    """Sums are 1; the floor holds before all; then cap and budget; then the gate; ceilings unless it is shut."""
    size = data.draw(st.integers(1, 8))
    numbers = st.lists(st.sampled_from([0.0, 1e-310, 1.0]) | st.floats(0, 1), min_size=size, max_size=size)
    weights = np.array(data.draw(numbers))
    p = weights / weights.sum() if weights.sum() > 0 else np.full(size, 1 / size)
    mean = np.array(data.draw(numbers)) if data.draw(st.booleans()) else None
    deviation = None if mean is None else np.full(size, 0.1)
    scores = p if mean is None else mean
    baseline = data.draw(st.integers(0, size - 1))
    actions = data.draw(st.permutations(["x", "y", "z", *"abcdefgh"]))[:size]
    past = past_of(config, data)
    known = Known(0, {"user": "ann"}, actions, baseline, mean, deviation, data.draw(st.integers(0, 30)))
    caps = limits(config, past, known)
    plan = Plan(p, scores == scores.max(), baseline)
    for guard in caps.guards:
        plan = guard(plan)
    state = settled(caps.state, config, plan, mean)
    assert abs(plan.q.sum() - 1) < 1e-12
    assert plan.q.min() >= -1e-15
    if config.mode != "on":
        assert plan.reason == f"mode {config.mode}"
        assert plan.exploration == 0
        return
    cap, floor = config.in_force(known.learned)
    assert plan.q.min() >= floor / size - 1e-12
    assert plan.exploration <= max(floor, min(cap, past.allowance(0, known.entities))) + 1e-12
    assert state["floor"] <= state["cap"] <= 1
    shut = config.conservative is not None and not state["gate_open"]
    if shut:
        assert plan.q[baseline] >= 1 - floor - 1e-12
        assert state["gate_price"] == 0
    if config.ceiling is not None and not shut:
        new = past.new(actions)
        assert new.all() or (plan.q[new] <= max(config.ceiling.probability, floor / size) + 1e-12).all()
    if config.value_guard is not None and mean is not None and not shut:
        gap = np.maximum(mean[plan.greedy].max() - mean, 0)
        assert state["expected_loss"] == pytest.approx(plan.q @ gap)
        assert plan.q @ gap <= config.value_guard.max_loss + floor / size * gap.sum() + 1e-9


def test_order_of_a_hand_checked_decision() -> None:
    """Ceiling, value guard, budget, floor: each acts on what the one before left, and each is in the trace."""
    config = msgspec.convert(
        {
            "cap": 0.5,
            "floor": 0.04,
            "ceiling": {"probability": 0.3, "outcomes": 1},
            "value_guard": {"max_loss": 0.05},
            "budget": {"share": 0.1, "window_s": 60},
        },
        ExplorationConfig,
    )
    past = history_of(config, None, 0, History())
    entry = Outcome(loop="a", position=1, decision_id="d", kind="rewarded", value=1.0, at=0)
    past.learn([Example(entry, decision(slots=3))])
    mean = np.array([0.2, 0.5, 0.4, 0.9])
    known = Known(0, {}, ["x", "y", "z", "newcomer"], 0, mean, None, 7)
    plan = Plan(np.array([0.1, 0.2, 0.1, 0.6]), mean == 0.9, 0)
    caps = limits(config, past, known)
    seen = []
    for guard in caps.guards:
        plan = guard(plan)
        seen.append(plan.q)
    # The newcomer falls from 0.6 to 0.3, the others share 0.7 as 1 : 2 : 1, and y, the best of them, is greedy now.
    np.testing.assert_allclose(seen[0], [0.175, 0.35, 0.175, 0.3], atol=1e-12)
    # 0.175 * 0.3 + 0.175 * 0.1 = 0.07 is too much to lose: tilted to 0.05, the newcomer held at 0.3.
    assert seen[1] @ [0.3, 0, 0.1, 0] == pytest.approx(0.05)
    assert seen[2][3] == pytest.approx(0.3)
    # The first decision of a window may explore 0.1, and no action has less than 0.01.
    assert plan.exploration == pytest.approx(0.1)
    assert plan.q.min() >= 0.01
    assert plan.trace == ("exploration.ceiling", "exploration.value_guard", "exploration.budget")
    ceilings = {"ceiling": 0.3, "new_actions": 1.0}
    assert caps.state == {**ceilings, "max_loss": 0.05, "cap": 0.1, "floor": 0.04, "allowance": 0.1}


def test_a_spent_budget_leaves_the_floor() -> None:
    """With nothing left the floor still holds, and the trace says that it is all there is."""
    config = msgspec.convert({"floor": 0.04, "budget": {"share": 0.1, "window_s": 60}}, ExplorationConfig)
    past = history_of(config, None, 0, History())
    past.spend(msgspec.structs.replace(decision(), exploration=0.9), {})
    plan = Plan(np.array([0.4, 0.3, 0.2, 0.1]), np.array([True, False, False, False]), 0)
    caps = limits(config, past, Known(0, {}, ["a", "b", "c", "d"], 0, None, None, 0))
    for guard in caps.guards:
        plan = guard(plan)
    np.testing.assert_allclose(plan.q, [0.96, 0.018, 0.012, 0.01], atol=1e-15)
    assert plan.exploration == pytest.approx(0.04)
    assert "exploration.budget spent: the floor only" in plan.trace
    assert (caps.state["cap"], caps.state["allowance"]) == (0.04, 0.0)
