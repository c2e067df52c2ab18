"""Offers a batch's rows to the sample that models are fitted on; encodes only those that may be taken."""

import numpy as np

from ope.reward_models.encoding import Encoder
from ope.reward_models.reading import ACTION, Batch
from ope.reward_models.sample import Row, Sample


def learn(batch: Batch, encoder: Encoder, sample: Sample) -> None:
    """Offer the rows that have a reward; what is wrong with the others is said where they are judged."""
    ranks = batch.ranks
    usable = np.isfinite(batch.rewards) & batch.rows[ACTION].is_not_null().to_numpy()
    keep = usable & (ranks <= np.uint64(min(sample.ceiling, 2**64 - 1)))
    if not keep.any():
        return
    chosen = batch.taken(keep)
    parts = zip(ranks[keep], chosen.folds, encoder.played(chosen), chosen.rewards, strict=True)
    for rank, fold, features, reward in parts:
        sample.offer(int(rank), Row(int(fold), features, float(reward)))
