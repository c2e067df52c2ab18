"""The experiment's worlds: their passes, and that their rewards are what their truth says."""

import io
import zipfile

import numpy as np
import pytest

from simulator.datasets.fetch import Wheel
from simulator.experiments.worlds import WORLDS, chosen_worlds
from simulator.worlds import labelled, synthetic
from simulator.worlds.classification import ClassificationWorld
from simulator.worlds.rounds import Rounds, one_pass
from store.errors import InvalidInput

SYNTHETIC = [synthetic.linear, synthetic.arms, synthetic.switching, synthetic.sparse, synthetic.xor]
names = pytest.mark.parametrize("make", SYNTHETIC, ids=lambda make: make.__name__)


def by_hand(**changes) -> Rounds:
    """Two rounds of two actions with one feature."""
    parts = {
        "name": "hand",
        "actions": ("a", "b"),
        "contexts": np.array([[1.0, 2.0], [3.0, 4.0]]),
        "features": np.array([[[5.0], [6.0]], [[7.0], [8.0]]]),
        "rewards": np.array([[1.0, 0.0], [1.0, 1.0]]),
        "expected": np.array([[0.9, 0.1], [0.4, 0.6]]),
    }
    return Rounds(**{**parts, **changes})


def log_odds(expected):
    return np.log(expected / (1 - expected))


def residual(design, values):
    """What least squares leaves of the values."""
    return np.abs(design @ np.linalg.lstsq(design, values)[0] - values).max()


def test_values_by_hand():
    """Uniform earns the mean of all rewards, 3/4; who knows the world expects the mean of the highest, (.9 + .6)/2."""
    assert by_hand().uniform == 0.75
    assert by_hand().best == pytest.approx(0.75)


def test_a_round_is_what_a_decision_takes():
    """The context is a list of numbers, and each action has its own features."""
    assert by_hand().context(1) == {"x": [3.0, 4.0]}
    assert by_hand().action_features(1) == [{"a0": 7.0}, {"a0": 8.0}]
    assert by_hand(features=np.zeros((2, 2, 0))).action_features(0) == [{}, {}]


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"rewards": np.zeros((3, 2))}, "one entry per round and action"),
        ({"contexts": np.zeros((0, 2))}, "at least one round"),
        ({"actions": ("b", "a")}, "sorted order"),
        ({"actions": ("a", "a")}, "name each once"),
    ],
)
def test_arrays_must_fit(changes, said):
    """Arrays of two lengths, no round, or actions out of order are refused."""
    with pytest.raises(InvalidInput, match=said):
        by_hand(**changes)


def test_a_labelled_pass_by_hand():
    """Each row is met once; only its label's action earns 1, wherever the sorted order puts it."""
    world = ClassificationWorld("w", "f", np.array([[0.0], [1.0], [2.0]]), np.array([0, 1, 0]), ("z", "y"))
    rounds = one_pass(world, 5)
    assert rounds.actions == ("y", "z")
    right = dict(zip(rounds.contexts[:, 0].tolist(), rounds.rewards.tolist(), strict=True))
    assert right == {0.0: [0.0, 1.0], 1.0: [1.0, 0.0], 2.0: [0.0, 1.0]}
    assert rounds.best == 1


@names
def test_a_seed_makes_the_world(make):
    """One seed gives the same world, function, rounds and luck; another seed another."""
    once, again, other = make(3, 50), make(3, 50), make(4, 50)
    assert np.array_equal(once.contexts, again.contexts)
    assert np.array_equal(once.rewards, again.rewards)
    assert not np.array_equal(once.expected, other.expected)


@names
def test_rewards_follow_their_expectation(make):
    """The sum of reward − expected over all rounds and actions is within 5 standard deviations of 0.

    Five worlds: false alarms below 3e-6 for a new seed; the seed here is fixed.
    """
    world = make(1)
    assert set(np.unique(world.rewards)) == {0.0, 1.0}
    deviation = np.sqrt((world.expected * (1 - world.expected)).sum())
    assert abs((world.rewards - world.expected).sum()) < 5 * deviation


def test_linear_is_linear_in_crossed_features():
    """The log-odds are linear in the products of an action's and the context's features, not in the action's alone."""
    world = synthetic.linear(0, 100)
    crossed = np.einsum("nka,nc->nkac", world.features, world.contexts).reshape(1000, 25)
    odds = log_odds(world.expected).ravel()
    assert residual(crossed, odds) < 1e-8
    assert residual(np.hstack([world.features.reshape(1000, 5), np.ones((1000, 1))]), odds) > 1


@pytest.mark.parametrize("era", range(4))
def test_switching_is_linear_within_an_era(era):
    """Per era of 1,000 rounds the log-odds are linear in the context; across an era's end they are not."""
    world = synthetic.switching(0)
    odds = log_odds(world.expected)
    within = slice(1000 * era, 1000 * (era + 1))
    assert residual(world.contexts[within], odds[within]) < 1e-8
    across = slice(1000 * era + 1, 1000 * (era + 1) + 1)
    assert era == 3 or residual(world.contexts[across], odds[across]) > 0.1


def test_arms_never_switch():
    """The stationary world has one linear function for all rounds."""
    world = synthetic.arms(0)
    assert residual(world.contexts, log_odds(world.expected)) < 1e-8


def test_sparse_contexts_are_one_level_per_group():
    """Each of the three groups of ten has exactly one 1."""
    contexts = synthetic.sparse(0, 200).contexts
    assert (contexts.reshape(200, 3, 10).sum(axis=2) == 1).all()
    assert set(np.unique(contexts)) == {0.0, 1.0}


def test_xor_has_one_right_action_that_no_linear_function_finds():
    """Each pair of signs has its own right action, and a linear fit of the expected rewards explains under 1 %."""
    world = synthetic.xor(0)
    x = world.contexts
    signs = 2 * (x[:, 0] * x[:, 1] > 0) + (x[:, 2] * x[:, 3] > 0)
    right = [set(world.expected[signs == pair].argmax(axis=1)) for pair in range(4)]
    assert sorted(map(len, right)) == [1, 1, 1, 1]
    assert set.union(*right) == {0, 1, 2, 3}
    design = np.hstack([x, np.ones((len(x), 1))])
    left = design @ np.linalg.lstsq(design, world.expected)[0] - world.expected
    assert (left.var(axis=0) / world.expected.var(axis=0)).min() > 0.99


def test_standardised_by_hand():
    """(1, 3) becomes (−1, 1), and a column that never changes is left out."""
    assert labelled.standardised(np.array([[1.0, 7.0], [3.0, 7.0]])).tolist() == [[-1.0], [1.0]]


def test_breast_cancer_is_the_real_data():
    """569 tumours, 30 standardised measures, 357 of them benign."""
    world = labelled.breast_cancer()
    assert world.rows.shape == (569, 30)
    assert np.allclose(world.rows.mean(axis=0), 0)
    assert world.fixed_value("benign") == 357 / 569


def wheel_with(path, text):
    inner = io.BytesIO()
    with zipfile.ZipFile(inner, "w") as archive:
        archive.writestr("segment.csv", text)
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("river/datasets/segment.csv.zip", inner.getvalue())
    return path


def test_segments_are_read_from_the_wheel(tmp_path):
    """Rows and labels are read in place; the label is not a measure."""
    world = labelled.image_segments(wheel_with(tmp_path / "w.whl", "m,category,n\n1,sky,5\n3,grass,9\n"))
    assert world.actions == ("grass", "sky")
    assert world.labels.tolist() == [1, 0]
    assert world.rows.tolist() == [[-1.0, -1.0], [1.0, 1.0]]


@pytest.mark.parametrize("content", [b"no archive", None])
def test_another_file_is_refused(tmp_path, content):
    """A file that is no wheel, or a wheel without the data, is refused by name."""
    path = tmp_path / "w.whl"
    if content is None:
        zipfile.ZipFile(path, "w").close()
    else:
        path.write_bytes(content)
    with pytest.raises(InvalidInput, match=r"w\.whl: cannot read river/datasets.*Give river-"):
        labelled.image_segments(path)


def test_a_wheel_is_chosen_by_its_tag():
    """One file is named for every platform: its name and pip's options follow from the tag."""
    wheel = Wheel("p", "1.0", "cp311-abi3-manylinux_2_28_x86_64", "0")
    assert wheel.filename == "p-1.0-cp311-abi3-manylinux_2_28_x86_64.whl"
    said = " ".join(wheel.choice)
    assert said.endswith("--implementation cp --python-version 311 --abi abi3 --platform manylinux_2_28_x86_64")


@pytest.mark.deep
def test_segments_can_be_fetched():
    """The published wheel has the whole data set: 2,310 segments, 330 of each of 7 kinds."""
    world = labelled.image_segments()
    assert world.rows.shape == (2310, 18)
    assert np.bincount(world.labels).tolist() == [330] * 7


def test_held_out_worlds_are_not_chosen_unasked():
    """Without names the worlds are those that may be looked at, or with `held_out` the others; together all."""
    seen, aside = chosen_worlds([], held_out=False), chosen_worlds([], held_out=True)
    assert seen == ["digits", "segments", "linear", "switching"]
    assert len(aside) >= 2
    assert sorted([*seen, *aside]) == sorted(WORLDS)
    assert chosen_worlds(["xor"], held_out=False) == ["xor"]
    with pytest.raises(InvalidInput, match="no world 'mars'"):
        chosen_worlds(["mars"], held_out=False)


def test_a_world_makes_its_own_rounds():
    """A world's rounds carry its name, so that results can be told apart."""
    for name in ("linear", "switching", "breast_cancer", "arms", "sparse", "xor", "digits"):
        assert WORLDS[name].make(0).name == name
