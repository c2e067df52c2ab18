"""How an action's probability given its embedding is to be learned, as it is said; fits nothing."""

from dataclasses import dataclass
from typing import Any

from ope.errors import InvalidRequest
from ope.frames import Columns
from ope.reward_models.asked import RewardModel

COUNT, LOGISTIC = "count", "logistic"


@dataclass(frozen=True, slots=True, kw_only=True)
class EmbeddingModel:
    """A classifier of actions by their embeddings, cross-fitted; each field the command's option of its name.

    `kind` is "logistic" or an unfitted scikit-learn classifier with `predict_proba`, which is cloned. Raises
    InvalidRequest for what cannot be.
    """

    kind: Any = LOGISTIC
    folds: int = 5
    fold_by: str | None = None
    rows: int = 100_000
    seed: int = 0

    def __post_init__(self) -> None:
        """Refuse what cannot be asked."""
        if isinstance(self.kind, str) and self.kind != LOGISTIC:
            raise InvalidRequest(
                f"--embedding-model {self.kind}: there is no such model; categories are told by {COUNT}, lists of "
                f"numbers by {LOGISTIC}."
            )
        if self.kind != LOGISTIC and (isinstance(self.kind, type) or not hasattr(self.kind, "predict_proba")):
            raise InvalidRequest(
                f"the model of the embedding is {self.kind!r}; it is {LOGISTIC} or a scikit-learn classifier with "
                "predict_proba."
            )
        self.reading("")

    def reading(self, column: str) -> RewardModel:
        """Return how a log is cut into folds and sampled for it, with the embedding's column to read."""
        return RewardModel(folds=self.folds, fold_by=self.fold_by, rows=self.rows, seed=self.seed, features=(column,))


def check_embedding(columns: Columns, model: EmbeddingModel | None) -> None:
    """Raise InvalidRequest for a model of an embedding that is not named."""
    if model is not None and columns.embedding is None:
        raise InvalidRequest("--embedding-model is of the column that --embedding names; name it, or leave it out.")
