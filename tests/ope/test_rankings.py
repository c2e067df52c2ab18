"""Rankings: whole slates, slots, prefixes and the pseudo-inverse, against paper, truth and plain numpy."""

import itertools

import numpy as np
import polars as pl
import pytest
import textbook

from ope.errors import InvalidLog, InvalidRequest
from ope.estimators.table import ESTIMATORS
from ope.evaluate import evaluate_files, evaluate_frame
from ope.question import Question

NAMES = [one.name for one in ESTIMATORS.values() if one.of_rankings]
ACTIONS, SLOTS = 4, 3
LOGGING = np.array([0.4, 0.3, 0.2, 0.1])
TARGET = np.array([0.1, 0.2, 0.3, 0.4])
CLICKS = np.array([0.2, 0.4, 0.5, 0.7])
DEPTH = np.array([1.0, 0.6, 0.4])
"""How much a slot is looked at; a click depends on slot and action alone, so that every assumption holds."""
SLATES = list(itertools.permutations(range(ACTIONS), SLOTS))


def prefixes(p, slate):
    """Return the probability of each prefix when actions are drawn one after the other, without replacement."""
    left, found = 1.0, []
    for action in slate:
        found.append((found[-1] if found else 1.0) * p[action] / left)
        left -= p[action]
    return found


def marginals(p):
    """Return the probability of each action in each slot, shape (SLOTS, ACTIONS)."""
    found = np.zeros((SLOTS, ACTIONS))
    for slate in SLATES:
        found[range(SLOTS), list(slate)] += prefixes(p, slate)[-1]
    return found


def model(slot):
    """Return a prediction for each action that a slot may hold; it knows nothing of the slots below."""
    return CLICKS * DEPTH[slot] + 0.1


def expected(above):
    """Return what the model expects of the target in the next slot, given the actions above."""
    left = np.where(np.isin(range(ACTIONS), above), 0, TARGET)
    return float(left @ model(len(above)) / left.sum())


ITEMS, TARGET_ITEMS = marginals(LOGGING), marginals(TARGET)
TRUTH = float((TARGET_ITEMS * CLICKS * DEPTH[:, None]).sum())


def simulated(rows, seed, *, cut=False):
    """Draw a log; with `cut` some rankings are shorter than others."""
    rng = np.random.default_rng(seed)
    shown = rng.choice(len(SLATES), rows, p=[prefixes(LOGGING, slate)[-1] for slate in SLATES])
    log = []
    for slate in (SLATES[i][: rng.integers(1, SLOTS + 1) if cut else SLOTS] for i in shown):
        depth = range(len(slate))
        clicks = [float(rng.random() < CLICKS[action] * DEPTH[slot]) for slot, action in enumerate(slate)]
        below, above = prefixes(LOGGING, slate), prefixes(TARGET, slate)
        log.append(
            {
                "reward": sum(clicks),
                "slot_rewards": clicks,
                "pscore": below[-1],
                "pscore_cascade": below,
                "pscore_item_position": [ITEMS[slot, action] for slot, action in enumerate(slate)],
                "target_pscore": above[-1],
                "target_pscore_cascade": above,
                "target_pscore_item_position": [TARGET_ITEMS[slot, action] for slot, action in enumerate(slate)],
                "q_slot_logged": [model(slot)[slate[slot]] for slot in depth],
                "q_slot_target": [expected(slate[:slot]) for slot in depth],
            }
        )
    return pl.DataFrame(log)


def by_name(frame, names=NAMES, **options):
    """Return {estimator: (value, stderr)}."""
    (evaluation,) = evaluate_frame(frame, Question(estimators=list(names), **options)).values()
    return {one.estimator: (one.value, one.stderr) for one in evaluation.estimates}


def test_two_rankings_by_hand():
    """Weights of slates 2 and 0.5, of slots (1, 2) and (0.5, 2), of prefixes (1, 2) and (0.5, 0.5)."""
    log = pl.DataFrame(
        {
            "reward": [1.0, 3.0],
            "slot_rewards": [[0.0, 1.0], [1.0, 2.0]],
            "pscore": [0.25, 0.5],
            "pscore_cascade": [[0.5, 0.25], [1.0, 0.5]],
            "pscore_item_position": [[0.5, 0.5], [1.0, 0.25]],
            "target_pscore": [0.5, 0.25],
            "target_pscore_cascade": [[0.5, 0.5], [0.5, 0.25]],
            "target_pscore_item_position": [[0.5, 1.0], [0.5, 0.5]],
            "q_slot_logged": [[0.5, 0.5], [0.0, 1.0]],
            "q_slot_target": [[1.0, 0.5], [1.0, 2.0]],
        }
    )
    found = {name: value for name, (value, _) in by_name(log).items()}
    assert found == pytest.approx(
        {
            "sips": (2 * 1 + 0.5 * 3) / 2,
            "snsips": 3.5 / 2.5,
            "iips": (0 + 2 + 0.5 + 4) / 2,
            "sniips": 0.5 / 1.5 + 6 / 4,
            "rips": (0 + 2 + 0.5 + 1) / 2,
            "snrips": 0.5 / 1.5 + 3 / 2.5,
            "cascade_dr": ((-0.5 + 1 + 1 + 0.5) + (0.5 + 1 + 0.5 + 1)) / 2,
            "pi": ((1 - 2 + 3) * 1 + (1 - 2 + 2.5) * 3) / 2,
            "snpi": (2 * 1 + 1.5 * 3) / 3.5,
        },
        rel=1e-14,
    )


@pytest.mark.parametrize("cut", [False, True], ids=["equally long", "of several lengths"])
def test_agreement_with_the_textbook(cut):
    """Values and errors are those of plain loops over lists, to 1e-12."""
    log = simulated(500, 31, cut=cut)
    expected = textbook.rankings(log.to_dict(as_series=False))
    assert set(expected) == set(NAMES)
    for name, found in by_name(log).items():
        assert found == pytest.approx(expected[name], rel=1e-12), name


def test_the_truth_is_found():
    """Each estimate of 20,000 rankings lies within 5 of its standard errors of the truth, 1 false alarm in 200,000.

    `pi` is left out: with `pscore_item_position` it takes slots as drawn independently, which these are not.
    """
    for name, (value, stderr) in by_name(simulated(20_000, 32)).items():
        if name not in {"pi", "snpi"}:
            assert abs(value - TRUTH) < 5 * stderr, name
            assert stderr < 0.1, name


def test_files_are_one_log(tmp_path):
    """Several files of rankings, of different lengths even, are one log."""
    log = simulated(60, 33, cut=True)
    shallow = log.filter(pl.col("slot_rewards").list.len() == 1)
    deep = log.filter(pl.col("slot_rewards").list.len() > 1)
    shallow.write_parquet(tmp_path / "a.parquet")
    deep.write_ndjson(tmp_path / "b.ndjson")
    report = evaluate_files(sorted(tmp_path.iterdir()), Question(estimators=NAMES))["columns"]
    expected = by_name(log)
    for one in report.estimates:
        assert (one.value, one.stderr) == pytest.approx(expected[one.estimator], rel=1e-11), one.estimator


def test_pandas_too():
    """Lists in pandas give the same numbers."""
    log = simulated(50, 34)
    for name, found in by_name(log.to_pandas()).items():
        assert found == pytest.approx(by_name(log)[name], rel=1e-12), name


EXPORT = pl.DataFrame(
    {
        "reward": [1.0, 2.0],
        "slot_rewards": [[0.0, 1.0], [2.0]],
        "distribution": [[{"action": a, "propensity": 0.25} for a in "abcd"], [{"action": "a", "propensity": 1.0}]],
        "pscore": [1 / 6, 1.0],
        "pscore_cascade": [[0.5, 1 / 6], [1.0]],
        "pscore_item_position": [[0.5, 0.125], [1.0]],
        "pscore_item_position_reason": [None, None],
    },
    schema_overrides={"pscore_item_position_reason": pl.String},
)


def test_uniform_rankings():
    """2 of 4 actions: 1/12 for the ranking, 1/4 for each prefix's first, 1/4 for each slot; 1 of 1 is certain."""
    found = by_name(EXPORT, ["sips", "iips", "rips"], policies=["uniform"])
    assert {name: value for name, (value, _) in found.items()} == pytest.approx(
        {"sips": (0.5 * 1 + 2) / 2, "iips": (2 * 1 + 2) / 2, "rips": (0.5 * 1 + 2) / 2}
    )


def test_logged_rankings():
    """The policy that logged has weight 1 everywhere: all say the mean reward."""
    names = [name for name in NAMES if name not in {"cascade_dr", "pi", "snpi"}]
    assert {value for value, _ in by_name(EXPORT, names, policies=["logged"]).values()} == {1.5}


WITHOUT_MARGINALS = EXPORT.with_columns(
    pscore_item_position=pl.Series([[0.5, 0.5], None], dtype=pl.List(pl.Float64)),
    pscore_item_position_reason=pl.Series([None, "guards changed since"]),
)


@pytest.mark.parametrize(
    ("frame", "options", "says"),
    [
        (WITHOUT_MARGINALS, {"policies": ["uniform"]}, r"iips needs .*null in 1 of 2 rows \(guards changed since\)"),
        (EXPORT.drop("slot_rewards"), {"policies": ["uniform"]}, "rips needs .*no column 'slot_rewards'"),
        (EXPORT, {}, "no column 'target_pscore'"),
        (EXPORT, {"policies": ["fixed:a"]}, "fixed:a chooses one action, no ranking. Judge uniform or logged"),
        (EXPORT, {"policies": ["uniform"], "estimators": ["iips", "ips"]}, "iips judges whole rankings and ips the"),
        (EXPORT, {"policies": ["uniform"], "estimators": ["pi"]}, "how likely two actions stand in two slots together"),
        (EXPORT, {"policies": ["uniform"], "estimators": ["cascade_dr"]}, "no column 'q_slot_logged'"),
        (EXPORT.drop("reward"), {"policies": ["uniform"]}, "there is no column 'reward'"),
        (
            EXPORT.with_columns(pscore_cascade=pl.lit("[]")),
            {"policies": ["uniform"]},
            "'pscore_cascade' holds String, no list",
        ),
    ],
)
def test_refusals_in_words(frame, options, says):
    """What a log of rankings lacks is named, with the export's own reason."""
    with pytest.raises(InvalidRequest, match=says):
        evaluate_frame(frame, Question(**({"estimators": ["rips", "iips"]} | options)))


@pytest.mark.parametrize(
    ("column", "value", "says"),
    [
        ("pscore_cascade", [0.5, 0.0], "a logged propensity is above 0 and at most 1"),
        ("pscore_item_position", [0.5, 1.5], "a logged propensity is above 0 and at most 1"),
        ("pscore_item_position", [0.5, float("nan")], "a logged propensity is above 0 and at most 1"),
        ("target_pscore_cascade", [0.5, -0.1], "a target's propensity is between 0 and 1"),
        ("target_pscore_item_position", [None, 0.1], "a target's propensity is between 0 and 1"),
        ("slot_rewards", [0.5, float("inf")], "it is a finite number"),
        ("slot_rewards", [0.5, None], "it is a finite number"),
        ("q_slot_target", [0.5, float("nan")], "it is a finite number"),
        ("slot_rewards", [0.5], "slot_rewards has 1"),
        ("pscore_cascade", [0.5, 0.2, 0.1, 0.1], "pscore_cascade has 4"),
        ("pscore", 0.0, "pscore is 0.0; the logged action's propensity is above 0"),
        ("target_pscore", 1.5, "target_pscore is"),
        ("reward", None, "reward is None; a reward is a finite number"),
        ("pi_weight", float("inf"), "pi_weight is inf; a weight is a finite number"),
    ],
)
def test_bad_rows(column, value, says):
    """Each broken list or number is refused with its row, the value and the rule."""
    log = simulated(5, 35).with_columns(pi_weight=1.0)
    values = log[column].to_list()
    values[2] = value
    bad = log.with_columns(pl.Series(column, values, dtype=log.schema[column]))
    with pytest.raises(InvalidLog, match=r"frame: row 3: ") as caught:
        evaluate_frame(bad, Question(estimators=NAMES))
    assert says in str(caught.value)


def test_what_one_file_lacks_the_log_lacks(tmp_path):
    """Marginals that are null in one of two files are null."""
    EXPORT.write_parquet(tmp_path / "a.parquet")
    WITHOUT_MARGINALS.write_parquet(tmp_path / "b.parquet")
    with pytest.raises(InvalidRequest, match=r"null in 1 of 2 rows \(guards changed since\)"):
        evaluate_files(sorted(tmp_path.iterdir()), Question(policies=["uniform"], estimators=["iips"]))
