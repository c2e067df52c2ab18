"""Guards with a past, over both stores: what is spent is counted once, shown, and there again after a restart."""

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path

import msgspec
import pytest
from support import calm, seeded_service

from bandit.decide import DecisionRequest
from bandit.service.service import Service
from bandit.service.status_views import ExplorationView
from bandit.service.views import RewardRequest
from bandit.settings import LoopConfig
from store.errors import Conflict
from store.log import rows
from store.log.memory import MemoryStore
from store.log.sqlite import SqliteStore
from store.ports import Store
from store.records import SECOND, Decision

ACTIONS = [{"id": name} for name in "abc"]
UNSURE = {"kind": "linear_ts", "scale": 5.0}


class Clock:
    """A clock that moves when it is told to, and a little with each look."""

    now = 1_000_000_000

    def __call__(self) -> int:
        self.now += 1
        return self.now


@pytest.fixture(params=["memory", "sqlite"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Store:
    return MemoryStore() if request.param == "memory" else SqliteStore(tmp_path)


def run(scenario: Callable[[Service, Clock], Awaitable[None]], store: Store, clock: Clock | None = None) -> None:
    """Run a scenario against a started service, and close it."""

    async def whole() -> None:
        service = seeded_service(store, clock or Clock())
        await service.start()
        try:
            await scenario(service, service._clock)
        finally:
            await service.close()

    try:
        asyncio.run(asyncio.wait_for(whole(), 30))
    finally:
        store.close()


async def make(service: Service, **exploration: object) -> None:
    config = {"policy": UNSURE, "reward": {"window_s": 1000, "range": [0, 1]}, "exploration": exploration}
    await service.put_loop("loop", msgspec.convert(config, LoopConfig), None)


async def ask(service: Service, **fields: object) -> Decision:
    body = msgspec.json.encode({"actions": ACTIONS, **fields})
    recorded = await service.decide("loop", msgspec.json.decode(body, type=DecisionRequest), body)
    return recorded.decision


async def reward(service: Service, decision: Decision, value: float) -> None:
    await service.reward("loop", RewardRequest(decision.decision_id, value))
    position = service._store.log_position("loop")
    assert (await service.status("loop", position, 5)).learned_through == position


async def teach(service: Service, values: dict[str, float], rounds: int) -> None:
    """Decide and reward until each action is known a little."""
    for _ in range(rounds):
        decision = await ask(service)
        await reward(service, decision, values[decision.ranking[0].action])


async def spent(service: Service) -> ExplorationView:
    return (await service.status("loop")).exploration


def test_a_budget_is_spent_and_shown(store: Store) -> None:
    """The status shows what the window spent, which is what its decisions logged; the share holds."""

    async def scenario(service: Service, clock: Clock) -> None:
        await make(service, cap=1.0, floor=0.01, budget={"share": 0.1, "window_s": 600})
        decisions = []
        for i in range(40):
            decisions.append(await ask(service))
            await reward(service, decisions[-1], float(i % 3 == 0))
        shown = (await spent(service)).budget
        assert (shown.decisions, shown.spent) == (40, pytest.approx(sum(d.exploration for d in decisions)))
        assert 0.04 < shown.spent / 40 <= 0.1 + 1e-9
        assert any("exploration.budget" in d.trace for d in decisions)
        for decision in decisions:
            assert decision.exploration <= decision.guard_state["cap"] + 1e-12
        clock.now += 700 * SECOND
        assert (await spent(service)).budget.decisions == 0

    run(scenario, store)


def test_entities_have_budgets(store: Store) -> None:
    """With `entity`, who explored a lot explores no more, whatever others have left."""

    async def scenario(service: Service, clock: Clock) -> None:
        await make(service)
        await teach(service, {"a": 1.0, "b": 0.9, "c": 0.5}, 6)
        await make(service, cap=1.0, floor=0.0, budget={"share": 0.1, "window_s": 600, "entity": "user_id"})
        ann = [await ask(service, entities={"user_id": "ann"}) for _ in range(10)]
        assert sum(d.exploration for d in ann) <= 1.0 + 1e-9
        bob = await ask(service, entities={"user_id": "bob"})
        assert bob.guard_state["allowance"] <= 0.1
        assert (await spent(service)).budget.entities == 2

    run(scenario, store)


def test_a_repeated_decision_is_spent_once(store: Store) -> None:
    """A retry gets the stored answer, a conflict an error; neither is counted."""

    async def scenario(service: Service, clock: Clock) -> None:
        await make(service, cap=1.0, budget={"share": 0.1, "window_s": 600}, conservative={"alpha": 0.5})
        first = await ask(service, decision_id="mine")
        before = await spent(service)
        assert await ask(service, decision_id="mine") == first
        with pytest.raises(Conflict):
            await ask(service, decision_id="mine", context={"x": 1})
        assert await spent(service) == before
        assert before.budget.decisions == 1
        both = await asyncio.gather(*(ask(service, decision_id="twins") for _ in range(8)))
        assert all(twin == both[0] for twin in both)
        assert (await spent(service)).budget.decisions == 2

    run(scenario, store)


def test_everything_is_there_after_a_restart(tmp_path: Path) -> None:
    """Window sums, the gate's sums and counts of learned outcomes are rebuilt from the log; another day's is left."""
    parts = {
        "cap": 1.0,
        "budget": {"share": 0.1, "window_s": 600, "entity": "user_id"},
        "ceiling": {"probability": 0.3, "outcomes": 3},
        "conservative": {"alpha": 0.5},
    }
    clock, shown = Clock(), []

    async def first(service: Service, clock: Clock) -> None:
        await make(service, **parts)
        await ask(service, entities={"user_id": "yesterday's"})
        clock.now += 900 * SECOND
        for i in range(30):
            decision = await ask(service, entities={"user_id": f"u{i % 3}"})
            if i % 2:
                await reward(service, decision, 1.0)
        late = await ask(service)
        await reward(service, late, 1.0)
        shown.append(await spent(service))
        shown.append((await ask(service)).guard_state)

    async def second(service: Service, clock: Clock) -> None:
        again = await spent(service)
        assert again.budget.decisions == shown[0].budget.decisions + 1 == 32
        assert (again.ceiling, again.conservative) == (shown[0].ceiling, shown[0].conservative)
        assert again.conservative.earned > 0
        assert again.ceiling.established >= 1
        assert again.budget.entities == 3
        state = (await ask(service)).guard_state
        assert state["gate_since"] == shown[1]["gate_since"]
        assert state["gate_margin"] == shown[1]["gate_margin"]

    run(first, SqliteStore(tmp_path), clock)
    run(second, SqliteStore(tmp_path), clock)


def test_a_new_action_is_held_until_its_outcomes_are_learned(store: Store) -> None:
    """An action that joins later has at most its ceiling, until enough of its outcomes are learned."""

    async def scenario(service: Service, clock: Clock) -> None:
        await make(service, cap=0.5, floor=0.03, ceiling={"probability": 0.1, "outcomes": 2})
        start = await ask(service)
        assert start.trace == ["exploration.ceiling waived: all actions are new"]
        await teach(service, {"a": 0.2, "b": 0.1, "c": 0.1}, 12)
        joined = [*ACTIONS, {"id": "new"}]
        held = await ask(service, actions=joined)
        assert held.propensities[held.actions.index("new")] <= 0.1 + 1e-12
        assert held.guard_state["new_actions"] >= 1
        for _ in range(2):
            only = await ask(service, actions=joined[-1:])
            await reward(service, only, 1.0)
        free = await ask(service, actions=joined)
        assert free.propensities[free.actions.index("new")] > 0.4

    run(scenario, store)


def test_turning_a_ceiling_on_counts_what_was_learned_before(store: Store) -> None:
    """A ceiling that comes with a later config knows the outcomes in the log."""

    async def scenario(service: Service, clock: Clock) -> None:
        await make(service)
        await teach(service, {"a": 0.2, "b": 0.1, "c": 0.1}, 20)
        await make(service, ceiling={"probability": 0.5, "outcomes": 20})
        await calm(service)
        assert service._loops["loop"].history.learned.position == 40
        assert (await spent(service)).ceiling.established <= 1

    run(scenario, store)


def test_the_gate_opens_when_enough_is_earned(store: Store) -> None:
    """At first the baseline is served, with the floor; with alpha 0.5 and full rewards the gate opens after a while."""

    async def scenario(service: Service, clock: Clock) -> None:
        await make(service, cap=1.0, conservative={"alpha": 0.5})
        opened = []
        for _ in range(60):
            decision = await ask(service)
            opened.append(decision.guard_state["gate_open"])
            if not opened[-1]:
                assert decision.propensities[0] >= 0.99
                assert decision.ranking[0].reason == "exploration.conservative"
            await reward(service, decision, 1.0)
        assert opened[0] == 0
        assert max(opened[5:]) == 1
        shown = (await spent(service)).conservative
        assert shown.margin == pytest.approx(shown.earned - shown.owed)

    run(scenario, store)


def test_the_kill_switch_acts_on_the_next_decision(store: Store) -> None:
    """Whatever else is configured, `greedy` and `baseline` force, spend nothing, and keep the gate's sums."""

    async def scenario(service: Service, clock: Clock) -> None:
        parts = {"cap": 1.0, "budget": {"share": 0.1, "window_s": 600}, "conservative": {"alpha": 0.5}}
        await make(service, **parts)
        await teach(service, {"a": 1.0, "b": 0.5, "c": 0.2}, 8)
        before = await spent(service)
        for mode in ("greedy", "baseline"):
            await make(service, **parts, mode=mode)
            decision = await ask(service)
            assert (decision.ranking[0].reason, decision.ranking[0].propensity) == (f"mode {mode}", 1)
            assert (decision.exploration, decision.ranking[0].explored) == (0, False)
        after = await spent(service)
        assert after.budget.spent == before.budget.spent
        assert after.conservative == before.conservative

    run(scenario, store)


def test_decisions_from_before_guards_had_state_read_back() -> None:
    """A row that ends with the exploration, as older versions wrote it, is a decision without guard state."""
    answer = [["a"], [1.0], None, [("a", 1.0, False, None)], "fixed", "fixed-0@0", "champion", None, [], 0.0]
    row = (1, "d", 0, 10, b"{}", msgspec.msgpack.encode(answer))
    assert rows.decision("loop", row).guard_state == {}


def test_schedules_follow_the_learned_position(store: Store) -> None:
    """The status and each decision show the cap in force: the ramp's, then the schedule's."""

    async def scenario(service: Service, clock: Clock) -> None:
        await make(service, cold_start={"outcomes": 4, "cap": 1.0}, schedule=[{"after": 6, "cap": 0.05, "floor": 0.02}])
        caps = []
        for _ in range(7):
            decision = await ask(service)
            caps.append(decision.guard_state["cap"])
            assert (await spent(service)).cap == caps[-1]
            await reward(service, decision, 0.5)
        assert caps == pytest.approx([1.0, 0.8, 0.6, 0.4, 0.2, 0.2, 0.05])

    run(scenario, store)


def test_the_value_guard_is_shown(store: Store) -> None:
    """The expected loss is logged, at most the bound, and its mean is in the status."""

    async def scenario(service: Service, clock: Clock) -> None:
        await make(service, cap=1.0, floor=0.0, value_guard={"max_loss": 0.02})
        await teach(service, {"a": 1.0, "b": 0.5, "c": 0.2}, 30)
        losses = [(await ask(service)).guard_state["expected_loss"] for _ in range(5)]
        assert max(losses) <= 0.02 + 1e-12
        shown = (await spent(service)).value_guard
        assert shown.max_loss == 0.02
        assert 0 < shown.mean_loss <= 0.02

    run(scenario, store)
