"""A gate's state between looks: the same bits as one pass, or refused; and a file that is whole or not there."""

import json
from dataclasses import replace
from pathlib import Path

import polars as pl
import pytest
from planted import changed, healthy
from typer.testing import CliRunner

from bandit.cli.ope import app
from ope.errors import InvalidLog, InvalidRequest
from ope.gate import rows
from ope.gate.config import Gate
from ope.gate.judge import gate_frame
from ope.gate.methods import METHODS
from ope.gate.state import load, save

GATE = Gate(reward_range=(0, 1), policy="fixed:d")


@pytest.mark.parametrize("method", METHODS)
def test_daily_looks_are_one_pass_to_the_bit(method, tmp_path, monkeypatch):
    """Looks at 1, 700, 701, 701, 2,500 and 4,000 rows, through a file each time, parts cut at odd places."""
    gate, path = replace(GATE, method=method), tmp_path / "state"
    whole = gate_frame(healthy(), gate)
    monkeypatch.setattr(rows, "AT_ONCE", 333)
    before, new = 0, []
    for n in (1, 700, 701, 701, 2_500, 4_000):
        look = gate_frame(healthy().head(n), gate, load(path, gate))
        new.append(look.verdict.evidence.new)
        assert look.kept.position == n
        save(look.kept, gate, path)
        before = n
    assert new == [1, 699, 1, 0, 1_799, 1_500]
    assert before == 4_000
    assert load(path, gate) == look.kept == whole.kept
    assert (look.verdict.lift, look.verdict.rules) == (whole.verdict.lift, whole.verdict.rules)


def test_only_new_rows_are_folded(monkeypatch):
    """What was folded before is not folded again: a look without new rows folds none."""
    look = gate_frame(healthy(), GATE)
    folded = []
    kind = type(look.kept.folded)
    real = kind.fold
    monkeypatch.setattr(kind, "fold", lambda self, gate, w, v, r: folded.append(len(w)) or real(self, gate, w, v, r))
    gate_frame(healthy(), GATE, look.kept)
    assert sum(folded) == 0


@pytest.mark.parametrize(
    "log",
    [
        lambda: changed("reward", 1.0, 3),
        lambda: changed("decision_id", "other", 700),
        lambda: healthy().with_columns(at=pl.col("at").dt.offset_by("1s")),
        lambda: healthy().tail(3_999),
        lambda: healthy().head(600),
        lambda: healthy(seed=1),
    ],
    ids=["reward", "id", "time", "missing", "shorter", "other"],
)
def test_another_log_is_refused(log):
    """A decision that was added, taken out or changed among those that were folded is an error, not a verdict."""
    before = gate_frame(healthy().head(700), GATE).kept
    assert changed("reward", 1.0, 3)["reward"][2] != healthy()["reward"][2]
    with pytest.raises(InvalidLog, match="700 decisions were folded before, the last of them 'd-699'"):
        gate_frame(log(), GATE, before)


def test_broken_rows_leave_the_state_alone():
    """A log with a broken row is refused and nothing of it is kept, so that the mended one goes on."""
    before = gate_frame(healthy().head(700), GATE).kept
    look = gate_frame(changed("propensity", 0.0, 800), GATE, before)
    assert (look.verdict.decision, look.kept) == ("refuse", None)
    assert gate_frame(healthy(), GATE, before).kept == gate_frame(healthy(), GATE).kept


def test_another_gate_is_refused(tmp_path):
    """The state of one config is of no use to another; a changed margin is another test."""
    path = tmp_path / "state"
    save(gate_frame(healthy().head(700), GATE).kept, GATE, path)
    with pytest.raises(InvalidRequest, match="folded by another gate"):
        load(path, replace(GATE, margin=0.01))


def test_a_damaged_state_is_refused(tmp_path):
    """Cut off, another number, another version, no state at all: an error that says so."""
    path = tmp_path / "state"
    save(gate_frame(healthy().head(700), GATE).kept, GATE, path)
    whole = path.read_bytes()
    for content, says in (
        (whole[:-9], "is no gate's state"),
        (whole.replace(b'"position":700', b'"position":699'), "checksum does not fit"),
        (whole.replace(b'"version":1', b'"version":2'), "version 2; this program reads version 1"),
        (b"{}", "is no gate's state"),
        (b"", "is no gate's state"),
    ):
        assert content != whole
        path.write_bytes(content)
        with pytest.raises(InvalidLog, match=says):
            load(path, GATE)


def test_a_state_is_replaced_whole_or_not_at_all(tmp_path, monkeypatch):
    """If writing fails on the way, the old state stands and nothing is left beside it."""
    path = tmp_path / "state"
    old, new = (gate_frame(healthy().head(n), GATE).kept for n in (700, 800))
    save(old, GATE, path)

    def full(self: Path, target: Path) -> None:
        raise OSError("no space left")

    monkeypatch.setattr(Path, "replace", full)
    with pytest.raises(InvalidRequest, match="cannot be written"):
        save(new, GATE, path)
    assert load(path, GATE) == old
    assert list(tmp_path.iterdir()) == [path]


def test_the_command_keeps_its_state(tmp_path):
    """Two looks at a growing log, and one at it whole: the same JSON but for what is new."""
    log, state = tmp_path / "log.parquet", tmp_path / "state"

    def look(n, *more):
        healthy().head(n).write_parquet(log)
        options = ["--policy", "fixed:d", "--reward-range", "0,1", "--format", "json"]
        return CliRunner().invoke(app, ["gate", str(log), *options, *more])

    first = look(500, "--state", str(state))
    assert first.exit_code == 1
    second, whole = look(4_000, "--state", str(state)), look(4_000)
    assert (second.exit_code, whole.exit_code) == (0, 0)
    told, expected = json.loads(second.stdout), json.loads(whole.stdout)
    assert (told["evidence"].pop("new"), expected["evidence"].pop("new")) == (3_500, 4_000)
    assert told == expected
    assert look(400, "--state", str(state)).exit_code == 1
    assert look(4_000, "--state", str(state), "--alpha", "0.1").exit_code == 2
    assert look(4_000, "--state", str(tmp_path / "none" / "state")).exit_code == 2
