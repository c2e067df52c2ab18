"""Policies that need only the log, on exports small enough to check by hand."""

import polars as pl
import pytest

from ope.errors import InvalidLog, InvalidRequest
from ope.evaluate import evaluate_files, evaluate_frame
from ope.frames import Columns
from ope.question import Question
from ope.report.exact_json import report_as_json


def distribution(**mass):
    """Return a row's logging distribution."""
    return [{"action": action, "propensity": p} for action, p in mass.items()]


EXPORT = pl.DataFrame(
    {
        "action": ["a", "b", "b"],
        "propensity": [0.5, 0.25, 1.0],
        "reward": [1.0, 0.0, 1.0],
        "distribution": [
            distribution(a=0.5, b=0.5),
            distribution(c=0.75, b=0.25),
            distribution(b=1.0, a=0.0),
        ],
        "predicted_rewards": [[0.5, 0.25], [0.0, 0.5], [1.0, 0.0]],
    }
)


def judged(policy, frame=EXPORT, **options):
    """Return one policy's evaluation and its values by estimator."""
    evaluation = evaluate_frame(frame, Question(policies=[policy], **options))[policy]
    return evaluation, {one.estimator: one.value for one in evaluation.estimates}


def test_uniform():
    """Weights (1/2)/p: 1, 2, 0.5; one of six action places could not be played."""
    evaluation, values = judged("uniform")
    assert values["ips"] == pytest.approx((1 + 0 + 0.5) / 3)
    assert values["dm"] == pytest.approx((0.375 + 0.25 + 0.5) / 3)
    assert values["dr"] == pytest.approx((0.375 + 0.5 + 0.25 - 2 * 0.5 + 0.5 + 0) / 3)
    assert evaluation.diagnostics.support_deficit == pytest.approx(1 / 6)
    assert evaluation.diagnostics.max_weight == 2.0


def test_logged():
    """Every weight is 1, no mass is off support, and DM is the predicted value of what was done."""
    evaluation, values = judged("logged")
    assert values["ips"] == values["snips"] == pytest.approx(2 / 3)
    assert values["dm"] == pytest.approx((0.375 + 0.125 + 1.0) / 3)
    assert evaluation.diagnostics.ess == pytest.approx(3)
    assert (evaluation.diagnostics.mean_weight_z, evaluation.diagnostics.support_deficit) == (0.0, 0.0)


def test_fixed():
    """Only rows where the action was played weigh; where it could not be, the mass is off support."""
    evaluation, values = judged("fixed:a")
    assert values["ips"] == pytest.approx(2 / 3)
    assert values["snips"] == pytest.approx(1.0)
    assert values["dm"] == pytest.approx((0.5 + 0 + 0) / 3)  # ineligible in row 2: it earns nothing
    assert values["dr"] == pytest.approx((0.5 + 2 * (1 - 0.5)) / 3)
    assert evaluation.diagnostics.support_deficit == pytest.approx(2 / 3)


def test_fixed_id_with_a_colon_or_a_number():
    """An id is everything after the first colon, and 3 in the log is fixed:3."""
    _, values = judged("fixed:a:1", EXPORT.drop("distribution").with_columns(pl.col("action").replace("a", "a:1")))
    assert values["ips"] == pytest.approx(2 / 3)
    numbered = EXPORT.drop("distribution").with_columns(action=pl.Series([3, 4, 4]))
    assert judged("fixed:3", numbered)[1]["ips"] == pytest.approx(2 / 3)


def test_fixed_action_that_never_occurs():
    """An id that no row knows is refused with the ids that there are."""
    with pytest.raises(InvalidRequest, match=r"action 'z' never occurs in the log\. Its actions are a, b\."):
        judged("fixed:z")


def test_fixed_action_that_was_never_played_but_could_be():
    """An action that only distributions name is a target: its weights are all 0."""
    evaluation, values = judged("fixed:c")
    assert values["ips"] == 0.0
    assert evaluation.diagnostics.support_deficit == pytest.approx(2 / 3)


def test_fixed_action_in_one_file_of_two(tmp_path):
    """An action needs to occur in one file of the log, not in each."""
    EXPORT[:1].write_parquet(tmp_path / "1.parquet")
    EXPORT[1:2].write_parquet(tmp_path / "2.parquet")
    report = evaluate_files(sorted(tmp_path.iterdir()), Question(policies=["fixed:a"]))
    assert report["fixed:a"].n == 2


def test_without_distribution():
    """n_actions is enough for uniform; what is off support is then unknown."""
    plain = EXPORT.drop("distribution", "predicted_rewards").with_columns(n_actions=2)
    evaluation, values = judged("uniform", plain)
    assert values["ips"] == pytest.approx((1 + 0 + 0.5) / 3)
    assert evaluation.diagnostics.support_deficit is None
    with pytest.raises(InvalidRequest, match="there is no column 'n_actions'"):
        judged("uniform", plain.drop("n_actions"))


def test_other_column_names():
    """--reward and --propensity name the logged columns under a policy too."""
    renamed = EXPORT.rename({"reward": "click", "propensity": "p"})
    columns = Columns(reward="click", propensity="p")
    assert judged("logged", renamed, columns=columns)[1] == judged("logged")[1]
    assert judged("uniform", renamed, columns=columns)[1] == judged("uniform")[1]


def test_several_policies_keep_their_order():
    """Policies are reported by name, in the order asked, each once."""
    report = report_as_json(evaluate_frame(EXPORT, Question(policies=["logged", "fixed:a", "uniform", "logged"])))
    assert list(report) == ["policies"]
    assert list(report["policies"]) == ["logged", "fixed:a", "uniform"]


def test_pandas_exports_too():
    """An export in pandas gives the same numbers as in polars."""
    assert judged("uniform", EXPORT.to_pandas())[1] == judged("uniform")[1]


@pytest.mark.parametrize("predicted", [[None] * 3, [[None, None], None, []]], ids=["null cells", "empty or null lists"])
def test_no_predictions(predicted):
    """A policy that predicts nothing leaves IPS and SNIPS, and says what was left out."""
    frame = EXPORT.with_columns(predicted_rewards=pl.Series(predicted, dtype=pl.List(pl.Float64)))
    evaluation, values = judged("uniform", frame)
    assert list(values) == ["ips", "snips", "beta_ips", "clipped_ips"]
    assert evaluation.notes[0] == "left out dm, dr, sndr, switch_dr, dros: predicted_rewards is null in 3 of 3 rows"


def test_some_predictions_missing():
    """DM and DR asked for by name need a prediction in each row."""
    frame = EXPORT.with_columns(predicted_rewards=pl.Series([[0.5, 0.25], None, [1.0, 0.0]]))
    assert list(judged("uniform", frame)[1]) == ["ips", "snips", "beta_ips", "clipped_ips"]
    with pytest.raises(InvalidRequest, match=r"dr: predicted_rewards is null in 1 of 3 rows; they need it"):
        judged("uniform", frame, estimators=["ips", "dr"])


@pytest.mark.parametrize("predicted", [[0.5], [0.5, None], [0.5, float("nan")]])
def test_predictions_that_do_not_fit(predicted):
    """A list of predictions that is not one finite number for each action is refused with its row."""
    frame = EXPORT.with_columns(predicted_rewards=pl.Series([[0.5, 0.25], predicted, [1.0, 0.0]]))
    with pytest.raises(InvalidLog, match=r"frame: row 2: .*predicted_rewards is (None|nan); a predicted reward is a"):
        judged("uniform", frame)


def test_empty_distribution():
    """A row without actions has no distribution; the error names the row."""
    frame = EXPORT.with_columns(
        distribution=pl.Series([[], *EXPORT["distribution"][1:]], dtype=EXPORT.schema["distribution"])
    )
    with pytest.raises(InvalidLog, match=r"row 1: the sum of distribution is 0\.0; a distribution adds up to 1"):
        judged("uniform", frame.drop("predicted_rewards"))


def test_distribution_as_text():
    """A distribution that is not a list of pairs is refused with the way out."""
    with pytest.raises(InvalidLog, match=r"'distribution' holds String; .*Parquet or NDJSON, or drop it"):
        judged("uniform", EXPORT.with_columns(distribution=pl.lit("[]")))


@pytest.mark.parametrize("spec", ["greedy", "fixed", "fixed:", "uniform:3", ""])
def test_unknown_policy(spec):
    """A policy that is not in the list is refused with the list."""
    with pytest.raises(InvalidRequest, match="a policy is uniform, logged, fixed:ID, LOOP@VERSION"):
        judged(spec)
