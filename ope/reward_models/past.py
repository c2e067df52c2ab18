"""Models trained on the past only: each row is predicted by one that was fitted on rows before it.

They are fitted anew whenever the log has doubled. The prediction of a row is then a function of the rows before it,
which is what a confidence sequence of DR needs (Waudby-Smith, Wu, Ramdas, Karampatziakis and Mineiro 2022, section 2)
and cross-fitting is not.
"""

import numpy as np

from ope.reward_models.asked import RewardModel
from ope.reward_models.encoding import Encoder
from ope.reward_models.fitting import Fitted, Floats, fitted
from ope.reward_models.learning import learn
from ope.reward_models.reading import Batch
from ope.reward_models.sample import Sample

FIRST = 128
"""Rows that are predicted by 0, which makes IPS of DR; then come 128, 256, 512, … rows under one model each."""


class Past:
    """Predicts a batch, then learns from it; batches come in decision order."""

    def __init__(self, encoder: Encoder, model: RewardModel) -> None:
        self._encoder, self._model = encoder, model
        self._sample = Sample(model.rows)
        self._seen, self._cut = 0, FIRST
        self._fitted: Fitted | None = None

    def predict(self, batch: Batch) -> Floats:
        """Return the predicted reward of each action of each row, row after row."""
        found, start = [], 0
        while start < len(batch):
            end = min(len(batch), start + self._cut - self._seen)
            part = batch.between(start, end)
            found.append(self._predicted(part))
            self._learn(part)
            start = end
        return np.concatenate(found)

    def _predicted(self, batch: Batch) -> Floats:
        ids = batch.actions
        if self._fitted is None:
            return np.zeros(sum(map(len, ids)))
        return self._fitted.predict(self._encoder.pairs(batch, ids))

    def _learn(self, batch: Batch) -> None:
        learn(batch, self._encoder, self._sample)
        self._seen += len(batch)
        if self._seen < self._cut:
            return
        self._cut *= 2
        pairs, rewards = self._sample.rows(most=self._model.rows, among=lambda _: True)
        if len(rewards):
            self._fitted = fitted(self._model.kind, pairs, rewards, seed=self._model.seed)
