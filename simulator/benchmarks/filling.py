"""A log of many decisions in little time: for benchmarks of what reads a log, not of what writes it.

The decisions are those of the benchmarks' requests, made once each under `uniform` and then appended again and again
under new ids, through the ledger, in batches far larger than a server's.
"""

import functools
from collections.abc import Callable, Sequence

import msgspec

from bandit.decide import DecisionRequest, Frame, decide
from bandit.policies.plain import Uniform
from bandit.settings import LoopConfig
from simulator.benchmarks.bodies import decision_bodies
from store.ledger.join import record_decision, record_reward
from store.ledger.rules import RewardRules
from store.ports import Store, Transaction, write
from store.records import Decision, LoopRecord, Reward

BATCH = 5_000
_SECRET = bytes(32)


class Filler:
    """Appends decisions to one loop of a store, which it makes; the n-th has its id and the value of its reward by n.

    `provisional` has each learned at once, `rewarded` gives each a reward of 0 or 1, a microsecond after it.
    """

    def __init__(
        self, store: Store, loop: str, rules: RewardRules, *, provisional: bool = False, rewarded: bool = False
    ) -> None:
        self._store = store
        self._rules = rules
        self._provisional = provisional
        self._rewarded = rewarded
        self._decisions = _decisions(loop, rules)
        self._filled = 0
        config = msgspec.json.encode(LoopConfig(reward=rules))
        record = LoopRecord(name=loop, config=config, secret=_SECRET, revision=1, updated_at=0)
        write(store, [lambda tx: tx.put_loop(record)])

    def fill(self, count: int, at: int, progress: Callable[[int], None] = lambda _: None) -> int:
        """Append so many decisions, all made at that time (microseconds); returns when their window closes."""
        end = self._filled + count
        while self._filled < end:
            numbers = range(self._filled, min(self._filled + BATCH, end))
            write(self._store, [functools.partial(self._append, numbers=numbers, at=at)])
            self._filled = numbers.stop
            progress(len(numbers))
        return self._rules.due(at)

    def _append(self, tx: Transaction, numbers: range, at: int) -> None:
        for n in numbers:
            pattern = self._decisions[n % len(self._decisions)]
            name, due = f"{n:020d}", self._rules.due(at)
            decision = msgspec.structs.replace(pattern, decision_id=name, at=at, due=due)
            record_decision(tx, decision, self._rules, known_id=False, provisional=self._provisional)
            if self._rewarded:
                record_reward(tx, _reward(decision, n), self._rules)


def _reward(decision: Decision, n: int) -> Reward:
    # Neither constant nor in step with the requests: states must not end up in a corner that is cheap to fold.
    value = float(n * 2_654_435_761 % 2**32 < 2**31)
    at = decision.at + 1
    return Reward(loop=decision.loop, decision_id=decision.decision_id, value=value, received_at=at, occurred_at=at)


def _decisions(loop: str, rules: RewardRules) -> Sequence[Decision]:
    config = LoopConfig(policy={"kind": "uniform"}, reward=rules)
    uniform = Frame(loop, _SECRET, config, Uniform.create(Uniform.config_type()), "uniform@0", revision=1)
    found = []
    for i, body in enumerate(decision_bodies()):
        request = msgspec.json.decode(body, type=DecisionRequest)
        found.append(decide(uniform, request, body.encode(), decision_id=str(i), at=0))
    return found
