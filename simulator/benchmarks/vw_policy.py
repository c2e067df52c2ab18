"""What our side of a Vowpal Wabbit policy costs, as a ratio to bare VW in one run, on one core.

Run it as `python -m simulator.benchmarks.vw_policy`. Bare VW parses and predicts text lines that were written before.
Ours makes the examples from features that were read before, predicts, renormalises, caps, floors and samples. Both have
the same model, which has learned up to 2,000 outcomes, and take turns decision by decision. The bar is 1.5 for ten
actions with 20 features, and 20 of the context.
"""

import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Annotated, TypeVar

import msgspec
import numpy as np
import typer
import vowpal_wabbit_next as vw
from rich import box
from rich.console import Console
from rich.table import Table

from bandit.cli.output import Format
from bandit.decide import sample
from bandit.exploration import Guard, Plan, cap_and_floor
from bandit.policies.base import Policy
from bandit.policies.catalogue import policy_type
from bandit.policies.situation import Situation
from bandit.policies.vw_config import EXPLORERS, VwConfig
from store.records import Action
from store.registry import statefile

T = TypeVar("T")
TAUGHT, TAUGHT_LARGE = 2000, 20
SITUATIONS = 50
FEATURES = 20


@dataclass(frozen=True, slots=True)
class Case:
    """An explorer, with or without the context crossed with the actions, and how many actions there are."""

    explorer: str
    interactions: bool = True
    actions: int = 10

    @property
    def config(self) -> VwConfig:
        """The policy's settings."""
        return VwConfig(explorer=self.explorer, interactions=self.interactions, max_actions=5)

    @property
    def taught(self) -> int:
        """Outcomes to learn: large action spaces are slow."""
        return TAUGHT if self.explorer != "large_action_spaces" else TAUGHT_LARGE


CASES = (
    *map(Case, EXPLORERS),
    Case("squarecb", interactions=False),
    Case("squarecb", actions=1000),
    Case("large_action_spaces", actions=100),
)


@dataclass(frozen=True, slots=True)
class Result:
    """Medians over the decisions, and the median of their ratios; `dump_ms` makes a state of `state_kb`."""

    explorer: str
    interactions: bool
    actions: int
    bare_us: float
    decide_us: float
    ratio: float
    learn_us: float
    dump_ms: float
    load_ms: float
    state_kb: float


def main(
    output: Annotated[Format, typer.Option("--format", help="How to print the result.")] = Format.TABLE,
    rounds: Annotated[int, typer.Option(min=1, help="Times that each side decides 50 situations.")] = 21,
    explorer: Annotated[list[str] | None, typer.Option(help="Only these explorers; repeatable.")] = None,
) -> None:
    """Measure a decision's distribution and sample against bare VW."""
    chosen = [case for case in CASES if not explorer or case.explorer in explorer]
    results = [measure(case, rounds=rounds) for case in chosen]
    if output is Format.JSON:
        typer.echo(msgspec.json.encode({"results": results}).decode())
    else:
        _print(results)


def measure(case: Case, *, rounds: int) -> Result:
    """Teach a policy and time it beside a bare workspace with the same model."""
    kind, rng = policy_type({"kind": "vw"}), np.random.default_rng(0)
    seen = [_situation(case, rng) for _ in range(SITUATIONS)]
    policy = kind.create(case.config)
    learn_us = statistics.median(
        _us(lambda one: _teach(policy, one, rng), seen[i % SITUATIONS]) for i in range(case.taught)
    )
    state, dump_ms = _timed_ms(policy.dump)
    _, load_ms = _timed_ms(lambda: kind.load(case.config, state))
    bare, project = _bare(case.config, state), cap_and_floor(0.2, 0.01)
    lines = [list(_lines(one)) for one in seen]
    pairs = [
        (_us(bare, lines[i]), _us(lambda one: _decide(policy, one, project), seen[i]))
        for _ in range(rounds + 1)
        for i in range(SITUATIONS)
    ][SITUATIONS:]  # the first round compiles and warms up
    bare_us, decide_us = (statistics.median(side) for side in zip(*pairs, strict=True))
    ratio = statistics.median(ours / theirs for theirs, ours in pairs)
    sizes = (learn_us, dump_ms, load_ms, len(state) / 1000)
    return Result(case.explorer, case.interactions, case.actions, bare_us, decide_us, ratio, *sizes)


def _bare(config: VwConfig, state: bytes) -> Callable[[Sequence[str]], object]:
    _, arrays = statefile.unpack("vw", state)
    workspace = vw.Workspace(config.arguments(), model_data=arrays["model"].tobytes())
    parse = vw.TextFormatParser(workspace).parse_line
    return lambda lines: workspace.predict_one([parse(line) for line in lines])


def _decide(policy: Policy, situation: Situation, project: Guard) -> int:
    belief = policy.believe(situation, lambda: np.random.Generator(np.random.SFC64(1)))
    q = belief.distribution(np.arange(len(situation.ids)))
    return sample(project(Plan(q, q == q.max(), 0)).q, 0.5)


def _teach(policy: Policy, situation: Situation, rng: np.random.Generator) -> None:
    count = len(situation.ids)
    arm = int(rng.integers(count))
    policy.learn(situation, arm, float(rng.random() < 0.2 + 0.6 * arm / count), 1 / count)


def _situation(case: Case, rng: np.random.Generator) -> Situation:
    numbers = rng.normal(size=(1 + case.actions, FEATURES)).tolist()
    context = {f"c{i}": value for i, value in enumerate(numbers[0])}
    actions = [Action(f"a{k:04}", {f"f{i}": x for i, x in enumerate(row)}) for k, row in enumerate(numbers[1:])]
    situation = Situation(context, actions)
    situation.table()
    return situation


def _lines(situation: Situation) -> Iterator[str]:
    yield "shared |c " + _text(situation.context)
    for name, features in zip(situation.ids, situation.actions(), strict=True):
        yield f"|a id={name} {_text(features)}"


def _text(features: dict[str, float]) -> str:
    return " ".join(f"{name}:{value!r}" for name, value in features.items())


def _us(work: Callable[[T], object], item: T) -> float:
    began = time.perf_counter()
    work(item)
    return (time.perf_counter() - began) * 1e6


def _timed_ms(work: Callable[[], T]) -> tuple[T, float]:
    work()
    began = time.perf_counter()
    made = work()
    return made, (time.perf_counter() - began) * 1e3


def _print(results: Sequence[Result]) -> None:
    names = ("explorer", "crossed", "actions", "bare µs", "ours µs", "ratio", "learn µs", "dump ms", "load ms", "kB")
    table = Table(*names, box=box.SIMPLE)
    for one in results:
        times = (f"{one.bare_us:,.0f}", f"{one.decide_us:,.0f}", f"{one.ratio:.2f}", f"{one.learn_us:,.0f}")
        sizes = (f"{one.dump_ms:.1f}", f"{one.load_ms:.1f}", f"{one.state_kb:,.0f}")
        table.add_row(one.explorer, "yes" if one.interactions else "no", f"{one.actions:,}", *times, *sizes)
    Console(width=108).print(table)


if __name__ == "__main__":
    typer.run(main)
