"""A labelled data set as a bandit: its rewards, its order and the values that it knows."""

from collections import Counter
from dataclasses import replace

import numpy as np
import pytest

from simulator.worlds.classification import ClassificationWorld, digits
from store.errors import InvalidInput


@pytest.fixture
def letters():
    """Four rows by hand: a, b, b, c."""
    return ClassificationWorld(
        name="letters",
        feature="x",
        rows=np.array([[0.0], [1.0], [2.0], [3.0]]),
        labels=np.array([0, 1, 1, 2]),
        actions=("a", "b", "c"),
    )


def test_right_label_earns_one(letters):
    """The reward is 1 for the row's label and 0 for every other action."""
    rewards = [[letters.reward(row, action) for action in letters.actions] for row in range(4)]
    assert rewards == [[1, 0, 0], [0, 1, 0], [0, 1, 0], [0, 0, 1]]


def test_true_values_by_hand(letters):
    """Uniform earns 1/3, always b earns 2/4, and b is the best fixed action."""
    assert letters.uniform_value() == pytest.approx(1 / 3)
    assert [letters.fixed_value(action) for action in letters.actions] == [0.25, 0.5, 0.25]
    assert letters.best_fixed() == "b"


def test_value_of_distributions_by_hand(letters):
    """A policy's value is its mean probability of the right label; a missing action has none."""
    distributions = {0: {"a": 0.5, "b": 0.5}, 1: {"a": 0.1, "b": 0.8, "c": 0.1}, 3: {"a": 1.0}}
    assert letters.value(distributions) == pytest.approx((0.5 + 0.8 + 0.0) / 3)


def test_value_agrees_with_its_special_cases(letters):
    """As distributions, uniform and a fixed action have the values that are stated for them."""
    uniform = dict.fromkeys(letters.actions, 1 / 3)
    assert letters.value(dict.fromkeys(range(4), uniform)) == pytest.approx(letters.uniform_value())
    assert letters.value({row: {"b": 1.0} for row in range(4)}) == letters.fixed_value("b")


def test_seed_fixes_the_order():
    """One seed gives one order, another seed another, and no row is lost."""
    world = digits()
    once, again, other = world.shuffled(3), world.shuffled(3), world.shuffled(4)
    assert np.array_equal(once.rows, again.rows)
    assert not np.array_equal(once.labels, other.labels)
    assert Counter(once.labels.tolist()) == Counter(world.labels.tolist())


def test_shuffling_keeps_rows_with_their_labels(letters):
    """A row keeps its label wherever it goes."""
    world = letters.shuffled(1)
    assert world.labels[np.argsort(world.rows[:, 0])].tolist() == letters.labels.tolist()


def test_digits_are_the_real_images():
    """Digits: 1,797 images, ten actions, 64 plain numbers in 0..1 as the context."""
    world = digits()
    pixels = world.context(0)["pixels"]
    assert (len(world), len(world.actions), len(pixels)) == (1797, 10, 64)
    assert all(type(pixel) is float and 0 <= pixel <= 1 for pixel in pixels)
    assert world.candidates()[3] == {"id": "3", "features": {}}
    assert world.uniform_value() == pytest.approx(0.1)


def test_first_rows():
    """first(n) is the beginning of the world, whose values are those of these rows."""
    world = digits().first(100)
    assert len(world) == 100
    assert world.fixed_value("0") == np.mean(digits().labels[:100] == 0)


@pytest.mark.parametrize("labels", [np.array([0]), np.array([], dtype=int)])
def test_rows_and_labels_must_match(letters, labels):
    """A world without rows, or with rows and labels of two lengths, is refused."""
    with pytest.raises(InvalidInput, match="one label per row"):
        replace(letters, rows=letters.rows[: min(len(labels), 2) * 2], labels=labels)
