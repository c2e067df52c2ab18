"""VW's contextual-bandit text, read: labels, tags, blocks and features that a person can check."""

import json

import pytest

from ope.errors import InvalidRequest
from ope.evaluate import evaluate_files
from ope.formats.asides import BadRow, NoDecision
from ope.formats.columns import LINE
from ope.formats.vw_text import UNLABELLED, read_adf, read_cb
from ope.question import Question

ADF = """shared |User age:30 vip
|Action x=1
0:-1.5:0.25 |Action x=2

|Action x=1
1:0:0.75 'tag|Action x=2
|Action x=3
"""


def lines(text):
    """Return numbered lines of bytes."""
    return enumerate(text.encode().split(b"\n"), start=1)


def cb(text):
    """Read one line of cb text."""
    (found,) = read_cb(lines(text), name="log")
    return found


@pytest.mark.parametrize(
    ("text", "action", "propensity", "reward"),
    [
        ("1:2:0.5 | a b", "1", 0.5, -2.0),
        ("2:-1:0.25 |ns a", "2", 0.25, 1.0),
        ("0:0:1 | counted from 0", "0", 1.0, 0.0),
        ("1 2:0.5:0.3 3 |a", "2", 0.3, -0.5),
        ("1:0:0.5 2:0:0.5|a", "1", 0.5, 0.0),
        ("1:1:0.5 'tag| a", "1", 0.5, -1.0),
        ("1:1:0.5 tag| a", "1", 0.5, -1.0),
        ("1:1:0.5 2.5 | weighted", "1", 0.5, -1.0),
        ("  1:1:5e-1   | spaces", "1", 0.5, -1.0),
        ("4:1 | no probability", "4", None, -1.0),
    ],
)
def test_a_label_is_action_cost_probability(text, action, propensity, reward):
    """The cost is a negative reward; other actions, weights and tags are told apart from the label."""
    found = cb(text)
    assert (found["action"], found["propensity"], found["reward"]) == (action, propensity, reward)


def test_features_become_json():
    """Namespaces, values and scales are kept; repeated features add up, and the nameless namespace is a blank."""
    found = cb("1:1:0.5 |ns:2 f:3 f g |h a:b:2 | z |h y")
    assert json.loads(found["context"]) == {"ns": {"f": 8, "g": 2}, "h": {"a:b": 2, "y": 1}, " ": {"z": 1}}


@pytest.mark.parametrize("text", ["| a b", "1 2 3 | only actions", "'tag| a", "1:1:0.5|a"])
def test_lines_without_a_cost_are_no_decisions(text):
    """Nothing was observed of them, and they are counted as such."""
    assert cb(text) == NoDecision(UNLABELLED)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("1:1:0.5 2:3:0.5 | a", "2 actions have a cost"),
        ("1:x:0.5 | a", "a label is action:cost:probability, three numbers"),
        ("1:1:0.5:3 | a", "a label is action:cost:probability, three numbers"),
        ("1.5:1:0.5 | a", "a label is action:cost:probability, three numbers"),
        ("hello | a", "a label is action:cost:probability, three numbers"),
        ("1:1:0.5 a b", "a line has a bar"),
        ("1:1:0.5 | a:b", "a feature is a name, or name:number"),
        ("shared |u a", "read the file with --from vw-cb-adf"),
    ],
)
def test_broken_lines_say_what_is_wrong(text, said):
    """A line that cannot be read is named, quoted and explained."""
    found = cb(text)
    assert isinstance(found, BadRow)
    assert said in str(found)


def test_blocks_are_decisions():
    """The labelled line of a block was chosen, whatever number its label has; `shared` is the context."""
    one, two = read_adf(lines(ADF), name="log")
    assert (one["action"], one["propensity"], one["reward"], one["n_actions"], one[LINE]) == ("2", 0.25, 1.5, 2, 1)
    assert (two["action"], two["propensity"], two["reward"], two["n_actions"], two[LINE]) == ("2", 0.75, 0.0, 3, 5)
    assert json.loads(one["context"]) == {"User": {"age": 30, "vip": 1}}
    assert json.loads(one["actions"])[1] == {"id": "2", "features": {"Action": {"x=2": 1}}}
    assert json.loads(two["context"]) == {}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("0:1:0.5 |a\n0:1:0.5 |b", "2 actions have a cost"),
        ("0:1:0.5 |a\nshared |b", "one line may be, the first of its block"),
        ("shared |a\nshared |b\n0:1:0.5 |c", "2 lines are `shared`"),
        ("shared|a\n0:1:0.5 |c", "a blank stands between `shared` and the bar"),
        ("shared |a\n0:1:x |c", "a label is action:cost:probability"),
    ],
)
def test_broken_blocks_say_what_is_wrong(text, said):
    """A block that cannot be read is named by its first line, and the next one is read."""
    bad, good = read_adf(lines(f"{text}\n\n{ADF.split(chr(10) * 2)[1]}"), name="log")
    assert bad.row == 1
    assert said in str(bad)
    assert good["n_actions"] == 3


def test_an_unlabelled_block_is_no_decision():
    """Nothing was observed of it."""
    assert list(read_adf(lines("shared |a\n|b\n|c"), name="log")) == [NoDecision(UNLABELLED)]


def test_a_block_that_does_not_end_is_refused(monkeypatch):
    """A file without blank lines does not fill the memory."""
    monkeypatch.setattr("ope.formats.vw_text.MOST_LINES", 10)
    (found,) = read_adf(((i, b"|a") for i in range(1, 1000)), name="log")
    assert "blank lines part blocks" in str(found)


def test_evaluate_reads_both_by_their_first_lines(tmp_path):
    """By hand: fixed:2 weighs 4 and 4/3, and earned 1.5 and 0; in cb, action 1 earned 2 at .5 in one of two rows."""
    adf, plain = tmp_path / "adf.dat", tmp_path / "plain.vw"
    adf.write_text(ADF)
    plain.write_text("1:-2:0.5 | a\n2:0:0.5 | b\n")
    assert evaluate_files([adf], Question(policies=["fixed:2"]))["fixed:2"].estimates[0].value == pytest.approx(3.0)
    assert evaluate_files([plain], Question(policies=["fixed:1"]))["fixed:1"].estimates[0].value == pytest.approx(2.0)
    uniform = evaluate_files([adf], Question(policies=["uniform"]))["uniform"].estimates[0].value
    assert uniform == pytest.approx((0.5 / 0.25 * 1.5 + 0) / 2)


def test_uniform_needs_to_know_how_many_actions_there_are(tmp_path):
    """Plain cb text does not say it."""
    path = tmp_path / "plain.vw"
    path.write_text("1:-2:0.5 | a\n")
    with pytest.raises(InvalidRequest, match="n_actions"):
        evaluate_files([path], Question(policies=["uniform"]))
