"""The ledger against a short reference: whatever happens in whatever order, both say the same."""

import functools
import tempfile
from pathlib import Path

import hypothesis.strategies as st
import pytest
from hypothesis import HealthCheck, assume, settings
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)
from reference_ledger import JOINS, ReferenceLedger
from support import decision, loop

from store.errors import HoneyguideError
from store.ledger.join import activate, drop_early, expire, record_decision, record_reward
from store.ledger.rules import RewardRules
from store.log.memory import MemoryStore
from store.log.sqlite import SqliteStore
from store.ports import Store, write
from store.records import SECOND, Reward

NAMES = st.sampled_from(["d1", "d2", "d3"])
VALUES = st.sampled_from([-2.0, -1.0, 0.0, 0.5, 1.0, 3.0])
WINDOW, CORRECTION = 10, 25


class LedgerMachine(RuleBasedStateMachine):
    """Decisions, rewards, retries, duplicates, activations, expiries, restarts and clocks that jump both ways."""

    def make_store(self) -> Store:
        """Open the store, or open it again."""
        raise NotImplementedError

    @initialize(
        aggregation=st.sampled_from(sorted(JOINS)),
        late=st.sampled_from(["log", "correct"]),
        provisional=st.booleans(),
        default=st.sampled_from([0.0, -1.0]),
    )
    def begin(self, aggregation, late, provisional, default):
        """Draw the loop's rules."""
        self.now, self.provisional = 1000, provisional
        self.rules = RewardRules(
            window_s=WINDOW, correction_window_s=CORRECTION, default=default, aggregation=aggregation, late=late
        )
        self.model = ReferenceLedger(
            window=WINDOW * SECOND,
            default=default,
            aggregation=aggregation,
            late=late,
            correction=CORRECTION * SECOND,
            provisional=provisional,
        )
        self.store = self.make_store()
        write(self.store, [lambda tx: tx.put_loop(loop("a"))])

    def run(self, operation, **arguments):
        """Run an operation of the ledger; one that refuses leaves nothing behind."""
        [result] = write(self.store, [functools.partial(operation, **arguments)])
        return None if isinstance(result, HoneyguideError) else result

    @rule(name=NAMES, slots=st.integers(1, 3), deferred=st.booleans())
    def decide(self, name, slots, deferred):
        """Decide, or retry: the stored decision keeps its slots."""
        made = decision(name, at=self.now, window=WINDOW * SECOND, slots=slots, deferred=deferred)
        self.run(record_decision, decision=made, rules=self.rules, known_id=True, provisional=self.provisional)
        self.model.decide(name, self.now, slots, deferred=deferred)

    @rule(
        name=NAMES,
        value=VALUES,
        slot=st.sampled_from([None, None, 0, 1, 2]),
        reward_id=st.sampled_from([None, None, "r1", "r2"]),
    )
    def reward(self, name, value, slot, reward_id):
        """Report a reward: early, in time, late, twice, for a slot that is not there."""
        sent = Reward(
            loop="a",
            decision_id=name,
            value=value,
            received_at=self.now,
            occurred_at=self.now,
            reward_id=reward_id,
            slot=slot,
        )
        self.run(record_reward, reward=sent, rules=self.rules)
        self.model.reward(name, self.now, slot, value, reward_id)

    @rule(name=NAMES)
    def activate(self, name):
        """Say that a decision was shown."""
        self.run(activate, loop="a", decision_id=name, now=self.now, rules=self.rules, provisional=self.provisional)
        self.model.activate(name, self.now)

    @rule()
    def tick(self):
        """Let the timer run."""
        self.run(expire, now=self.now, rules_of=lambda name: self.rules, limit=100)
        self.run(drop_early, loop="a", before=self.now - WINDOW * SECOND, limit=100)
        self.model.tick(self.now)

    @rule(seconds=st.sampled_from([0.001, 1, 4, 9.999, 10, 26, 40, -3]))
    def wait(self, seconds):
        """Let time pass, or step back."""
        assume(self.now + seconds * SECOND > 0)
        self.now += int(seconds * SECOND)

    @rule()
    def restart(self):
        """Open the same store again."""
        self.store = self.make_store()

    @invariant()
    @precondition(lambda self: hasattr(self, "store"))
    def same_log(self):
        """The outcome logs are the same to the last entry, and so is what was counted."""
        entries = [example.outcome for example in self.store.examples("a", after=0, limit=999)]
        found = [(entry.decision_id, entry.kind, entry.value) for entry in entries]
        assert found == [(name, kind, pytest.approx(value)) for name, kind, value in self.model.log]
        counts = self.store.counts("a")
        assert {name: getattr(counts, f"{name}_rewards") for name in self.model.counts} == self.model.counts
        assert counts.waiting_rewards == len(self.model.early)
        assert self.store.anything_due(2**60) == any(e.settled is None for e in self.model.decisions.values())


def machine(folder: Path | None) -> type[LedgerMachine]:
    """The machine over one of the adapters; a folder makes it SQLite, opened anew at each restart."""

    class Machine(LedgerMachine):
        def make_store(self) -> Store:
            if folder is None:
                return getattr(self, "store", None) or MemoryStore()
            if hasattr(self, "store"):
                self.store.close()
            else:
                self.folder = Path(tempfile.mkdtemp(dir=folder))
            return SqliteStore(self.folder)

        def teardown(self) -> None:
            if hasattr(self, "store"):
                self.store.close()

    return Machine


@pytest.mark.parametrize(("adapter", "examples"), [("memory", 150), ("sqlite", 8)])
def test_the_ledger_is_the_reference(adapter: str, examples: int, tmp_path: Path) -> None:
    """Any interleaving gives the same outcome log and counts as the reference; over both adapters, reduced."""
    check(tmp_path if adapter == "sqlite" else None, examples)


@pytest.mark.deep
@pytest.mark.parametrize(("adapter", "examples"), [("memory", 1500), ("sqlite", 80)])
def test_the_ledger_is_the_reference_at_length(adapter: str, examples: int, tmp_path: Path) -> None:
    """The same for thousands of interleavings."""
    check(tmp_path if adapter == "sqlite" else None, examples)


def check(folder: Path | None, examples: int) -> None:
    slow = [HealthCheck.too_slow, HealthCheck.data_too_large]
    bounds = settings(max_examples=examples, stateful_step_count=40, suppress_health_check=slow)
    run_state_machine_as_test(machine(folder), settings=bounds)
