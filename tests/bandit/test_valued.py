"""The rules over predicted rewards: epsilon-greedy, softmax, SquareCB and RegCB, by hand and as properties."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_allclose
from scipy.optimize import minimize

from bandit.policies.base import Ruled
from bandit.policies.catalogue import policy_config, policy_type
from bandit.policies.greedy import Mixed
from bandit.policies.regcb import Optimistic, Survivors
from bandit.policies.situation import Situation
from bandit.policies.softmax import Boltzmann
from bandit.policies.squarecb import InverseGap
from store.records import Action

MEAN, DEVIATION = np.array([0.5, 0.2, 0.5, 0.4]), np.array([0.1, 0.5, 0.1, 0.01])
RULES = {
    "epsilon": Mixed(0.1),
    "softmax": Boltzmann(0.1),
    "squarecb": InverseGap(10.0),
    "elimination": Survivors(1.0),
    "optimism": Optimistic(1.0),
}
each_rule = pytest.mark.parametrize("rule", RULES.values(), ids=RULES)
ALONE = Situation({}, [Action("a")])


def make(**config: object):
    return policy_type(config).create(policy_config(config))


def test_epsilon_greedy_by_hand() -> None:
    """Epsilon 0.1 over four actions, two of them tied for the best: 0.025 each, and 0.9 shared by the two."""
    assert_allclose(Mixed(0.1)(MEAN, DEVIATION), [0.475, 0.025, 0.475, 0.025])


def test_softmax_by_hand() -> None:
    """A gap of one temperature divides a probability by e."""
    p = Boltzmann(0.1)(MEAN, DEVIATION)
    assert_allclose(p[0] / p[3], np.e)
    assert_allclose(p[0] / p[1], np.e**3)


def test_squarecb_by_hand() -> None:
    """Gamma 10, gaps 0.3 and 0.1: 1/(4 + 3) and 1/(4 + 1), and the two best share the rest."""
    rest = 1 - 1 / 7 - 1 / 5
    assert_allclose(InverseGap(10.0)(MEAN, DEVIATION), [rest / 2, 1 / 7, rest / 2, 1 / 5])


def test_regcb_by_hand() -> None:
    """Bounds 0.4..0.6, -0.3..0.7, 0.4..0.6 and 0.39..0.41: all may be the best; the second is the most hopeful."""
    assert_allclose(Survivors(1.0)(MEAN, DEVIATION), np.full(4, 0.25))
    assert_allclose(Survivors(0.1)(MEAN, DEVIATION), [0.5, 0, 0.5, 0])
    assert_allclose(Optimistic(1.0)(MEAN, DEVIATION), [0, 1, 0, 0])


@each_rule
@given(
    arms=st.lists(st.tuples(st.floats(-1e12, 1e12), st.floats(0, 1e12)), min_size=1, max_size=8), random=st.randoms()
)
def test_rules_give_distributions_that_know_no_places(rule, arms: list[tuple[float, float]], random) -> None:
    """No probability is negative, they sum to 1, and they go with their action; ties share."""
    mean, deviation = np.array(arms).T.copy()
    p = rule(mean, deviation)
    assert p.min() >= 0
    assert abs(p.sum() - 1) < 1e-12
    order = np.array(random.sample(range(len(arms)), len(arms)))
    assert_allclose(rule(mean[order], deviation[order]), p[order], atol=1e-12)
    assert_allclose(rule(np.full(len(arms), mean[0]), np.full(len(arms), deviation[0])), 1 / len(arms), atol=1e-12)


@each_rule
def test_what_is_left_is_decided_as_if_there_were_no_others(rule) -> None:
    """The second slot's distribution is the rule over the remaining actions, not a share of the first slot's."""
    left = np.array([1, 3])
    assert_allclose(Ruled(MEAN, DEVIATION, rule).distribution(left), rule(MEAN[left], DEVIATION[left]))


def test_schedules_follow_the_outcomes_that_were_learned() -> None:
    """After 3 outcomes: epsilon 0.2 / sqrt(1 + 3), gamma 10 sqrt(1 + 3); a power of 0 changes nothing."""
    shrinking = make(kind="epsilon_greedy", epsilon=0.2, power=0.5)
    growing, constant = make(kind="squarecb"), make(kind="epsilon_greedy")
    for policy in (shrinking, growing, constant):
        for _ in range(3):
            policy.learn(ALONE, 0, 1.0, 1.0)
    assert shrinking.rule().epsilon == pytest.approx(0.1)
    assert growing.rule().gamma == pytest.approx(20.0)
    assert constant.rule() == Mixed(0.1)


def test_a_policy_that_forgets_never_stops_exploring() -> None:
    """With decay 0.9 the schedule sees at most 10 outcomes."""
    config = {"kind": "epsilon_greedy", "power": 1.0}
    policy = policy_type(config).create(policy_config(config), decay=0.9)
    for _ in range(500):
        policy.learn(ALONE, 0, 1.0, 1.0)
    assert policy.rule().epsilon == pytest.approx(0.1 / 11)


def test_regcb_bounds_are_the_extremes_of_the_confidence_set() -> None:
    """The upper bound is the highest prediction among coefficients whose loss is within beta sigma^2 of the least."""
    rng = np.random.default_rng(4)
    policy, beta = make(kind="regcb", beta=2.5), 2.5
    rows = rng.normal(size=(12, 2))
    rewards = rows @ [0.5, -1.0] + rng.normal(size=12)
    for row, reward in zip(rows, rewards, strict=True):
        policy.learn(Situation({"x": row.tolist()}, [Action("a")]), 0, float(reward), 1.0)
    design, x = np.column_stack([np.ones(12), rows]), np.array([1.0, 0.7, -0.3])

    def loss(theta: np.ndarray) -> float:
        return ((rewards - design @ theta) ** 2).sum() + (theta**2).sum()

    best = np.linalg.solve(design.T @ design + np.eye(3), design.T @ rewards)
    allowed = {"type": "ineq", "fun": lambda theta: loss(best) + beta * float(policy.model.noise()[0]) - loss(theta)}
    found = minimize(lambda theta: -(x @ theta), best, constraints=[allowed], method="SLSQP", tol=1e-12)
    belief = policy.believe(Situation({"x": x[1:].tolist()}, [Action("a")]), None)
    assert belief.mean[0] + np.sqrt(beta) * belief.deviation[0] == pytest.approx(-found.fun, abs=1e-6)
