"""Models for each fold, fitted on the others: no row is predicted by a model that has seen its decision's reward.

Cross-fitting (Chernozhukov et al. 2018, "double machine learning"; Narita, Yasui and Yata 2021 for DR).
"""

import math
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from ope.errors import InvalidLog
from ope.reward_models.asked import RewardModel
from ope.reward_models.encoding import Encoder
from ope.reward_models.fitting import Fitted, Floats, fitted
from ope.reward_models.learning import learn
from ope.reward_models.reading import Batch
from ope.reward_models.sample import Sample


@dataclass(frozen=True, slots=True, eq=False)
class CrossFitted:
    """A model for each fold that has rows."""

    encoder: Encoder
    models: dict[int, Fitted]

    def predict(self, batch: Batch) -> Floats:
        """Return the predicted reward of each action of each row, row after row."""
        ids = batch.actions
        pairs = self.encoder.pairs(batch, ids)
        fold = np.repeat(batch.folds, [len(one) for one in ids])
        found = np.empty(len(pairs))
        for one in np.unique(fold):
            found[fold == one] = self.models[int(one)].predict(pairs.taken(fold == one))
        return found


def cross_fitted(batches: Iterable[Batch], encoder: Encoder, model: RewardModel, *, name: str) -> CrossFitted:
    """Return the models, of one pass over the log; raises InvalidLog where a fold has no others to learn from."""
    # Each fold's complement then has about `rows` of them.
    sample = Sample(math.ceil(model.rows * model.folds / (model.folds - 1)))
    seen: set[int] = set()
    for batch in batches:
        seen.update(batch.folds.tolist())
        learn(batch, encoder, sample)
    return CrossFitted(encoder, {fold: _without(fold, sample, model, name=name) for fold in sorted(seen)})


def _without(fold: int, sample: Sample, model: RewardModel, *, name: str) -> Fitted:
    pairs, rewards = sample.rows(most=model.rows, among=lambda row: row.fold != fold)
    if not len(rewards):
        together = "decisions" if model.fold_by is None else f"values of {model.fold_by}"
        raise InvalidLog(
            f"{name}: all rows with a reward are in one fold of {model.folds}, so that there are none to learn from. "
            f"More {together} make more folds; or leave --model out."
        )
    return fitted(model.kind, pairs, rewards, seed=model.seed)
