"""The ledger's rules: what decisions, rewards and time append; over every adapter."""

import functools

import msgspec
import pytest
from support import decision

from store.errors import Conflict, InvalidInput
from store.ledger.join import Receipt, drop_early, expire, record_decision, record_reward
from store.ledger.rules import RewardRules
from store.ports import Store, write
from store.records import SECOND, Reward

RULES = RewardRules(window_s=10, default=-1.0, correction_window_s=100)
WINDOW = 10 * SECOND


def decide(store: Store, decision_id: str = "d", at: int = 0, **options: object):
    d = decision(decision_id, at=at, window=WINDOW, **options)
    return run(store, record_decision, decision=d, rules=RULES, known_id=True)


def send(store: Store, value: float = 1.0, at: int = 0, decision_id: str = "d", rules: RewardRules = RULES, **fields):
    r = Reward(loop="a", decision_id=decision_id, value=value, received_at=at, occurred_at=at, **fields)
    return run(store, record_reward, reward=r, rules=rules)


def tick(store: Store, now: int):
    return run(store, expire, now=now, rules_of=lambda loop: RULES, limit=100)


def run(store: Store, operation, **arguments):
    [result] = write(store, [functools.partial(operation, **arguments)])
    if isinstance(result, Exception):
        raise result
    return result


def log(store: Store) -> list[tuple[str, str, float]]:
    return [(e.outcome.decision_id, e.outcome.kind, e.outcome.value) for e in store.examples("a", after=0, limit=99)]


def test_first_reward_settles(store: Store) -> None:
    """The first reward inside the window is the outcome; a second one is kept and counted, not learned."""
    decide(store)
    assert send(store, 1.0, at=1) == Receipt()
    assert send(store, 5.0, at=2) == Receipt()
    assert log(store) == [("d", "rewarded", 1.0)]
    assert [r.status for r in store.rewards("a", "d")] == ["joined", "extra"]
    counts = store.counts("a")
    assert (counts.rewards, counts.extra_rewards, counts.rewarded) == (2, 1, 1)


def test_silence_settles_with_the_default(store: Store) -> None:
    """At the end of its window a decision without a reward gets the default, once."""
    decide(store)
    assert tick(store, WINDOW - 1) == []
    assert len(tick(store, WINDOW)) == 1
    assert tick(store, WINDOW) == []
    assert log(store) == [("d", "expired", -1.0)]


def test_downtime_closes_all_that_is_due_in_order(store: Store) -> None:
    """However late the timer runs, outcomes are appended in the order in which the windows closed."""
    for name, at in (("first", 0), ("second", 5), ("third", 7)):
        decide(store, name, at=at)
    tick(store, 10**12)
    assert [entry[0] for entry in log(store)] == ["first", "second", "third"]


def test_reward_id_counts_once(store: Store) -> None:
    """A repeated reward id changes nothing, whatever it carries; without an id each reward is new."""
    decide(store)
    send(store, at=1, reward_id="r")
    assert send(store, 9.0, at=2, reward_id="r") == Receipt(duplicate=True)
    assert len(store.rewards("a", "d")) == 1
    send(store, at=3)
    send(store, at=3)
    assert len(store.rewards("a", "d")) == 3
    assert store.counts("a").duplicate_rewards == 1


def test_early_reward_waits_for_its_decision(store: Store) -> None:
    """A reward before its decision is kept and joined when the decision comes."""
    assert send(store, 2.0, at=0, reward_id="r") == Receipt(early=True)
    assert log(store) == []
    assert send(store, 2.0, at=1, reward_id="r") == Receipt(duplicate=True)
    decide(store, at=5)
    assert log(store) == [("d", "rewarded", 2.0)]
    assert store.counts("a").waiting_rewards == 0


def test_early_reward_is_given_up_after_the_window(store: Store) -> None:
    """A reward whose decision does not come is dropped and counted, and is not joined later."""
    send(store, at=0)
    assert run(store, drop_early, loop="a", before=0, limit=9) == 1
    assert run(store, drop_early, loop="a", before=99, limit=9) == 0
    decide(store, at=5)
    assert log(store) == []
    counts = store.counts("a")
    assert (counts.dropped_rewards, counts.waiting_rewards) == (1, 0)


def test_early_reward_for_a_slot_that_never_was_is_dropped(store: Store) -> None:
    """An early reward's slot is checked when the ranking is known."""
    send(store, at=0, slot=3)
    decide(store, at=5)
    assert log(store) == []
    assert store.counts("a").dropped_rewards == 1


@pytest.mark.parametrize("timer_first", [True, False])
def test_late_reward_corrects_the_default(store: Store, *, timer_first: bool) -> None:
    """Whether the timer or the late reward comes first, the log is the same: the default, then its correction."""
    decide(store)
    if timer_first:
        tick(store, WINDOW)
    assert send(store, 3.0, at=WINDOW) == Receipt(late=True)
    assert log(store) == [("d", "expired", -1.0), ("d", "corrected", 3.0)]
    assert store.examples("a", after=1, limit=1)[0].outcome.previous == -1.0
    assert tick(store, 2 * WINDOW) == []


def test_late_reward_is_only_logged_where_the_loop_says_so(store: Store) -> None:
    """With `late: "log"`, or beyond the correction window, a late reward is kept and changes nothing."""
    decide(store)
    send(store, at=WINDOW, rules=msgspec.structs.replace(RULES, late="log"))
    send(store, at=WINDOW + 100 * SECOND + 1)
    assert log(store) == [("d", "expired", -1.0)]
    assert [r.status for r in store.rewards("a", "d")] == ["late", "late"]
    assert store.counts("a").late_rewards == 2


def test_only_one_late_reward_corrects(store: Store) -> None:
    """A second late reward does not correct again, and a rewarded decision is not corrected."""
    decide(store, "d")
    send(store, 3.0, at=WINDOW)
    send(store, 4.0, at=WINDOW + 1)
    decide(store, "e")
    send(store, 1.0, at=1, decision_id="e")
    send(store, 2.0, at=WINDOW, decision_id="e")
    assert log(store) == [("d", "expired", -1.0), ("d", "corrected", 3.0), ("e", "rewarded", 1.0)]


def test_clock_that_steps_back_makes_a_late_reward(store: Store) -> None:
    """After its decision expired, a reward is late whatever the clock says now."""
    decide(store)
    tick(store, WINDOW)
    assert send(store, 3.0, at=1) == Receipt(late=True)
    assert log(store)[-1] == ("d", "corrected", 3.0)


def test_repeated_decision_gets_the_stored_one(store: Store) -> None:
    """The same id and body, in whatever spelling, gives what was stored first; nothing is counted twice."""
    first = decide(store)
    assert not first.repeated
    spaced = msgspec.structs.replace(first.decision, request=first.decision.request.replace(b" ", b""), at=99, due=100)
    again = run(store, record_decision, decision=spaced, rules=RULES, known_id=True)
    assert again.repeated
    assert again.decision == first.decision
    assert store.counts("a").decisions == 1


def test_repeated_id_with_another_body_conflicts(store: Store) -> None:
    """The same id with another body is refused and changes nothing."""
    first = decide(store).decision
    other = msgspec.structs.replace(first, request=b'{"actions": [{"id": "x"}]}')
    with pytest.raises(Conflict, match="another body"):
        run(store, record_decision, decision=other, rules=RULES, known_id=True)
    assert store.decision("a", "d") == first


def test_slot_outside_the_ranking_is_refused(store: Store) -> None:
    """A reward for a slot that was not served is refused and not counted."""
    decide(store, slots=2)
    with pytest.raises(InvalidInput, match="2 slots"):
        send(store, at=1, slot=2)
    assert store.rewards("a", "d") == []
    assert store.counts("a").rewards == 0
    send(store, at=1, slot=1)
    tick(store, WINDOW)
    assert store.outcomes("a", "d")[0].slot == 1


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf"), 1e16])
def test_reward_is_a_finite_number(value: float) -> None:
    """A reward that is not finite, or too large to square, cannot even be made."""
    with pytest.raises(InvalidInput, match="finite"):
        Reward(loop="a", decision_id="d", value=value, received_at=0, occurred_at=0)


@pytest.mark.parametrize(
    ("rules", "said"),
    [
        ({"range": (1.0, 0.0)}, "the lower first"),
        ({"range": (0.0, float("inf"))}, "finite"),
        ({"range": (1.0, 2.0), "default": 0.0}, "outside reward.range"),
        ({"default": float("nan")}, "finite"),
    ],
)
def test_reward_rules_are_checked(rules: dict[str, object], said: str) -> None:
    """Rules that contradict themselves cannot be made."""
    with pytest.raises(InvalidInput, match=said):
        RewardRules(**rules)
