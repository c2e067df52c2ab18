"""What a policy costs: its distribution and sample, and learning one outcome, in microseconds on one core.

Run it as `python -m simulator.benchmarks.policy_latency`. Features are read beforehand; the distribution goes through
cap and floor and is sampled, as in a decision. The policy has learned 2,000 outcomes.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Any

import msgspec
import numpy as np
import typer
from rich import box
from rich.console import Console
from rich.table import Table
from threadpoolctl import threadpool_limits

from bandit.cli.output import Format
from bandit.decide import sample
from bandit.exploration import Plan, cap_and_floor
from bandit.policies.base import Policy
from bandit.policies.catalogue import policy_config, policy_type
from bandit.policies.situation import Situation
from store.records import Action

TAUGHT = 2000
SITUATIONS = 50


@dataclass(frozen=True, slots=True)
class Case:
    """A policy config, and decisions of `actions` actions with `features` features each and `context` of their own."""

    config: dict[str, Any]
    actions: int
    context: int
    features: int

    @property
    def name(self) -> str:
        """How the table calls the policy."""
        settings = [f"{key}={value}" for key, value in self.config.items() if key != "kind"]
        return " ".join([self.config["kind"], *settings])


TS, UCB = {"kind": "linear_ts"}, {"kind": "linear_ucb"}
OWN = {"arms": "disjoint", "memories": [1.0]}
CASES = (
    Case(TS, 10, 10, 10),
    Case({**TS, **OWN}, 10, 10, 10),
    Case({**TS, **OWN, "probabilities": "draws"}, 10, 10, 10),
    Case({**TS, **OWN, "probabilities": "draws", "draws": 256}, 10, 10, 10),
    Case(UCB, 10, 10, 10),
    Case(TS, 10, 63, 0),
    Case(TS, 10, 255, 0),
    Case({**TS, "hash_bits": 18}, 10, 255, 0),
    Case(TS, 1000, 10, 10),
    Case({**TS, **OWN}, 1000, 10, 10),
    *(Case({"kind": kind}, 10, 10, 10) for kind in ("squarecb", "regcb", "logistic_ts", "beta_ts", "bootstrap_ts")),
)


@dataclass(frozen=True, slots=True)
class Result:
    """Medians in microseconds."""

    case: Case
    decide_us: float
    learn_us: float


def main(
    output: Annotated[Format, typer.Option("--format", help="How to print the result.")] = Format.TABLE,
    quick: Annotated[bool, typer.Option(help="A tenth of the rounds.")] = False,  # noqa: FBT002  # a flag of a command
) -> None:
    """Measure the linear policies."""
    with threadpool_limits(limits=1):  # as the server runs
        results = [measure(case, rounds=100 if quick else 1000) for case in CASES]
    if output is Format.JSON:
        typer.echo(msgspec.json.encode(results).decode())
    else:
        _print(results)


def measure(case: Case, *, rounds: int) -> Result:
    """Teach a policy and time it."""
    rng = np.random.default_rng(0)
    policy = policy_type(case.config).create(policy_config(case.config))
    seen = [_situation(case, rng) for _ in range(SITUATIONS)]
    project = cap_and_floor(0.2, 0.01)

    def learn(i: int) -> None:
        arm = i % case.actions
        policy.learn(seen[i % SITUATIONS], arm, float(rng.random() < 0.5 + 0.4 * np.tanh(arm - 4)), 0.1)

    for i in range(TAUGHT):
        learn(i)
    decide_us = _median_us(lambda i: _decide(policy, seen[i % SITUATIONS], project), rounds)
    return Result(case, decide_us, _median_us(learn, rounds))


def _decide(policy: Policy, situation: Situation, project: Callable[[Plan], Plan]) -> int:
    belief = policy.believe(situation, lambda: np.random.Generator(np.random.SFC64(1)))
    q = belief.distribution(np.arange(len(situation.ids)))
    scores = q if belief.mean is None else belief.mean
    return sample(project(Plan(q, scores == scores.max(), 0)).q, 0.5)


def _situation(case: Case, rng: np.random.Generator) -> Situation:
    actions = [
        Action(f"a{k:04d}", {f"f{i}": float(x) for i, x in enumerate(rng.normal(size=case.features))})
        for k in range(case.actions)
    ]
    situation = Situation({f"c{i}": float(x) for i, x in enumerate(rng.normal(size=case.context))}, actions)
    situation.table()
    return situation


def _median_us(call: Callable[[int], object], rounds: int) -> float:
    times = []
    for i in range(rounds):
        began = time.perf_counter()
        call(i)
        times.append(time.perf_counter() - began)
    return float(np.median(times)) * 1e6


def _print(results: list[Result]) -> None:
    table = Table("policy", "actions", "context + own features", "decide µs", "learn µs", box=box.SIMPLE)
    for result in results:
        case = result.case
        shape = f"{case.context} + {case.features}"
        table.add_row(case.name, f"{case.actions:,}", shape, f"{result.decide_us:,.0f}", f"{result.learn_us:,.0f}")
    Console(width=120).print(table)


if __name__ == "__main__":
    typer.run(main)
