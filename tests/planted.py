"""A healthy log, and one log for each fault that the linter knows, healthy but for that fault."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache

import numpy as np
import polars as pl

ROWS = 4_000
IDS = np.array(["a", "b", "c", "d"])
PAIRS = pl.List(pl.Struct({"action": pl.String, "propensity": pl.Float64}))


@cache
def healthy(seed: int = 0, *, rows: int = ROWS) -> pl.DataFrame:
    """Return a log of four actions whose probabilities differ from row to row, every column of it right."""
    rng = np.random.default_rng(seed)
    p = rng.dirichlet(np.full(4, 5.0), rows) * 0.8 + 0.05
    drawn = (p.cumsum(axis=1) > rng.random((rows, 1))).argmax(axis=1)
    means = 0.2 + 0.15 * np.arange(4)
    noise = rng.uniform(-0.1, 0.1, (rows, 4))
    at = np.arange(rows)
    reward = rng.binomial(1, (means + noise)[at, drawn]).astype(float)
    pairs = [[{"action": a, "propensity": x} for a, x in zip(IDS, row, strict=True)] for row in p.tolist()]
    return pl.DataFrame(
        {
            "decision_id": [f"d-{i}" for i in range(rows)],
            "at": pl.Series(at * 60_000_000).cast(pl.Datetime("us", "UTC")),
            "action": IDS[drawn],
            "propensity": p[at, drawn],
            "distribution": pl.Series(pairs, dtype=PAIRS),
            "reward": reward,
            "outcome": np.where(reward > 0, "rewarded", "expired"),
            "predicted_rewards": pl.Series((means + noise).tolist()),
            "loop": "news",
            "model_version": [f"line-1@{i + 500}" for i in at],
            "country": np.where(rng.random(rows) < 0.5, "no", "se"),
        }
    )


def columns_only(seed: int = 0, *, rows: int = ROWS) -> pl.DataFrame:
    """Return a healthy foreign log without distributions: action, propensities, reward, predictions."""
    log = healthy(seed, rows=rows)
    return log.select("action", "propensity", "reward", n_actions=pl.lit(4), target_propensity=pl.lit(0.25))


@dataclass(frozen=True, slots=True)
class Planted:
    """A fault: the log that has it, the policy and options under which it shows, and the finding that names it."""

    code: str
    log: Callable[[], pl.DataFrame]
    severity: str = "refuse"
    rows: tuple[int, ...] = ()
    policy: str | None = "uniform"
    options: tuple[tuple[str, object], ...] = ()


def at_rows(*rows: int) -> pl.Expr:
    """Return the mask of rows, counted from 1."""
    return pl.int_range(pl.len()).is_in([row - 1 for row in rows])


def changed(column: str, value: object, *rows: int) -> pl.DataFrame:
    """Return the healthy log with another value in some rows of a column."""
    log = healthy()
    fault = pl.lit(value, dtype=log.schema[column])
    return log.with_columns(pl.when(at_rows(*rows)).then(fault).otherwise(pl.col(column)).alias(column))


def columns_changed(column: str, value: object, *rows: int) -> pl.DataFrame:
    """Return the healthy columns-only log with another value in some rows of a column."""
    fault = pl.when(at_rows(*rows)).then(pl.lit(value)).otherwise(pl.col(column))
    return columns_only().with_columns(fault.alias(column))


def reweighted(*entries: float) -> list[dict[str, object]]:
    """Return a distribution of these masses."""
    return [{"action": a, "propensity": x} for a, x in zip(IDS, entries, strict=True)]


def _log_of(p: np.ndarray, drawn: np.ndarray, logged: np.ndarray | None = None) -> pl.DataFrame:
    log = healthy(rows=len(p))
    rng = np.random.default_rng(1)
    pairs = [reweighted(*row) for row in (p if logged is None else logged).tolist()]
    shown = (p if logged is None else logged)[np.arange(len(p)), drawn]
    reward = rng.binomial(1, 0.4, len(p)).astype(float)
    return log.drop("predicted_rewards", "outcome").with_columns(
        pl.Series("action", IDS[drawn]),
        pl.Series("propensity", shown),
        pl.Series("distribution", pairs, dtype=PAIRS),
        pl.Series("reward", reward),
    )


def _probabilities(rows: int = ROWS, seed: int = 2) -> np.ndarray:
    p = np.random.default_rng(seed).dirichlet(np.full(4, 5.0), rows) * 0.8 + 0.05
    return p / p.sum(axis=1, keepdims=True)


def _sample(p: np.ndarray, seed: int = 3) -> np.ndarray:
    return (p.cumsum(axis=1) > np.random.default_rng(seed).random((len(p), 1))).argmax(axis=1)


def argmax_logged() -> pl.DataFrame:
    """Return a log whose most likely action was always played."""
    p = _probabilities()
    return _log_of(p, p.argmax(axis=1))


def overexplored() -> pl.DataFrame:
    """Return a log in which a quarter of the decisions was drawn uniformly and logged as if not."""
    p = _probabilities()
    p = np.where(np.arange(4) == p.argmax(axis=1)[:, None], 0.85, 0.05)
    return _log_of(0.75 * p + 0.25 / 4, _sample(0.75 * p + 0.25 / 4), logged=p)


def miscalibrated() -> pl.DataFrame:
    """Return a log whose logged distributions have two actions' names exchanged; no action is the likeliest of all."""
    p = np.full((ROWS, 4), 0.25)
    p[:, 0], p[:, 1] = 0.17, 0.33
    p[::2] = p[::2][:, [1, 0, 2, 3]]  # so that the likeliest is as often one as the other
    drawn = p.copy()
    drawn[:, 2], drawn[:, 3] = 0.15, 0.35
    drawn[:, :2] = p[:, :2]
    return _log_of(drawn, _sample(drawn), logged=p)


def deficient() -> pl.DataFrame:
    """Return a log whose logger never plays one action."""
    p = np.concatenate([_probabilities()[:, :3], np.zeros((ROWS, 1))], axis=1)
    p /= p.sum(axis=1, keepdims=True)
    return _log_of(p, _sample(p))


def without_distribution(w: np.ndarray) -> pl.DataFrame:
    """Return a columns-only log whose weights are these, without predictions; propensities are not tested then."""
    p = np.full(len(w), 0.1)
    rng = np.random.default_rng(4)
    log = {"propensity": np.where(w > 1, 0.1 / w.clip(1), p), "reward": rng.binomial(1, 0.4, len(w)).astype(float)}
    log["target_propensity"] = log["propensity"] * w
    return pl.DataFrame(log)


def one_heavy() -> pl.DataFrame:
    """Return a log in which one row has 8% of the weight, and 800 times that of another."""
    w = np.random.default_rng(5).uniform(0.5, 1.5, 10_000)
    w[6_999] = 850
    return without_distribution(w)


def heavy_percent() -> pl.DataFrame:
    """Return a log in which 1% of the rows have 60% of the weight."""
    w = np.full(10_000, 0.4)
    w[::100] = 60.4
    return without_distribution(w)


def heavy_tail() -> pl.DataFrame:
    """Return a log whose weights have a Pareto tail of k = 0.75, of mean 1, no single one of them large."""
    u = (np.arange(40_000) + 0.5) / 40_000
    w = np.random.default_rng(6).permutation((u**-0.75 - 1) / 0.75)
    return without_distribution(w / w.mean())


def few_effective() -> pl.DataFrame:
    """Return a log of 80 rows."""
    return healthy(rows=80).with_columns(reward=pl.int_range(pl.len()) % 2 * 1.0).drop("outcome", "predicted_rewards")


def rare_action() -> pl.DataFrame:
    """Return a log in which one action is played with a probability of 0.002."""
    p = np.tile([0.4, 0.3, 0.298, 0.002], (ROWS, 1))
    return _log_of(p, _sample(p, seed=9))


def small_segment() -> pl.DataFrame:
    """Return a log with 40 rows of a third country, whose weights are unequal."""
    log = healthy(seed=1)
    return log.with_columns(country=pl.when(at_rows(*range(1, 41))).then(pl.lit("dk")).otherwise(pl.col("country")))


def lost_rewards() -> pl.DataFrame:
    """Return a log in which no reward came for twelve hours, and the default was filled in."""
    lost = at_rows(*range(1_441, 2_161))
    log = healthy().drop("predicted_rewards")
    return log.with_columns(
        reward=pl.when(lost).then(0.0).otherwise(pl.col("reward")),
        outcome=pl.when(lost).then(pl.lit("expired")).otherwise(pl.col("outcome")),
    )


def twice() -> pl.DataFrame:
    """Return a log in which 100 decisions were written twice."""
    log = healthy()
    return pl.concat([log, log.slice(1_000, 100)]).sort("at", maintain_order=True)


def twice_without_ids() -> pl.DataFrame:
    """Return the same without ids: the times tell."""
    return twice().drop("decision_id")


def predictions(predict: Callable[[pl.Expr], pl.Expr]) -> pl.DataFrame:
    """Return a log whose predictions are a function of what they should be."""
    return healthy().with_columns(predicted_rewards=pl.col("predicted_rewards").list.eval(predict(pl.element())))


def constant_propensity() -> pl.DataFrame:
    """Return a log with 1/4 filled in for every propensity, where actions were played 70:10:10:10."""
    p = np.tile([0.7, 0.1, 0.1, 0.1], (ROWS, 1))
    log = columns_only().with_columns(pl.Series("action", IDS[_sample(p)]))
    return log.with_columns(propensity=pl.lit(0.25))


def misdrawn_columns() -> pl.DataFrame:
    """Return a log without distributions in which action a is played twice as often as its propensities say."""
    p = _probabilities()
    q = p * [2, 1, 1, 1]
    q /= q.sum(axis=1, keepdims=True)
    drawn = _sample(q)
    log = columns_only().with_columns(
        pl.Series("action", IDS[drawn]), pl.Series("propensity", p[np.arange(ROWS), drawn])
    )
    return log.drop("target_propensity")


def q_missing(column: str) -> pl.DataFrame:
    """Return the healthy log with predictions in a column of their own, one of which is missing."""
    predicted = pl.col("predicted_rewards").list.mean()
    return healthy().with_columns(pl.when(~at_rows(5)).then(predicted).alias(column))


def off_sum() -> pl.DataFrame:
    """Return the healthy log with one distribution too large; the logged action's entry is right."""
    row = healthy().row(5, named=True)
    pairs = [
        pair if pair["action"] == row["action"] else pair | {"propensity": pair["propensity"] + 0.02}
        for pair in row["distribution"]
    ]
    return changed("distribution", pairs, 6)


def mismatch() -> pl.DataFrame:
    """Return the healthy log with one propensity 10% above its distribution's."""
    return changed("propensity", healthy()["propensity"][5] * 1.1, 6)


def certain(part: float) -> pl.DataFrame:
    """Return a log in which a part of the decisions was made with probability 1."""
    p = _probabilities()
    p[: int(part * ROWS)] = np.eye(4)[np.arange(int(part * ROWS)) % 4]
    p = p[np.random.default_rng(8).permutation(ROWS)]
    return _log_of(p, _sample(p))


def few_rewards() -> pl.DataFrame:
    """Return a log with 20 rewards."""
    some = at_rows(*range(100, 4_000, 200))
    log = healthy().drop("outcome", "predicted_rewards")
    return log.with_columns(reward=pl.when(some).then(1.0).otherwise(0.0))


def shuffled() -> pl.DataFrame:
    """Return the healthy log with its 11th to 30th rows before the first ten."""
    log = healthy()
    return pl.concat([log.slice(10, 20), log.head(10), log.slice(30)])


def open_rewards(*rows: int) -> pl.DataFrame:
    """Return the healthy log with these rewards still open."""
    return changed("reward", None, *rows)


def as_list(column: str) -> pl.DataFrame:
    """Return the healthy log with each value of a column in a list."""
    return healthy().with_columns(pl.concat_list(column).alias(column))


def below_one() -> pl.DataFrame:
    """Return a columns-only log whose target's propensities add up to 0.8."""
    return columns_only().with_columns(target_propensity=pl.lit(0.2))


SMALL_SEGMENTS = (("segments", ("country",)), ("limits", {"segment_ess_warn": 39, "segment_share": 0.001}))


PLANTED: tuple[Planted, ...] = (
    Planted("column_missing", lambda: healthy().drop("propensity"), policy=None),
    Planted("column_missing", lambda: healthy().drop("reward")),
    Planted("column_type", lambda: as_list("propensity"), policy=None),
    Planted("no_rows", lambda: healthy().clear()),
    Planted("propensity_missing", lambda: changed("propensity", None, 7, 9), rows=(7, 9)),
    Planted("propensity_missing", lambda: changed("propensity", float("nan"), 8), rows=(8,)),
    Planted("propensity_zero", lambda: changed("propensity", 0.0, 3), rows=(3,)),
    Planted("propensity_zero", lambda: changed("propensity", -0.2, 3), rows=(3,)),
    Planted("propensity_above_one", lambda: changed("propensity", 25.0, 4_000), rows=(4_000,)),
    Planted("target_invalid", lambda: columns_changed("target_propensity", 1.5, 2), rows=(2,), policy=None),
    Planted("reward_invalid", lambda: changed("reward", float("nan"), 5), rows=(5,)),
    Planted("reward_invalid", lambda: changed("reward", float("inf"), 5), rows=(5,)),
    Planted("reward_range", lambda: changed("reward", 7.0, 5), rows=(5,), options=(("reward_range", (0.0, 1.0)),)),
    Planted("action_missing", lambda: changed("action", None, 5), severity="warn", rows=(5,)),
    Planted("time_invalid", lambda: changed("at", None, 5), severity="warn", rows=(5,)),
    Planted("id_missing", lambda: changed("decision_id", None, 5), severity="warn", rows=(5,)),
    Planted("row_weight_invalid", lambda: healthy().with_columns(row_weight=pl.when(~at_rows(7)).then(1.0)), rows=(7,)),
    Planted("q_logged_invalid", lambda: q_missing("q_logged"), severity="warn", rows=(5,)),
    Planted("q_target_invalid", lambda: q_missing("q_target"), severity="warn", rows=(5,)),
    Planted("distribution_invalid", lambda: changed("distribution", None, 6), rows=(6,)),
    Planted("distribution_invalid", lambda: changed("distribution", reweighted(-0.5, 0.5, 0.5, 0.5), 6), rows=(6,)),
    Planted("distribution_sum", off_sum, rows=(6,)),
    Planted("action_impossible", lambda: changed("action", "z", 6), rows=(6,)),
    Planted("propensity_mismatch", mismatch, rows=(6,)),
    Planted("argmax_logged", argmax_logged),
    Planted("overexplored", overexplored),
    Planted("calibration", miscalibrated),
    Planted("calibration", misdrawn_columns),
    Planted("propensity_constant", constant_propensity),
    Planted("no_exploration", lambda: certain(1.0), policy="logged"),
    Planted("no_exploration", lambda: certain(0.95), severity="warn", policy="logged"),
    Planted("support_deficit", deficient),
    Planted("ess", few_effective, severity="warn"),
    Planted("ess", lambda: few_effective().head(25), options=(("limits", {"rewards_few_warn": 0}),)),
    Planted("action_ess", rare_action, severity="warn"),
    Planted("segment_ess", small_segment, severity="warn", options=SMALL_SEGMENTS),
    Planted("largest_weight", one_heavy, severity="warn", rows=(7_000,), policy=None),
    Planted("top_share", heavy_percent, severity="warn", policy=None),
    Planted("weight_tail", heavy_tail, severity="warn", policy=None),
    Planted("mean_weight", below_one, policy=None),
    Planted("rewards_missing", lambda: open_rewards(*range(500, 560)), rows=(500, 501, 502, 503, 504)),
    Planted("rewards_missing", lambda: open_rewards(500), severity="warn", rows=(500,)),
    Planted(
        "rewards_immature", lambda: open_rewards(*range(3_900, 4_001)), "warn", (3_900, 3_901, 3_902, 3_903, 3_904)
    ),
    Planted(
        "rewards_immature",
        lambda: changed("outcome", "provisional", 3_990),
        severity="warn",
        rows=(3_990,),
        options=(("window", 900_000_000),),
    ),
    Planted("reward_gap", lost_rewards),
    Planted("reward_constant", lambda: healthy().drop("outcome").with_columns(reward=pl.lit(0.0))),
    Planted("rewards_few", few_rewards, severity="warn"),
    Planted("duplicates", twice, rows=(1_001, 1_002)),
    Planted("duplicates", twice_without_ids, rows=(1_001, 1_002)),
    Planted("duplicates", lambda: changed("decision_id", "d-10", 12), severity="warn", rows=(11, 12)),
    Planted("disorder", shuffled, severity="warn", rows=(21,)),
    Planted("mixed_loops", lambda: changed("loop", "offers", 40, 41), rows=(40, 41)),
    Planted("overlap", healthy, rows=(1, 2, 3, 4, 5), options=(("trained_through", 510),)),
    Planted("overlap", lambda: healthy().with_columns(trained=at_rows(8)), rows=(8,)),
    Planted("q_bias", lambda: predictions(lambda q: q + 0.5), severity="warn"),
    Planted("q_slope", lambda: predictions(lambda q: (q - 0.425) * 4 + 0.425), severity="warn"),
)
"""Broken lines and unreadable files need a file: `test_broken_files` has them."""
