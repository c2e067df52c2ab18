"""The pseudo-inverse's weights, against the matrix they are defined by and the truth."""

import itertools

import numpy as np
import pytest

from ope.slates.pseudo_inverse import pseudo_inverse_weight, uniform_weight


def orders(slots, actions):
    """Return every slate without repetition, as indices."""
    return [np.array(slate) for slate in itertools.permutations(range(actions), slots)]


def indicator(slate, actions):
    """Return 1_s, shape (L, m)."""
    found = np.zeros((len(slate), actions))
    found[np.arange(len(slate)), slate] = 1
    return found


def pairs(slates, p, actions):
    """Return Γ of a distribution over slates."""
    return sum(
        share * np.multiply.outer(indicator(s, actions), indicator(s, actions))
        for s, share in zip(slates, p, strict=True)
    )


def marginals(slates, p, actions):
    """Return the probability of each action in each slot."""
    return sum(share * indicator(s, actions) for s, share in zip(slates, p, strict=True))


@pytest.mark.parametrize(("slots", "actions"), [(1, 3), (2, 3), (3, 3), (2, 5), (3, 5)])
def test_closed_form_of_uniform_logging(slots, actions):
    """Uniform draws without replacement have the weights that Γ† gives, for every slate and any target."""
    slates = orders(slots, actions)
    gamma = pairs(slates, np.full(len(slates), 1 / len(slates)), actions)
    target = marginals(slates, np.random.default_rng(1).dirichlet(np.ones(len(slates))), actions)
    for slate in slates:
        assert uniform_weight(target, slate) == pytest.approx(pseudo_inverse_weight(gamma, target, slate), abs=1e-9)


def test_additive_rewards_are_judged_without_bias():
    """Where slots earn on their own, the mean of w R over all slates is the target's value, whatever was logged."""
    slates, rng = orders(2, 4), np.random.default_rng(2)
    logging, aim = rng.dirichlet(np.ones(len(slates))), rng.dirichlet(np.ones(len(slates)))
    gamma, target = pairs(slates, logging, 4), marginals(slates, aim, 4)
    worth = rng.normal(size=(2, 4))
    rewards = [worth[np.arange(2), slate].sum() for slate in slates]
    weights = [pseudo_inverse_weight(gamma, target, slate) for slate in slates]
    assert logging @ (np.array(weights) * rewards) == pytest.approx(aim @ rewards)


def test_independent_slots():
    """Slots drawn independently have 1 − L + Σ_l w_l, which `pi` takes where the log gives slot marginals alone."""
    rng = np.random.default_rng(3)
    p, q = rng.dirichlet(np.ones(3), 2), rng.dirichlet(np.ones(3), 2)
    slates = [np.array(slate) for slate in itertools.product(range(3), repeat=2)]
    gamma = pairs(slates, [p[0, a] * p[1, b] for a, b in slates], 3)
    for a, b in slates:
        expected = 1 - 2 + q[0, a] / p[0, a] + q[1, b] / p[1, b]
        assert pseudo_inverse_weight(gamma, q, np.array([a, b])) == pytest.approx(expected)
