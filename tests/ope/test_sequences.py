"""The empirical-Bernstein mixture against a quadrature, by hand, and over simulated logs that are looked at often."""

import math

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.integrate import quad
from scipy.special import gamma, gammainc
from typer.testing import CliRunner

from bandit.cli.main import app
from ope import ordered
from ope.errors import InvalidLog, InvalidRequest
from ope.evaluate import evaluate_files, evaluate_frame
from ope.intervals.ask import Range
from ope.intervals.confidence import Confidence
from ope.intervals.mixture import LARGEST, MANY, RHO, Mixture, _rise
from ope.intervals.outcomes import Claim, ips_outcomes
from ope.intervals.two_sided import TwoSided
from ope.question import Question

VALUES = st.lists(st.floats(0, 30), max_size=40)
UNIT = Range(0.0, 1.0)
FRESH = TwoSided(Mixture(), Mixture())


def bounds(within: Range, weights: np.ndarray, rewards: np.ndarray, *, level: float = 0.9) -> tuple[float, float]:
    """The bounds over rows whose rewards are in a range."""
    outcomes = ips_outcomes(weights, (rewards - within.low) / within.width)
    return FRESH.fold(outcomes).bounds(Claim(within.low, within.high), Confidence(level))


def evidence(state: Mixture, mean: float) -> float:
    """The mixture by quadrature: bets in (0, 1), each a supermartingale, weighed by a gamma density of 1 - bet."""

    def bet(lam: float) -> float:
        density = RHO**RHO * math.exp(-RHO * (1 - lam)) * (1 - lam) ** (RHO - 1) / (gamma(RHO) * gammainc(RHO, RHO))
        return density * math.exp(lam * (state.total - state.n * mean) + (math.log1p(-lam) + lam) * state.scatter)

    return quad(bet, 0, 1, epsabs=0, epsrel=1e-11, limit=200)[0]


def test_the_closed_form_is_the_mixture() -> None:
    """At every mean up to the observed one, to 1e-9."""
    state = Mixture().fold(np.array([0.3, 1.7, 0.0, 0.9, 4.0, 0.2]))
    for mean in np.linspace(0, state.total / state.n, 9):
        assert state.log_evidence(mean) == pytest.approx(math.log(evidence(state, mean)), abs=1e-9)


def test_by_hand() -> None:
    """Two values: expected 0.5 and (0.5 + 1) / 2, so the scatter is 0.5^2 + 0.75^2."""
    state = Mixture().fold(np.array([1.0, 0.0]))
    assert (state.n, state.total) == (2, 1.0)
    assert state.scatter == 0.25 + 0.75**2
    assert Mixture().lower(0.05) == 0.0


@pytest.mark.parametrize("weight", [1e6, 1e7, 1e8, 1e9, 1e12, 1e15, 1e60, 1e300])
def test_one_row_of_any_weight_proves_nothing(weight: float) -> None:
    """One reward of weight W among 500 rows is evidence of about -ln W, whatever rounding makes of squares of W."""
    values = np.zeros(500)
    values[250] = weight
    state = Mixture().fold(values)
    expected = 0.705 - math.log(min(weight, LARGEST))
    for mean in (0.0, 0.3, 0.6, 1.0):
        assert state.log_evidence(mean) == pytest.approx(expected, abs=2e-3)
    assert state.lower(0.05) == 0.0


def test_both_forms_of_the_evidence_agree() -> None:
    """Just below and above where the form changes, evidence is the same to 1e-9."""
    for share in (0.0, 1e-4, 1e-2, 0.1, 1.0, 20.0):
        below, above = (_rise(a, share * MANY) for a in (MANY * (1 - 1e-13), MANY))
        assert below == pytest.approx(above, abs=1e-9)


@given(VALUES, st.integers(0, 40))
def test_cutting_changes_no_bit(values: list[float], cut: int) -> None:
    """A state that is kept and gone on from is that of one pass."""
    whole = np.array(values)
    assert Mixture().fold(whole[:cut]).fold(whole[cut:]) == Mixture().fold(whole)


@given(VALUES)
def test_less_certainty_is_a_higher_bound_and_none_is_above_the_mean(values: list[float]) -> None:
    state = Mixture().fold(np.array(values))
    bounds = [state.lower(alpha) for alpha in (1e-6, 0.01, 0.05, 0.5)]
    assert bounds == sorted(bounds)
    assert bounds[0] >= 0
    assert bounds[-1] <= min(1.0, state.total / max(state.n, 1)) + 1e-9


@given(VALUES.filter(bool), st.floats(-5, 5), st.floats(0.1, 9))
def test_rewards_in_other_units_move_the_bounds_along(values: list[float], low: float, width: float) -> None:
    """Shifted, stretched or turned over, what is bounded is the same."""
    weights, rewards = np.array(values), np.linspace(0, 1, len(values))
    found = bounds(UNIT, weights, rewards)
    moved = bounds(Range(low, low + width), weights, low + width * rewards)
    assert moved == pytest.approx([low + width * bound for bound in found], abs=1e-6)
    turned = bounds(UNIT, weights, 1 - rewards)
    assert turned == pytest.approx([1 - found[1], 1 - found[0]], abs=1e-6)


MEANS = np.array([0.3, 0.5, 0.8])
TARGET = np.array([0.1, 0.3, 0.6])


def adaptive_log(rng: np.random.Generator, rounds: int) -> tuple[np.ndarray, np.ndarray]:
    """Epsilon-greedy that learns: its propensities depend on the rewards before; weights are up to 18."""
    counts, sums = np.ones(3), np.full(3, 0.5)
    weights, rewards = np.empty(rounds), np.empty(rounds)
    for t in range(rounds):
        p = np.full(3, 0.1 / 3)
        p[np.argmax(sums / counts)] += 0.9
        arm = rng.choice(3, p=p)
        rewards[t] = rng.random() < MEANS[arm]
        weights[t] = TARGET[arm] / p[arm]
        counts[arm], sums[arm] = counts[arm] + 1, sums[arm] + rewards[t]
    return weights, rewards


def misses(*, logs: int, rounds: int, seed: int) -> tuple[float, float]:
    """The share of adaptive logs whose 90% bounds miss the truth at any of 30 looks, and the mean last lower one."""
    rng, truth, missed, lowest = np.random.default_rng(seed), float(TARGET @ MEANS), 0, []
    for _ in range(logs):
        weights, rewards = adaptive_log(rng, rounds)
        state, ever = FRESH, False
        for part in np.array_split(np.arange(rounds), 30):
            state = state.fold(ips_outcomes(weights[part], rewards[part]))
            low, high = state.bounds(Claim(0.0, 1.0), Confidence(0.9))
            ever |= not low <= truth <= high
        missed += ever
        lowest.append(low)
    return missed / logs, float(np.mean(lowest))


def test_it_holds_at_every_look() -> None:
    """Over 120 adaptive logs of 600 rows at most 10% miss at any look, give or take four binomial errors.

    So a valid bound raises a false alarm with a probability below 1e-3. It is no empty promise: the mean lower bound is
    above 0.45 of a true 0.66.
    """
    share, lowest = misses(logs=120, rounds=600, seed=5)
    assert share < 0.1 + 4 * math.sqrt(0.1 * 0.9 / 120)
    assert lowest > 0.45


@pytest.mark.deep
def test_it_holds_at_every_look_closely() -> None:
    """The same over 2,000 logs: below 0.1 and four binomial errors, 0.127."""
    share, _ = misses(logs=2000, rounds=600, seed=6)
    assert share < 0.1 + 4 * math.sqrt(0.1 * 0.9 / 2000)


LOG = {"reward": [1.0, 0.0, 1.0, 1.0], "propensity": [0.5, 0.25, 0.5, 0.5], "target_propensity": [0.5, 0.5, 0.25, 0.5]}


def test_an_evaluation_takes_it_from_the_rows() -> None:
    """It is the fold over w and r in their order; estimators that it does not bound say so."""
    found = evaluate_frame(pl.DataFrame(LOG), Question(interval="eb_mixture", reward_range=(0, 2)))["columns"]
    weights, rewards = np.array([1.0, 2.0, 0.5, 1.0]), np.array([1.0, 0.0, 1.0, 1.0])
    by_name = {one.estimator: one for one in found.estimates}
    assert by_name["ips"].interval == bounds(Range(0.0, 2.0), weights, rewards, level=0.95)
    assert by_name["ips"].method == "eb_mixture"
    assert all(math.isnan(bound) for bound in by_name["snips"].interval)
    assert (
        "eb_mixture bounds ips, dr with --largest-weight and --past-predictions; without an interval: snips"
        in found.notes[0]
    )


def test_files_are_read_one_after_the_other(tmp_path) -> None:
    """Two files are the log that they were cut from."""
    frame = pl.concat([pl.DataFrame(LOG)] * 50)
    frame[:99].write_parquet(tmp_path / "a.parquet")
    frame[99:].write_csv(tmp_path / "b.csv")
    asked = {"estimators": ["ips"], "interval": "eb_mixture", "reward_range": (0, 1)}
    [whole] = evaluate_frame(frame, Question(**asked))["columns"].estimates
    [parts] = evaluate_files([tmp_path / "a.parquet", tmp_path / "b.csv"], Question(**asked))["columns"].estimates
    assert parts.interval == whole.interval


@pytest.mark.parametrize("ending", ["parquet", "csv", "ndjson", "frame"])
def test_a_log_is_read_in_parts(tmp_path, monkeypatch, ending) -> None:
    """In parts of 7 rows it has the bounds of one pass to the bit, and the right row is named."""
    frame = pl.concat([pl.DataFrame(LOG)] * 25)
    asked = {"estimators": ["ips", "replay:2"], "interval": "eb_mixture", "reward_range": (0, 1)}

    def judged(log):
        if ending == "frame":
            return evaluate_frame(log, Question(**asked))["columns"].estimates
        path = tmp_path / f"log.{ending}"
        getattr(log, f"write_{ending}")(path)
        return evaluate_files([path], Question(**asked))["columns"].estimates

    whole = judged(frame)
    monkeypatch.setattr(ordered, "AT_ONCE", 7)
    parts = judged(frame)
    assert parts[0].interval == whole[0].interval
    assert parts[1].value == pytest.approx(whole[1].value, rel=1e-12)
    bad = frame.with_columns(reward=pl.when(pl.int_range(pl.len()).is_in([50, 80])).then(9.0).otherwise("reward"))
    with pytest.raises(InvalidLog, match=r"row 51: reward is '?9(\.0)?'?; .* \(2 rows break a rule.\)"):
        judged(bad)


def test_what_it_needs_is_said(tmp_path) -> None:
    """The range must be declared, be one, and hold the rewards: a row outside is named."""
    with pytest.raises(InvalidRequest, match=r"needs --reward-range LO,HI"):
        evaluate_frame(pl.DataFrame(LOG), Question(interval="eb_mixture"))
    with pytest.raises(InvalidLog, match=r"row 1: reward is 1\.0; --reward-range says .* \(3 rows break a rule.\)"):
        evaluate_frame(pl.DataFrame(LOG), Question(interval="eb_mixture", reward_range=(0, 0.5)))
    for bad in ((1.0, 0.0), (0.0, math.inf), (0.0, math.nan)):
        with pytest.raises(InvalidRequest, match="two finite numbers, the smaller first"):
            evaluate_frame(pl.DataFrame(LOG), Question(interval="eb_mixture", reward_range=bad))
    pl.DataFrame(LOG).write_csv(tmp_path / "log.csv")
    command = ["ope", "evaluate", str(tmp_path / "log.csv"), "--interval", "eb_mixture", "--reward-range"]
    assert CliRunner().invoke(app, [*command, "0,1", "--format", "json"]).exit_code == 0
    for said in ("0", "a,b", "0,1,2"):
        refused = CliRunner().invoke(app, [*command, said])
        assert refused.exit_code == 2
        assert f"--reward-range is {said!r}; it is LOW,HIGH with LOW < HIGH, such as 0,1." in refused.output
    with pytest.raises(TypeError, match="fold in decision order"):
        Mixture() + Mixture()
