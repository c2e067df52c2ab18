"""Real logs: what our own loop exports has no fault, and what the Open Bandit logs are said to be."""

import asyncio
from pathlib import Path

import msgspec
import numpy as np
import pytest
from planted import healthy
from support import seeded_service

from bandit.decide import DecisionRequest
from bandit.export import export_loop
from bandit.service.service import Service
from bandit.service.views import RewardRequest
from bandit.settings import LoopConfig
from ope.diagnostics.lint import lint_files, lint_frame
from ope.diagnostics.question import Asked
from ope.diagnostics.thresholds import DEFAULTS
from ope.policies import parse_policy
from simulator.datasets.open_bandit import Behaviour, Campaign, load
from store.log.memory import MemoryStore
from store.records import SECOND

UNIFORM = Asked(DEFAULTS, policies=(parse_policy("uniform"),))
CONFIG = {"reward": {"window_s": 60}, "exploration": {"cap": 0.5, "floor": 0.2}}
ACTIONS = [{"id": name, "features": {"size": size}} for name, size in (("a", 1), ("b", 2), ("c", 3), ("d", 4))]


class Clock:
    """A clock that moves as it is told."""

    now = 1_000 * SECOND

    def __call__(self) -> int:
        return self.now


async def live(store: MemoryStore, kind: str, decisions: int) -> None:
    """Let a loop decide, a second apart, and reward half of what it does well."""
    clock, rng = Clock(), np.random.default_rng(3)
    service: Service = seeded_service(store, clock)
    await service.start()
    await service.put_loop("loop", msgspec.convert(CONFIG | {"policy": {"kind": kind}}, LoopConfig), None)
    for i in range(decisions):
        clock.now += SECOND
        body = msgspec.json.encode({"context": {"hour": i % 24}, "actions": ACTIONS})
        made = (await service.decide("loop", msgspec.json.decode(body, type=DecisionRequest), body)).decision
        if rng.random() < 0.15 * (1 + "abcd".index(made.ranking[0].action)):
            await service.reward("loop", RewardRequest(decision_id=made.decision_id, value=1))
        if i % 50 == 0:
            await service.tick()
            await service.idle()
    clock.now += 100 * SECOND
    await service.tick()
    await service.idle()
    await service.close()


KINDS = ["beta_ts", "epsilon_greedy", "uniform", pytest.param("linear_ts", marks=pytest.mark.deep)]


@pytest.mark.parametrize("kind", KINDS)
def test_our_own_export_has_no_fault(tmp_path: Path, kind: str):
    """A loop that decides, is rewarded and learns writes a log that passes; one that learned from it overlaps."""
    store = MemoryStore()
    asyncio.run(asyncio.wait_for(live(store, kind, 1_500), 60))
    out = tmp_path / "log.parquet"
    export_loop(store, "loop", out)
    found = lint_files([out], asked=UNIFORM)
    assert [(one.code, one.says) for one in found.at_least("warn")] == []
    assert {one.code for one in found.unknown} <= {
        "segment_ess",
        "mixed_loops",
        "overlap",
        "weight_tail",
        "q_bias",
        "q_slope",
    }
    trained = Asked(DEFAULTS, trained_through=store.log_position("loop"))
    assert lint_files([out], asked=trained).findings[0].code == "overlap"


def test_a_lint_changes_nothing(tmp_path: Path):
    """The file that is linted stays as it was, and no other appears."""
    path = tmp_path / "log.parquet"
    healthy().write_parquet(path)
    before = path.read_bytes()
    lint_files([path])
    assert [one.name for one in tmp_path.iterdir()] == ["log.parquet"]
    assert path.read_bytes() == before


@pytest.mark.deep
def test_open_bandit_logs():
    """The uniform logs and the whole campaign of `bts` pass; its women's log is refused for one row."""
    roots = {
        (behaviour.value, campaign.value): [
            (one.code, one.severity)
            for one in lint_frame(load(campaign, behaviour), asked=UNIFORM).at_least("warn")
            if one.because is None
        ]
        for behaviour in Behaviour
        for campaign in Campaign
    }
    assert roots == {
        ("random", "all"): [],
        ("random", "men"): [],
        ("random", "women"): [],
        ("bts", "all"): [],
        ("bts", "men"): [("action_ess", "warn")],
        ("bts", "women"): [("largest_weight", "refuse")],
    }
