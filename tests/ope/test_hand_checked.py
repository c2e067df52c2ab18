"""Cases small enough to verify with a pencil."""

import math

import polars as pl
import pytest

from ope.evaluate import evaluate_frame
from ope.question import Question
from ope.report.exact_json import report_as_json

FOUR_ROWS = pl.DataFrame(
    {
        "reward": [1.0, 0.0, 1.0, 0.0],
        "propensity": [0.5, 0.5, 0.25, 1.0],
        "target_propensity": [1.0, 0.5, 0.5, 0.0],  # weights 2, 1, 2, 0
        "q_logged": [0.5, 0.5, 1.0, 0.0],
        "q_target": [0.5, 0.25, 0.75, 0.5],
    }
)


def estimates(frame, **options):
    """Return the single target's estimates by name."""
    (evaluation,) = evaluate_frame(frame, Question(**options)).values()
    return {estimate.estimator: estimate for estimate in evaluation.estimates}


def test_ips():
    """(2·1 + 1·0 + 2·1 + 0)/4 = 1; terms 2, 0, 2, 0 have sample variance 4/3."""
    found = estimates(FOUR_ROWS)["ips"]
    assert found.value == pytest.approx(1.0, abs=1e-15)
    assert found.stderr == pytest.approx(math.sqrt(4 / 3 / 4), rel=1e-14)


def test_snips():
    """4/5 = 0.8; the standard error is √(2²·0.2² + 1²·0.8² + 2²·0.2²)/5."""
    found = estimates(FOUR_ROWS)["snips"]
    assert found.value == pytest.approx(0.8, rel=1e-15)
    assert found.stderr == pytest.approx(math.sqrt(0.16 + 0.64 + 0.16) / 5, rel=1e-14)


def test_dm():
    """(0.5 + 0.25 + 0.75 + 0.5)/4 = 0.5, with sample variance 0.125/3."""
    found = estimates(FOUR_ROWS)["dm"]
    assert found.value == pytest.approx(0.5, rel=1e-15)
    assert found.stderr == pytest.approx(math.sqrt(0.125 / 3 / 4), rel=1e-14)


def test_dr():
    """Terms 0.5 + 2·0.5, 0.25 − 0.5, 0.75 + 0, 0.5: 1.5, −0.25, 0.75, 0.5, mean 0.625."""
    found = estimates(FOUR_ROWS)["dr"]
    assert found.value == pytest.approx(0.625, rel=1e-15)
    spread = sum((term - 0.625) ** 2 for term in (1.5, -0.25, 0.75, 0.5))
    assert found.stderr == pytest.approx(math.sqrt(spread / 3 / 4), rel=1e-14)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("clipped_ips:1.5", (1.5 + 1.5) / 4),
        ("clipped_snips:1.5", 3 / 4),  # weights 1.5, 1, 1.5, 0
        ("switch_ips:1.5", 0.0),  # weights 0, 1, 0, 0, and the second row earned nothing
        ("os_ips:4", (1 + 1) / 4),  # 4·2/(4 + 4) = 1
        ("sg_ips:0.5", (4 / 3 + 4 / 3) / 4),  # 2/(1 − ½ + ½·2) = 4/3
        ("clipped_dr:1.5", (0.5 + 0.75 + 0.25 - 0.5 + 0.75 + 0.5) / 4),
        ("switch_dr:1.5", (0.5 + 0.25 - 0.5 + 0.75 + 0.5) / 4),
        ("dros:4", (0.5 + 0.5 + 0.25 - 0.8 * 0.5 + 0.75 + 0.5) / 4),
        ("sg_dr:0.5", (0.5 + 4 / 3 * 0.5 + 0.25 - 0.5 + 0.75 + 0.5) / 4),
        ("sndr", 0.5 + (1 - 0.5 + 0) / 5),
        # w = 2, 1, 2, 0 and w r = 2, 0, 2, 0: Cov/Var = 3/2.75, and 1 − 3/2.75·(1.25 − 1)
        ("beta_ips", 1 - 3 / 2.75 / 4),
    ],
)
def test_weights_and_forms(name, value):
    """Each transform, and each form, worked out on paper: residuals are 0.5, −0.5, 0, 0."""
    assert estimates(FOUR_ROWS, estimators=[name])[name].value == pytest.approx(value, rel=1e-14)


def test_max_weight_bounds_all_transforms_alike():
    """A largest weight of 4 is λ = 4 for clipping and switching, 16 for shrinkage, 1/4 for sub-Gaussian weights."""
    bounded = estimates(FOUR_ROWS, estimators=["clipped_ips", "switch_dr", "dros", "sg_dr"], max_weight=4)
    named = estimates(FOUR_ROWS, estimators=["clipped_ips:4", "switch_dr:4", "dros:16", "sg_dr:0.25"])
    assert [one.value for one in bounded.values()] == [one.value for one in named.values()]


def test_normal_interval():
    """A 95% interval reaches 1.959964 standard errors to each side, a 68.27% one reaches one."""
    wide, narrow = estimates(FOUR_ROWS)["ips"], estimates(FOUR_ROWS, level=0.682689492137086)["ips"]
    assert wide.interval[1] - wide.value == pytest.approx(1.959963984540054 * wide.stderr, rel=1e-13)
    assert narrow.value - narrow.interval[0] == pytest.approx(narrow.stderr, rel=1e-12)


def test_diagnostics():
    """Weights 2, 1, 2, 0: ESS 25/9, largest 2, mean 1.25, sample variance 2.75/3."""
    (evaluation,) = evaluate_frame(FOUR_ROWS).values()
    found = evaluation.diagnostics
    assert found.ess == pytest.approx(25 / 9, rel=1e-14)
    assert (found.max_weight, found.mean_weight) == (2.0, 1.25)
    assert found.mean_weight_z == pytest.approx(0.25 / math.sqrt(2.75 / 3 / 4), rel=1e-14)
    assert found.support_deficit is None


def test_one_row_has_a_value_but_no_spread():
    """With n = 1 every standard error and bound is null, and nothing warns."""
    report = report_as_json(
        evaluate_frame(FOUR_ROWS.head(1), Question(estimators=["ips", "snips", "dm", "dr", "sndr"]))
    )
    assert report["n"] == 1
    assert [one["value"] for one in report["estimates"]] == [2.0, 1.0, 0.5, 1.5, 1.0]
    assert all(one["stderr"] is None and one["interval"] == [None, None] for one in report["estimates"])
    assert report["diagnostics"]["mean_weight_z"] is None


def test_all_weights_zero():
    """A target that never plays what was logged: IPS is 0, SNIPS undefined, no row counts."""
    report = report_as_json(evaluate_frame(FOUR_ROWS.with_columns(target_propensity=0.0)))
    by_name = {one["estimator"]: one for one in report["estimates"]}
    assert (by_name["ips"]["value"], by_name["ips"]["stderr"]) == (0.0, 0.0)
    assert (by_name["snips"]["value"], by_name["snips"]["stderr"]) == (None, None)
    assert (report["diagnostics"]["ess"], report["diagnostics"]["max_weight"]) == (0.0, 0.0)


def test_logging_policy_is_the_plain_mean():
    """Where target and logging policy agree, IPS and SNIPS are the mean reward and its error."""
    frame = FOUR_ROWS.with_columns(target_propensity=pl.col("propensity"))
    found = estimates(frame)
    assert found["ips"].value == found["snips"].value == 0.5
    assert found["ips"].stderr == pytest.approx(math.sqrt(1 / 3 / 4), rel=1e-14)


def test_rewards_too_large_to_square():
    """An overflow is reported as undefined; the value stands, and nothing warns."""
    report = report_as_json(evaluate_frame(FOUR_ROWS.with_columns(reward=pl.col("reward") * 1e200)))
    assert report["estimates"][0]["value"] == pytest.approx(1e200)
    assert report["estimates"][0]["stderr"] is None


def test_weights_whose_squares_vanish():
    """Weights of 1e-200 have squares of 0: their effective rows are counted all the same, and nothing fails."""
    tiny = FOUR_ROWS.with_columns(target_propensity=pl.lit(1e-200), propensity=pl.lit(0.5))
    (found,) = evaluate_frame(tiny).values()
    assert found.diagnostics.ess == pytest.approx(4)
