"""What is asked of a log by the linter, and the row-wise columns that the answers are summed from."""

from collections.abc import Sequence
from dataclasses import dataclass

import polars as pl

from ope.diagnostics.canonical import Canon
from ope.diagnostics.thresholds import Limits
from ope.errors import InvalidRequest
from ope.evaluation import OF_COLUMNS
from ope.formats.columns import ROW_WEIGHT
from ope.policies import Policy, at_logged_action
from ope.rules import ROUNDING


@dataclass(frozen=True, slots=True)
class Asked:
    """The options of a lint: `window` in microseconds, `trained_through` a position of the outcome log."""

    limits: Limits
    policies: tuple[Policy, ...] = ()
    segments: tuple[str, ...] = ()
    reward_range: tuple[float, float] | None = None
    window: int | None = None
    trained_through: int | None = None


@dataclass(frozen=True, slots=True)
class Target:
    """A policy whose weights are judged: the frame's columns with its weight and its mass off support, if known."""

    name: str
    weight: str
    off_support: str | None


@dataclass(frozen=True, slots=True)
class Question:
    """A log, what is asked of it, and its rows with all that is computed row by row.

    Columns of `rows` beside those of `Canon`: `index`; `usable`, whether the propensity is one; of the
    distribution `whole` (it is one), `mass` (its sum), `own` (its entry for the logged action), `most`
    (what its most likely actions have together) and `greedy` (one of them was drawn); `q`, what was
    predicted for the logged action; `h`, how many decisions the row stands for, where the log says so; and each
    target's weight, times h, null where the row gives none.
    """

    log: Canon
    asked: Asked
    rows: pl.LazyFrame
    targets: tuple[Target, ...]

    def has(self, *roles: str) -> bool:
        """Say whether the log has all these roles."""
        return self.log.there.issuperset(roles)

    @property
    def predicted(self) -> bool:
        """Whether there are predictions of the logged actions' rewards."""
        return self.has("q_logged") or self.has("predicted_rewards", "distribution", "action")


def question(log: Canon, asked: Asked) -> Question:
    """Return the log as a question. Raises InvalidRequest for a policy that needs a column which is not there."""
    rows = log.frame.with_row_index("index")
    if "propensity" in log.there:
        rows = rows.with_columns(usable=_is_probability(pl.col("propensity")) & (pl.col("propensity") > 0))
    if ROW_WEIGHT in log.there:
        h = pl.col(ROW_WEIGHT)
        rows = rows.with_columns(h=pl.when(h.is_finite() & (h > 0)).then(h))
    if "distribution" in log.there:
        rows = _with_distribution(rows, action="action" in log.there)
    question = Question(log, asked, rows, ())
    rows, targets = _with_targets(question)
    return Question(log, asked, _with_prediction(question, rows), targets)


def _is_probability(p: pl.Expr) -> pl.Expr:
    return ((p >= 0) & (p <= 1 + ROUNDING)).fill_null(value=False)


def _with_distribution(rows: pl.LazyFrame, *, action: bool) -> pl.LazyFrame:
    p = pl.col("distribution").list.eval(pl.element().struct.field("propensity"))
    entry = pl.element().struct.field("propensity")
    sound = (
        (entry >= 0) & (entry <= 1 + ROUNDING) & entry.is_finite() & pl.element().struct.field("action").is_not_null()
    )
    whole = pl.col("distribution").list.eval(sound.fill_null(value=False)).list.all() & (p.list.len() > 0)
    rows = rows.with_columns(masses=p, whole=whole.fill_null(value=False))
    rows = rows.with_columns(mass=pl.col("masses").list.sum())
    if not action:
        return rows
    # What is most likely may be tied; floats that were computed in another order differ in the last digits.
    largest = pl.col("masses").list.max()
    ties = (pl.col("masses") / largest).list.eval(pl.element() >= 1 - ROUNDING).list.sum()
    rows = rows.with_columns(own=at_logged_action(pl.col("masses")), largest=largest, most=largest * ties)
    return rows.with_columns(greedy=pl.col("own") >= pl.col("largest") * (1 - ROUNDING))


def _with_targets(q: Question) -> tuple[pl.LazyFrame, tuple[Target, ...]]:
    if not q.has("propensity"):
        return q.rows, ()
    if not q.asked.policies:
        if not q.has("target_propensity"):
            return q.rows, ()
        weight = _weight(q, pl.col("target_propensity"))
        return q.rows.with_columns(weight.alias("weight 0")), (Target(OF_COLUMNS, "weight 0", None),)
    rows, targets = q.rows, []
    for place, policy in enumerate(q.asked.policies):
        _check(policy, q)
        known = q.has("distribution")
        columns = {f"weight {place}": _weight(q, policy.propensity(known).cast(pl.Float64))}
        if known:
            columns[f"off {place}"] = pl.when(pl.col("whole")).then(policy.off_support)
        rows = rows.with_columns(**columns)
        targets.append(Target(policy.name, f"weight {place}", f"off {place}" if known else None))
    return rows, tuple(targets)


def _weight(q: Question, target: pl.Expr) -> pl.Expr:
    weight = pl.when(pl.col("usable") & _is_probability(target)).then(target / pl.col("propensity"))
    return weight * pl.col("h") if q.has(ROW_WEIGHT) else weight


def _check(policy: Policy, q: Question) -> None:
    if policy.action is not None and not q.has("action"):
        raise InvalidRequest(
            f"--policy {policy.name}: the log has no column 'action'. Name yours with --column action=NAME."
        )
    if policy.name == "uniform" and not (q.has("distribution") or q.has("n_actions")):
        raise InvalidRequest(
            "--policy uniform: the log has neither a distribution nor n_actions, so that nobody knows how many "
            "actions there were. Name yours with --column n_actions=NAME, or judge logged or fixed:ID."
        )


def _with_prediction(q: Question, rows: pl.LazyFrame) -> pl.LazyFrame:
    if q.has("q_logged"):
        return rows.with_columns(q=pl.col("q_logged"))
    if not q.predicted:
        return rows
    lists = pl.col("predicted_rewards")
    aligned = pl.when(lists.list.len() == pl.col("distribution").list.len()).then(lists)
    return rows.with_columns(q=at_logged_action(aligned))


def version_position(version: str) -> int:
    """Return the position of `line@position`; raises InvalidRequest for another text."""
    line, at, position = version.rpartition("@")
    if not (line and at and position.isdigit()):
        raise InvalidRequest(
            f"--target-version is {version!r}; a version is LINE@POSITION, such as linear_ts-35bf1cbd@3594."
        )
    return int(position)


def reward_range(text: str | None) -> tuple[float, float] | None:
    """Return the two bounds of `LOW,HIGH`; raises InvalidRequest for another text."""
    if text is None:
        return None
    try:
        low, high = (float(part) for part in text.split(","))
    except ValueError:
        low, high = 1.0, 0.0
    if not low < high:
        raise InvalidRequest(f"--reward-range is {text!r}; it is LOW,HIGH with LOW < HIGH, such as 0,1.")
    return low, high


def names(options: Sequence[str]) -> tuple[str, ...]:
    """Return the options, each once."""
    return tuple(dict.fromkeys(options))
