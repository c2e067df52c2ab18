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


def drawn(rng: np.random.Generator) -> pl.DataFrame:
    """The log of a uniform logger, whose rewards came at once."""
    arm = rng.integers(4, size=ROWS)
    return pl.DataFrame(
        {
            "decision_id": [f"d{i}" for i in range(ROWS)],
            "context": "{}",
            "actions": json.dumps(ACTIONS),
            "distribution": [[{"action": name, "propensity": 0.25} for name in NAMES]] * ROWS,
            "action": [NAMES[i] for i in arm],
            "propensity": 0.25,
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


def check(logs: int, seed: int) -> None:
    """The counterfactual's mean over its rows is the run's over its decisions, and progressively more was learned.

    Each difference of means is held to four of its standard errors: a false alarm has a probability of 1e-4.
    """
    rng = np.random.default_rng(seed)
    alone, values, progressive = [], [], []
    for _ in range(logs):
        log = drawn(rng)
        value, means = judged(log, Counterfactual, most=4.0)
        values.append(value)
        alone.append(np.mean(means))
        progressive.append(np.mean(judged(log, Progressive)[1]))
    runs = [np.mean(run(rng, ROWS // 4)) for _ in range(logs)]
    for found in (alone, values):
        off = np.mean(found) - np.mean(runs)
        assert abs(off) < 4 * np.sqrt((np.var(found, ddof=1) + np.var(runs, ddof=1)) / logs)
    # It has four outcomes of everybody's where the run has one of its own, and the truth is 0.7 for who knows.
    assert np.mean(alone) < np.mean(progressive) < 0.7


def test_learning_alone_is_worth_what_a_run_earns():
    """Over 12 logs (seed 1)."""
    check(logs=12, seed=1)


@pytest.mark.deep
def test_learning_alone_is_worth_what_a_run_earns_over_many():
    """Over 100 logs (seed 2)."""
    check(logs=100, seed=2)
