"""Real logs: files of Vowpal Wabbit's own test suite, in the folder that the variable VW_SAMPLES names."""

import sys

import pytest

from ope.convert import convert
from ope.diagnostics.lint import lint_files
from ope.errors import InvalidLog
from ope.evaluate import evaluate_files
from ope.formats import dsjson
from ope.formats.lines import lines_of
from ope.formats.vw_text import read_adf, read_cb
from ope.question import Question

pytestmark = pytest.mark.deep

ROWS = {
    "dsjson_cb.json": ("dsjson", 23),
    "decisionservice.json": ("dsjson", 3),
    "igl.dsjson": ("dsjson", 200),
    "ccb_data.json": ("dsjson", 59),
    "ccb_reuse_medium.dsjson": ("dsjson", 4),
    "cb_load.dat": ("vw-cb-adf", 113),
    "rcv1_raw_cb_small.vw": ("vw-cb", 1000),
}


@pytest.mark.parametrize("name", ROWS)
def test_every_row_is_read(samples, name):
    """The format is guessed, and no row is bad or left out."""
    found = evaluate_files([samples / name], Question(policies=["logged"]))["logged"]
    assert found.n == ROWS[name][1]
    assert not any("left out" in note for note in found.notes)
    assert found.diagnostics.mean_weight == 1


@pytest.mark.parametrize("name", ROWS)
def test_every_row_survives_its_own_format(samples, tmp_path, name):
    """Written in its own format and read again, a log says the same of every policy."""
    kind, _ = ROWS[name]
    convert([samples / name], tmp_path / "again", target=kind)
    before = evaluate_files(
        [samples / name], Question(policies=["logged", "fixed:1"] if kind != "dsjson" else ["uniform"])
    )
    after = evaluate_files([tmp_path / "again"], Question(policies=list(before), log_format=kind))
    for policy, one in before.items():
        assert [x.value for x in one.estimates] == pytest.approx([x.value for x in after[policy].estimates], rel=1e-12)


def test_costs_of_constant_actions(samples):
    """Always action 1 costs .448 and always action 2 .506, as anybody can add up from the labels."""
    found = evaluate_files([samples / "rcv1_raw_cb_small.vw"], Question(policies=["fixed:1", "fixed:2"]))
    assert [one.estimates[0].value for one in found.values()] == pytest.approx([-0.448, -0.506])


def test_continuous_actions_are_refused_by_name(samples):
    """A density is no probability."""
    with pytest.raises(InvalidLog, match=r"`_label_ca`.*\(100 rows cannot be read\.\)"):
        evaluate_files([samples / "cats_room_temp.json"], Question(policies=["logged"]))


def test_the_linter_blames_what_is_wrong_and_no_more(samples):
    """What each sample is blamed for: too few rows, mostly, and never for a column that its format leaves out."""
    found = {name: lint_files([samples / name]) for name in (*ROWS, "cats_room_temp.json")}
    assert {name: [one.code for one in lint.at_least("warn")] for name, lint in found.items()} == {
        "dsjson_cb.json": ["rewards_few"],
        "decisionservice.json": ["rewards_few"],
        "igl.dsjson": [],
        "ccb_data.json": [],
        "ccb_reuse_medium.dsjson": ["rewards_few"],
        "cb_load.dat": [],
        "rcv1_raw_cb_small.vw": [],
        "cats_room_temp.json": ["row_broken", "no_rows"],
    }
    assert "`_label_ca`" in found["cats_room_temp.json"].findings[0].says


if sys.version_info < (3, 13):  # vowpal-wabbit-next has no wheel for newer ones
    import vw_labels

    def theirs(path, kind):
        """What VW's parser makes of a file."""
        text = path.read_text()
        if kind == "vw-cb-adf":
            return list(vw_labels.of_adf(block.splitlines() for block in text.split("\n\n") if block.strip()))
        return list(
            {"dsjson": vw_labels.of_dsjson, "vw-cb": vw_labels.of_cb}[kind]([line for line in text.split("\n") if line])
        )

    @pytest.mark.parametrize("name", [name for name in ROWS if not name.startswith("ccb")])
    def test_vw_reads_the_same(samples, name):
        """Action, cost, probability, weight and number of actions are those that VW's own parser finds."""
        kind, count = ROWS[name]
        reader = {"dsjson": dsjson.read, "vw-cb": read_cb, "vw-cb-adf": read_adf}[kind]
        ours = list(reader(lines_of(samples / name), name=name))
        assert len(ours) == count
        for own, other in zip(ours, theirs(samples / name, kind), strict=True):
            place = other["action"]
            if kind == "dsjson":
                own["action"] = str([one["action"] for one in own["distribution"]].index(own["action"]) + 1)
            assert own["action"] == place
            for column in {"reward", "propensity", "n_actions"} & set(other):
                assert own[column] == pytest.approx(other[column], rel=1e-6)
