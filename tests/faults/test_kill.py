"""Invariants 2 and 3 under `kill -9`: what was acknowledged is there once, and the state is the fold of the log."""

from pathlib import Path

import pytest
from faults_support import LOOPS as USUAL
from faults_support import check_integrity

from bandit.learn.checkpoints import line_name
from bandit.settings import read_config
from simulator.faults.audit import disorder, forgotten, losses
from simulator.faults.kills import Plan, kill_again_and_again
from store.log.sqlite import FILE_NAME, SqliteStore

_OFTEN = {"checkpoint": {"outcomes": 20}}
_IN_BATCHES = {"mode": "micro_batch", "batch": {"outcomes": 20, "seconds": 0.3}}
LOOPS = {
    **{name: {**config, "learning": _OFTEN} for name, config in USUAL.items()},
    "batched": {"policy": {"kind": "linear_ts"}, "learning": _IN_BATCHES},
}
"""The usual ones, with so many checkpoints that kills meet some, and one whose state moves in cuts."""


@pytest.mark.timeout(400)  # fifty starts of a server, on a machine that does other things too
@pytest.mark.parametrize("kills", [2, pytest.param(50, marks=pytest.mark.deep)])
def test_acknowledged_events_survive_kill_9(tmp_path: Path, kills: int) -> None:
    """Killed at random moments under load, the log has what was acknowledged, once, and checkpoints are its fold."""
    program = ("-m", "bandit.cli.main", "serve", "--data", str(tmp_path))
    survived = kill_again_and_again(program, LOOPS, Plan(kills=kills, seed=20260401))
    notes = survived.notes
    # The kills met traffic: requests were cut off, and much was acknowledged all the same.
    assert survived.while_serving > kills // 2
    assert notes.unanswered >= survived.while_serving
    assert not notes.refusals
    assert len(notes.served) > 20 * survived.while_serving
    assert len(notes.rewarded) > 10 * survived.while_serving
    assert not (tmp_path / f"{FILE_NAME}-wal").exists()  # the last one was stopped in order: the log is one file again
    check_integrity(tmp_path)
    store = SqliteStore(tmp_path, read_only=True)
    assert losses(store, notes) == []
    for loop in LOOPS:
        [line] = {line_name(read_config(record.config)) for record in store.loops() if record.name == loop}
        assert len(list(store.checkpoints(loop, line))) > 2
        assert disorder(store, loop) == []
        assert forgotten(store, loop) == []
    store.close()
