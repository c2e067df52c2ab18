"""On the small Open Bandit logs: what the authors of the data set have published, and the papers' formulas.

`obp` itself runs on no Python that we support. Its quickstart notebook (examples/quickstart/obd.ipynb, and its README
for IPW) prints what Bernoulli Thompson sampling would have earned, by the log of `random` in the campaign `all`: IPW
0.004553, DM 0.003399 and DR 0.004647. The last two depend on a regression of theirs, whose predictions are not
published. Its bootstrapped intervals are of percentiles, which we do not report.
"""

import re
import tarfile

import numpy as np
import polars as pl
import pytest
import textbook

from ope.evaluate import evaluate_frame
from ope.question import Question
from simulator.datasets.fetch import cached
from simulator.datasets.open_bandit import N_ACTIONS, SDIST, Behaviour, Campaign, load

pytestmark = pytest.mark.deep  # they download the data set

SIMULATED = 100_000
SLOTS = 3
PARAMETERS = {"clipped": 10, "switch": 10, "os": 100, "sg": 0.1}
PUBLISHED = {0: [0.01078, 0.00931, 0.00917], 1: [0.00167, 0.00077, 0.00076], 79: [0.0582, 0.07603, 0.07998]}
"""The notebook's probabilities of three items, in each slot."""


def prior(campaign):
    """The Beta parameters of each item's click rate that the shop used, α and β, as published with the data."""
    with tarfile.open(cached(SDIST)) as archive:
        text = archive.extractfile("obp-0.5.7/obp/policy/conf/prior_bts.yaml").read().decode()
    of_campaign = re.search(rf"^{campaign}:\n(.*?)(?=^\w|\Z)", text, re.DOTALL | re.MULTILINE)[1]
    lists = re.split(r"^  (?:alpha|beta):$", of_campaign, flags=re.MULTILINE)[1:]
    return [np.array([float(x) for x in re.findall(r"- ([\d.]+)", one)]) for one in lists]


@pytest.fixture(scope="module")
def thompson():
    """Bernoulli Thompson sampling's probability of each item in each slot, by their number of draws and seed."""
    alpha, beta = prior(Campaign.ALL)
    draws = np.random.RandomState(12345).beta(alpha, beta, size=(SIMULATED, len(alpha)))
    ranked = np.argsort(-draws, axis=1)[:, :SLOTS]
    counts = [np.bincount(ranked[:, slot], minlength=len(alpha)) for slot in range(SLOTS)]
    return np.stack(counts, axis=1) / SIMULATED


def with_target(log, chances):
    """The log with the target's probability of each row's item in its slot."""
    place = log["action"].cast(int).to_numpy(), log["slot"].to_numpy()
    return log.with_columns(target_propensity=chances[place])


def test_the_published_value(thompson):
    """The distribution to its last published digit, and IPW, relative to the log's own mean, to its last."""
    for item, chances in PUBLISHED.items():
        assert thompson[item].tolist() == chances
    log = with_target(load(Campaign.ALL, Behaviour.RANDOM).collect(), thompson)
    (found,) = evaluate_frame(log, Question(estimators=["ips"]))["columns"].estimates
    assert round(found.value, 6) == 0.004553
    assert round(found.value / log["reward"].mean(), 6) == 1.198126


@pytest.mark.parametrize("campaign", Campaign)
@pytest.mark.parametrize("behaviour", Behaviour)
def test_the_formulas_of_the_papers(campaign, behaviour):
    """Every closed-form estimator and its error on each of the six logs, to 1e-9."""
    log = load(campaign, behaviour).collect()
    n, rng = N_ACTIONS[campaign], np.random.default_rng(7)
    chances = rng.dirichlet(np.ones(n), SLOTS).T
    predicted = rng.uniform(0, 0.02, (n, SLOTS))
    slot = log["slot"].to_numpy()
    columns = {
        "q_logged": predicted[log["action"].cast(int).to_numpy(), slot],
        "q_target": (chances * predicted).sum(0)[slot],
    }
    rows = with_target(log, chances).with_columns(**{name: pl.Series(values) for name, values in columns.items()})
    arrays = {name: rows[name].to_numpy() for name in ("reward", "propensity", "target_propensity", *columns)}
    expected = textbook.plain(arrays) | textbook.tamed(arrays, PARAMETERS)
    found = evaluate_frame(rows, Question(estimators=list(expected)))["columns"].estimates
    assert len(found) == 23
    for one in found:
        assert (one.value, one.stderr) == pytest.approx(expected[one.estimator], rel=1e-9), one.estimator
