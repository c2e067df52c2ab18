"""Slot marginals from the log alone: for every policy and every limit of exploration, against all rankings."""

import math
import re
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support import every_ranking

from bandit.decide import DecisionRequest, Frame, decide
from bandit.exploration import ConservativeConfig, History
from bandit.exploration.conservative import Gate
from bandit.policies.base import Draws, Gaussian, Index, Pmf, Ruled
from bandit.policies.beta import Betas
from bandit.policies.catalogue import KINDS, policy_config, policy_type
from bandit.policies.logistic import Logits
from bandit.policies.plain import Ordered
from bandit.policies.ranked import Ranked, leaders
from bandit.policies.rules import RULES
from bandit.policies.situation import Situation
from bandit.ranking import beliefs
from bandit.ranking.pairs import joint_marginals, uniform_pi_weight
from bandit.ranking.replay import all_marginals, slate_of, slot_marginals, uniform_pi
from bandit.ranking.why_not import NotExact, WhyNot
from bandit.settings import LoopConfig
from ope.slates.pseudo_inverse import pseudo_inverse_weight
from store.log import rows
from store.records import Action, Decision, Law

NAMES = "abcdef"
LOG_PAGE = Path(__file__).parents[2] / "docs/reference/log.md"
SENT = [{"id": n, "features": {"q": 0.3 * i, "category": "xyxyzz"[i]}} for i, n in enumerate("ecafbd")]
POLICIES: list[dict[str, Any]] = [
    {"kind": "linear_ts"},
    {"kind": "linear_ts", "probabilities": "draws"},
    {"kind": "linear_ucb"},
    {"kind": "logistic_ts"},
    {"kind": "beta_ts"},
    {"kind": "bootstrap_ts"},
    {"kind": "epsilon_greedy"},
    {"kind": "softmax"},
    {"kind": "squarecb"},
    {"kind": "regcb"},
    {"kind": "regcb", "choice": "optimism"},
    {"kind": "uniform"},
    {"kind": "fixed", "action": "b"},
    {"kind": "baseline"},
    {"kind": "vw"},
    {"kind": "vw", "explorer": "bag"},
]
if sys.version_info >= (3, 13):
    POLICIES = [config for config in POLICIES if config["kind"] != "vw"]

GUARDS: list[dict[str, object]] = [
    {"kind": "pin", "slot": 1, "action": "c"},
    {"kind": "max_explored", "items": 1},
    {"kind": "quality_floor", "share": 0.1, "deviations": 0.5},
    {"kind": "diversity", "feature": "category", "max": 1},
    {"kind": "minimum_exposure", "action": "e", "probability": 0.2},
    {"kind": "protected_head", "slots": 1},
]
LIMITS: dict[str, dict[str, object]] = {
    "cap": {},
    "value guard": {"value_guard": {"max_loss": 0.02}},
    "ceilings": {"ceiling": {"probability": 0.15, "outcomes": 5}},
    "budget": {"budget": {"share": 0.25, "window_s": 60}},
    "gate shut": {"conservative": {"alpha": 0.3}},
    "gate open": {"conservative": {"alpha": 0.4}},
    "greedy": {"mode": "greedy"},
    "baseline": {"mode": "baseline"},
}
LIMITS["all"] = {
    name: part for key in ("value guard", "ceilings", "budget", "gate open") for name, part in LIMITS[key].items()
}
each_policy = pytest.mark.parametrize("policy", POLICIES, ids=lambda c: "-".join(map(str, c.values())))


class Past(History):
    """A past in which e and f are new, the budget leaves 0.25, and the gate is open where its alpha is 0.4."""

    def __init__(self, exploration: dict[str, Any]) -> None:
        super().__init__()
        conservative = exploration.get("conservative")
        if conservative:
            self.gate = Gate(ConservativeConfig(**conservative), 1.0, 0)
            self.gate.margin = 9.0 if conservative["alpha"] == 0.4 else -1.0

    def new(self, actions: Sequence[str]) -> np.ndarray:
        return np.array([action in "ef" for action in actions])

    def allowance(self, at: int, entities: object) -> float:
        return 0.25


def frame(policy: Any, guards: Sequence[dict[str, object]] = (), exploration: dict[str, Any] | None = None) -> Frame:
    limits = {"cap": 0.6, "floor": 0.1, "cold_start": None, **(exploration or {})}
    config = {"policy": {"kind": "uniform"}, "guards": guards, "exploration": limits, "reward": {"range": [0, 1]}}
    return Frame("loop", b"s" * 32, msgspec.convert(config, LoopConfig), policy, "line@0", past=Past(limits))


def decided(frame: Frame, decision_id: str = "same", top_n: int = 3, **fields: object) -> Decision:
    body = msgspec.json.encode({"actions": SENT, "context": {"x": 1.0}, "top_n": top_n, **fields})
    request = msgspec.json.decode(body, type=DecisionRequest)
    return decide(frame, request, body, decision_id=decision_id, at=1)


def ask(frame: Frame, decision_id: str = "same", top_n: int = 3, **fields: object) -> Decision:
    """The decision as it is read back from its row."""
    d = decided(frame, decision_id, top_n, **fields)
    assert d.fallback is None
    position, _, *rest = rows.decision_row(1, d)
    read_back = rows.decision("loop", (position, *rest))
    assert read_back == d
    return read_back


def enumerated(frame: Frame, decision: Decision, top_n: int = 3) -> np.ndarray:
    """The marginals as sums over every ranking that the decision can make, shape (slots, K)."""
    filled = np.zeros((top_n, len(decision.actions)))
    total = []
    for other, probability in every_ranking(lambda: ask(frame, top_n=top_n)):
        assert other.propensities == decision.propensities
        total.append(probability)
        for slot, name in enumerate(other.served):
            filled[slot, decision.actions.index(name)] += probability
    assert math.fsum(total) == pytest.approx(1)
    return filled[: len(decision.ranking)]


def taught(config: dict[str, Any]) -> Any:
    policy = policy_type(config).create(policy_config(config))
    rng = np.random.default_rng(5)
    for _ in range(60):
        situation = Situation({"x": 1.0}, [Action(a["id"], a["features"]) for a in sorted(SENT, key=lambda a: a["id"])])
        arm = int(rng.integers(6))
        policy.learn(situation, arm, float(rng.random() < 0.2 + 0.1 * arm), 1 / 6)
    return policy


def agree(frame: Frame, top_n: int = 3) -> Decision:
    """Check what the log says of a decision's marginals against all rankings that the decision can make."""
    d = ask(frame, top_n=top_n)
    guards = frame.config.guards
    filled = all_marginals(d, guards)
    np.testing.assert_allclose(filled, enumerated(frame, d, top_n), atol=1e-12)
    np.testing.assert_allclose(filled[0], d.propensities, atol=1e-12)
    if d.short is None and not any(guard["kind"] == "diversity" for guard in msgspec.to_builtins(guards)):
        np.testing.assert_allclose(filled.sum(axis=1), 1, atol=1e-12)
    assert (filled.sum(axis=0) <= 1 + 1e-12).all()
    served = [d.actions.index(name) for name in d.served]
    told = slot_marginals(d, guards)
    assert told.why_not is None
    assert told.probabilities == pytest.approx([filled[slot, arm] for slot, arm in enumerate(served)], abs=1e-9)
    return d


def test_every_kind_is_asked() -> None:
    """No kind of the catalogue and no rule is left out below."""
    assert {config["kind"] for config in POLICIES} == set(KINDS)
    rules = {type(policy.rule()) for policy in map(taught, POLICIES) if hasattr(policy, "rule")}
    assert rules == set(RULES.values())


@each_policy
def test_every_policys_marginals_are_told(policy: dict[str, Any]) -> None:
    """Whatever policy, the marginals of 3 of 6 are those of all its rankings, with guards and without."""
    made = taught(policy)
    agree(frame(made))
    agree(frame(made, GUARDS[:-1]))
    agree(frame(made, GUARDS[1:], LIMITS["all"]))


@pytest.mark.parametrize("limit", LIMITS)
@pytest.mark.parametrize("guards", [[], GUARDS[1:4], GUARDS], ids=["open", "some", "guarded"])
@pytest.mark.parametrize("policy", [POLICIES[i] for i in (0, 1, 3, 10)], ids=lambda c: "-".join(map(str, c.values())))
def test_every_limits_marginals_are_told(policy: dict[str, Any], guards: list[dict[str, object]], limit: str) -> None:
    """Value guard, ceilings, budget, gate and kill switch: the slots are rebuilt from the numbers that they logged."""
    d = agree(frame(taught(policy), guards, LIMITS[limit]))
    acts = {"value guard": "value_guard", "ceilings": "ceiling", "budget": "budget", "gate shut": "conservative"}
    if not guards and limit in acts and policy["kind"] == "linear_ts":
        assert f"exploration.{acts[limit]}" in d.trace


class Believes:
    """A policy of one belief about the actions a to f, of which the eligible ones are asked for."""

    kind = "believes"

    def __init__(self, make: Any) -> None:
        self.make = make

    def believe(self, situation, frozen):
        return self.make(np.array([NAMES.index(name) for name in situation.ids]), frozen, situation)


def wave(k: np.ndarray, seed: int) -> np.ndarray:
    """Numbers between -1 and 1 that depend on the action alone; some are equal."""
    return np.round(np.sin(1.7 * k + seed), 1)


def belief(shape: str, seed: int) -> Believes:
    def make(k, frozen, situation):
        mean, deviation = wave(k, seed), 0.1 + 0.4 * (k % 3)
        if shape in RULES:
            return Ruled(mean, deviation, RULES[shape](0.3))
        noise = np.random.default_rng(seed).normal(size=(20, 6))[:, k]
        return {
            "gaussian": lambda: Gaussian(mean, deviation, 0.9),
            "index": lambda: Index(np.round(mean, 0), mean, deviation),
            "pmf": lambda: Pmf(np.maximum(mean, 0.0)),
            "draws": lambda: Draws(np.round(mean + 0.5 * noise, 1), mean, deviation),
            "beta": lambda: Betas(2 + mean, 2 - mean),
            "logits": lambda: Logits(mean, deviation, 2.0),
            "ordered": lambda: Ordered(situation.order()),
        }[shape]()

    return Believes(make)


def kept(d: Decision, guards: set[object], limits: list[str]) -> None:
    """Check that no limit of exploration makes the head explore or a slate explore too much, and no guard a newcomer.

    Newcomers are checked where who is a candidate is plain: neither quality floor nor diversity, nor an exposure.
    """
    assert "protected_head" not in guards or not d.ranking[0].explored
    assert "max_explored" not in guards or sum(slot.explored for slot in d.ranking) <= 1
    if "ceilings" in limits and "gate shut" not in limits and guards <= {"pin", "max_explored", "protected_head"}:
        for i, slot in enumerate(d.ranking):
            others = set(d.actions) - set(d.served[:i]) - ({"c"} if "pin" in guards else set())
            assert slot.action not in "ef" or others <= set("ef") or slot.propensity <= 0.15 + 1e-12


@pytest.mark.parametrize("guard", [{"kind": "protected_head", "slots": 2}, {"kind": "max_explored", "items": 0}])
def test_a_slot_that_must_not_explore_serves_what_is_no_exploration(guard: dict[str, object]) -> None:
    """Not a newcomer under its ceiling, however good it looks; and the baseline alone while the gate is shut.

    f and e look best and are new, then d; the caller's first choices are e and c.
    """
    rising = Believes(lambda k, *_: Gaussian(k / 10, np.full(len(k), 0.2)))
    plain, ceilings, shut = (ask(frame(rising, [guard], LIMITS[limit])) for limit in ("cap", "ceilings", "gate shut"))
    assert [d.served[:2] for d in (plain, ceilings, shut)] == [["f", "e"], ["d", "c"], ["e", "c"]]
    for d in (plain, ceilings, shut):
        assert [(slot.propensity, slot.explored, slot.reason) for slot in d.ranking[:2]] == [
            (1.0, False, guard["kind"])
        ] * 2
    assert shut.trace == ["exploration.conservative", guard["kind"]]
    assert shut.guard_state["gate_price"] == 0


@pytest.mark.parametrize(
    ("guard", "first"),
    [
        ({"kind": "pin", "slot": 0, "action": "b"}, "b"),
        ({"kind": "pin", "slot": 1, "action": "e"}, "c"),
        ({"kind": "quality_floor", "share": 0.5}, "c"),
    ],
)
def test_the_gates_baseline_is_one_that_may_be_served(guard: dict[str, object], first: str) -> None:
    """A guard that keeps the caller's first choice from the first slot leaves the next one as the baseline.

    So a shut gate serves its baseline, and owes nothing; it would never open again otherwise.
    """
    steep = Believes(lambda k, *_: Gaussian(5.0 - k, np.full(len(k), 0.1)))
    d = agree(frame(steep, [guard], LIMITS["gate shut"]))
    assert d.actions[int(d.guard_state["baseline"])] == first
    assert d.propensities[d.actions.index(first)] >= 0.9
    assert d.guard_state["gate_price"] == 0


SHAPES = ["gaussian", "index", "pmf", "draws", "beta", "logits", "ordered", *RULES]
TOGETHER = ["value guard", "ceilings", "budget", "gate shut", "gate open"]


@pytest.mark.parametrize("shape", SHAPES)
@settings(max_examples=30, deadline=None)
@given(st.integers(0, 2**32))
def test_marginals_in_any_combination(shape: str, seed: int) -> None:
    """Any belief with ties, guards, limits and eligible actions: what the log tells is the sum over all rankings."""
    rng = np.random.default_rng(seed)  # hypothesis prefers few guards; all combinations are alike here
    guards = [guard for guard in GUARDS if rng.random() < 0.5]
    limits = [limit for limit in TOGETHER if rng.random() < 0.4]
    exploration = {name: part for limit in limits for name, part in LIMITS[limit].items()}
    asked = frame(belief(shape, seed), guards, exploration)
    sent = {"exclude": [name for name in "abef" if rng.random() < 0.2], "actions": SENT[:5]}
    top_n = int(rng.integers(2, 5))
    d = ask(asked, top_n=top_n, **sent)
    if len(d.ranking) == 1:
        return
    filled = np.zeros((len(d.ranking), len(d.actions)))
    for other, p in every_ranking(lambda: ask(asked, top_n=top_n, **sent)):
        kept(other, {guard["kind"] for guard in guards}, limits)
        for slot, name in enumerate(other.served[: len(d.ranking)]):
            filled[slot, d.actions.index(name)] += p
    np.testing.assert_allclose(all_marginals(d, asked.config.guards), filled, atol=1e-12)


@pytest.mark.parametrize("policy", [POLICIES[1], POLICIES[5]], ids=["linear_ts", "bootstrap_ts"])
def test_actions_stand_in_slots_as_often_as_the_draws_marginals_say(policy: dict[str, Any]) -> None:
    """Over 3,000 ids the servings in each slot agree with the sums of each decision's own marginals.

    3 x 6 numbers within 5 standard errors (and half a serving): false alarms below 1.1e-5.
    """
    asked = frame(taught(policy), GUARDS[3:4], {"value_guard": {"max_loss": 0.1}})
    served, expected, variance = np.zeros((3, 6)), np.zeros((3, 6)), np.zeros((3, 6))
    known: dict[bytes, np.ndarray] = {}
    for i in range(3000):
        d = ask(asked, f"id {i}")
        key = msgspec.msgpack.encode((d.law, d.propensities))
        if key not in known:
            known[key] = all_marginals(d, asked.config.guards)
        p = known[key]
        for slot, name in enumerate(d.served):
            served[slot, NAMES.index(name)] += 1
        expected += p
        variance += p * (1 - p)
    assert (np.abs(served - expected) <= 5 * np.sqrt(variance) + 0.5).all()


@given(st.integers(1, 12), st.integers(1, 12), st.integers(0, 1000))
def test_leaders_decide_as_the_draws_do(count: int, depth: int, seed: int) -> None:
    """With many ties, and any `depth` - 1 actions missing, the leaders give the very frequencies of the draws."""
    rng = np.random.default_rng(seed)
    scores = rng.integers(3, size=(9, count)).astype(float)
    order = np.argsort(-scores, axis=1, kind="stable")[:, :depth]
    for layout in (scores, np.asfortranarray(scores), scores.astype(np.float32), scores.astype(np.uint8)):
        assert (leaders(layout, depth) == order).all()
    among = np.sort(rng.permutation(count)[: max(1, count - depth + 1)])
    mean = scores.mean(axis=0)
    ranked, drawn = Ranked(leaders(scores, depth), mean), Draws(scores, mean)
    assert (ranked.distribution(among) == drawn.distribution(among)).all()


def test_leaders_that_do_not_reach_are_an_error() -> None:
    """Where the logged places are too few, nothing is made up."""
    with pytest.raises(LookupError, match="2 leaders"):
        Ranked(np.array([[0, 1]]), np.zeros(3)).distribution(np.array([2]))


def why(decision: Decision, guards: Sequence[Any] = (), **kw: int) -> WhyNot | None:
    told = slot_marginals(decision, guards, **kw)
    assert (told.probabilities is None) == (told.why_not is not None)
    return told.why_not


def changed(decision: Decision, **fields: object) -> Decision:
    return msgspec.structs.replace(decision, **fields)


def test_each_reason_is_given() -> None:
    """Null has a reason: what the log lacks, what changed, what is too much, what does not agree."""
    asked = frame(belief("gaussian", 1), GUARDS[3:4])
    d, guards = ask(asked), asked.config.guards
    assert why(d, guards) is None
    assert why(d, guards, most_states=0) is WhyNot.LEFT_OUT
    assert why(d, guards, most_states=6) is WhyNot.TOO_MANY_SETS
    assert why(d) is WhyNot.GUARDS_CHANGED
    assert why(changed(d, law=None), guards) is WhyNot.OLD_ROW
    assert why(changed(d, law=Law(d.law.guards, "spline", [[1.0]])), guards) is WhyNot.NEWER_ROW
    for slot in range(3):
        ranking = [msgspec.structs.replace(s, propensity=0.123) if i == slot else s for i, s in enumerate(d.ranking)]
        assert why(changed(d, ranking=ranking), guards) is WhyNot.DIFFERS
    assert why(changed(d, propensities=d.propensities[::-1]), guards) is WhyNot.DIFFERS


def test_who_is_eligible_may_change() -> None:
    """Other rules about who is eligible leave the marginals as they were: who was is logged."""
    d = ask(frame(belief("gaussian", 1), [GUARDS[3], {"kind": "eligible", "feature": "q", "min": 0.2}]))
    other = frame(None, [{"kind": "frequency_cap", "entity": "user", "max": 3, "window_s": 60}, GUARDS[3]])
    assert len(d.actions) == 5
    assert why(d, other.config.guards) is None


def test_a_belief_of_another_package_is_not_guessed() -> None:
    """A shape of its own, a rule of its own, or a built-in shape that answers otherwise: null, with the reason."""

    class Own(Index):
        def distribution(self, among):
            return np.full(len(among), 1 / len(among))

    mean = np.arange(6.0)
    for made in (Own(mean, mean), Ruled(mean, mean, lambda m, d: np.full(len(m), 1 / len(m)))):
        d = ask(frame(Believes(lambda k, *_, made=made: made)))
        assert d.law == Law("", "", [])
        assert why(d) is WhyNot.FOREIGN


@each_policy
def test_a_law_is_as_small_as_documented(policy: dict[str, Any]) -> None:
    """The bytes that a ranking of 3 of 10 logs for its marginals are those in the log page."""
    d = decided(frame(taught(policy)), actions=[{"id": name} for name in "abcdefghij"])
    [row] = [line for line in LOG_PAGE.read_text().splitlines() if line.startswith("|") and f"`{d.law.shape}`" in line]
    assert str(len(msgspec.msgpack.encode(d.law))) in re.findall(r"\d+", row.split("|")[-2])


def test_draws_are_logged_up_to_a_bound() -> None:
    """Without narrowing guards as deep as the ranking, with them whole; beyond 20,000 places, null says so."""

    def asked(draws: int, *guards: dict[str, object]) -> tuple[Decision, tuple[Any, ...]]:
        made = frame(
            Believes(lambda k, *_: Draws(np.random.default_rng(1).normal(size=(draws, 6)), np.zeros(6), np.ones(6))),
            guards,
        )
        return ask(made), made.config.guards

    most = beliefs.MOST_PLACES // 3
    d, guards = asked(most)
    assert why(d, guards) is None
    assert len(d.law.numbers[1]) == 3 * most
    assert why(*asked(most + 1)) is WhyNot.TOO_MANY_DRAWS
    d, guards = asked(most // 2, GUARDS[3])
    assert len(d.law.numbers[1]) == 6 * (most // 2)
    assert why(d, guards) is None
    assert why(*asked(most // 2 + 1, GUARDS[3])) is WhyNot.TOO_MANY_DRAWS
    assert [len(array) for array in asked(9, GUARDS[2])[0].law.numbers] == [1, 54, 6]


def old(decision: Decision, guard_state: dict[str, float], law: tuple[object, ...] | None) -> Decision:
    """The decision as a version wrote it whose law had three fields and whose value guard logged no `max_loss`."""
    position, _, *rest = rows.decision_row(1, decision)
    answer = msgspec.msgpack.decode(rest[-1])
    answer[10], answer[13] = guard_state, law
    return rows.decision("loop", (position, *rest[:-1], msgspec.msgpack.encode(answer)))


def test_old_rows_are_read() -> None:
    """Rows from before tell what they told, and of what they lack, null with the reason."""
    d = ask(frame(belief("index", 1)))
    before = ("", "index", [*d.law.numbers, [0.1, 0.15, 0.2, 0.25, 0.3, 0.35]])
    assert slot_marginals(old(d, d.guard_state, before), ()) == slot_marginals(d, ())
    assert why(old(d, d.guard_state, None)) is WhyNot.OLD_ROW
    assert why(old(d, {}, before)) is WhyNot.OLD_ROW
    for limit, lacking in (("value guard", "max_loss"), ("ceilings", None)):
        d = ask(frame(belief("index", 1), (), LIMITS[limit]))
        assert why(d) is None
        state = {key: number for key, number in d.guard_state.items() if key != lacking}
        assert why(old(d, state, ("", "index", d.law.numbers))) is WhyNot.OLD_ROW


def test_a_race_that_does_not_settle_is_summed() -> None:
    """Where quadrature for plain renormalisation gives up, the sets are visited instead."""
    p = np.array([1 - 5e-13, *np.full(5, 1e-13)])
    made = frame(Believes(lambda k, *_: Pmf(p)), (), {"cap": 1.0, "floor": 0.0})
    d = ask(made)
    np.testing.assert_allclose(slot_marginals(d, ()).probabilities, [1 - 5e-13, 0.2, 0.2], rtol=1e-6)


def test_marginals_that_are_not_exact_are_refused_with_the_reason() -> None:
    """Asked for as an array, the reason is an exception."""
    d = changed(ask(frame(belief("gaussian", 1))), law=None)
    with pytest.raises(NotExact, match=re.escape(WhyNot.OLD_ROW)):
        all_marginals(d, ())


def enumerated_pairs(of: Frame, decision: Decision, top_n: int = 3) -> np.ndarray:
    """How likely two actions stand in two slots together, summed over every ranking, shape (L, K, L, K)."""
    count = len(decision.actions)
    pairs = np.zeros((top_n, count, top_n, count))
    for other, probability in every_ranking(lambda: ask(of, top_n=top_n)):
        slate = np.zeros((top_n, count))
        slate[np.arange(top_n), [decision.actions.index(name) for name in other.served]] = 1
        pairs += probability * np.multiply.outer(slate, slate)
    return pairs


@each_policy
@pytest.mark.parametrize("guards", [[], GUARDS[1:2]], ids=["plain", "max_explored"])
def test_pairs_are_those_of_all_rankings(policy, guards):
    """The joint marginals, to 1e-9, and from them the weight that Γ† gives for a uniform target."""
    of = frame(taught(policy), guards)
    d = ask(of)
    found = joint_marginals(slate_of(d, of.config.guards), 6, 3, 10_000)
    expected = enumerated_pairs(of, d)
    assert found == pytest.approx(expected, abs=1e-9)
    served = np.array([d.actions.index(name) for name in d.served])
    weight = pseudo_inverse_weight(expected, np.full((3, 6), 1 / 6), served)
    assert uniform_pi(d, of.config.guards) == pytest.approx(weight, abs=1e-6)


def test_a_uniform_target_is_judged_without_bias():
    """Where slots earn on their own, the mean of w R over all rankings is what a uniform ranking earns."""
    of, worth = frame(taught({"kind": "linear_ts"})), np.random.default_rng(9).normal(size=(3, 6))
    mean = 0.0
    for other, probability in every_ranking(lambda: ask(of)):
        earned = sum(worth[slot, other.actions.index(name)] for slot, name in enumerate(other.served))
        mean += probability * uniform_pi(other, of.config.guards) * earned
    assert mean == pytest.approx(worth.mean(axis=1).sum(), abs=1e-8)


def test_a_slot_alone_has_the_plain_weight():
    """Of one slot the pseudo-inverse is IPS."""
    d = ask(frame(taught({"kind": "linear_ts"})), top_n=1)
    assert uniform_pi(d, []) == pytest.approx(1 / (6 * d.ranking[0].propensity))


def test_pairs_that_are_not_known():
    """Too many states, marginals that were not asked for, and a slot that may stay empty give no weight."""
    of = frame(taught({"kind": "linear_ts"}))
    d = ask(of)
    assert uniform_pi(d, [], most_states=5) is None
    assert uniform_pi(d, [], most_states=0) is None
    assert uniform_pi_weight(slate_of(d, []), 60, np.arange(3), 10_000) is None
    slate = slate_of(d, [])

    class Ending:
        """A slate that ends where action 0 stands on top."""

        counts_explored = False

        def step(self, placed, explored):
            return None if list(placed) == [0] else slate.step(placed, explored)

    assert uniform_pi_weight(Ending(), 6, np.array([1, 2]), 10_000) is None
