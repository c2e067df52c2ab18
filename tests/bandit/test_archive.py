"""After pruning, a loop decides, exports and learns as if everything were still in its log."""

import asyncio
import re
from collections.abc import Iterator
from pathlib import Path

import msgspec
import polars as pl
import pytest
from support import calm, seeded_service
from typer.testing import CliRunner

from bandit.archive import Job, archive_folder
from bandit.cli.main import app
from bandit.decide import DecisionRequest
from bandit.export import export_loop
from bandit.learn.checkpoints import line_name, open_line
from bandit.service.service import Service
from bandit.service.views import RewardRequest
from bandit.settings import LoopConfig, read_config
from store.errors import InvalidInput, StoreUnusable
from store.log.archive.manifest import Manifest
from store.log.folder_lock import lock_folder
from store.log.sqlite import FILE_NAME, SqliteStore, connect
from store.records import SECOND
from store.registry.statefile import digest

DAY = 86_400 * SECOND
CONFIG = {
    "reward": {"window_s": 3600, "correction_window_s": 7200},
    "exploration": {"budget": {"share": 0.5, "window_s": 300_000}},
    "guards": [{"kind": "frequency_cap", "max": 30, "window_s": 250_000, "entity": "user"}],
}


class Clock:
    now = 10 * DAY

    def __call__(self) -> int:
        return self.now


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """A loop after four days of decisions, rewards within and after the window, and silence; 120 outcomes."""
    store, clock = SqliteStore(tmp_path), Clock()
    asyncio.run(asyncio.wait_for(_live(store, clock), 60))
    store.close()
    return tmp_path


async def _live(store: SqliteStore, clock: Clock) -> None:
    service = seeded_service(store, clock)
    await service.start()
    await service.put_loop("loop", msgspec.convert(CONFIG, LoopConfig), None)
    for i in range(60):
        recorded = await _decide(service, i)
        clock.now += DAY // 15
        if i % 3:
            await service.reward("loop", RewardRequest(recorded, float(i % 2), reward_id=f"r{i}"))
    clock.now += DAY // 2
    await calm(service)
    await service.status("loop", store.log_position("loop"), 5)
    await service.close()


async def _decide(service: Service, i: int) -> str:
    body = msgspec.json.encode(
        {"context": {"x": i % 5}, "entities": {"user": f"u{i % 3}"}, "actions": [{"id": "a"}, {"id": "b"}, {"id": "c"}]}
    )
    recorded = await service.decide("loop", msgspec.json.decode(body, type=DecisionRequest), body)
    return recorded.decision.decision_id


def told(data: Path, out: Path) -> list[object]:
    """What a folder says in every way that reads its log: the export, and each kind of line learned anew."""
    store = SqliteStore(data, read_only=True)
    found: list[object] = [export_loop(store, "loop", out, unsettled=True), pl.read_parquet(out).to_dicts()]
    for policy in ({"kind": "linear_ts"}, {"kind": "logistic_ts"}, {"kind": "beta_ts"}, {"kind": "linear_ucb"}):
        config = msgspec.convert({**CONFIG, "policy": {**policy}, "learning": {"delay": "wait"}}, LoopConfig)
        learner = open_line(_Anew(store), "loop", config)
        while examples := store.examples("loop", after=learner.position, limit=7):
            learner.fold(examples)
        found.append((learner.model_version, learner.settled, digest(learner.policy.dump())))
    store.close()
    return found


class _Anew:
    """A store without checkpoints."""

    def __init__(self, store: SqliteStore) -> None:
        self._store = store

    def __getattr__(self, name: str) -> object:
        return getattr(self._store, name)

    def checkpoints(self, loop: str, line: str) -> Iterator[object]:
        return iter(())


def run(data: Path, clock: Clock, **job: object) -> list[str]:
    return list(archive_folder(data, Job(**job), clock))


def after(days: float) -> Clock:
    clock = Clock()
    clock.now += round(days * DAY)
    return clock


def test_export_and_new_lines_are_the_same_after_pruning(data: Path, tmp_path: Path) -> None:
    """The export is equal row by row, and lines that learn the whole log anew are equal digest by digest."""
    before = told(data, tmp_path / "before.parquet")
    assert len(before[1]) == 60
    said = run(data, after(9), prune=True, vacuum=True)
    pruned = pruned_count(data)
    assert f"pruned {pruned} decisions of loop 'loop'" in said
    assert pruned >= 50
    assert told(data, tmp_path / "after.parquet") == before


def pruned_count(data: Path) -> int:
    connection = connect(data / FILE_NAME)
    [count] = connection.execute("SELECT count(*) FROM decisions WHERE answer = x''").fetchone()
    connection.close()
    return count


def test_a_server_goes_on_after_pruning(data: Path) -> None:
    """Budget, frequency caps and the model stand where they stood; the next decision is as it would have been."""

    async def next_decision(folder: Path) -> list[object]:
        store, clock = SqliteStore(folder), after(4.6)
        service = seeded_service(store, clock)
        await service.start()
        status = await service.status("loop")
        made = await _decide(service, 1)
        told = [status, await service.decision("loop", made), await service.decision("loop", "id-0")]
        await service.close()
        store.close()
        return told

    copy = data / "copy"
    copy.mkdir()
    (copy / FILE_NAME).write_bytes((data / FILE_NAME).read_bytes())
    run(data, after(4.6), prune=True)
    assert pruned_count(data) > 30
    assert asyncio.run(next_decision(data)) == asyncio.run(next_decision(copy))


def test_windows_and_checkpoint_bound_what_is_pruned(data: Path) -> None:
    """A decision stays at hand for the correction window and `keep_days`, and until a checkpoint has its outcomes."""
    run(data, after(9), prune=True, keep_days=9)
    assert pruned_count(data) == 0
    run(data, after(9), prune=True, keep_days=7)
    few = pruned_count(data)
    assert 0 < few < 50
    store = SqliteStore(data)
    [record] = store.loops()
    changed = msgspec.json.encode({**msgspec.json.decode(record.config), "policy": {"kind": "linear_ucb"}})
    assert line_name(read_config(changed)) != line_name(read_config(record.config))
    replaced = msgspec.structs.replace(record, config=changed)
    store.begin([lambda tx: tx.put_loop(replaced)])
    store.commit()
    store.close()
    run(data, after(9), prune=True)
    assert pruned_count(data) == few  # the new line has learned nothing yet


def test_a_running_server_is_only_read(data: Path) -> None:
    """While a server holds the folder, days are sealed, and pruning is refused before anything is done."""
    lock = lock_folder(data)
    with pytest.raises(StoreUnusable, match="in use by another Honeyguide server"):
        run(data, after(9), prune=True)
    assert Manifest(data).segments == []
    assert any(line.startswith("sealed loop=loop/day=") for line in run(data, after(9)))
    assert run(data, after(9)) == ["nothing new to seal: only whole days are, in UTC, once they are over"]
    lock.release()


def test_the_command_line_seals_prunes_backs_up_and_restores(data: Path, tmp_path: Path) -> None:
    """The three commands, one after the other, as an operator types them."""
    runner = CliRunner()
    folder, copy = tmp_path / "backup", tmp_path / "restored"
    for words, said in [
        (["archive", "--data", str(data), "--until", "1970-01-12"], "sealed loop=loop/day=1970-01-11/decisions-1-15"),
        (["archive", "--data", str(data), "--loop", "loop", "--prune", "--vacuum"], r"pruned 5[89] decisions"),
        (["backup", str(folder), "--data", str(data)], "loop 'loop' through decision 60"),
        (["restore", str(folder), "--data", str(copy)], f"Start a server on it with --data {copy}"),
    ]:
        result = runner.invoke(app, words)
        assert result.exit_code == 0, result.output
        assert re.search(said, result.output)
    assert told(copy, tmp_path / "a.parquet") == told(data, tmp_path / "b.parquet")
    with pytest.raises(InvalidInput, match="never replaces"):
        runner.invoke(app, ["backup", str(folder), "--data", str(data)], catch_exceptions=False)
    with pytest.raises(InvalidInput, match="no loop 'other'"):
        runner.invoke(app, ["archive", "--loop", "other", "--data", str(data)], catch_exceptions=False)
    with pytest.raises(StoreUnusable, match="does not exist"):
        runner.invoke(app, ["archive", "--data", str(tmp_path / "nowhere")], catch_exceptions=False)
