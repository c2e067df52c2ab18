"""Invariant 1 for guarded rankings: whatever the guards, what is logged is what was sampled from."""

import itertools
import math
from collections import defaultdict

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support import every_ranking

from bandit.decide import DecisionRequest, Frame, decide
from bandit.policies.base import Draws, Gaussian, Index, Pmf
from bandit.ranking.frequency import Frequency
from bandit.ranking.guards import FrequencyCap
from bandit.ranking.marginals import marginals
from bandit.ranking.plackett_luce import race
from bandit.ranking.replay import all_marginals, plain, slot_marginals
from bandit.ranking.steps import OpenSlate
from bandit.settings import LoopConfig
from store.errors import InvalidInput
from store.log import rows
from store.records import Decision

NAMES = "abcdef"
ACTIONS = [{"id": n, "features": {"stock": i, "category": "xyx"[i % 3]}} for i, n in enumerate(NAMES)]
CAP = FrequencyCap(entity="user", max=1, window_s=100)
GUARDS = {
    "eligible": {"kind": "eligible", "feature": "stock", "min": 1},
    "pin": {"kind": "pin", "slot": 1, "action": "c"},
    "protected_head": {"kind": "protected_head", "slots": 1},
    "max_explored": {"kind": "max_explored", "items": 1},
    "quality_floor": {"kind": "quality_floor", "share": 0.3, "deviations": 1.0},
    "diversity": {"kind": "diversity", "feature": "category", "max": 2},
    "frequency_cap": msgspec.to_builtins(CAP),
    "minimum_exposure": {"kind": "minimum_exposure", "action": "e", "probability": 0.2},
}
SHAPES = ("gaussian", "index", "pmf", "draws")


class Believes:
    """A policy whose belief depends on the action alone."""

    kind = "believes"

    def __init__(self, shape: str) -> None:
        self.shape = shape

    def believe(self, situation, frozen):
        k = np.array([NAMES.index(name) for name in situation.ids])
        mean, deviation = 1 + 0.25 * np.sin(2.0 * k + 1), 0.2 + 0.05 * k
        if self.shape == "gaussian":
            return Gaussian(mean, deviation, 0.9)
        if self.shape == "index":
            return Index(mean + deviation, mean, deviation)
        if self.shape == "pmf":
            return Pmf((k + 1) / (k + 1).sum())
        return Draws(mean + deviation * frozen().normal(size=(50, len(k))), mean, deviation)


def frame(shape: str, guards: list[str], exploration: dict[str, object], *, served: str = "f") -> Frame:
    config = msgspec.convert(
        {
            "policy": {"kind": "uniform"},
            "guards": [GUARDS[name] for name in guards],
            "exploration": {"cold_start": None, **exploration},
        },
        LoopConfig,
    )
    memory = Frequency([CAP])
    memory.served({"user": "ann"}, served, 0)
    return Frame("loop", b"s" * 32, config, Believes(shape), "line@0", frequency=memory)


def ask(frame: Frame, decision_id: str = "d", top_n: int = 3, **fields: object) -> Decision:
    body = msgspec.json.encode({"actions": ACTIONS, "top_n": top_n, "entities": {"user": "ann"}, **fields})
    request = msgspec.json.decode(body, type=DecisionRequest)
    return decide(frame, request, body, decision_id=decision_id, at=1)


def logged(decision: Decision) -> Decision:
    """The decision as it is read back from its row."""
    position, _, *rest = rows.decision_row(1, decision)
    return rows.decision("loop", (position, *rest))


def kept(decision: Decision, guards: list[str], top_n: int) -> None:
    """Check every rule that the guards promise."""
    ids, first = decision.served, decision.ranking[0]
    feature = {action["id"]: action["features"] for action in ACTIONS}
    promises = {
        "eligible": "a" not in decision.actions,
        "frequency_cap": "f" not in decision.actions and decision.withheld == ["f"],
        "pin": len(ids) < 2 or (ids[1], decision.ranking[1].propensity) == ("c", 1.0),
        "protected_head": first.reason and ("pin" in first.reason or first.reason.endswith("protected_head")),
        "max_explored": sum(slot.explored for slot in decision.ranking) <= 1,
        "diversity": sum(feature[name]["category"] == "x" for name in ids) <= 2,
        "minimum_exposure": {"protected_head", "quality_floor"} & set(guards)
        or decision.propensities[decision.actions.index("e")] >= 0.2 - 1e-9,
    }
    assert [name for name in guards if not promises.get(name, True)] == []
    assert len(set(ids)) == len(ids)
    assert (decision.short is None) == (len(ids) == top_n)


@settings(max_examples=150)
@given(
    st.sampled_from(SHAPES),
    st.lists(st.sampled_from(sorted(GUARDS)), unique=True),
    st.integers(1, 7),
    st.floats(0.3, 1),
    st.floats(0, 0.1),
    st.text("0123456789", min_size=1, max_size=3),
)
def test_guards_hold_in_any_combination(
    shape: str, guards: list[str], top_n: int, cap: float, floor: float, decision_id: str
) -> None:
    """Whatever guards, caps and belief: each distribution sums to 1, each guard's rule holds, the log reads back."""
    d = ask(frame(shape, guards, {"cap": cap, "floor": floor}), decision_id, top_n)
    assert d.fallback is None
    assert abs(math.fsum(d.propensities) - 1) < 1e-9
    assert min(d.propensities) >= 0
    if not {"protected_head", "pin", "minimum_exposure"} & set(guards):
        assert d.exploration <= cap + 1e-9
    assert all(0 < slot.propensity <= 1 + 1e-12 for slot in d.ranking)
    assert d.ranking[0].propensity == d.propensities[d.actions.index(d.ranking[0].action)]
    kept(d, guards, top_n)
    assert logged(d) == d


ALL = sorted(GUARDS)
WITHOUT_HEAD = [name for name in ALL if name != "protected_head"]


@pytest.mark.parametrize("guards", [ALL, WITHOUT_HEAD])
@pytest.mark.parametrize("shape", ["gaussian", "pmf"])
def test_slates_occur_as_often_as_logged_with_all_guards(shape: str, guards: list[str]) -> None:
    """Each slate's frequency over 4,000 decision ids is its logged propensity.

    Only slates that are expected 50 times or more, within 6 standard errors: false alarms below 1e-7 for each of at
    most 30 slates. The rest together are held to the same, with 25 to spare where they are expected too rarely.
    """
    n, f = 4000, frame(shape, guards, {"cap": 0.6, "floor": 0.1})
    counts: dict[str, int] = defaultdict(int)
    said: dict[str, float] = {}
    for i in range(n):
        d = ask(f, f"id {i}")
        counts["".join(d.served)] += 1
        said["".join(d.served)] = d.slate_propensity
    p = {"".join(slate): probability for slate, probability in brute_force(f, 3).items()}
    assert {slate: p[slate] for slate in said} == pytest.approx(said)
    often = {slate for slate in p if n * p[slate] >= 50}
    rest = math.fsum(p[slate] for slate in p if slate not in often)
    compared = [(counts[slate], p[slate]) for slate in often] + [(n - sum(counts[slate] for slate in often), rest)]
    assert len(often) > 1
    for count, probability in compared:
        assert abs(count - n * probability) <= 6 * math.sqrt(n * probability * (1 - probability)) + 25 * (
            n * probability < 50
        )


@pytest.mark.parametrize("guards", [ALL, WITHOUT_HEAD])
def test_first_slots_occur_as_often_as_logged_with_frozen_draws(guards: list[str]) -> None:
    """Where each decision has draws of its own, servings agree with the sum of what was logged.

    6 actions, 3,000 ids, 5 standard errors: false alarms below 4e-6.
    """
    f = frame("draws", guards, {"cap": 0.6, "floor": 0.1})
    served, expected, variance = np.zeros(6), np.zeros(6), np.zeros(6)
    for i in range(3000):
        d = ask(f, f"id {i}")
        q = np.zeros(6)
        q[[NAMES.index(name) for name in d.actions]] = d.propensities
        served[NAMES.index(d.served[0])] += 1
        expected += q
        variance += q * (1 - q)
    assert (np.abs(served - expected) <= 5 * np.sqrt(variance) + 1e-6).all()


def value_of(slate: str) -> float:
    """A slate's value: clicks that depend on the slot and on the neighbour above."""
    return sum((NAMES.index(a) + 1) / (slot + 1) for slot, a in enumerate(slate)) + (slate[0] > slate[1])


def test_ips_on_slates_recovers_the_known_value() -> None:
    """IPS over whole slates recovers the mean value of a uniform choice among all that the guards allow.

    5,000 decisions, 5 standard errors: false alarms below 6e-7. The rules: stock, the pin, the category, user's cap.
    """
    guards = ["eligible", "pin", "diversity", "frequency_cap"]
    f = frame("gaussian", guards, {"cap": 0.8, "floor": 0.3})
    feature = {action["id"]: action["features"]["category"] for action in ACTIONS}
    allowed = [
        "".join(slate)
        for slate in itertools.permutations("bcde", 3)
        if slate[1] == "c" and sum(feature[name] == "x" for name in slate) <= 2
    ]
    truth = float(np.mean([value_of(slate) for slate in allowed]))
    terms = []
    for i in range(5000):
        d = ask(f, f"id {i}")
        slate = "".join(slot.action for slot in d.ranking)
        assert slate in allowed
        terms.append(value_of(slate) / len(allowed) / d.slate_propensity)
    error = np.std(terms) / math.sqrt(len(terms))
    assert abs(np.mean(terms) - truth) < 5 * error
    assert error < 0.05 * truth


def brute_force(f: Frame, top_n: int) -> dict[tuple[str, ...], float]:
    """Every slate's probability, by the decision itself."""
    return {tuple(d.served): probability for d, probability in every_ranking(lambda: ask(f, "same", top_n))}


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize(
    "guards", [[], ["diversity"], ["max_explored"], ["pin", "diversity", "quality_floor"], WITHOUT_HEAD, ALL]
)
def test_marginals_are_the_sums_over_all_slates(shape: str, guards: list[str]) -> None:
    """The marginals from the log are those of the enumeration of every slate by the decision itself, to 1e-12."""
    f = frame(shape, guards, {"cap": 0.6, "floor": 0.1})
    slates = brute_force(f, 3)
    assert math.fsum(slates.values()) == pytest.approx(1)
    d = logged(ask(f, "same"))
    expected = [
        math.fsum(p for slate, p in slates.items() if slot < len(slate) and slate[slot] == entry.action)
        for slot, entry in enumerate(d.ranking)
    ]
    assert slot_marginals(d, f.config.guards).probabilities == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize("mode", ["greedy", "baseline"])
def test_marginals_under_the_kill_switch(mode: str) -> None:
    """A served ranking that was certain has marginals of 1."""
    f = frame("gaussian", [], {"mode": mode})
    assert slot_marginals(ask(f), ()).probabilities == [1.0, 1.0, 1.0]


def test_one_slot_needs_no_summing() -> None:
    """A ranking of one slot has its propensity as its marginal, whatever was logged."""
    d = ask(frame("draws", [], {"cap": 0.6, "floor": 0.1}), top_n=1)
    assert d.law is None
    assert slot_marginals(d, ()).probabilities == [d.ranking[0].propensity]
    assert all_marginals(d, ()).tolist() == [d.propensities]


def test_diversity_makes_plain_renormalisation_wrong() -> None:
    """Two likely actions of one category and a rare one of another, by hand: the rare one is second with 0.98.

    Renormalising over what is left would say 2 x 0.49 x 0.02 / 0.51 = 0.04.
    """
    config = msgspec.convert(
        {
            "policy": {"kind": "uniform"},
            "guards": [{**GUARDS["diversity"], "max": 1}],
            "exploration": {"cap": 1.0, "floor": 0.0},
        },
        LoopConfig,
    )

    class Fixed:
        kind = "fixed"

        def believe(self, situation, frozen):
            return Pmf(np.array([0.49, 0.02, 0.49]))

    f = Frame("loop", b"s" * 32, config, Fixed(), "line@0")
    [d] = itertools.islice((d for i in range(99) if (d := ask(f, str(i), 2, actions=ACTIONS[:3])).served[1] == "b"), 1)
    assert slot_marginals(d, config.guards).probabilities == pytest.approx([0.49, 0.98])


def test_plain_renormalisation_is_a_race() -> None:
    """The race's integral is the sum over all orders, to 1e-9, and for slot 1 the closed form for 300 actions."""
    rng = np.random.default_rng(3)
    for p in (rng.dirichlet(np.full(5, 2.0)), np.array([0.5, 0.3, 0.1, 0.06, 0.04])):
        for slot, arm in itertools.product(range(4), range(5)):
            orders = (o for o in itertools.permutations(range(5), slot + 1) if o[slot] == arm)
            exact = sum(math.prod(p[k] / (1 - p[list(o[:i])].sum()) for i, k in enumerate(o)) for o in orders)
            assert race(p, arm, slot) == pytest.approx(exact, abs=1e-9)
    p = rng.dirichlet(np.full(300, 5.0))
    second = sum(p[i] * p[7] / (1 - p[i]) for i in range(300) if i != 7)
    assert race(p, 7, 1) == pytest.approx(second, abs=1e-9)


def test_a_race_that_does_not_settle_is_left_out() -> None:
    """Where probabilities are too far apart for the quadrature there is no answer, rather than a wrong one."""
    p = np.array([1 - 1e-7, 1e-7 - 1e-13, 1e-13])
    answers = []
    for arm, slot in itertools.product(range(3), range(3)):
        orders = (o for o in itertools.permutations(range(3), slot + 1) if o[slot] == arm)
        exact = sum(
            math.prod(p[k] / sum(p[j] for j in range(3) if j not in o[:i]) for i, k in enumerate(o)) for o in orders
        )
        answers.append(race(p, arm, slot))
        assert answers[-1] is None or answers[-1] == pytest.approx(exact, rel=1e-8)
    assert None in answers
    assert answers[3] is not None


def test_plain_rankings_are_told_for_any_size() -> None:
    """Without cap and floor the export's race agrees with the visit of all states; with a cap there is no race."""
    f = frame("pmf", [], {"cap": 1.0, "floor": 0.0})
    d = ask(f, top_n=4)
    raced = slot_marginals(d, ()).probabilities
    order = np.array([NAMES.index(name) for name in d.actions])
    p = Pmf((order + 1) / 21.0)
    visited = marginals(OpenSlate(p, order, ()), 6, 4)
    assert raced == pytest.approx([visited[slot, d.actions.index(a)] for slot, a in enumerate(d.served)], abs=1e-9)
    assert plain(d, ()) is not None
    assert plain(ask(frame("pmf", [], {"cap": 0.6, "floor": 0.1})), ()) is None


def test_an_empty_slate_is_refused() -> None:
    """When history leaves nobody, the answer is an error that names the guard, not a decision without a slot."""
    f = frame("pmf", ["frequency_cap"], {"cap": 1.0}, served=NAMES)
    with pytest.raises(InvalidInput, match=r"frequency_cap \(user\) removed 6"):
        ask(f)
