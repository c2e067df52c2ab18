"""DSJSON, read: every quirk of the format in lines that a person can check."""

import json
from datetime import UTC, datetime

import pytest

from ope.errors import InvalidLog
from ope.evaluate import evaluate_files
from ope.formats import dsjson
from ope.formats.asides import BadRow, NoDecision
from ope.formats.columns import LINE, ROW_WEIGHT
from ope.question import Question

DECISION = {
    "_label_cost": -2.0,
    "_label_probability": 0.1,
    "_label_Action": 3,
    "_labelIndex": 2,
    "Timestamp": "2021-02-04T16:31:29.2460000Z",
    "Version": "1",
    "EventId": "d-1",
    "a": [3, 1, 2],
    "c": {
        "User": {"age": 30},
        "_multi": [{"_tag": "tea", "hot": 1}, {"_tag": "milk", "hot": 0}, {"_tag": "rum", "hot": 0}],
    },
    "p": [0.1, 0.7, 0.2],
    "VWState": {"m": "model/7"},
}
SLOTS = {
    "EventId": "s-1",
    "c": {"_multi": [{"_tag": "a"}, {"_tag": "b"}, {"_tag": "c"}], "_slots": [{}, {}]},
    "_outcomes": [
        {"_label_cost": -1.0, "_a": [2, 0, 1], "_p": [0.5, 0.3, 0.2], "_o": []},
        {"_label_cost": -0.5, "_a": [0, 1], "_p": [0.25, 0.75], "_o": []},
    ],
}


def read(*lines, wanted=dsjson.COLUMNS):
    """Read lines given as objects or as bytes."""
    encoded = [line if isinstance(line, bytes) else json.dumps(line).encode() for line in lines]
    return list(dsjson.read(enumerate(encoded, start=1), name="log", wanted=wanted))


def row(**changes):
    """Read the decision with some keys changed; those that are None are left out."""
    changed = {key: value for key, value in (DECISION | changes).items() if value is not None}
    return read(changed)[0]


def test_a_counts_from_one_and_p_follows_a():
    """`a` [3, 1, 2] with `p` [.1, .7, .2] gives the third action .1, the first .7 and the second .2."""
    (found,) = read(DECISION)
    assert found["action"] == "rum"
    assert found["propensity"] == 0.1
    assert found["distribution"] == [
        {"action": "tea", "propensity": 0.7},
        {"action": "milk", "propensity": 0.2},
        {"action": "rum", "propensity": 0.1},
    ]
    assert found["n_actions"] == 3


def test_cost_is_negative_reward():
    """A cost of -2 is a reward of 2, and a cost of nothing is a reward of plus 0."""
    assert row()["reward"] == 2.0
    assert [str(row(_label_cost=cost)["reward"]) for cost in (0, -0.0)] == ["0.0", "0.0"]


def test_what_is_known_beside_the_choice():
    """Id, time, model, context and features are kept; the tag has become the id."""
    found = row()
    assert found["decision_id"] == "d-1"
    assert found["at"] == datetime(2021, 2, 4, 16, 31, 29, 246000, tzinfo=UTC)
    assert found["model_version"] == "model/7"
    assert json.loads(found["context"]) == {"User": {"age": 30}}
    assert json.loads(found["actions"])[2] == {"id": "rum", "features": {"hot": 0}}
    assert (found[ROW_WEIGHT], found[LINE], found["outcome"]) == (1.0, 1, "rewarded")


def test_features_are_read_only_if_wanted():
    """Who asks for numbers does not pay for texts."""
    (found,) = read(DECISION, wanted=("reward",))
    assert "context" not in found


def test_actions_without_tags_are_known_by_their_places():
    """Without a tag for each, or with the same tag twice, the ids are 1, 2, 3, and tags stay features."""
    multi = [{"x": 1}, {"_tag": "t"}, {"_tag": "u"}]
    assert row(c={"_multi": multi})["action"] == "3"
    same = row(c={"_multi": [{"_tag": "t"}, {"_tag": "t"}, {"_tag": "u"}]})
    assert same["action"] == "3"
    assert json.loads(same["actions"])[0] == {"id": "1", "features": {"_tag": "t"}}


def test_a_that_holds_a_zero_counts_from_zero():
    """Some converters write `a` from 0; then `a` is not sorted by rank, and the label says what was chosen."""
    found = row(a=[0, 1, 2], p=[0.7, 0.2, 0.1])
    assert found["action"] == "rum"
    assert [one["propensity"] for one in found["distribution"]] == [0.7, 0.2, 0.1]


def test_label_may_be_missing_where_a_and_p_tell():
    """Without a label's action and probability, the first of `a` was chosen, with the first of `p`."""
    found = row(_label_Action=None, _labelIndex=None, _label_probability=None)
    assert (found["action"], found["propensity"]) == ("rum", 0.1)


def test_label_alone_is_enough():
    """Without `a` and `p` there is no distribution, but a propensity."""
    found = row(a=None, p=None)
    assert (found["propensity"], found["distribution"], found["n_actions"]) == (0.1, None, 3)


def test_probabilities_may_stand_in_underscore_p():
    """`_p` is read like `p`."""
    assert row(p=None, _p=[0.1, 0.7, 0.2])["distribution"][0]["propensity"] == 0.7


def test_label_may_be_rounded_to_float32():
    """The label of the sampled probability went through a float32, or six decimals."""
    assert row(_label_probability=0.10000000149011612)["propensity"] == 0.10000000149011612


def test_pdrop_weighs_a_row():
    """A row that survived with probability 1 - pdrop stands for 1/(1 - pdrop) decisions."""
    assert row(pdrop=0.9)[ROW_WEIGHT] == pytest.approx(10)
    assert row(pdrop=0)[ROW_WEIGHT] == 1


@pytest.mark.parametrize(
    ("line", "why"),
    [
        (DECISION | {"_skipLearn": True}, dsjson.NOT_SHOWN),
        (DECISION | {"_deferred": True}, dsjson.NOT_SHOWN),
        ({"RewardValue": 1.0, "EnqueuedTimeUtc": "2018-01-03T20:12:20.028Z", "EventId": "x"}, dsjson.DANGLING),
        (b'["checkpoint"]', dsjson.CHECKPOINT),
        (b"  ", dsjson.BLANK),
    ],
    ids=["skipLearn", "deferred", "dangling", "checkpoint", "blank"],
)
def test_what_is_no_decision(line, why):
    """Rows that were never shown, rewards without a decision and headers are told apart, not dropped."""
    assert read(line) == [NoDecision(why)]


def test_skip_learn_false_is_a_decision():
    """`_skipLearn` is read by its value."""
    assert row(_skipLearn=False, _deferred=False)["reward"] == 2.0


def test_slots_are_a_ranking():
    """In CCB `_a` counts from 0, the first of it was shown, and each slot has its own reward."""
    (found,) = read(SLOTS)
    assert found["ranking"] == [{"action": "c", "propensity": 0.5}, {"action": "a", "propensity": 0.25}]
    assert (found["pscore"], found["pscore_cascade"], found["slot_rewards"]) == (0.125, [0.5, 0.125], [1.0, 0.5])
    assert (found["action"], found["propensity"], found["reward"]) == ("c", 0.5, 1.5)
    assert found["distribution"][0] == {"action": "a", "propensity": 0.3}


def test_a_slot_may_name_its_action_alone():
    """`_a` and `_p` of a slot may be single numbers."""
    outcomes = [{"_label_cost": -1.0, "_a": 1, "_p": 0.5}]
    (found,) = read(SLOTS | {"_outcomes": outcomes})
    assert (found["action"], found["propensity"]) == ("b", 0.5)


@pytest.mark.parametrize(
    ("line", "said"),
    [
        (b'{"_label_cost": -1.0, "a": [1', "a line is one JSON object of DSJSON's keys and types"),
        (b"nonsense", "a line is one JSON object"),
        (b"\xff\xfe", "a line is one JSON object"),
        (b'{"x":' + b"[" * 100_000, "a line is one JSON object"),
        (DECISION | {"_label_cost": "much"}, "a line is one JSON object"),
        (DECISION | {"c": {}}, "its actions stand in `c._multi`"),
        ({"_label_cost": 1.0, "a": [1], "p": [1.0]}, "there is no `c`"),
        (DECISION | {"a": [3, 1]}, "`a` has 2 entries, `p` 3; `p` follows `a`"),
        (DECISION | {"a": [4, 1, 2]}, "`a` names each action by its place, from 1, once"),
        (DECISION | {"a": [1, 1, 2]}, "`a` names each action by its place, from 1, once"),
        (DECISION | {"a": [], "p": []}, "`a` names each action by its place, from 1, once"),
        (DECISION | {"_labelIndex": 1}, "`_label_Action` is 3, `_labelIndex` 1; they name one action"),
        (DECISION | {"_label_Action": 9, "_labelIndex": 8}, "`_labelIndex` is a place in `c._multi`"),
        (DECISION | {"p": [0.7, 0.1, 0.2]}, "`_label_probability` is 0.1, `p` says 0.7 of that action"),
        (DECISION | {"pdrop": 1.0}, "pdrop is 1.0"),
        (DECISION | {"pdrop": -0.1}, "pdrop is -0.1"),
        (DECISION | {"Timestamp": "yesterday"}, "Timestamp is 'yesterday'; a time is written as in RFC 3339"),
        ({"_label_ca": {"action": 1.5, "cost": 1, "pdf_value": 0.1}, "c": {}}, "a continuous action has a density"),
        (SLOTS | {"_outcomes": []}, "`_outcomes` is empty"),
        (
            SLOTS | {"_label_cost": 1.0, "_outcomes": [{"_a": [0], "_p": [1.0]}]},
            "a line of slates, with one cost for all slots, is not read",
        ),
        (SLOTS | {"_outcomes": [{"_label_cost": 0, "_a": [7], "_p": [1.0]}]}, "slot 1 has `_a`"),
        (SLOTS | {"_outcomes": [{"_label_cost": 0, "_a": [0, 1], "_p": [1.0]}]}, "slot 1 has `_a`"),
        (SLOTS | {"_outcomes": [{"_label_cost": 0}]}, "slot 1 has `_a`"),
    ],
)
def test_broken_lines_say_what_is_wrong(line, said):
    """A line that cannot be read is named with its number, what it says and what it should."""
    good, bad = read(DECISION, line)
    assert good["reward"] == 2.0
    assert isinstance(bad, BadRow)
    assert bad.row == 2
    assert said in str(bad)
    assert len(str(bad)) < 500


def write(path, *lines):
    """Write lines as a DSJSON file."""
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return path


def test_evaluate_reads_dsjson(tmp_path):
    """By hand: uniform over 3 actions, weights (1/3)/.1 and (1/3)/.7, rewards 2 and 0; what was not shown is noted."""
    other = DECISION | {"_label_cost": 0, "_label_probability": 0.7, "_label_Action": 1, "_labelIndex": 0}
    path = write(
        tmp_path / "log.dsjson",
        DECISION,
        DECISION | {"_skipLearn": True},
        other | {"a": [1, 3, 2], "p": [0.7, 0.1, 0.2]},
    )
    found = evaluate_files([path], Question(policies=["uniform", "fixed:rum"]))
    assert found["uniform"].n == 2
    assert found["uniform"].estimates[0].value == pytest.approx((10 / 3 * 2 + 0) / 2)
    assert found["fixed:rum"].estimates[0].value == pytest.approx(10 * 2 / 2)
    assert found["uniform"].diagnostics.support_deficit == 0
    assert f"left out 1 lines: {dsjson.NOT_SHOWN}" in found["uniform"].notes


def test_evaluate_weighs_by_pdrop(tmp_path):
    """Three of four rows without reward were left out: pdrop .75 makes one of them stand for four."""
    kept = {"_label_cost": 0, "pdrop": 0.75}
    thinned = write(tmp_path / "thinned.dsjson", DECISION, DECISION | kept)
    whole = write(tmp_path / "whole.dsjson", DECISION, *[DECISION | {"_label_cost": 0}] * 4)
    one = evaluate_files([thinned], Question(policies=["fixed:rum"], estimators=["ips", "snips"]))["fixed:rum"]
    other = evaluate_files([whole], Question(policies=["fixed:rum"], estimators=["ips", "snips"]))["fixed:rum"]
    assert one.n == 2
    for found, expected in zip(one.estimates, other.estimates, strict=True):
        assert found.value == pytest.approx(expected.value, rel=1e-12)
    assert [found.estimator for found in one.estimates] == ["ips", "snips"]
    assert one.diagnostics.mean_weight == pytest.approx(other.diagnostics.mean_weight)
    # Snips' error is the delta method's for a ratio: w h (r - v) with h of 1 and 4, v = .4, over the total weight 5.
    assert one.estimates[1].stderr == pytest.approx(((1.6**2 + (4 * 0.4) ** 2) ** 0.5) / 5)


def test_one_pdrop_for_all_changes_nothing(tmp_path):
    """Rows that all stand for as many decisions weigh alike."""
    rows = [DECISION, DECISION | {"_label_cost": 1.5}, DECISION | {"_label_cost": 0}]
    plain = write(tmp_path / "plain.dsjson", *rows)
    thinned = write(tmp_path / "thinned.dsjson", *[one | {"pdrop": 0.5} for one in rows])
    one, other = (evaluate_files([path], Question(policies=["uniform"]))["uniform"] for path in (plain, thinned))
    for found, expected in zip(one.estimates, other.estimates, strict=True):
        assert (found.value, found.stderr) == pytest.approx((expected.value, expected.stderr), rel=1e-12)


def test_weights_are_shared_by_the_files_of_a_log(tmp_path):
    """A file with a row for four decisions and one without any pdrop are one log of five decisions."""
    one = write(tmp_path / "one.dsjson", DECISION)
    four = write(tmp_path / "four.dsjson", DECISION | {"_label_cost": 0, "pdrop": 0.75})
    found = evaluate_files([one, four], Question(policies=["logged"]))["logged"]
    assert found.estimates[0].value == pytest.approx(2 / 5)


def test_rules_name_the_line_of_the_file(tmp_path):
    """A propensity of 0 on line 3 is on line 3, whatever line 2 was."""
    broken = DECISION | {"_label_probability": 0.0, "p": [0.0, 0.7, 0.3]}
    path = write(tmp_path / "log.dsjson", DECISION, DECISION | {"_skipLearn": True}, broken)
    with pytest.raises(InvalidLog, match=r"log\.dsjson: row 3: propensity is 0\.0; the logged action's propensity"):
        evaluate_files([path], Question(policies=["uniform"]))


def test_broken_lines_are_refused(tmp_path):
    """Truncated lines refuse the log; the message counts them and says what else can be done."""
    path = write(tmp_path / "log.dsjson", DECISION, DECISION)
    path.write_text(path.read_text()[:-40] + "\n{")
    with pytest.raises(
        InvalidLog, match=r"row 2: .*a line is one JSON object.*--on-bad-rows report\. \(2 rows cannot be read\.\)"
    ):
        evaluate_files([path], Question(policies=["uniform"]))
