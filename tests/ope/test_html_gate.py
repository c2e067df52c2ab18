"""A gate's verdict as a page that a manager reads."""

import re

import pytest
from small_logs import log
from typer.testing import CliRunner

from bandit.cli.ope import app
from ope.gate.config import Gate
from ope.gate.judge import gate_frame
from ope.report.html.of_gate import gate_page
from ope.report.html.page import as_html

RANGE = (-1.0, 2.0)


def page(frame, **asked):
    """Return the page of a gate over a frame, as HTML."""
    return as_html(gate_page(gate_frame(frame, Gate(reward_range=RANGE, **asked)).verdict))


def test_the_verdict_stands_first_with_its_reason():
    """Title, word, the first broken rule of that word, and the bounds; then every rule."""
    found = page(log(2_000, seed=3).sort("at"), policy="fixed:d")
    assert "<h1>May fixed:d be promoted over the policy that logged?</h1>" in found
    words = re.sub(r"<[^>]*>", " ", found)
    assert re.search(r"hold +The evidence is not there yet\. At every look, but for α = 0\.05", words)
    assert "The lift is" in words
    for rule in ("rows", "propensities", "support", "overlap"):
        assert re.search(rf"{rule} +holds", words), rule
    assert re.search(r"lift +hold +At every look", words)


@pytest.mark.parametrize("champion", ["logged", "uniform"])
def test_both_parties_are_named(champion):
    """The champion is the logging policy or the one that was asked for."""
    found = page(log(1_500, seed=4).sort("at"), policy="fixed:a", against=champion)
    assert f"over {'the policy that logged' if champion == 'logged' else champion}?" in found


def test_a_log_that_carries_nothing_is_refused_in_words():
    """Without a fold there is no lift to draw; the linter's faults are there."""
    found = page(log(1_500, seed=5).with_columns(propensity=2.0), policy="fixed:a")
    assert "refuse" in found
    assert "propensity_above_one" in found
    assert "The lift of the candidate" not in found


def test_labels_are_no_markup_and_nothing_is_fetched():
    """What a log says is text, and the page is the same bytes again."""
    frame = log(1_200, seed=6).sort("at").with_columns(decision_id=None)
    evil = frame.with_columns(action=frame["action"].replace({"a": "<script>alert(1)</script>"}))
    found = page(evil, policy="fixed:d")
    assert "<script" not in found
    assert not re.search(r"(src|href)=.https?:", found)
    assert found == page(evil, policy="fixed:d")


def test_the_command_writes_it(tmp_path):
    """`ope gate --html FILE`, which says with which command it was made."""
    log(1_200, seed=7).write_parquet(tmp_path / "log.parquet")
    args = ["gate", str(tmp_path / "log.parquet"), "--policy", "fixed:a", "--reward-range=-1,2"]
    result = CliRunner().invoke(app, [*args, "--html", str(tmp_path / "gate.html")])
    assert result.exit_code == 1
    assert "--policy fixed:a" in (tmp_path / "gate.html").read_text()
