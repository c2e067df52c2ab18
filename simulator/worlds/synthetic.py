"""Made-up worlds whose expected rewards are known functions; one seed makes the function, the rounds and the luck.

Every reward is 0 or 1, so it has the noise that clicks have. Contexts are standard normal unless said otherwise.
"""

import numpy as np
from numpy.typing import NDArray

from simulator.worlds.rounds import Rounds

Floats = NDArray[np.float64]


def linear(seed: int, rounds: int = 4000) -> Rounds:
    """Return a world of 10 new actions each round, told apart by their features alone.

    Context x and action features a are standard normal in 5 dimensions; the reward's log-odds are a'W x / 1.5, where W
    (5, 5) is standard normal.
    """
    rng = np.random.default_rng(seed)
    weights = rng.normal(size=(5, 5))
    contexts, features = rng.normal(size=(rounds, 5)), rng.normal(size=(rounds, 10, 5))
    odds = np.einsum("nka,ac,nc->nk", features, weights, contexts) / 1.5
    return _bernoulli(rng, "linear", contexts, features, _sigmoid(odds))


def arms(seed: int, rounds: int = 4000) -> Rounds:
    """Return a world of 5 lasting actions: log-odds 3 w_k'x, w_k normal with variance 1/10, x in 10 dimensions."""
    return _lasting("arms", seed, rounds, switch_every=rounds)


def switching(seed: int, rounds: int = 4000) -> Rounds:
    """Return the world of `arms`, whose w_k are drawn anew every 1,000 rounds, without a sign of it."""
    return _lasting("switching", seed, rounds, switch_every=1000)


def sparse(seed: int, rounds: int = 4000) -> Rounds:
    """Return a world of categories: 3 one-hot groups of 10 levels each, and 5 actions.

    The log-odds are the sum of one standard normal effect per group, level and action, less 1.
    """
    rng = np.random.default_rng(seed)
    effects = rng.normal(size=(5, 3, 10))
    levels = rng.integers(10, size=(rounds, 3))
    contexts = np.eye(10)[levels].reshape(rounds, 30)
    odds = contexts @ effects.reshape(5, 30).T - 1
    return _bernoulli(rng, "sparse", contexts, _none(rounds, 5), _sigmoid(odds))


def xor(seed: int, rounds: int = 4000) -> Rounds:
    """Return a world that no linear model of the context describes: 4 actions, one right for each pair of signs.

    The action that the signs of x_1 x_2 and x_3 x_4 point at earns 1 with probability 0.9, the others with 0.1; x has 6
    dimensions. The seed decides which action belongs to which signs.
    """
    rng = np.random.default_rng(seed)
    contexts = rng.normal(size=(rounds, 6))
    pair = 2 * (contexts[:, 0] * contexts[:, 1] > 0) + (contexts[:, 2] * contexts[:, 3] > 0)
    right = rng.permutation(4)[pair]
    expected = np.where(right[:, None] == np.arange(4), 0.9, 0.1)
    return _bernoulli(rng, "xor", contexts, _none(rounds, 4), expected)


def _lasting(name: str, seed: int, rounds: int, *, switch_every: int) -> Rounds:
    rng = np.random.default_rng(seed)
    contexts = rng.normal(size=(rounds, 10))
    eras = rng.normal(size=(-(-rounds // switch_every), 5, 10)) / np.sqrt(10)
    weights = eras[np.arange(rounds) // switch_every]
    expected = _sigmoid(3 * np.einsum("nkd,nd->nk", weights, contexts))
    return _bernoulli(rng, name, contexts, _none(rounds, 5), expected)


def _bernoulli(rng: np.random.Generator, name: str, contexts: Floats, features: Floats, expected: Floats) -> Rounds:
    rewards = (rng.random(expected.shape) < expected).astype(np.float64)
    return Rounds(name, tuple(str(k) for k in range(expected.shape[1])), contexts, features, rewards, expected)


def _sigmoid(odds: Floats) -> Floats:
    return 1 / (1 + np.exp(-odds))


def _none(rounds: int, actions: int) -> Floats:
    return np.zeros((rounds, actions, 0))
