"""Target policies as expressions: uniform, logged and one fixed action, which need only the log, and scored ones.

Each is scored row by row into the canonical columns. What the online model predicted before the
reward (`predicted_rewards`) gives DM and DR a q that was trained on the past only. Scoring works on
nested columns and is therefore written in polars; the sums that follow are not.
"""

from collections.abc import Callable
from dataclasses import dataclass

import polars as pl

from ope.errors import InvalidRequest
from ope.scorer import Scorer

DISTRIBUTION, PREDICTED, N_ACTIONS = "distribution", "predicted_rewards", "n_actions"
SPECS = "uniform, logged, fixed:ID, LOOP@VERSION or FILE.json"


@dataclass(frozen=True, slots=True)
class Policy:
    """A target policy as row-wise expressions over a log's columns.

    `propensity` is its probability of the logged action; over the logging distribution, `value` maps
    the list of predicted rewards to the policy's expected one and `off_support` is its mass on
    actions of logged probability 0. `known` marks the rows where its action occurs, if it has one.
    """

    name: str
    propensity: Callable[[bool], pl.Expr]
    value: Callable[[pl.Expr], pl.Expr]
    off_support: pl.Expr
    action: str | None = None

    def known(self, *, distribution: bool) -> pl.Expr | None:
        """Return 1 where the policy's fixed action was logged or could have been."""
        if self.action is None:
            return None
        played = logged_action() == self.action
        return (played | _is_in_row(self.action)) if distribution else played


def scored_policy(name: str) -> Policy:
    """Return a policy whose propensities a scorer has put into the log's columns."""
    own = pl.col(scored_distribution(name))
    impossible = _masses().list.eval((pl.element() <= 0).cast(pl.Float64))
    return Policy(
        name=name,
        propensity=lambda _: pl.col(scored_propensity(name)),
        value=lambda predicted: (predicted * own).list.sum(),
        off_support=(own * impossible).list.sum(),
    )


def scored_propensity(target: str) -> str:
    """Return the name of the column with a scored target's probability of the logged action."""
    return f"honeyguide: {target}: propensity"


def scored_distribution(target: str) -> str:
    """Return the name of the column with a scored target's whole distribution, aligned with the logged one."""
    return f"honeyguide: {target}: distribution"


def parse_policy(spec: str, scorer: Scorer | None = None) -> Policy:
    """Return what `uniform`, `logged`, `fixed:ID` or a target of the scorer names; else raise InvalidRequest."""
    if scorer is not None and spec in scorer.targets:
        return scored_policy(spec)
    kind, _, action = spec.partition(":")
    if spec == "uniform":
        return _uniform()
    if spec == "logged":
        return _logged()
    if kind == "fixed" and action:
        return _fixed(action)
    raise InvalidRequest(f"unknown policy {spec!r}; a policy is {SPECS}.")


def logged_action() -> pl.Expr:
    """Return the logged action's id as text, as ids are compared."""
    return pl.col("action").cast(pl.String)


def action_ids() -> pl.Expr:
    """Return the ids of the row's distribution, list<str>."""
    return pl.col(DISTRIBUTION).list.eval(pl.element().struct.field("action").cast(pl.String))


def at_logged_action(values: pl.Expr) -> pl.Expr:
    """Return the entry of a list, aligned with the distribution, at the logged action; else null."""
    # A list cannot be compared with another column element by element; 64-bit hashes can be
    # subtracted, and 0 marks the place. Reading the id back there rules a collision out.
    ids = action_ids()
    distance = ids.list.eval(pl.element().hash()) - logged_action().hash()
    place = distance.list.eval(pl.element() == 0).list.arg_max()
    found = ids.list.get(place, null_on_oob=True) == logged_action()
    return pl.when(found).then(values.list.get(place, null_on_oob=True))


def _uniform() -> Policy:
    return Policy(
        name="uniform",
        propensity=lambda distribution: 1.0 / (pl.col(DISTRIBUTION).list.len() if distribution else pl.col(N_ACTIONS)),
        value=lambda predicted: predicted.list.mean(),
        off_support=_masses().list.eval((pl.element() <= 0).cast(pl.Float64)).list.mean(),
    )


def _logged() -> Policy:
    return Policy(
        name="logged",
        propensity=lambda _: pl.col("propensity"),
        value=lambda predicted: (predicted * _masses()).list.sum(),
        off_support=pl.lit(0.0),
    )


def _fixed(action: str) -> Policy:
    is_it = pl.element().struct.field("action").cast(pl.String) == action
    mass = pl.when(is_it).then(pl.element().struct.field("propensity")).otherwise(0.0)
    place = action_ids().list.eval(pl.element() == action).list.arg_max()
    return Policy(
        name=f"fixed:{action}",
        propensity=lambda _: (logged_action() == action).cast(pl.Float64),
        # Where the action is not eligible the target earns nothing, in DM and DR as in IPS.
        value=lambda predicted: (
            pl.when(_is_in_row(action))
            .then(predicted.list.get(place, null_on_oob=True))
            .when(predicted.is_not_null())
            .then(0.0)
        ),
        off_support=(pl.col(DISTRIBUTION).list.eval(mass).list.sum() <= 0).cast(pl.Float64),
        action=action,
    )


def _masses() -> pl.Expr:
    return pl.col(DISTRIBUTION).list.eval(pl.element().struct.field("propensity").cast(pl.Float64))


def _is_in_row(action: str) -> pl.Expr:
    return action_ids().list.contains(pl.lit(action))
