"""How rewards are to be predicted, as it is said: a model, how it is fitted, and from what."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

from ope.errors import InvalidRequest

PredictionsFrom: TypeAlias = Literal["cross_fitted", "past", "column"]
"""Where predicted rewards come from: of models fitted without the row's fold; of what was known before the decision,
as anytime-valid claims need it; or a column that says nothing of it."""

CROSS_FITTED, PAST, COLUMN = "cross_fitted", "past", "column"
FITS = (CROSS_FITTED, PAST)
KINDS = ("auto", "ridge", "logistic", "gradient_boosting")
CONTEXT = "context"
FEWEST, MOST = 2, 100


@dataclass(frozen=True, slots=True, kw_only=True)
class RewardModel:
    """A model of the reward, each field the command's option of its name; see docs/reference/ope.md.

    `kind` is one of KINDS, or an unfitted scikit-learn regressor or classifier, which is cloned.
    `rows` is how many it is fitted on at most, `features` the columns that hold what was known when deciding.
    Raises InvalidRequest for what cannot be.
    """

    kind: Any = "auto"
    fit: str = CROSS_FITTED
    folds: int = 5
    fold_by: str | None = None
    rows: int = 100_000
    features: Sequence[str] = (CONTEXT,)
    seed: int = 0

    def __post_init__(self) -> None:
        """Refuse what cannot be asked."""
        _check_kind(self.kind)
        if self.fit not in FITS:
            raise InvalidRequest(f"--model-fit {self.fit}: there is no such way; it is {' or '.join(FITS)}.")
        if not FEWEST <= self.folds <= MOST:
            raise InvalidRequest(f"--folds is {self.folds}; it is from {FEWEST} to {MOST}. Try 5.")
        if self.fit == PAST and self.fold_by is not None:
            raise InvalidRequest(
                f"--fold-by {self.fold_by}: models of the past have no folds. Leave it out, or ask for --model-fit "
                "cross_fitted."
            )
        if self.rows < 1:
            raise InvalidRequest(f"--model-rows is {self.rows}; a model learns from at least one row. Try 100000.")
        if not 0 <= self.seed < 2**64:
            raise InvalidRequest(f"--seed is {self.seed}; it is from 0 to 2^64 - 1. Try 0.")

    @property
    def name(self) -> str:
        """The model's name, for people to read."""
        return self.kind if isinstance(self.kind, str) else type(self.kind).__name__


def _check_kind(kind: Any) -> None:  # noqa: ANN401
    if isinstance(kind, str):
        if kind not in KINDS:
            raise InvalidRequest(f"--model {kind}: there is no such model; the models are {', '.join(KINDS)}.")
    elif isinstance(kind, type) or not hasattr(kind, "fit") or not hasattr(kind, "predict"):
        raise InvalidRequest(
            f"the model is {kind!r}; it is a scikit-learn regressor or classifier, or one of {', '.join(KINDS)}."
        )
