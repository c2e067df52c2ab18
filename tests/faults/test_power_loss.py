"""Invariant 2 when the power fails: what was acknowledged had been synced, at any moment of a traced run."""

from pathlib import Path

import pytest
from faults_support import CARELESS, LOOPS, check_integrity

from simulator.faults.answers import Acknowledged, acknowledged
from simulator.faults.audit import disorder, forgotten, losses
from simulator.faults.callers import Notes
from simulator.faults.power import PowerCut, before, cut_power, moments, too_early, traced
from simulator.faults.tracing import Call, read_trace
from store.errors import StoreUnusable
from store.log.sqlite import SqliteStore

pytestmark = pytest.mark.deep  # `make test` asks for Python, pip, git and make alone; these need strace
SEED = 20260402
HONEST = ("-m", "bandit.cli.main")


class Run:
    """A traced run: what the callers noted, what the server did, and when it answered."""

    def __init__(self, tmp_path: Path, program: tuple[str, ...], seconds: float, *options: str) -> None:
        self.folder = tmp_path / "data"
        trace = tmp_path / "trace"
        serve = (*program, "serve", "--data", str(self.folder))
        self.notes: Notes = traced(trace, serve, LOOPS, seconds=seconds, options=options)
        self.calls: list[Call] = read_trace(trace)
        self.answers: list[Acknowledged] = list(acknowledged(self.calls))

    def cuts(self, count: int) -> list[PowerCut]:
        """What `count` power cuts leave."""
        at = moments(self.answers, count=count, seed=SEED)
        return list(cut_power(self.calls, self.folder, at, seed=SEED))

    def check_nothing_lost(self, cuts: int) -> None:
        """Nothing is answered before it is synced, and after none of the power cuts anything is missing."""
        assert too_early(self.calls, self.folder, self.answers) == []
        for number, cut in enumerate(self.cuts(cuts)):
            assert (cut.moment, cut.loss, self.lost(number, cut)) == (cut.moment, cut.loss, [])

    def lost(self, number: int, cut: PowerCut) -> list[str]:
        """What is wrong with the folder after the cut, opened as a server does; every tenth log is folded."""
        folder = self.folder.with_name(f"cut-{number}")
        cut.write_to(folder)
        try:
            store = SqliteStore(folder)
        except StoreUnusable as error:
            return [str(error)]
        found = losses(store, before(self.notes, self.answers, cut.moment))
        for record in store.loops():
            found += disorder(store, record.name)
            found += [] if number % 10 else forgotten(store, record.name, closed_in_order=False)
        store.close()
        check_integrity(folder)
        return found


def test_acknowledged_events_survive_power_loss(tmp_path: Path) -> None:
    """Wherever the power fails, what was answered before is there once; nothing is answered before it is synced."""
    run = Run(tmp_path, HONEST, 5)
    # The trace shows every answer that the callers heard, so that none escapes the check.
    told = {(answer.what, answer.decision_id) for answer in run.answers}
    assert told == {
        *(("decision", decision_id) for _, decision_id in run.notes.served),
        *(("reward", decision_id) for _, decision_id in run.notes.rewarded),
    }
    assert len(told) > 250
    assert not run.notes.refusals
    run.check_nothing_lost(60)


@pytest.mark.parametrize("fault", ["unsynced", "lazy", "hasty"])
def test_a_missing_sync_is_seen(tmp_path: Path, fault: str) -> None:
    """A server with `synchronous` OFF or NORMAL, or one that answers before the sync, fails both checks."""
    run = Run(tmp_path, (CARELESS, fault), 0.5)
    assert len(too_early(run.calls, run.folder, run.answers)) > len(run.answers) // 10
    assert any(run.lost(number, cut) for number, cut in enumerate(run.cuts(10)))


def test_a_sync_that_fails_is_no_answer(tmp_path: Path) -> None:
    """Where the disk fails thirty syncs (EIO), what is not safe is answered 503, and what is acknowledged is safe."""
    run = Run(tmp_path, HONEST, 3, "-e", "inject=fdatasync:error=EIO:when=40..69")
    assert set(run.notes.refusals) == {503}
    assert run.notes.refusals[503] >= 30
    run.check_nothing_lost(40)
