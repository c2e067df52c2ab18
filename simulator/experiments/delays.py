"""What waiting for delayed rewards costs, and what learning at once and correcting later saves.

Run it as `python -m simulator.experiments.delays`. Rewards of the world of `arms` come after exponential delays,
counted in decisions; a reward of 0 never comes at all, as a click does not. Each kind of policy meets the same rounds
under each treatment, with the same delays; what counts is the reward that it missed against knowing the world.
"""

import hashlib
import heapq
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from typing import Annotated, Any

import msgspec
import numpy as np
import typer
from rich import box
from rich.console import Console
from rich.progress import track
from rich.table import Table
from threadpoolctl import threadpool_limits

from bandit.cli.output import Format
from bandit.decide import DecisionRequest, Frame, decide
from bandit.policies.base import Entry, Policy
from bandit.policies.catalogue import policy_config, policy_type
from bandit.policies.situation import Situation
from bandit.settings import LoopConfig
from simulator.worlds import synthetic
from simulator.worlds.rounds import Rounds
from store.records import Action

KINDS = ("linear_ts", "linear_ucb", "epsilon_greedy", "softmax", "squarecb", "regcb", "beta_ts", "logistic_ts", "vw")
WORKERS = 2
_REWARD, _WINDOW = 0, 1
"""What happens to a decision; where both happen at once, its reward is in time."""


class Treatment(msgspec.Struct, frozen=True):
    """What is done while a reward may still come: wait for `window` mean delays, or learn a 0 at once.

    `corrects` says that a reward which comes after that is learned too, in place of the 0.
    """

    name: str
    window: float
    corrects: bool


TREATMENTS = (
    Treatment("wait 1x, late dropped", 1.0, corrects=False),
    Treatment("wait 3x, late dropped", 3.0, corrects=False),
    Treatment("wait 1x, late corrected", 1.0, corrects=True),
    Treatment("wait 3x, late corrected", 3.0, corrects=True),
    Treatment("learned at once, corrected", 0.0, corrects=True),
)


class Case(msgspec.Struct, frozen=True):
    """One pass: a kind of policy, a treatment, and the mean delay in decisions; 0 is none, whatever the treatment."""

    kind: str
    treatment: Treatment
    delay: int
    seed: int


class Row(msgspec.Struct, frozen=True):
    """Cumulative regret of a kind under a treatment: mean and standard error over the seeds."""

    kind: str
    treatment: str
    delay: int
    regret: float
    stderr: float


def main(
    kind: Annotated[list[str] | None, typer.Option(help="Only these kinds of policy; repeatable.")] = None,
    seeds: Annotated[int, typer.Option(min=2)] = 10,
    rounds: Annotated[int, typer.Option(min=10, help="Decisions per pass.")] = 4000,
    delay: Annotated[list[int] | None, typer.Option(min=1, help="Mean delays, in decisions; repeatable.")] = None,
    *,
    output: Annotated[Format, typer.Option("--format", help="How to print the result.")] = Format.TABLE,
) -> None:
    """Measure the regret of each kind of policy under each treatment of delayed rewards."""
    rows = list(experiment(kind or list(KINDS), delay or [50, 500], seeds, rounds))
    if output is Format.JSON:
        typer.echo(msgspec.json.encode(rows).decode())
    else:
        _print(rows)


def experiment(kinds: list[str], delays: list[int], seeds: int, rounds: int) -> Iterator[Row]:
    """Yield a row for each kind, delay and treatment, two passes at a time."""
    none = Treatment("no delay", 0.0, corrects=False)
    settings = [(kind, none, 0) for kind in kinds]
    settings += [(kind, t, delay) for kind in kinds for delay in delays for t in TREATMENTS if _possible(kind, t)]
    cases = [Case(*setting, seed) for setting in settings for seed in range(seeds)]
    context = get_context("spawn")  # a fork would inherit the threads of numerical libraries
    with ProcessPoolExecutor(WORKERS, mp_context=context) as pool:
        done = pool.map(_regret, cases, [rounds] * len(cases), chunksize=2)
        regrets = list(track(done, "passes", total=len(cases), console=Console(stderr=True)))
    for i, (kind, treatment, delay) in enumerate(settings):
        found = np.array(regrets[i * seeds : (i + 1) * seeds])
        stderr = float(found.std(ddof=1) / np.sqrt(seeds))
        yield Row(kind, treatment.name, delay, float(found.mean()), stderr)


def _possible(kind: str, treatment: Treatment) -> bool:
    return policy_type({"kind": kind}).corrects or not treatment.corrects


def _regret(case: Case, count: int) -> float:
    with threadpool_limits(1):
        rounds = synthetic.arms(case.seed, count)
        return _play(rounds, case)


def _play(rounds: Rounds, case: Case) -> float:
    """Return the reward that was missed in expectation, summed over the pass."""
    config = LoopConfig(policy={"kind": case.kind})
    policy = policy_type(config.policy).create(policy_config(config.policy))
    pending = _Pending(policy, case)
    secret = hashlib.sha256(f"delays {case.seed}".encode()).digest()
    waits = case.delay * np.random.default_rng(case.seed).exponential(size=len(rounds))
    missed = 0.0
    for i in range(len(rounds)):
        request = DecisionRequest([Action(name) for name in rounds.actions], context=dict(rounds.context(i)))
        frame = Frame("delays", secret, config, policy, f"line@{i}", learned=pending.learned)
        decision = decide(frame, request, b"", decision_id=f"{i}", at=i)
        arm = rounds.actions.index(decision.ranking[0].action)
        missed += float(rounds.expected[i].max() - rounds.expected[i, arm])
        situation = Situation(request.context, request.eligible())
        shown = situation, arm, decision.ranking[0].propensity
        pending.decided(i, shown, float(rounds.rewards[i, arm]), i + float(waits[i]))
        pending.through(i + 1)
    return missed


class _Pending:
    """What is learned when: by decision, the default or the reward, and what corrects it."""

    def __init__(self, policy: Policy, case: Case) -> None:
        self.learned = 0
        self._policy = policy
        self._corrects = case.treatment.corrects
        self._window = case.treatment.window * case.delay
        self._events: list[tuple[float, int, Any]] = []
        self._steps: dict[int, int] = {}
        self._next = 0

    def decided(self, i: int, shown: tuple[Situation, int, float], reward: float, comes: float) -> None:
        """Plan what happens to a decision: at the window's end, and when its reward comes, if it is one."""
        heapq.heappush(self._events, (i + self._window, _WINDOW, (i, shown, 0.0)))
        if reward > 0:
            heapq.heappush(self._events, (comes, _REWARD, (i, shown, reward)))

    def through(self, now: float) -> None:
        """Learn what came before `now`, in order."""
        while self._events and self._events[0][0] < now:
            _, kind, (i, (situation, arm, propensity), reward) = heapq.heappop(self._events)
            waits = self._window > 0 or kind == _REWARD
            if i not in self._steps:
                self._next += 1
                self._steps[i] = self._next
                self.learned += 1
                self._policy.learn(situation, arm, reward, propensity, Entry(self._next, settles=waits))
            elif kind == _REWARD and self._corrects:
                self._policy.correct(situation, arm, reward, 0.0, Entry(self._steps[i], settles=self._window == 0))


def _print(rows: list[Row]) -> None:
    caption = "cumulative regret ± standard error over seeds; delays in decisions"
    table = Table("kind", "delay", "treatment", "regret", box=box.SIMPLE, caption=caption)
    for before, row in zip([None, *rows], rows, strict=False):
        same = before is not None and before.kind == row.kind
        table.add_row(
            "" if same else row.kind, str(row.delay or ""), row.treatment, f"{row.regret:.0f} ±{row.stderr:.0f}"
        )
    Console(highlight=False).print(table)


if __name__ == "__main__":
    typer.run(main)
