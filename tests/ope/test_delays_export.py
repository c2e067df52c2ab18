"""What an export says of late rewards, from the service that logged them to the estimate."""

import asyncio
from datetime import UTC, datetime, timedelta

import msgspec
import polars as pl
import pytest

from bandit.decide import DecisionRequest
from bandit.export import export_loop
from bandit.service.views import RewardRequest
from bandit.settings import LoopConfig
from ope.delays.asked import Delays
from ope.errors import InvalidLog
from ope.evaluate import evaluate_files
from ope.question import Question
from store.log.memory import MemoryStore
from store.records import SECOND
from tests.support import seeded_service

BODY = b'{"context": {}, "actions": [{"id": "a"}, {"id": "b"}]}'
BEGIN = 1_000
FIRST = datetime.fromtimestamp(BEGIN, tz=UTC)


class Clock:
    """A clock that moves as it is told."""

    now = BEGIN * SECOND

    def __call__(self) -> int:
        return self.now


async def _live(store: MemoryStore, config: dict) -> None:
    """Make four decisions and a fifth 700 s later.

    The first is rewarded after 30 s, the second never, the third before it is made, the fourth after its window.
    """
    clock = Clock()
    service = seeded_service(store, clock)
    await service.start()
    await service.put_loop("loop", msgspec.convert(config, LoopConfig), None)
    await service.reward("loop", RewardRequest(decision_id="d-3", value=3))
    clock.now += 5 * SECOND
    for place in range(1, 5):
        await _decide(service, f"d-{place}")
    clock.now += 30 * SECOND
    await service.reward("loop", RewardRequest(decision_id="d-1", value=1))
    clock.now += 670 * SECOND
    await service.tick()
    await service.reward("loop", RewardRequest(decision_id="d-4", value=4))
    await _decide(service, "d-5")
    await service.idle()
    await service.close()


async def _decide(service, decision_id):
    body = BODY[:-1] + f', "decision_id": "{decision_id}"}}'.encode()
    await service.decide("loop", msgspec.json.decode(body, type=DecisionRequest), body)


def exported(tmp_path, **config):
    """Return the path of the export of such a loop, open decisions and all."""
    store, out = MemoryStore(), tmp_path / "log.parquet"
    whole = {"policy": {"kind": "linear_ts"}, "reward": {"window_s": 600}, **config}
    asyncio.run(asyncio.wait_for(_live(store, whole), 20))
    export_loop(store, "loop", out, unsettled=True)
    return out


MADE = FIRST + timedelta(seconds=5)


@pytest.mark.parametrize(("delay", "last"), [("wait", None), ("provisional", "provisional")])
def test_an_export_says_when_each_reward_came(tmp_path, delay, last):
    """In time, never, before its decision, late; the open one has no reward, also where it was learned at once."""
    rows = pl.read_parquet(exported(tmp_path, learning={"delay": delay}))
    assert rows.select("outcome", "reward", "rewarded_at").rows() == [
        ("rewarded", 1.0, MADE + timedelta(seconds=30)),
        ("expired", 0.0, None),
        ("rewarded", 3.0, MADE),
        ("corrected", 4.0, MADE + timedelta(seconds=700)),
        (last, None, None),
    ]
    assert rows["slot_rewards"].to_list() == [[1.0], [0.0], [3.0], [4.0], None]


def test_several_rewards_that_are_joined_are_known_when_the_window_ends(tmp_path):
    """With a sum, more may come until the window ends."""
    rows = pl.read_parquet(exported(tmp_path, reward={"window_s": 600, "aggregation": "sum"}))
    came = [None if time is None else (time - MADE).total_seconds() for time in rows["rewarded_at"]]
    assert came == [600, None, 600, 700, None]


def _of(path, way, window, **more):
    question = Question(policies=["logged"], estimators=["ips"], delays=Delays(unresolved=way, window_s=window), **more)
    return evaluate_files([path], question)["logged"]


@pytest.mark.parametrize("delay", ["wait", "provisional"])
def test_an_export_is_evaluated_with_its_delays(tmp_path, delay):
    """Refused as it is; within 600 s the four settled ones earned 1, 0, 3 and nothing; within 700 s also 4."""
    path = exported(tmp_path, learning={"delay": delay})
    with pytest.raises(InvalidLog, match=r"row 5: reward is None; .* --unresolved mature, ipcw or bounds"):
        evaluate_files([path], Question(policies=["logged"]))
    assert _of(path, "mature", 600).estimates[0].value == 4 / 4
    assert _of(path, "mature", 700).estimates[0].value == 8 / 4
    bounds = _of(path, "bounds", 700, reward_range=(0, 5)).estimates[0].value_bounds
    assert bounds == (8 / 5, pytest.approx(13 / 5))
