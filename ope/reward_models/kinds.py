"""The models that can be named, and scikit-learn estimators that are handed in; knows no log.

A linear model sees each action's own copy of the context (`pairs.crossed`), a tree finds such things by itself.
"""

from collections.abc import Callable
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
from sklearn.base import clone, is_classifier
from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor
from sklearn.exceptions import NotFittedError
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import MaxAbsScaler
from sklearn.utils import get_tags
from sklearn.utils.validation import check_is_fitted

from ope.errors import InvalidRequest

Floats: TypeAlias = npt.NDArray[np.float64]
Recipe: TypeAlias = Callable[[Floats, int], Any]


def _ridge(_: Floats, __: int) -> Any:  # noqa: ANN401 - scikit-learn has no types
    # Features are scaled to at most 1, so that one penalty suits them all; the solver is exact to what is printed.
    return make_pipeline(MaxAbsScaler(), Ridge(alpha=1.0, solver="sparse_cg", tol=1e-10))


def _logistic(rewards: Floats, _: int) -> Any:  # noqa: ANN401
    if not binary(rewards):
        odd = rewards[~np.isin(rewards, (0.0, 1.0))][0]
        raise InvalidRequest(
            f"--model logistic: a reward is {odd:g}; it predicts rewards that are 0 or 1. Ask for --model ridge."
        )
    return make_pipeline(MaxAbsScaler(), LogisticRegression(C=1.0, max_iter=1_000))


def _auto(rewards: Floats, seed: int) -> Any:  # noqa: ANN401
    return (_logistic if binary(rewards) else _ridge)(rewards, seed)


def _gradient_boosting(rewards: Floats, seed: int) -> Any:  # noqa: ANN401
    kind = HistGradientBoostingClassifier if binary(rewards) else HistGradientBoostingRegressor
    return kind(random_state=seed % 2**32)


KINDS: dict[str, Recipe] = {
    "auto": _auto,
    "ridge": _ridge,
    "logistic": _logistic,
    "gradient_boosting": _gradient_boosting,
}
"""Each returns a model for these rewards and seed; `auto` is logistic where each of them is 0 or 1, and else ridge."""


def binary(rewards: Floats) -> bool:
    """Say whether every reward is 0 or 1."""
    return bool(np.isin(rewards, (0.0, 1.0)).all())


def check_unfitted(kind: Any) -> None:  # noqa: ANN401
    """Raise InvalidRequest for an estimator that was fitted already: on what, nobody can tell."""
    if isinstance(kind, str) or not _is_fitted(kind):
        return
    raise InvalidRequest(
        f"the model {type(kind).__name__} is fitted already, and if that was on rows of this log, DM and DR would "
        "judge by what it remembers. Give it unfitted: it is cloned and fitted without the rows that it predicts. "
        "Predictions of a model that was trained elsewhere may stand in columns: --trained-until."
    )


def _is_fitted(estimator: Any) -> bool:  # noqa: ANN401
    try:
        check_is_fitted(estimator)
    except NotFittedError:
        return False
    return True


def fresh(kind: Any, rewards: Floats, *, seed: int) -> Any:  # noqa: ANN401
    """Return an unfitted model of the kind, for these rewards."""
    return KINDS[kind](rewards, seed) if isinstance(kind, str) else clone(kind)


def takes_sparse(kind: Any) -> bool:  # noqa: ANN401
    """Say whether models of the kind read sparse matrices, and so thousands of features."""
    some = fresh(kind, np.zeros(1), seed=0)
    return bool(get_tags(some).input_tags.sparse)


def expected(model: Any, matrix: Any) -> Floats:  # noqa: ANN401
    """Return the model's expected reward of each row of the matrix, shape (m,)."""
    if is_classifier(model):
        found: Floats = model.predict_proba(matrix) @ model.classes_.astype(np.float64)
        return found
    return np.asarray(model.predict(matrix), dtype=np.float64).reshape(-1)
