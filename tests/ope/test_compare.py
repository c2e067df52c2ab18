"""Ranking many targets: paired differences by hand, against the row-wise definition, and the familywise error."""

from itertools import combinations

import numpy as np
import polars as pl
import pytest
from scipy.stats import binom, norm

from ope.comparing.compare import compare_files
from ope.comparing.joint import FORMS, Joint
from ope.comparing.max_t import differences
from ope.errors import InvalidLog, InvalidRequest
from ope.question import Question


def log(rng: np.random.Generator, rows: int, actions: int = 4, lift: float = 0.0) -> pl.DataFrame:
    """Return a log of an uneven logger, whose action "a0" earns `lift` more than the others."""
    p = rng.dirichlet(np.full(actions, 5.0), size=rows)
    chosen = (p.cumsum(axis=1) > rng.random(rows)[:, None]).argmax(axis=1)
    reward = (rng.random(rows) < 0.3 + lift * (chosen == 0)).astype(float)
    names = [f"a{k}" for k in range(actions)]
    pairs = [[{"action": a, "propensity": q} for a, q in zip(names, row, strict=True)] for row in p.tolist()]
    return pl.DataFrame(
        {
            "reward": reward,
            "propensity": p[np.arange(rows), chosen],
            "action": [names[k] for k in chosen],
            "distribution": pairs,
            "predicted_rewards": rng.random((rows, actions)).tolist(),
        }
    )


def compared(tmp_path, frame, policies, **options):
    path = tmp_path / "log.parquet"
    frame.write_parquet(path)
    return compare_files([path], Question(policies=policies), **options)


def psi(frame, action, estimator):
    """Influence values of `fixed:action` by their definitions, one row at a time in numpy."""
    w = (frame["action"] == action).to_numpy() / frame["propensity"].to_numpy()
    r = frame["reward"].to_numpy()
    q = np.array(frame["predicted_rewards"].to_list())
    at = frame["action"].str.slice(1).cast(int).to_numpy()
    d, e = q[:, int(action[1:])], w * (r - q[np.arange(len(w)), at])
    if estimator == "ips":
        return (w * r).mean(), w * r
    if estimator == "snips":
        v = (w * r).sum() / w.sum()
        return v, w * (r - v) / w.mean()
    if estimator == "dr":
        return (d + e).mean(), d + e
    c = e.sum() / w.sum()
    return d.mean() + c, d + (e - c * w) / w.mean()


@pytest.mark.parametrize("estimator", list(FORMS))
def test_differences_are_those_of_influence_values(tmp_path, estimator):
    """Value, difference and its error are those of the rows' influence values, whatever the estimator (seed 1)."""
    frame = log(np.random.default_rng(1), 700)
    found = compared(tmp_path, frame, ["fixed:a0", "fixed:a1"], estimator=estimator, baseline="fixed:a1")
    (first, ours), (second, theirs) = psi(frame, "a0", estimator), psi(frame, "a1", estimator)
    one = next(ranked for ranked in found.ranking if ranked.policy == "fixed:a0")
    assert one.value == pytest.approx(first, rel=1e-9)
    assert one.difference == pytest.approx(first - second, rel=1e-9)
    assert one.difference_stderr == pytest.approx(np.std(ours - theirs, ddof=1) / np.sqrt(700), rel=1e-9)
    # One statement: the largest t is a normal one, and step-down changes nothing. 20,000 draws are within 0.02.
    assert one.p_adjusted == pytest.approx(2 * norm.sf(abs(one.difference) / one.difference_stderr), abs=0.02)
    assert found.critical == pytest.approx(1.96, abs=0.05)


def test_batches_and_files_add_up(tmp_path, monkeypatch):
    """How rows are cut into batches and files changes nothing."""
    frame = log(np.random.default_rng(2), 500)
    whole = compared(tmp_path, frame, ["uniform", "fixed:a0", "logged"])
    monkeypatch.setattr("ope.comparing.joint.AT_ONCE", 70)
    paths = [tmp_path / f"{i}.parquet" for i in range(2)]
    frame[:123].write_parquet(paths[0])
    frame[123:].write_parquet(paths[1])
    parts = compare_files(paths, Question(policies=["uniform", "fixed:a0", "logged"]))
    for ours, theirs in zip(parts.ranking, whole.ranking, strict=True):
        assert ours.policy == theirs.policy
        assert (ours.value, ours.difference_stderr) == pytest.approx((theirs.value, theirs.difference_stderr), rel=1e-9)


def test_the_best_is_found_and_the_worst_told(tmp_path):
    """With a large lift the best action alone may be best, every other is worse (seed 3)."""
    found = compared(
        tmp_path, log(np.random.default_rng(3), 4000, lift=0.4), ["fixed:a0", "fixed:a1", "fixed:a2", "uniform"]
    )
    assert found.may_be_best == ("fixed:a0",)
    assert [one.verdict for one in found.ranking] == ["reference", "worse", "worse", "worse"]
    assert found.statements == 6


def test_one_policy_under_two_names_is_not_told_apart(tmp_path):
    """Two names of one policy differ by nothing: p is 1, and the interval holds 0."""
    path = tmp_path / "log.parquet"
    log(np.random.default_rng(4), 300, actions=1).write_parquet(path)
    found = compare_files([path], Question(policies=["uniform", "fixed:a0"]), baseline="uniform")
    [other] = [one for one in found.ranking if one.policy == "fixed:a0"]
    assert (other.verdict, other.p_adjusted, other.interval) == ("not told apart", 1.0, (0.0, 0.0))


def test_step_down_is_never_weaker_than_one_step():
    """Adjusted p-values grow with what they adjust for, keep the order of t, and the clearest is that of one step."""
    rng = np.random.default_rng(5)
    root = rng.normal(size=(6, 6))
    found = Joint(400, rng.normal(size=6) * 0.3, root @ root.T)
    pairs = list(combinations(range(6), 2))
    all_pairs = differences(found, pairs, level=0.95, seed=1)
    order = np.argsort(-np.abs(all_pairs.values) / all_pairs.stderrs)
    assert (np.diff(all_pairs.adjusted[order]) >= 0).all()
    alone = [differences(found, [pair], level=0.95, seed=1).adjusted[0] for pair in pairs]
    assert (all_pairs.adjusted >= np.array(alone) - 0.02).all()


def false_alarms(runs: int, policies: int, rows: int, *, seed: int, baseline: bool) -> int:
    """How many of the runs say anything, where all policies earn the same and overlap as much as chance has it."""
    alarms = 0
    for run in range(runs):
        rng = np.random.default_rng([seed, run])
        w = rng.gamma(2.0, 0.5, size=(rows, policies))
        psi = w * (rng.random(rows) < 0.4)[:, None]
        found = Joint(rows, psi.mean(axis=0), np.cov(psi, rowvar=False))
        first = int(found.values.argmax())
        pairs = [(j, 0) for j in range(1, policies)] if baseline else list(combinations(range(policies), 2))
        told = differences(found, pairs, level=0.95, seed=run)
        mine = told.adjusted if baseline else told.adjusted[[first in pair for pair in pairs]]
        alarms += bool((mine <= 0.05).any())
    return alarms


@pytest.mark.parametrize("baseline", [True, False], ids=["baseline", "best"])
def test_the_familywise_error_is_held(monkeypatch, baseline):
    """Of 300 null worlds with 6 equal policies, no more alarm than 5% allow (seed 7; false alarm 0.1%)."""
    monkeypatch.setattr("ope.comparing.max_t.DRAWS", 2000)
    alarms = false_alarms(300, 6, 1500, seed=7, baseline=baseline)
    assert alarms <= binom.ppf(0.999, 300, 0.05)


@pytest.mark.parametrize("baseline", [True, False], ids=["baseline", "best"])
@pytest.mark.deep
def test_the_familywise_error_is_held_at_length(monkeypatch, baseline):
    """Of 2,000 null worlds with 12 equal policies, as many alarm as 5% allow (seed 8; false alarm 0.1%)."""
    monkeypatch.setattr("ope.comparing.max_t.DRAWS", 2000)
    alarms = false_alarms(2000, 12, 1500, seed=8, baseline=baseline)
    assert alarms <= binom.ppf(0.999, 2000, 0.05)
    # Against a fixed baseline the error is used up; the best of all pairs uses less.
    assert alarms >= (binom.ppf(0.001, 2000, 0.03) if baseline else 1)


def test_what_cannot_be_compared_is_refused(tmp_path):
    """One policy, an unknown estimator or baseline, and bad rows are refused as in `ope evaluate`."""
    frame = log(np.random.default_rng(6), 50)
    with pytest.raises(InvalidRequest, match="1 policies: give two or more"):
        compared(tmp_path, frame, ["uniform"])
    with pytest.raises(InvalidRequest, match=r"--estimator mips: .*ips, snips, dr, sndr"):
        compared(tmp_path, frame, ["uniform", "logged"], estimator="mips")
    with pytest.raises(InvalidRequest, match="unknown policy 'other'"):
        compared(tmp_path, frame, ["uniform", "logged"], baseline="other")
    bad = frame.with_row_index().with_columns(
        propensity=pl.when(pl.col("index") == 2).then(0.0).otherwise("propensity")
    )
    with pytest.raises(InvalidLog, match="row 3: propensity"):
        compared(tmp_path, bad, ["uniform", "logged"])
    with pytest.raises(InvalidRequest, match=r"dr .*predict"):
        compared(tmp_path, frame.drop("predicted_rewards"), ["uniform", "logged"], estimator="dr")
