"""The numbers that the Open Bandit Pipeline publishes, and its formulas on the six real logs (Saito et al. 2021)."""

import tarfile

import numpy as np
import polars as pl
import pytest
import textbook

from ope.evaluate import evaluate_frame
from ope.question import Question
from simulator.datasets.fetch import cached
from simulator.datasets.open_bandit import N_ACTIONS, SDIST, Behaviour, Campaign, load

PRIORS = "obp-0.5.7/obp/policy/conf/prior_bts.yaml"
PARAMETERS = {"clipped": 5.0, "switch": 5.0, "os": 20.0, "sg": 0.2}


def prior(path, campaign):
    """Return the shop's Beta parameters of each item, from the published archive; two lists of numbers in YAML."""
    with tarfile.open(path) as archive:
        lines = archive.extractfile(PRIORS).read().decode().splitlines()
    found, of, numbers = {}, "", []
    for line in filter(str.strip, lines):
        if not line.startswith(" "):
            of = line.rstrip(":")
        elif line.endswith(":"):
            numbers = found.setdefault((of, line.strip(" :")), [])
        else:
            numbers.append(float(line.strip(" -")))
    return np.array(found[campaign, "alpha"]), np.array(found[campaign, "beta"])


@pytest.mark.deep
def test_the_published_lift_of_thompson_sampling(tmp_path):
    """1.198126, IPS of the shop's Thompson sampling over the mean of the random log, as obp's README says.

    Its propensities are the shares of 100,000 draws of rankings of three from the shop's priors, with obp's seed.
    """
    path = cached(SDIST, folder=tmp_path)
    draws = np.random.RandomState(12345).beta(*prior(path, "all"), size=(100_000, 80))
    ranked = np.argsort(-draws, axis=1)[:, :3]
    shares = np.stack([np.bincount(ranked[:, slot], minlength=80) / 100_000 for slot in range(3)], axis=1)
    log = load(Campaign.ALL, Behaviour.RANDOM, path=path).collect()
    target = shares[log["action"].cast(pl.Int64), log["slot"]]
    frame = log.select("reward", "propensity").with_columns(target_propensity=target)
    (found,) = evaluate_frame(frame, Question(estimators=["ips"])).values()
    assert found.estimates[0].value / log["reward"].mean() == pytest.approx(1.198126, abs=1e-6)


@pytest.mark.deep
def test_formulas_on_real_logs(tmp_path):
    """Every estimator of actions is the textbook's to 1e-9 on all six logs, with heavy weights and rare clicks.

    The target shows items by their smoothed share of clicks, which is also what is predicted of them.
    """
    path = cached(SDIST, folder=tmp_path)
    for behaviour in Behaviour:
        for campaign in Campaign:
            log = load(campaign, behaviour, path=path).collect()
            item, reward = log["action"].cast(pl.Int64).to_numpy(), log["reward"].to_numpy()
            k = N_ACTIONS[campaign]
            q = (np.bincount(item, reward, minlength=k) + 0.004) / (np.bincount(item, minlength=k) + 1)
            columns = {
                "reward": reward,
                "propensity": log["propensity"].to_numpy(),
                "target_propensity": (q / q.sum())[item],
                "q_logged": q[item],
                "q_target": np.full(len(log), q @ q / q.sum()),
            }
            expected = textbook.plain(columns) | textbook.tamed(columns, PARAMETERS)
            (found,) = evaluate_frame(columns, Question(estimators=list(expected))).values()
            for one in found.estimates:
                assert (one.value, one.stderr) == pytest.approx(expected[one.estimator], rel=1e-9), one.estimator
