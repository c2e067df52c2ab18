"""Ranking guards one by one: each case can be checked by hand."""

import math

import msgspec
import numpy as np
import pytest
from scipy.optimize import minimize

from bandit.decide import DecisionRequest, Frame, decide
from bandit.policies.base import Index, Pmf
from bandit.ranking.exposure import expose
from bandit.ranking.features import feature_of
from bandit.ranking.frequency import Frequency
from bandit.ranking.guards import FrequencyCap
from bandit.settings import LoopConfig
from store.errors import InvalidInput
from store.records import SECOND, Decision

EVEN = {"mode": "on", "cap": 1.0, "floor": 0.0}


class Believes:
    """A policy with fixed means per action id, the highest of which it chooses, or fixed probabilities."""

    kind = "believes"

    def __init__(self, means: dict[str, float], deviation: float = 0.0, *, as_pmf: bool = False) -> None:
        self.means, self.deviation, self.as_pmf = means, deviation, as_pmf

    def believe(self, situation, frozen):
        mean = np.array([self.means[name] for name in situation.ids])
        if self.as_pmf:
            return Pmf(mean / mean.sum())
        return Index(mean, mean, np.full(len(mean), self.deviation))


def frame(policy: object, guards: list[dict[str, object]], frequency: Frequency | None = None, **parts) -> Frame:
    config = msgspec.convert({"policy": {"kind": "uniform"}, "guards": guards, **parts}, LoopConfig)
    return Frame("loop", b"s" * 32, config, policy, "line@0", frequency=frequency)


def ask(frame: Frame, actions: list[dict[str, object]], decision_id: str = "d", at: int = 0, **fields) -> Decision:
    body = msgspec.json.encode({"actions": actions, **fields})
    return decide(frame, msgspec.json.decode(body, type=DecisionRequest), body, decision_id=decision_id, at=at)


def plain(names: str) -> list[dict[str, object]]:
    return [{"id": name} for name in names]


def served(decision: Decision) -> str:
    return "".join(slot.action for slot in decision.ranking)


BEST_FIRST = Believes({"a": 5.0, "b": 4.0, "c": 3.0, "d": 2.0, "e": 1.0})
GREEDY = {"cap": 0.0, "floor": 0.0}
STOCKED = [
    {"id": "a", "features": {"stock": 0, "tags": {"adult": False}}},
    {"id": "b", "features": {"stock": 3, "tags": {"adult": True}}},
    {"id": "c", "features": {"stock": 2, "tags": {"adult": False}}},
    {"id": "d", "features": {"tags": {"adult": False}}},
]


def test_eligible_keeps_what_obeys() -> None:
    """Rules act together, before the policy: what breaks one is not in the distribution, and each slot says so."""
    guards = [
        {"kind": "eligible", "feature": "stock", "min": 1},
        {"kind": "eligible", "feature": "tags.adult", "equals": False},
    ]
    d = ask(frame(BEST_FIRST, guards), STOCKED, top_n=3)
    assert (d.actions, d.propensities, served(d)) == (["c"], [1.0], "c")
    assert d.ranking[0].reason == "eligible"
    assert d.trace[0] == "eligible"
    assert d.short == (
        "1 of 3 slots are filled: the request has 4 actions; "
        "eligible (stock) removed 2, eligible (tags.adult) removed 1"
    )


@pytest.mark.parametrize(
    ("rule", "kept"),
    [
        ({"min": 1, "max": 2}, ["c"]),
        ({"min": 1, "when_missing": "keep"}, ["b", "c", "d"]),
        ({"equals": 3}, ["b"]),
        ({"equals": 3.0}, ["b"]),
        ({"equals": "3", "when_missing": "keep"}, ["d"]),
    ],
)
def test_eligible_rules(rule: dict[str, object], kept: list[str]) -> None:
    """Bounds include their ends, equality is by value and type, and a missing feature counts as the rule says."""
    d = ask(frame(BEST_FIRST, [{"kind": "eligible", "feature": "stock", **rule}]), STOCKED)
    assert d.actions == kept


def test_true_is_not_one() -> None:
    """A boolean is no number, for equality and for bounds."""
    actions = [{"id": "a", "features": {"x": True}}, {"id": "b", "features": {"x": 1}}]
    for rule, kept in (({"equals": 1}, ["b"]), ({"equals": True}, ["a"]), ({"min": 0}, ["b"])):
        assert ask(frame(BEST_FIRST, [{"kind": "eligible", "feature": "x", **rule}]), actions).actions == kept


def test_features_are_found_by_path() -> None:
    """A dotted path leads through objects; a feature whose own name has the dots comes first."""
    features = {"a": {"b": {"c": 1}}, "a.b": 2, "x.y": {"z": 3}}
    assert [feature_of(features, path) for path in ("a.b.c", "a.b", "a.c", "q")] == [1, 2, None, None]


def test_nothing_left_is_refused_with_every_guard() -> None:
    """An empty pool is no decision: the error says which guard removed how many."""
    guards = [{"kind": "eligible", "feature": "stock", "min": 99}]
    with pytest.raises(InvalidInput, match=r"exclude removed 1, eligible \(stock\) removed 3.*loosen"):
        ask(frame(BEST_FIRST, guards), STOCKED, exclude=["d"])


def test_pins_take_their_slot() -> None:
    """A pinned action stands in its slot with probability 1, and in no other; the rest fills around it."""
    d = ask(frame(BEST_FIRST, [{"kind": "pin", "slot": 1, "action": "e"}], exploration=GREEDY), plain("abcde"), top_n=4)
    assert served(d) == "aebc"
    assert (d.ranking[1].reason, d.ranking[1].propensity, d.ranking[1].explored) == ("pin", 1.0, False)
    assert d.propensities[4] == 0


def test_pins_that_cannot_stand() -> None:
    """An excluded action is not pinned, nor one beyond the last slot; one behind an exhausted pool moves up."""
    guards = [{"kind": "pin", "slot": 2, "action": "a"}]
    assert served(ask(frame(BEST_FIRST, guards, exploration=GREEDY), plain("abc"), top_n=3, exclude=["a"])) == "bc"
    assert served(ask(frame(BEST_FIRST, guards, exploration=GREEDY), plain("abc"), top_n=2)) == "ab"
    assert served(ask(frame(BEST_FIRST, guards, exploration=GREEDY), plain("ab"), top_n=3)) == "ba"


def test_protected_head_does_not_explore() -> None:
    """The first k slots are greedy with probability 1 and no floor; below, floor and cap hold again."""
    guards = [{"kind": "protected_head", "slots": 2}]
    d = ask(frame(BEST_FIRST, guards, exploration={"cap": 0.5, "floor": 0.4}), plain("abcde"), top_n=3)
    assert served(d)[:2] == "ab"
    assert [slot.reason for slot in d.ranking] == ["protected_head", "protected_head", None]
    assert (d.slate_propensity, d.exploration) == (d.ranking[2].propensity, 0)
    assert d.ranking[2].propensity < 1


def test_max_explored_stops_exploring() -> None:
    """After m explored slots the rest is greedy, and says so: never more than m of a slate are explored."""
    f = frame(
        Believes({name: 1.0 + (name == "a") for name in "abcde"}, as_pmf=True),
        [{"kind": "max_explored", "items": 1}],
        exploration={"cap": 0.9, "floor": 0.5},
    )
    reasons = set()
    for i in range(200):
        ranking = ask(f, plain("abcde"), f"d{i}", top_n=4).ranking
        explored = [slot.explored for slot in ranking]
        assert sum(explored) <= 1
        forced = [slot.reason == "max_explored" for slot in ranking]
        assert forced == [sum(explored[:slot]) >= 1 for slot in range(4)]
        reasons.update(forced)
    assert reasons == {False, True}


@pytest.mark.parametrize(
    ("means", "share", "deviations", "kept"),
    [
        ({"a": 10, "b": 8, "c": 7.9, "d": 0}, 0.8, 0, "ab"),
        ({"a": -10, "b": -12, "c": -12.1, "d": -99}, 0.8, 0, "ab"),
        ({"a": 0, "b": 0, "c": -0.1, "d": -1}, 0.5, 0, "ab"),
        ({"a": 10, "b": 8.3, "c": 8.1, "d": 0}, 0.8, 1, "ab"),
        ({"a": 4, "b": 1, "c": 0, "d": -1}, 0.0, 0, "abc"),
    ],
)
def test_quality_floor(means: dict[str, float], share: float, deviations: float, kept: str) -> None:
    """What stays is within (1 - share) |best| of the best lower bound, whatever the sign of rewards."""
    guards = [{"kind": "quality_floor", "share": share, "deviations": deviations}]
    policy = Believes({k: float(v) for k, v in means.items()}, deviation=1.0)
    d = ask(frame(policy, guards, exploration={"cap": 1.0, "floor": 0.5}), plain("abcd"), top_n=4)
    assert sorted(served(d)) == list(kept)
    assert d.ranking[0].reason == "quality_floor"
    assert f"quality_floor removed {4 - len(kept)}" in d.short


def test_quality_floor_needs_a_prediction() -> None:
    """Where the policy predicts nothing, nobody is removed."""
    f = frame(Believes(dict.fromkeys("ab", 1.0), as_pmf=True), [{"kind": "quality_floor", "share": 1}])
    assert len(ask(f, plain("ab"), top_n=2).ranking) == 2


def test_diversity() -> None:
    """At most m of a value stand in a ranking, pins counted; those without the feature are free."""
    actions = [
        {"id": n, "features": {"category": c} if c else {}}
        for n, c in zip("abcde", ["x", "x", "y", "x", None], strict=True)
    ]
    guards = [{"kind": "diversity", "feature": "category", "max": 1}]
    d = ask(frame(BEST_FIRST, guards, exploration=GREEDY), actions, top_n=5)
    assert served(d) == "ace"
    assert [slot.reason for slot in d.ranking] == [None, "diversity", "diversity"]
    assert d.short.endswith("diversity (category) removed 2")
    pinned = [*guards, {"kind": "pin", "slot": 2, "action": "d"}]
    assert served(ask(frame(BEST_FIRST, pinned, exploration=GREEDY), actions, top_n=3)) == "ced"


def test_minimum_exposure_of_an_action_and_a_group() -> None:
    """The first slot gives the action, or the group together, its probability; the rest keeps its proportions."""
    policy = Believes({"a": 0.9, "b": 0.06, "c": 0.03, "d": 0.01}, as_pmf=True)
    one = ask(
        frame(
            policy,
            [{"kind": "minimum_exposure", "action": "d", "probability": 0.2}],
            exploration={"cap": 1.0, "floor": 0},
        ),
        plain("abcd"),
    )
    assert one.propensities == pytest.approx([0.9 * 0.8 / 0.99, 0.06 * 0.8 / 0.99, 0.03 * 0.8 / 0.99, 0.2])
    assert one.ranking[0].reason == "minimum_exposure"
    group = {"kind": "minimum_exposure", "feature": "new", "equals": True, "probability": 0.2}
    actions = [{"id": n, "features": {"new": n in "cd"}} for n in "abcd"]
    both = ask(frame(policy, [group], exploration={"cap": 1.0, "floor": 0}), actions)
    assert both.propensities == pytest.approx([0.75, 0.05, 0.15, 0.05])


def test_minimum_exposure_keeps_cap_and_floor() -> None:
    """The exposure comes out of the other exploration where the cap binds, and leaves everybody the floor."""
    policy = Believes({"a": 0.5, "b": 0.3, "c": 0.2, "d": 1e-9}, as_pmf=True)
    guards = [{"kind": "minimum_exposure", "action": "d", "probability": 0.1}]
    d = ask(frame(policy, guards, exploration={"cap": 0.2, "floor": 0.04, "cold_start": None}), plain("abcd"))
    assert d.propensities == pytest.approx([0.8, 0.06, 0.04, 0.1])


def test_exposure_is_what_a_numerical_optimiser_finds() -> None:
    """On 20 random cases the projection's divergence is SLSQP's optimum to 1e-6, and all rules hold to 1e-9."""
    rng = np.random.default_rng(5)
    for _ in range(20):
        q, greedy = rng.dirichlet(np.ones(6)), np.arange(6) < 2
        groups, least = np.array([0, -1, 0, 1, -1, 1]), rng.uniform(0.05, 0.25, 2)
        phi, cap = 0.01, 0.66
        r = expose(q, greedy, groups, least, phi, cap)
        rules = [
            {"type": "eq", "fun": lambda x: x.sum() - 1},
            {"type": "ineq", "fun": lambda x, g=greedy, c=cap: c - x[~g].sum()},
            *({"type": "ineq", "fun": lambda x, j=j, m=groups, p=least: x[m == j].sum() - p[j]} for j in (0, 1)),
        ]
        found = minimize(
            lambda x, q=q: (x * np.log(x / q)).sum(), r, bounds=[(phi, 1)] * 6, constraints=rules, tol=1e-12
        )
        assert (r * np.log(r / q)).sum() <= found.fun + 1e-6
        assert abs(r.sum() - 1) < 1e-9
        assert r.min() >= phi - 1e-9
        assert r[~greedy].sum() <= cap + 1e-9
        assert all(r[groups == j].sum() >= least[j] - 1e-9 for j in (0, 1))


def test_the_kill_switch_is_above_the_guards() -> None:
    """In mode baseline head and exposure do not act; a pin, an order of the loop's owner, still does."""
    guards = [
        {"kind": "protected_head", "slots": 2},
        {"kind": "minimum_exposure", "action": "e", "probability": 0.1},
        {"kind": "pin", "slot": 1, "action": "c"},
    ]
    d = ask(frame(BEST_FIRST, guards, exploration={"mode": "baseline"}), plain("edcba"), top_n=3)
    assert served(d) == "ecd"
    assert [slot.reason for slot in d.ranking] == ["mode baseline", "pin", "mode baseline"]


CAP = FrequencyCap(entity="user_id", max=2, window_s=10)


def test_frequency_caps_count_within_their_window() -> None:
    """After two servings within ten seconds an action waits until the first is ten seconds old; others do not."""
    memory = Frequency([CAP])
    ann, bob = {"user_id": "ann"}, {"user_id": "bob"}
    memory.served(ann, ["a", "b"], 1 * SECOND)
    memory.served(ann, ["a"], 2 * SECOND)
    assert memory.spent(ann, "abc", 3 * SECOND) == {"a": "user_id"}
    assert memory.spent(bob, "abc", 3 * SECOND) == memory.spent({}, "abc", 3 * SECOND) == {}
    assert memory.spent(ann, "abc", 11 * SECOND - 1) == {"a": "user_id"}
    assert memory.spent(ann, "abc", 11 * SECOND) == {}


def test_frequency_takes_back_what_was_none() -> None:
    """A repeated decision counts once, also after its window has passed."""
    memory = Frequency([CAP])
    ann = {"user_id": "ann"}
    memory.served(ann, ["a"], SECOND)
    memory.served(ann, ["a"], 2 * SECOND)
    memory.not_served(ann, ["a"], 2 * SECOND)
    assert memory.spent(ann, "a", 3 * SECOND) == {}
    memory.served(ann, ["a"], 4 * SECOND)
    assert memory.spent(ann, "a", 5 * SECOND) == {"a": "user_id"}
    assert memory.spent(ann, "a", 13 * SECOND) == {}
    memory.served(ann, ["a"], 13 * SECOND)
    assert memory.spent(ann, "a", 13 * SECOND) == {"a": "user_id"}
    memory.not_served(ann, ["a"], 2 * SECOND)
    assert memory.spent(ann, "a", 13 * SECOND) == {"a": "user_id"}


def test_frequency_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """Beyond its bound the memory forgets the oldest, and nothing else."""
    monkeypatch.setattr("bandit.ranking.frequency.MAX_REMEMBERED", 3)
    memory = Frequency([FrequencyCap(entity="user_id", max=1, window_s=10)])
    for i, name in enumerate("abcd"):
        memory.served({"user_id": "ann"}, [name], i)
    assert sorted(memory.spent({"user_id": "ann"}, "abcd", 5)) == ["b", "c", "d"]


def test_a_spent_action_is_withheld_and_logged() -> None:
    """A frequency-capped action is not eligible, and the decision says which ids history kept back."""
    memory = Frequency([CAP])
    memory.served({"user_id": "ann"}, ["a", "a", "b"], 0)
    f = frame(BEST_FIRST, [msgspec.to_builtins(CAP)], memory)
    d = ask(f, plain("abc"), top_n=3, at=5, entities={"user_id": "ann"})
    assert (d.actions, d.withheld, d.ranking[0].reason) == (["b", "c"], ["a"], "frequency_cap")
    assert d.short.endswith("frequency_cap (user_id) removed 1")
    assert ask(f, plain("abc"), at=5, entities={"user_id": "bob"}).withheld == []


@pytest.mark.parametrize(
    ("guards", "said"),
    [
        ([{"kind": "eligible", "feature": "x"}], "needs either 'min' and 'max'"),
        ([{"kind": "eligible", "feature": "x", "min": 1, "equals": 2}], "needs either 'min' and 'max'"),
        ([{"kind": "eligible", "feature": "x", "min": 2, "max": 1}], "nothing can pass"),
        ([{"kind": "eligible", "feature": "x", "min": math.inf}], "finite number"),
        (
            [{"kind": "pin", "slot": 0, "action": "a"}, {"kind": "pin", "slot": 0, "action": "b"}],
            "2 pins are for slot 0",
        ),
        ([{"kind": "pin", "slot": 0, "action": "a"}, {"kind": "pin", "slot": 1, "action": "a"}], "pin it once"),
        ([{"kind": "protected_head", "slots": 1}] * 2, "more than one protected_head"),
        ([{"kind": "minimum_exposure", "probability": 0.1}], "needs either 'action'"),
        ([{"kind": "minimum_exposure", "probability": 0.1, "feature": "x"}], "needs either 'action'"),
        ([{"kind": "minimum_exposure", "probability": 0.3, "action": "a"}], "exploration.cap 0.2 allows"),
        ([{"kind": "minimum_exposure", "probability": 0.1, "action": "a"}] * 2, "keep one"),
        (
            [
                {"kind": "minimum_exposure", "probability": 0.1, "action": "a"},
                {"kind": "minimum_exposure", "probability": 0.05, "feature": "x", "equals": 1},
            ],
            "may overlap",
        ),
        ([{"kind": "max_explored", "items": 1}] * 101, "101 guards"),
    ],
)
def test_contradictions_are_refused(guards: list[dict[str, object]], said: str) -> None:
    """A config whose guards contradict each other or the caps is refused in words."""
    with pytest.raises((InvalidInput, msgspec.ValidationError), match=said):
        msgspec.convert({"guards": guards}, LoopConfig)
