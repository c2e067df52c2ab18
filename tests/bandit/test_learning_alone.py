"""What a config would have earned learning by itself: from another's log, and by really running it."""

import json

import msgspec
import numpy as np
import polars as pl
import pytest

from bandit.policies.base import NEWEST
from bandit.policies.catalogue import policy_config, policy_type
from bandit.policies.situation import Situation
from bandit.scoring.config import BARE
from bandit.scoring.learners import Counterfactual, Progressive
from bandit.scoring.scorer import PolicyScorer
from bandit.scoring.serve import FRESH
from bandit.settings import read_config
from store.records import Action

NAMES = "abcd"
MEANS = np.array([0.2, 0.3, 0.4, 0.7])
ACTIONS = [{"id": name, "features": {}} for name in NAMES]
ROWS = 800
UNEVEN = [0.2, 0.2, 0.2, 0.4]


def drawn(rng: np.random.Generator, chances: list[float]) -> pl.DataFrame:
    """The log of a logger with these chances, whose rewards came at once."""
    arm = rng.choice(4, size=ROWS, p=chances)
    pairs = [{"action": name, "propensity": p} for name, p in zip(NAMES, chances, strict=True)]
    return pl.DataFrame(
        {
            "decision_id": [f"d{i}" for i in range(ROWS)],
            "context": "{}",
            "actions": json.dumps(ACTIONS),
            "distribution": [pairs] * ROWS,
            "action": [NAMES[i] for i in arm],
            "propensity": np.array(chances)[arm],
            "reward": (rng.random(ROWS) < MEANS[arm]).astype(float),
        }
    )


def judged(log: pl.DataFrame, kind: type[Progressive], **options: object) -> tuple[float, list[float]]:
    """Return a learner's value by IPS, and each row's mean reward under its distribution, which is known here."""
    config = msgspec.structs.replace(read_config(b'{"policy": {"kind": "beta_ts"}}'), exploration=BARE)
    scorer = PolicyScorer([kind("p", config, {}, FRESH, **options)])
    scorer.begin({"log": log.lazy()})
    found = scorer.score(log.select(name for name in scorer.reads if name in log.columns))["p"]
    weights = np.array(found.propensity) / log["propensity"].to_numpy()
    return float((weights * log["reward"].to_numpy()).mean()), [
        float(np.array(row) @ MEANS) for row in found.distribution
    ]


def run(rng: np.random.Generator, decisions: int) -> list[float]:
    """Return the mean reward of what the policy chose from, decision by decision, running by itself."""
    config = {"kind": "beta_ts"}
    policy = policy_type(config).create(policy_config(config))
    situation, found = Situation({}, [Action(name, {}) for name in NAMES]), []
    for _ in range(decisions):
        p = policy.believe(situation, lambda *_: rng).distribution(np.arange(4))
        found.append(float(p @ MEANS))
        arm = int(rng.choice(4, p=p / p.sum()))
        policy.learn(situation, arm, float(rng.random() < MEANS[arm]), float(p[arm]), NEWEST)
    return found


def check(logs: int, seed: int, chances: list[float]) -> None:
    """The counterfactual's mean over its rows is the run's over its decisions, and progressively more was learned.

    Each difference of means is held to four of its standard errors: a false alarm has a probability of 1e-4.
    """
    rng = np.random.default_rng(seed)
    alone, values, progressive = [], [], []
    for _ in range(logs):
        log = drawn(rng, chances)
        value, means = judged(log, Counterfactual, most=1 / min(chances))
        values.append(value)
        alone.append(np.mean(means))
        progressive.append(np.mean(judged(log, Progressive)[1]))
    runs = [np.mean(run(rng, round(ROWS * min(chances)))) for _ in range(logs)]
    for found in (alone, values):
        off = np.mean(found) - np.mean(runs)
        assert abs(off) < 4 * np.sqrt((np.var(found, ddof=1) + np.var(runs, ddof=1)) / logs)
    # It has several outcomes of everybody's where the run has one of its own, and the truth is 0.7 for who knows.
    assert np.mean(alone) < np.mean(progressive) < 0.7


def test_learning_alone_is_worth_what_a_run_earns():
    """Over 10 logs of an uneven logger (seed 1)."""
    check(logs=10, seed=1, chances=UNEVEN)


@pytest.mark.deep
@pytest.mark.parametrize("chances", [[0.25] * 4, UNEVEN], ids=["uniform", "uneven"])
def test_learning_alone_is_worth_what_a_run_earns_over_many(chances):
    """Over 60 logs (seed 2)."""
    check(logs=60, seed=2, chances=chances)
