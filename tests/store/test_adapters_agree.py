"""Any interleaving of decisions, rewards, duplicates and time leaves every adapter with the same ledger."""

import functools
import tempfile
from pathlib import Path

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from support import decision, loop

from store.ledger.join import drop_early, expire, record_decision, record_reward
from store.ledger.rules import RewardRules
from store.log.memory import MemoryStore
from store.log.sqlite import SqliteStore
from store.ports import Store, write
from store.records import Reward

RULES = RewardRules(window_s=1, correction_window_s=2)
IDS = st.sampled_from("pqrs")

decisions = st.tuples(st.just("decide"), IDS, st.integers(1, 2))
rewards = st.tuples(
    st.just("reward"),
    IDS,
    st.sampled_from([0.0, 1.0]),
    st.sampled_from([None, "1", "2"]),
    st.sampled_from([None, 0, 1]),
)
waits = st.tuples(st.just("wait"), st.integers(0, 1_500_000))
steps = st.lists(st.one_of(decisions, rewards, waits), max_size=25)


def operation(step: tuple, now: int):
    match step:
        case "decide", name, slots:
            d = decision(name, at=now, window=1_000_000, slots=slots)
            return functools.partial(record_decision, decision=d, rules=RULES, known_id=True)
        case "reward", name, value, reward_id, slot:
            r = Reward(
                loop="a", decision_id=name, value=value, received_at=now, occurred_at=0, reward_id=reward_id, slot=slot
            )
            return functools.partial(record_reward, reward=r, rules=RULES)
        case _:
            return functools.partial(expire, now=now, rules_of=lambda name: RULES, limit=2)


def play(store: Store, script: list[tuple]) -> list[object]:
    write(store, [lambda tx: tx.put_loop(loop("a"))])
    now, answers = 0, []
    for step in script:
        now += step[1] if step[0] == "wait" else 1
        give_up = functools.partial(drop_early, loop="a", before=now - 1_000_000, limit=9)
        answers += [str(answer) for answer in write(store, [operation(step, now), give_up])]
    seen = [(store.rewards("a", name), store.outcomes("a", name), store.decision("a", name)) for name in "pqrs"]
    return [answers, seen, store.examples("a", after=0, limit=99), store.counts("a"), store.first_open("a")]


@settings(max_examples=60, suppress_health_check=[HealthCheck.too_slow])
@given(steps)
def test_adapters_agree(script: list[tuple]) -> None:
    """The SQLite store ends like the memory store, answer by answer; every decision has at most one first outcome."""
    with tempfile.TemporaryDirectory() as folder:
        store = SqliteStore(Path(folder))
        in_sqlite = play(store, script)
        store.close()
    in_memory = play(MemoryStore(), script)
    assert in_sqlite == in_memory
    for _, outcomes, _ in in_memory[1]:
        assert [o.kind for o in outcomes] in ([], ["rewarded"], ["expired"], ["expired", "corrected"])
