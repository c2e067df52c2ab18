"""What rewards are worth: aggregation, slots and their credit, components and their formula, checked by hand."""

import functools
import math

import hypothesis.strategies as st
import msgspec
import pytest
from hypothesis import given
from support import decision

from store.errors import Conflict, InvalidInput
from store.ledger.formula import read_formula
from store.ledger.join import activate, expire, record_decision, record_reward
from store.ledger.rules import Component, Components, RewardRules
from store.ledger.worth import credits_of, rewards_by_slot, tally, worth
from store.ports import Store, write
from store.records import LARGEST, SECOND, Cell, Outcome, Reward

WINDOW = 10 * SECOND


def rules(**parts: object) -> RewardRules:
    return RewardRules(**{"window_s": 10, "correction_window_s": 100, **parts})


def shop(formula: str = "click + 10 * purchase") -> Components:
    return Components({"click": Component(aggregation="max"), "purchase": Component(aggregation="sum")}, formula)


def run(store: Store, operation, **arguments):
    [result] = write(store, [functools.partial(operation, **arguments)])
    if isinstance(result, Exception):
        raise result
    return result


def decide(store: Store, under: RewardRules, *, provisional: bool = False, **fields):
    made = decision(window=WINDOW, **fields)
    return run(store, record_decision, decision=made, rules=under, known_id=True, provisional=provisional)


def send(store: Store, under: RewardRules, value: float, at: int = 1, **fields):
    sent = Reward(loop="a", decision_id="d", value=value, received_at=at, occurred_at=at, **fields)
    return run(store, record_reward, reward=sent, rules=under)


def close(store: Store, under: RewardRules, now: int = WINDOW):
    return run(store, expire, now=now, rules_of=lambda loop: under, limit=99)


def log(store: Store) -> list[tuple[str, float]]:
    return [(e.outcome.kind, e.outcome.value) for e in store.examples("a", after=0, limit=99)]


@pytest.mark.parametrize(
    ("aggregation", "value"), [("last", -3.0), ("sum", -6.0), ("mean", -2.0), ("max", -1.0), ("min", -3.0)]
)
def test_aggregations_of_what_is_all_negative(store: Store, aggregation: str, value: float) -> None:
    """-2, -1 and -3 come to what the word says; no 0 slips in, and nothing closes before the window does."""
    under = rules(aggregation=aggregation)
    decide(store, under)
    for at, reward in enumerate((-2.0, -1.0, -3.0), start=1):
        send(store, under, reward, at)
    assert log(store) == []
    close(store, under)
    assert log(store) == [("rewarded", value)]


def test_a_late_reward_joins_the_others(store: Store) -> None:
    """With `sum`, a reward after the window corrects the outcome to the new sum; the previous one is named."""
    under = rules(aggregation="sum")
    decide(store, under)
    send(store, under, 1.0)
    send(store, under, 2.0, at=WINDOW)
    assert log(store) == [("rewarded", 1.0), ("corrected", 3.0)]
    corrected = store.examples("a", after=1, limit=1)[0]
    assert (corrected.outcome.previous, corrected.outcome.revises, corrected.outcome.root) == (1.0, 1, 1)
    send(store, under, 4.0, at=WINDOW + 101 * SECOND)
    assert store.rewards("a", "d")[-1].status == "late"
    assert len(log(store)) == 2


def test_learning_at_once(store: Store) -> None:
    """A decision is in the log at once with what nothing is worth; each change replaces that, the window settles it."""
    under = rules(aggregation="sum", default=-1.0)
    decide(store, under, provisional=True)
    send(store, under, 2.0, at=3)
    send(store, under, 5.0, at=4)
    close(store, under)
    send(store, under, 1.0, at=WINDOW + 1)
    assert log(store) == [
        ("provisional", -1.0),
        ("provisional", 2.0),
        ("provisional", 7.0),
        ("rewarded", 7.0),
        ("corrected", 8.0),
    ]
    entries = [example.outcome for example in store.examples("a", after=0, limit=9)]
    assert [entry.revises for entry in entries] == [None, 1, 2, 3, 4]
    assert [entry.root for entry in entries] == [None, 1, 1, 1, 1]


def test_what_is_not_activated_is_censored(store: Store) -> None:
    """A deferred decision that was never shown ends as `censored`, whatever was reported for it."""
    under = rules()
    decide(store, under, provisional=True, deferred=True)
    send(store, under, 1.0)
    assert log(store) == []
    close(store, under)
    assert log(store) == [("censored", 0.0)]
    with pytest.raises(Conflict, match="not activated before its reward window closed"):
        run(store, activate, loop="a", decision_id="d", now=WINDOW + 1, rules=under, provisional=False)
    send(store, under, 1.0, at=WINDOW + 2)
    assert [name for name, _ in log(store)] == ["censored"]


def test_what_was_never_shown_is_not_corrected(store: Store) -> None:
    """The first reward of a decision that ended as `censored` is kept, late, and changes nothing."""
    under = rules()
    decide(store, under, deferred=True)
    close(store, under)
    send(store, under, 1.0, at=WINDOW + 2)
    assert ([name for name, _ in log(store)], store.rewards("a", "d")[0].status) == (["censored"], "late")


def test_a_late_reward_that_changes_nothing_is_no_entry(store: Store) -> None:
    """With `max`, a late reward below the others counts, and the log stays as it is."""
    under = rules(aggregation="max")
    decide(store, under)
    send(store, under, 2.0)
    send(store, under, 1.0, at=WINDOW)
    assert (log(store), store.rewards("a", "d")[1].status) == ([("rewarded", 2.0)], "joined")


def test_activation_lets_what_came_before_count(store: Store) -> None:
    """Activated in time, a deferred decision is settled by the reward that came before; twice is as once."""
    under = rules()
    decide(store, under, deferred=True)
    send(store, under, 1.0)
    for now in (2, 3):
        run(store, activate, loop="a", decision_id="d", now=now, rules=under, provisional=False)
    assert log(store) == [("rewarded", 1.0)]
    assert (store.activated("a", "d"), store.counts("a").activated) == (2, 1)
    assert run(store, activate, loop="a", decision_id="none", now=1, rules=under, provisional=False) is None


def test_slots_add_up(store: Store) -> None:
    """Slot rewards come to a cell each; the slate's worth is their sum, and the log says what it is made of."""
    under = rules()
    decide(store, under, slots=3)
    send(store, under, 1.0, slot=2)
    send(store, under, 0.5, slot=0)
    send(store, under, 9.0, slot=2)
    close(store, under)
    [entry] = [example.outcome for example in store.examples("a", after=0, limit=9)]
    assert (entry.value, entry.earned) == (1.5, (Cell(0, None, 0.5), Cell(2, None, 1.0)))
    assert [reward.status for reward in store.rewards("a", "d")] == ["joined", "joined", "extra"]


def settled(*cells: Cell, value: float = 0.0, unrewarded: float = 0.0) -> Outcome:
    return Outcome(
        loop="a", position=1, decision_id="d", kind="rewarded", value=value, at=0, earned=cells, unrewarded=unrewarded
    )


@pytest.mark.parametrize(
    ("credit", "cells", "learned"),
    [
        ("slot", [(1, 2.0)], [-1.0, 2.0, -1.0]),
        ("slot", [(None, 2.0), (1, 3.0)], [2.0, 5.0, 2.0]),
        ("all", [(0, 1.0), (1, 2.0)], [3.0, 3.0, 3.0]),
        ("cascade", [(1, 2.0)], [-1.0, 2.0, None]),
        ("cascade", [(1, 2.0), (2, 4.0)], [-1.0, 2.0, None]),
        ("cascade", [(0, -2.0)], [-2.0, -1.0, -1.0]),
        ("cascade", [(None, 2.0)], [2.0, 2.0, 2.0]),
    ],
)
def test_credit_by_hand(credit: str, cells: list, learned: list) -> None:
    """What each of three slots learns under each rule; an unrewarded slot was worth -1 when it was logged."""
    entry = settled(*(Cell(slot, None, value) for slot, value in cells), unrewarded=-1.0)
    assert credits_of(entry, 3, rules(credit=credit, default=7.0)) == learned


def test_credit_without_slots_is_the_value() -> None:
    """An outcome that says nothing of slots is learned by all of them, whatever the default is now."""
    assert credits_of(settled(value=0.25), 2, rules(default=7.0)) == [0.25, 0.25]


def test_components_by_hand(store: Store) -> None:
    """One click (the most of two) and purchases of 1 and 2 are 1 + 10 * 3; nothing is the formula of defaults."""
    under = rules(components=shop())
    decide(store, under)
    for at, (name, value) in enumerate([("click", 1.0), ("click", 0.0), ("purchase", 1.0), ("purchase", 2.0)], 1):
        send(store, under, value, at, component=name)
    close(store, under)
    assert log(store) == [("rewarded", 31.0)]
    assert rules(components=shop("click + 10 * purchase - 1")).nothing == -1.0


def test_a_formula_that_changes_is_learned_from_the_same_log() -> None:
    """What is learned follows the rules of the line that learns, not those of the time of logging."""
    entry = settled(Cell(None, "click", 1.0), Cell(None, "purchase", 2.0), value=21.0)
    assert credits_of(entry, 1, rules(components=shop())) == [21.0]
    assert credits_of(entry, 1, rules(components=shop("click - purchase"))) == [-1.0]
    only = Components({"click": Component()}, "5 * click")
    assert credits_of(entry, 1, rules(components=only)) == [5.0]


@pytest.mark.parametrize(
    ("formula", "said"),
    [
        ("click +", "invalid syntax"),
        ("clicks", "no component 'clicks'"),
        ("click / purchase", "not allowed"),
        ("click / 0", "not allowed"),
        ("click ** 2", "not allowed"),
        ("abs(click)", "not allowed"),
        ("open(click)", "not allowed"),
        ("__import__('os')", "not a finite number"),
        ("click.real", "not allowed"),
        ("True", "not a finite number"),
        ("1e999", "not a finite number"),
        ("(" * 300, "components.formula"),
        ("-" * 600 + "click", "more than 500"),
        ("1e300 * click * purchase", "scale it down"),
    ],
)
def test_bad_formulas_are_refused(formula: str, said: str) -> None:
    """Anything but arithmetic on declared names is refused with what may stand there."""
    with pytest.raises(InvalidInput, match=said):
        shop(formula)


def test_formulas_by_hand() -> None:
    """Signs, precedence, min and max."""
    read = read_formula("-a + 2 * (b - 1) / 4 + max(a, b, 0.5) - min(a, b)", frozenset("ab"))
    assert read({"a": 1.0, "b": 3.0}) == -1 + 1 + 3 - 1


@pytest.mark.parametrize(
    ("cells", "value", "slots", "kind", "earned"),
    [
        ([(0, 1.0), (2, 2.0)], 3.0, 3, "rewarded", [1.0, 0.0, 2.0]),
        ([(None, 1.0)], 1.0, 1, "rewarded", [1.0]),
        ([(None, 1.0), (0, 2.0)], 3.0, 1, "rewarded", [3.0]),
        ([(None, 1.0), (0, 2.0)], 3.0, 2, "rewarded", None),  # whose was the 1?
        ([], 4.0, 1, "rewarded", [4.0]),
        ([], 4.0, 2, "rewarded", None),  # one reward for the whole
        ([], 0.0, 2, "rewarded", None),
        ([], 0.0, 2, "expired", [0.0, 0.0]),
        ([], -1.0, 2, "expired", None),  # a default for the whole
        ([(0, 1.0)], 2.0, 2, "rewarded", None),  # not what the outcome says: the rules were others then
    ],
)
def test_what_each_slot_earned(cells: list, value: float, slots: int, kind: str, earned: list | None) -> None:
    """Slots' rewards add up to the ranking's, or are not known."""
    outcome = msgspec.structs.replace(settled(*(Cell(slot, None, v) for slot, v in cells), value=value), kind=kind)
    assert rewards_by_slot(outcome, slots, rules()) == earned


def test_what_each_slot_earned_in_components() -> None:
    """With components each slot's reward is what the formula makes of its own."""
    cells = (Cell(0, "click", 1.0), Cell(1, "click", 1.0), Cell(1, "purchase", 2.0))
    under = rules(components=shop())
    assert rewards_by_slot(settled(*cells, value=22.0), 3, under) == [1.0, 21.0, 0.0]
    assert rewards_by_slot(settled(*cells, value=3.0), 3, under) is None


@pytest.mark.parametrize(
    ("parts", "said"),
    [
        ({"components": shop(), "default": 1.0}, "leave reward.default out"),
        ({"range": (0.0, 1.0), "default": 2.0}, "outside reward.range"),
    ],
)
def test_rules_that_contradict_each_other_are_refused(parts: dict[str, object], said: str) -> None:
    """A default beside components has no meaning, and a default must be in the range."""
    with pytest.raises(InvalidInput, match=said):
        rules(**parts)


@pytest.mark.parametrize("name", ["", "1st", "a b", "a-b"])
def test_component_names_are_names(name: str) -> None:
    """A component's name must be one that a formula can hold."""
    with pytest.raises(InvalidInput, match="a name is letters"):
        Components({name: Component()}, "1")


def test_a_reward_names_its_component() -> None:
    """With components, a reward must name one that is declared; without, none. Ranges are the component's own."""
    parted = rules(components=Components({"click": Component(range=(0.0, 1.0))}, "click"))
    with pytest.raises(InvalidInput, match="name one of click"):
        parted.check("value", 1.0)
    with pytest.raises(InvalidInput, match="name one of click"):
        parted.check("value", 1.0, "other")
    with pytest.raises(InvalidInput, match="outside the loop's reward range"):
        parted.check("value", 2.0, "click")
    with pytest.raises(InvalidInput, match=r"declare reward\.components"):
        rules().check("value", 1.0, "click")


CELLS = st.lists(st.tuples(st.sampled_from([None, 0, 1]), st.floats(-LARGEST, LARGEST)), min_size=1, max_size=8)
AGGREGATIONS = st.sampled_from(["first", "last", "sum", "mean", "max", "min"])


@given(CELLS, AGGREGATIONS, st.sampled_from(["slot", "all", "cascade"]))
def test_worth_is_always_a_number(cells: list, aggregation: str, credit: str) -> None:
    """However large the rewards, what they come to is finite and within what a policy takes."""
    under = rules(aggregation=aggregation, credit=credit)
    sent = [Reward(loop="a", decision_id="d", value=v, received_at=1, occurred_at=1, slot=s) for s, v in cells]
    found = tally(sent, under)
    learned = credits_of(settled(*found), 2, under)
    assert all(value is None or abs(value) <= LARGEST for value in [*learned, worth(found, under)])
    assert all(math.isfinite(cell.value) for cell in found)
    assert {cell.slot for cell in found} == {slot for slot, _ in cells}
