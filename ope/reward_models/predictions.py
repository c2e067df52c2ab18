"""A log with the rewards that a model predicts, in the columns that the estimators read, while it is judged.

They lie in files of their own, of a folder that is removed afterwards.
"""

import itertools
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Protocol

import numpy as np
import pyarrow as pa

from ope.errors import InvalidLog
from ope.formats.source import Source
from ope.frames import PREDICTED as OF_COLUMNS
from ope.frames import Columns
from ope.policies import DISTRIBUTION, PREDICTED
from ope.reward_models.asked import PAST, RewardModel
from ope.reward_models.beside import lists, written_beside
from ope.reward_models.cross_fitted import cross_fitted
from ope.reward_models.encoding import Encoder
from ope.reward_models.fitting import Floats
from ope.reward_models.kinds import check_unfitted, takes_sparse
from ope.reward_models.past import Past
from ope.reward_models.reading import MASSES, TARGET, Batch, batches
from ope.scoring import in_polars

ROUNDING = 1e-6
"""How far from 1 the target's propensities of a row may add up to."""


class Predictor(Protocol):
    """Predicts the rewards of a batch's actions; batches come in the log's order."""

    def predict(self, batch: Batch) -> Floats:
        """Return the predicted reward of each action of each row, row after row."""


@dataclass(frozen=True, slots=True)
class Table:
    """What is written of a batch."""

    schema: pa.Schema
    of: Callable[[Batch, Floats], dict[str, pa.Array]]


def _of_lists(batch: Batch, found: Floats) -> dict[str, pa.Array]:
    return {PREDICTED: lists(batch.actions, found)}


def _of_values(batch: Batch, found: Floats) -> dict[str, pa.Array]:
    ends = np.cumsum([len(one) for one in batch.actions])
    parts = np.split(found, ends[:-1])
    masses = [one or [] for one in batch.rows[MASSES].to_list()]
    rows = [
        (None, None) if not len(part) else (part[-1], _expected(batch, row, mass, part[:-1]))
        for row, mass, part in zip(batch.numbers, masses, parts, strict=True)
    ]
    return {
        name: pa.array(column, pa.float64()) for name, column in zip(OF_COLUMNS, zip(*rows, strict=True), strict=True)
    }


def _expected(batch: Batch, row: int, masses: Sequence[float | None], rewards: Floats) -> float:
    known = np.array(masses, dtype=np.float64)  # None becomes NaN, which the rule refuses
    if not ((known >= 0).all() and abs(known.sum() - 1) <= ROUNDING):
        raise InvalidLog(
            f"{batch.name}: row {row:,}: {TARGET} has the propensities {known.tolist()}; they are at least 0 and add "
            "up to 1. Compute the target's distribution anew."
        )
    return float(known @ rewards)


LISTS = Table(pa.schema({PREDICTED: pa.list_(pa.float64())}), _of_lists)
VALUES = Table(pa.schema(dict.fromkeys(OF_COLUMNS, pa.float64())), _of_values)


@contextmanager
def predicted(
    sources: Sequence[Source], columns: Columns, model: RewardModel, *, policies: bool
) -> Iterator[list[Source]]:
    """Yield the log with predictions: lists under `policies`, else those of the logged action and of the target.

    Raises InvalidRequest where the log has not what they are predicted from, InvalidLog for a row that is broken.
    """
    check_unfitted(model.kind)
    scored = [in_polars(source) for source in sources]
    log = _Log(scored, columns, model, DISTRIBUTION if policies else TARGET)
    predictor = _predictor(log)
    with TemporaryDirectory(prefix="honeyguide-") as folder:
        yield [
            _written(log, place, predictor, LISTS if policies else VALUES, Path(folder) / f"{place}.parquet")
            for place in range(len(scored))
        ]


@dataclass(frozen=True, slots=True)
class _Log:
    sources: Sequence[Source]
    columns: Columns
    model: RewardModel
    over: str

    def batches(self, place: int) -> Iterator[Batch]:
        return batches(self.sources[place], self.columns, self.model, over=self.over, place=place)


def _predictor(log: _Log) -> Predictor:
    model = log.model
    encoder = Encoder(model.features, crossed=takes_sparse(model.kind))
    if model.fit == PAST:
        return Past(encoder, model)
    every = itertools.chain.from_iterable(log.batches(place) for place in range(len(log.sources)))
    return cross_fitted(every, encoder, model, name=log.sources[0].name)


def _written(log: _Log, place: int, predictor: Predictor, table: Table, path: Path) -> Source:
    parts = (table.of(batch, predictor.predict(batch)) for batch in log.batches(place))
    return written_beside(log.sources[place], parts, table.schema, path)
