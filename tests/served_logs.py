"""Logs that the service made under a clock moved by hand, exported, for tests that score other policies on them."""

import asyncio
from pathlib import Path
from typing import Any

import msgspec
import polars as pl
from support import seeded_service

from bandit.decide import DecisionRequest
from bandit.export import export_loop
from bandit.service.service import Service
from bandit.service.views import RewardRequest
from bandit.settings import LoopConfig
from store.ports import Store
from store.records import SECOND

LOOP = "news"


class Clock:
    """A clock that is moved by hand."""

    now = 1_000_000_000

    def __call__(self) -> int:
        return self.now


def config_of(policy: dict[str, Any], **parts: Any) -> LoopConfig:
    """Return a loop's config whose windows are long enough for decisions to wait for each other."""
    return msgspec.convert({"policy": policy, "reward": {"window_s": 300}, **parts}, LoopConfig)


def serve(store: Store, *phases: tuple[LoopConfig, int], **fields: Any) -> None:
    """Serve as many rounds under each config; two in three get a reward, late or at once, and the others expire."""

    async def whole() -> None:
        clock = Clock()
        service = seeded_service(store, clock)
        await service.start()
        try:
            for config, rounds in phases:
                await service.put_loop(LOOP, config, None)
                await _interact(service, clock, rounds, fields)
            clock.now += 400 * SECOND
            await service.tick()
            await service.idle()
        finally:
            await service.close()

    asyncio.run(asyncio.wait_for(whole(), 60))


async def _interact(service: Service, clock: Clock, rounds: int, fields: dict[str, Any]) -> None:
    waiting: list[tuple[str, float]] = []
    for i in range(rounds):
        asked = {
            "context": {"x": i % 7 - 3, "who": f"u{i % 3}"},
            "actions": [{"id": name, "features": {"q": (i * k) % 5}} for k, name in enumerate("badc")],
            **fields,
        }
        body = msgspec.json.encode(asked)
        recorded = await service.decide(LOOP, msgspec.json.decode(body, type=DecisionRequest), body)
        if i % 3:
            waiting.append((recorded.decision.decision_id, float(recorded.decision.ranking[0].action in "ab")))
        while waiting and (i % 2 or len(waiting) > 5):
            decision_id, value = waiting.pop(0)
            await service.reward(LOOP, RewardRequest(decision_id, value))
        clock.now += 10 * SECOND
        await service.tick()
        await service.idle()


def exported(store: Store, folder: Path) -> Path:
    """Return the path of the loop's export."""
    path = folder / "log.parquet"
    export_loop(store, LOOP, path)
    return path


def distributions(log: Path) -> list[list[float]]:
    """Return the logged distributions of a log."""
    return [[pair["propensity"] for pair in row] for row in pl.read_parquet(log)["distribution"].to_list()]
