"""The conservative gate: its bound by hand and by simulation, its sums, and the constraint that it exists for."""

import math

import msgspec
import numpy as np
import pytest

from bandit.exploration import ConservativeConfig, ExplorationConfig, History, Known, Plan, limits, settled
from bandit.exploration.conservative import Gate, lower_total, safe_share, upper_value
from store.records import Decision, Example, Outcome, Slot

ALPHA = 0.1
MEANS = np.array([0.5, 0.1, 0.6])
"""Of three actions; the first is the baseline."""


def gate(alpha: float = ALPHA, confidence: float = 0.95) -> Gate:
    return Gate(ConservativeConfig(alpha, confidence), 1.0, since=1)


def made(g: Gate, q: list[float], action: int, price: float = 0.0) -> Decision:
    """A decision under the gate, sampled from q."""
    state = {**g.state(), "baseline": 0.0, "gate_price": price}
    return Decision(
        loop="a",
        decision_id="d",
        at=0,
        due=1,
        request=b"{}",
        actions=["x", "y", "z"],
        propensities=q,
        predicted=None,
        ranking=[Slot("xyz"[action], q[action], explored=action != 0)],
        policy="p",
        model_version="p@0",
        guard_state=state,
    )


def settle(decision: Decision, position: int, value: float, previous: float | None = None) -> Example:
    kind = "rewarded" if previous is None else "corrected"
    return Example(
        Outcome(loop="a", position=position, decision_id="d", kind=kind, value=value, at=0, previous=previous),
        decision,
    )


def test_the_bound_by_hand() -> None:
    """With one reward of 8 and delta e^-1: the best of the formula's terms, and 0 while nothing is earned."""
    terms = [
        (2.0 ** (1 - j) * 8 - (1 + math.log((math.pi * (j + 1)) ** 2 / 6))) / math.expm1(2.0 ** (1 - j))
        for j in range(9)
    ]
    assert lower_total(8, 1, math.exp(-1)) == pytest.approx(max(terms))
    assert lower_total(16, 2, math.exp(-1)) == pytest.approx(2 * max(terms))
    assert lower_total(0, 1, 0.05) == 0


def test_the_bound_is_not_loose() -> None:
    """Of 100, 1,000 and 100,000 successes it grants at least 60, 85 and 98 percent."""
    granted = [lower_total(n, 1, 0.05 / 3) / n for n in (100, 1000, 100_000)]
    assert (np.array(granted) >= [0.6, 0.85, 0.98]).all()
    assert max(granted) < 1


@pytest.mark.parametrize("mean", [0.02, 0.5])
def test_the_bound_holds_at_all_times(mean: float) -> None:
    """Over 1,000 runs of 3,000 rewards it passes the true sum, ever, in no more runs than delta = 0.1 explains.

    Binomial(1000, 0.1) is above 145 with probability 3e-6.
    """
    rng = np.random.default_rng(11)
    bound = np.array([lower_total(s, 1, 0.1) for s in range(3001)])
    sums = (rng.random((1000, 3000)) < mean).cumsum(axis=1)
    ever = (bound[sums] > mean * np.arange(1, 3001)).any(axis=1)
    assert ever.sum() <= 145


def test_upper_value_stays_in_the_range() -> None:
    """Mean plus z deviations, 1.645 at 5 percent, never above the largest reward nor below 0."""
    assert upper_value(0.2, 0.1, 1.0, 0.05) == pytest.approx(0.2 + 0.16448536)
    assert upper_value(0.9, 0.5, 1.0, 0.05) == 1.0
    assert upper_value(-9.0, 0.5, 1.0, 0.05) == 0.0


def test_safe_decisions_earn_and_free_ones_owe() -> None:
    """A safe decision earns (q - 1 + alpha) / q of its baseline's reward; a free one owes at once and earns it all."""
    g = gate()
    safe = made(g, [0.98, 0.01, 0.01], 0)
    assert safe_share(safe, ALPHA) == pytest.approx(0.08 / 0.98)
    g.learn(settle(safe, 1, 1.0))
    g.learn(settle(safe, 1, 1.0))  # known: not twice
    g.learn(settle(made(g, [0.98, 0.01, 0.01], 1), 2, 1.0))  # not the baseline: no estimate of its reward
    free = made(g, [0.3, 0.3, 0.4], 2, price=0.45)
    g.spend(free)
    assert g.ledger.owed == pytest.approx(0.45)
    g.learn(settle(free, 3, 0.0))
    g.learn(settle(free, 4, 0.75, previous=0.0))
    assert (g.ledger.safe, g.ledger.free) == (pytest.approx(0.08 / 0.98), pytest.approx(0.75))
    g.spend(free, sign=-1)
    assert g.ledger.owed == pytest.approx(0.0)


def test_goes_on_from_the_newest_decision() -> None:
    """Its sums stand in each decision: a gate with the same settings takes them up, another one begins at 0."""
    g = gate()
    for position in range(1, 200):
        g.learn(settle(made(g, [1.0, 0.0, 0.0], 0), position, 1.0))
    newest = made(g, [0.3, 0.3, 0.4], 2, price=0.45)
    g.spend(newest)
    again, other = gate(), Gate(ConservativeConfig(0.2), 1.0, since=2)
    again.open(newest, through=500)
    other.open(newest, through=500)
    assert (again.ledger, again.since, again.margin) == (g.ledger, g.since, g.margin)
    assert (other.ledger.safe, other.ledger.through) == (0, 500)
    assert not other.judges(newest)


def test_closed_serves_the_baseline_and_the_floor() -> None:
    """With nothing earned the baseline is served, exploration is measured from it, and every action has its floor."""
    config = ExplorationConfig(cap=0.5, floor=0.03, conservative=ConservativeConfig(ALPHA))
    known = Known(0, {}, ["x", "y", "z"], 0, np.array([0.1, 0.5, 0.2]), np.full(3, 0.1), 0)
    plan = Plan(np.array([0.2, 0.5, 0.3]), np.array([False, True, False]), 0)
    for past in (History(gate=gate()), History()):
        caps = limits(config, past, known)
        shut = plan
        for guard in caps.guards:
            shut = guard(shut)
        np.testing.assert_allclose(shut.q, [0.98, 0.01, 0.01], atol=1e-15)
        assert shut.reason == "exploration.conservative"
        assert shut.trace == ("exploration.conservative", "exploration.floor")
        assert shut.exploration == pytest.approx(0.02)


def simulate(rng: np.random.Generator, *, gated: bool, rounds: int = 1200, delay: int = 20) -> tuple[bool, float]:
    """A policy that prefers the worst action; returns whether the constraint ever broke, and the share of free rounds.

    Its model believes the mean of what it has seen, with one prior observation of 0.5 and deviations of 0.5 / sqrt(n).
    Rewards come after up to `delay` rounds, out of order.
    """
    config = ExplorationConfig(cap=1.0, floor=0.03, conservative=ConservativeConfig(ALPHA) if gated else None)
    past = History(gate=gate() if gated else None)
    seen, total = np.full(3, 1.0), np.full(3, 0.5)
    ahead, free, position = 0.0, 0, 0
    waiting: list[tuple[int, Decision, int, float]] = []
    worst = np.array([0.05, 0.9, 0.05])
    broken = False
    for t in range(rounds):
        mean, deviation = total / seen, 0.5 / np.sqrt(seen)
        caps = limits(config, past, Known(t, {}, ["x", "y", "z"], 0, mean, deviation, t))
        plan = Plan(worst, mean == mean.max(), 0)
        for guard in caps.guards:
            plan = guard(plan)
        state = settled(caps.state, config, plan, mean)
        action = int(rng.choice(3, p=plan.q / plan.q.sum()))
        decision = made(past.gate or gate(), plan.q.tolist(), action)
        decision = msgspec.structs.replace(decision, guard_state=state)
        past.spend(decision, {})
        ahead += plan.q @ MEANS - (1 - ALPHA) * MEANS[0]
        broken |= ahead < 0
        free += plan.q[0] < 1 - ALPHA
        waiting.append((t + int(rng.integers(1, delay)), decision, action, float(rng.random() < MEANS[action])))
        for due in sorted((w for w in waiting if w[0] <= t), key=lambda w: w[0]):
            waiting.remove(due)
            position += 1
            seen[due[2]], total[due[2]] = seen[due[2]] + 1, total[due[2]] + due[3]
            if gated:
                past.learn([settle(due[1], position, due[3])])
    return broken, free / rounds


def test_the_constraint_holds() -> None:
    """Against a policy that prefers the worst action, 40 runs break it no more often than 5 percent explains.

    Binomial(40, 0.05) is above 11 with probability below 1e-5. The gate does open, and without it every run breaks.
    """
    runs = [simulate(np.random.default_rng(seed), gated=True) for seed in range(40)]
    assert sum(broken for broken, _ in runs) <= 11
    assert min(free for _, free in runs) > 0.02
    assert all(simulate(np.random.default_rng(seed), gated=False, rounds=100)[0] for seed in range(5))
