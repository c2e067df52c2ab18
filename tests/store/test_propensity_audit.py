"""The propensity audit as a fold over decisions: by hand, by all outcomes that there can be, and by faults."""

import itertools
import math

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from store.drift.evidence import bounds, log_evidence, log_thresholds
from store.drift.findings import Finding
from store.drift.propensity_audit import ALPHA, MOST_ACTIONS, MOST_ALARMS, PropensityAudit
from store.errors import InvalidInput
from store.records import Decision, Odds, Slot

NAMES = ("a", "b", "c")


def decided(p: list[float], served: int, *lower: tuple[list[float], int], position: int = 1) -> Decision:
    """A decision with this first distribution over a, b, c … and these below, greedy are the likeliest."""
    names = [chr(ord("a") + k) for k in range(len(p))]
    slots = [(p, served), *lower]
    return Decision(
        loop="l",
        decision_id=str(position),
        at=position,
        due=position,
        request=b"",
        actions=names,
        propensities=p,
        predicted=None,
        ranking=[Slot(names[k], q[k], q[k] < max(q)) for q, k in slots],
        policy="softmax",
        model_version="softmax-0@0",
        exploration=exploration(p),
        odds=[Odds(sum(x > 0 for x in q), min(x for x in q if x > 0), exploration(q)) for q, _ in lower],
        position=position,
    )


def exploration(p: list[float]) -> float:
    return math.fsum(x for x in p if x < max(p))


def normal(weights: list[int]) -> list[float]:
    return [w / sum(weights) for w in weights]


def audited(decisions: list[Decision], **settings: object) -> PropensityAudit:
    audit = PropensityAudit(**settings)
    audit.add(decisions)
    audit.check()
    return audit


def found_by(audit: PropensityAudit) -> dict[tuple[str, int, str | None], Finding]:
    return {(f.test, f.slot, f.action): f for f in audit.view()}


def alarmed(audit: PropensityAudit) -> set[str]:
    return {alarm.test for alarm in audit.alarms}


# By hand


def test_sums_by_hand() -> None:
    """Of (0.5, 0.3, 0.2), b and then a are served: what each test has observed and expected can be counted."""
    found = found_by(audited([decided([0.5, 0.3, 0.2], 1), decided([0.5, 0.3, 0.2], 0, position=2)]))
    sums = {key: (f.draws, f.observed, f.expected) for key, f in found.items()}
    assert sums == {
        ("action", 0, "a"): (2, 1.0, pytest.approx(1.0)),
        ("action", 0, "b"): (2, 1.0, pytest.approx(0.6)),
        ("action", 0, "c"): (2, 0.0, pytest.approx(0.4)),
        ("weight", 0, None): (2, pytest.approx(1 / 0.9 + 1 / 1.5), 2.0),
        ("explored", 0, None): (2, 1.0, pytest.approx(1.0)),
        ("sharpness", 0, None): (2, pytest.approx(0.8), pytest.approx(2 * 0.38)),
    }


def test_evidence_by_hand() -> None:
    """One draw of probability 0.5: S = 0.5 and V = 0.25; and a likely action of weight 1 / (2 · 0.8) = 0.625."""
    rates = [2.0**k for k in range(3, -11, -1)]
    terms = [math.exp(s * r * 0.5 - 0.25 * (math.exp(r) - 1 - r)) for r in rates for s in (1, -1)]
    found = found_by(audited([decided([0.5, 0.5], 0)]))
    assert found["action", 0, "a"].e_value == pytest.approx(sum(terms) / 28)
    found = found_by(audited([decided([0.8, 0.2], 0)]))
    over, under = 0.625 - 1, 0.375 * 0.4 / 0.6
    wealth = [1 + c * x for c in (0.9, 0.3, 0.1, 0.03) for x in (over, under)]
    assert found["weight", 0, None].e_value == pytest.approx(sum(wealth) / 8)


def test_thresholds_share_alpha() -> None:
    """Each test's false alarms, added up over four families and any number of tests, stay below alpha."""
    shares = np.exp(-log_thresholds(0.01, 100_000, 4))
    assert 0.0025 * 0.9999 < shares.sum() < 0.0025
    assert shares[0] == pytest.approx(0.0025 * 6 / math.pi**2)


def test_bounds_are_where_a_test_alarms() -> None:
    """At its bound a sum has just the evidence that its test needs, for few and for many draws."""
    variance, needed = np.array([0.0, 0.01, 1.0, 1e3, 1e6]), np.log([1e3, 1e3, 1e4, 1e3, 1e5])
    far = bounds(variance, needed)
    assert log_evidence(far, variance) == pytest.approx(needed)
    assert log_evidence(-far, variance) == pytest.approx(needed)
    # Of the order of the law of the iterated logarithm: a normal test at one fixed time would need 3.3 deviations.
    assert 3.3 * 1e3**0.5 < far[3] < 5.5 * 1e3**0.5


# Martingales, by all outcomes that there can be

distribution = st.lists(st.integers(0, 4), min_size=3, max_size=3).filter(any).map(normal)
laws = st.lists(st.tuples(distribution, distribution), min_size=1, max_size=3)


def outcomes(law: tuple[list[float], list[float]], position: int):
    """Every ranking of two that a law can give, with its probability; the second slot has what the first left."""
    p, q = law
    for first in range(3):
        rest = [0.0 if k == first else q[k] for k in range(3)]
        rest = normal(rest) if any(rest) else [1.0 if k == (first + 1) % 3 else 0.0 for k in range(3)]
        for second in range(3):
            if p[first] and rest[second]:
                yield (first, second), p[first] * rest[second], decided(p, first, (rest, second), position=position)


def histories(laws: list[tuple[list[float], list[float]]]):
    """Every history of two decisions with its probability; what was served first chooses the second's law."""
    for served, probability, one in outcomes(laws[0], 1):
        for _, then, two in outcomes(laws[sum(served) % len(laws)], 2):
            yield probability * then, [one, two]


@settings(max_examples=20, deadline=None)
@given(laws)
def test_each_e_value_has_a_mean_of_one_at_most(laws) -> None:
    """Over all outcomes, weighted by the logged probabilities; weights have one exactly. So each is a valid e-value."""
    mean: dict[tuple, float] = {}
    whole = 0.0
    for probability, history in histories(laws):
        whole += probability
        for key, finding in found_by(audited(history)).items():
            mean[key] = mean.get(key, 0.0) + probability * (finding.e_value - 1)
    assert whole == pytest.approx(1)
    for key, excess in mean.items():
        assert excess <= 1e-9, key
        if key[0] == "weight":
            assert excess == pytest.approx(0, abs=1e-9), key


@settings(max_examples=20, deadline=None)
@given(laws)
def test_each_sum_is_expected(laws) -> None:
    """Over all outcomes, each test's observed sum has the mean that it expects: no slot and no action is biased."""
    mean: dict[tuple, float] = {}
    for probability, history in histories(laws):
        for key, finding in found_by(audited(history)).items():
            mean[key] = mean.get(key, 0.0) + probability * (finding.observed - finding.expected)
    assert mean == pytest.approx(dict.fromkeys(mean, 0.0), abs=1e-9)


# What says nothing


def test_what_is_forced_neither_alarms_nor_dilutes() -> None:
    """Kill switches, pins and holdouts serve with probability 1: among other decisions they change no evidence."""
    rng = np.random.default_rng(5)
    real = [decided([0.6, 0.3, 0.1], int(rng.choice(3, p=[0.6, 0.3, 0.1]))) for _ in range(50)]
    forced = decided([0.0, 1.0, 0.0], 1, ([0.0, 0.0, 1.0], 2))
    # A policy may be sure of an action that is not its best: leaving that one is then certain.
    off = Slot("c", 1.0, explored=True)
    sure = msgspec.structs.replace(forced, ranking=[forced.ranking[0], off], odds=[Odds(1, 1.0, 1.0)])
    alone, among = audited(real), audited([d for r in real for d in (*[forced, sure] * 10, r)])
    assert found_by(among) == found_by(alone)
    assert (among.decisions, among.forced, among.alarms) == (1050, 1000, [])
    assert found_by(audited([forced] * 1000)) == {}


def test_even_choices_have_no_weight_and_no_sharpness() -> None:
    """Where all are alike, every weight is 1 and every propensity is expected: only the actions are tested."""
    found = found_by(audited([decided([1 / 3] * 3, 0)] * 200))
    assert ("weight", 0, None) not in found
    assert ("explored", 0, None) not in found
    assert found["sharpness", 0, None].e_value == pytest.approx(1)
    assert found["action", 0, "a"].e_value > 1e6


def test_slots_without_odds_are_counted_and_left_out() -> None:
    """A log from before the odds were kept still has its first slots audited."""
    old = msgspec.structs.replace(decided([0.6, 0.4, 0.0], 0, ([0.0, 0.5, 0.5], 1)), odds=[])
    audit = audited([old] * 3)
    assert audit.unknown_slots == 3
    assert {slot for _, slot, _ in found_by(audit)} == {0}


# Faults


def test_argmax_is_caught_where_each_action_is_served_as_often_as_expected() -> None:
    """The likeliest action is always served, and it rotates: the actions' own tests see nothing, the others do."""
    audit = PropensityAudit()
    for i in range(150):
        p = [0.7, 0.2, 0.1][i % 3 :] + [0.7, 0.2, 0.1][: i % 3]
        audit.add([decided(p, int(np.argmax(p)), position=i + 1)])
        audit.check()
    assert alarmed(audit) == {"weight", "explored", "sharpness"}
    assert min(alarm.position for alarm in audit.alarms) <= 60


@pytest.mark.parametrize("served", [0, 2], ids=["likeliest", "least likely"])
def test_each_family_sees_a_fault_in_either_direction(served: int) -> None:
    """Serving always the likeliest, or always the least likely, of 0.7, 0.2, 0.1 alarms by every test."""
    audit = PropensityAudit()
    for i in range(150):
        audit.add([decided([0.7, 0.2, 0.1], served, position=i + 1)])
        audit.check()
    assert alarmed(audit) == {"action", "weight", "explored", "sharpness"}
    assert all("do not estimate" in alarm.message for alarm in audit.alarms)


def test_lower_slots_are_tested_by_themselves() -> None:
    """A fault in the second slot alone alarms there, by weight and by exploration, and nowhere else."""
    rng, audit = np.random.default_rng(11), PropensityAudit()
    for i in range(300):
        first = int(rng.choice(3, p=[0.5, 0.3, 0.2]))
        rest = [0.0 if k == first else [0.5, 0.3, 0.2][k] for k in range(3)]
        rest = normal(rest)
        audit.add([decided([0.5, 0.3, 0.2], first, (rest, int(np.argmax(rest))), position=i + 1)])
        audit.check()
    assert {(alarm.test, alarm.slot) for alarm in audit.alarms} == {("weight", 1), ("explored", 1)}


@pytest.mark.parametrize(
    ("change", "where"),
    [
        ({"propensities": [0.0, 0.6, 0.4]}, "slot 0"),
        ({"propensities": [0.5, 0.3, 0.2]}, "slot 0"),
        ({"ranking": [Slot("z", 0.6, explored=False), Slot("b", 0.75, explored=False)]}, "slot 0"),
        ({"exploration": 0.0, "ranking": [Slot("a", 0.6, explored=True), Slot("b", 0.75, explored=False)]}, "slot 0"),
        ({"odds": [Odds(2, 0.8, 0.2)]}, "slot 1"),
        ({"odds": [Odds(1, 0.25, 0.25)]}, "slot 1"),
        (
            {"odds": [Odds(2, 0.25, 0.0)], "ranking": [Slot("a", 0.6, explored=False), Slot("b", 0.75, explored=True)]},
            "slot 1",
        ),
    ],
)
def test_what_cannot_have_been_drawn_alarms_at_once(change: dict[str, object], where: str) -> None:
    """A served action of probability 0, two propensities for one draw, an exploration that had none: one is enough."""
    sound = decided([0.6, 0.3, 0.1], 0, ([0.0, 0.75, 0.25], 1))
    audit = audited([sound, msgspec.structs.replace(sound, decision_id="odd", **change), sound])
    [alarm] = audit.alarms
    assert alarm.test == "contradiction"
    assert "'odd'" in alarm.message
    assert where in alarm.message
    assert audited([sound] * 3).alarms == []
    assert {key: f.observed for key, f in found_by(audit).items() if f.test == "action"} == {
        ("action", 0, "a"): 2 + (where == "slot 1"),
        ("action", 0, "b"): 0,
        ("action", 0, "c"): 0,
    }


def test_alarms_are_raised_once_and_few_are_kept() -> None:
    """A fault that goes on adds no alarm to those of its tests, and no list without an end."""
    many = [1 / 40] * 40
    audit = PropensityAudit()
    for _ in range(10):
        audit.add([decided(many, 39)] * 300)
        audit.check()
    keys = [(alarm.test, alarm.slot, alarm.action) for alarm in audit.alarms]
    assert len(set(keys)) == len(keys) == MOST_ALARMS
    before = list(audit.alarms)
    audit.add([msgspec.structs.replace(decided(many, 39), ranking=[Slot("?", 1 / 40, explored=False)])])
    audit.check()
    assert audit.alarms[:-1] == before
    assert audit.alarms[-1].test == "contradiction"
    audit.check()
    assert len(audit.alarms) == MOST_ALARMS + 1


# Many actions


def many(offset: int, served: str, position: int) -> Decision:
    names = [f"{offset + k:06d}" for k in range(100)]
    one = decided([0.01] * 100, 0, position=position)
    return msgspec.structs.replace(one, actions=names, ranking=[Slot(served, 0.01, explored=False)])


def test_actions_beyond_a_thousand_share_a_test() -> None:
    """The first 1,000 actions have tests of their own, in order of appearance; all later ones have one, which works."""
    audit = PropensityAudit()
    audit.add([many(100 * i, f"{100 * i:06d}", i + 1) for i in range(10)])
    assert audit.actions == MOST_ACTIONS
    # Half of each choice is known, half is new: the new half should be served half of the time, and never is.
    for i in range(40):
        audit.add([many(950, "000950", i + 11)])
    audit.check()
    assert audit.actions == MOST_ACTIONS
    shared = audit._findings("action", audit._actions.log_evidence(), [MOST_ACTIONS])[0]
    assert (shared.action, shared.draws, shared.observed) == (None, 40, 0.0)
    assert shared.expected == pytest.approx(20)
    [evidence] = log_evidence(np.array([-20.0]), np.array([40 * 0.5 * 0.5]))
    assert shared.e_value == pytest.approx(math.exp(evidence))
    assert "action" in alarmed(audit)


def test_places_go_by_first_appearance_where_there_is_a_choice() -> None:
    """Actions that are only forced take no place from those that are drawn."""
    audit = audited([decided([0.0, 0.0, 1.0], 2), decided([0.0, 0.5, 0.5], 1), decided([0.5, 0.5, 0.0], 0)])
    assert audit._ids == ["b", "c", "a"]


# States


def history(n: int) -> list[Decision]:
    rng, found = np.random.default_rng(3), []
    for i in range(n):
        p = rng.dirichlet([1, 1, 1]).tolist()
        p = [x / math.fsum(p) for x in p]
        rest = normal([0.0, 1 + i % 2, 1])
        found.append(decided(p, int(rng.choice(3, p=p)), (rest, int(rng.choice(3, p=rest))), position=i + 1))
    return found


@settings(max_examples=20, deadline=None)
@given(st.lists(st.integers(0, 60), max_size=4))
def test_batches_and_restarts_change_nothing(cuts: list[int]) -> None:
    """However the log is cut, and with a store and a restore at each cut, the tests come out the same."""
    decisions, audit = history(60), PropensityAudit()
    for start, end in itertools.pairwise([0, *sorted(cuts), 60]):
        audit.add(decisions[start:end])
        audit = PropensityAudit.restore(audit.state())
    whole = PropensityAudit()
    whole.add(decisions)
    assert (audit.position, audit.at, audit.decisions) == (60, 60, 60)
    for mine, other in zip(audit.view(), whole.view(), strict=True):
        assert (mine.test, mine.slot, mine.action, mine.draws) == (other.test, other.slot, other.action, other.draws)
        assert (mine.observed, mine.expected) == pytest.approx((other.observed, other.expected))
        assert (mine.bound or 0, mine.e_value) == pytest.approx((other.bound or 0, other.e_value))


def test_alarms_are_kept_in_the_state() -> None:
    """A restored audit has its alarms and raises none of them again."""
    audit = audited([decided([0.7, 0.2, 0.1], 2)] * 100, since=7)
    restored = PropensityAudit.restore(audit.state())
    restored.check()
    assert restored.alarms == audit.alarms != []
    assert restored.since == 7
    assert restored.alpha == ALPHA


@pytest.mark.parametrize(
    "state", [b"", b"\x01", msgspec.msgpack.encode([99, *msgspec.msgpack.decode(PropensityAudit().state())[1:]])]
)
def test_foreign_states_are_refused(state: bytes) -> None:
    """A state that is damaged or of another format says so."""
    with pytest.raises(InvalidInput, match=r"begin a new"):
        PropensityAudit.restore(state)
