"""Weights of an action's embedding, a list of numbers, fitted by a classifier that never saw the row.

w(x, e) = E[w(x, a) | x, e], over the logger's actions given what was seen of the one that was played (Saito and
Joachims 2022, section 4). By Bayes' rule p_log(a|x, e) ∝ p_log(a|x) p(e|a), and p(e|a) ∝ p(a|e)/p(a): the classifier
learns p(a|e) alone, and what the logger did in the row is taken from the log, where it is known exactly. As where
categories are counted, what an action is may be random but does not depend on the context.
"""

import itertools
import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, TypeAlias

import narwhals as nw
import numpy as np
import numpy.typing as npt
import polars as pl
import pyarrow as pa
from sklearn.base import clone
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from ope.embedding import SHARES
from ope.embedding_model import LOGISTIC, EmbeddingModel
from ope.errors import InvalidLog, InvalidRequest
from ope.formats.source import Source
from ope.frames import Columns, require
from ope.policies import DISTRIBUTION
from ope.reward_models.beside import lists, written_beside
from ope.reward_models.fitting import quiet
from ope.reward_models.kinds import check_unfitted
from ope.reward_models.pairs import Named
from ope.reward_models.reading import ACTION, Batch, batches, feature
from ope.reward_models.sample import Row, Sample
from ope.scoring import in_polars

Floats: TypeAlias = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class _Classifier:
    """p(a|e)/p(a) of the actions it has seen, which `place` has by id; `model` is None where there is but one."""

    place: dict[str, int]
    prior: Floats
    model: Any

    def ratios(self, embeddings: Floats) -> Floats:
        """Return p(a|e)/p(a) for each row and seen action, shape (m, k); then zeros, for those not seen."""
        if self.model is None:
            found = np.ones((len(embeddings), 1))
        else:
            with quiet():
                found = self.model.predict_proba(embeddings) / self.prior
        return np.hstack([found, np.zeros((len(embeddings), 1))])


@contextmanager
def with_shares(sources: Sequence[Source], columns: Columns, model: EmbeddingModel) -> Iterator[list[Source]]:
    """Yield the log with p(e|a) of each action of a row, up to a factor of the row.

    Raises InvalidRequest for a column that is not there or holds no lists, InvalidLog for a row without one.
    """
    check_unfitted(model.kind)
    column = columns.embedding or ""
    scored = [_with_lists(in_polars(source), column) for source in sources]
    log = _Log(scored, columns, model)
    models = _models(log)
    with TemporaryDirectory(prefix="honeyguide-") as folder:
        yield [
            written_beside(
                source,
                ({SHARES: lists(part.actions, _shares(part, models))} for part in log.batches(place)),
                pa.schema({SHARES: pa.list_(pa.float64())}),
                Path(folder) / f"{place}.parquet",
            )
            for place, source in enumerate(scored)
        ]


@dataclass(frozen=True, slots=True)
class _Log:
    sources: Sequence[Source]
    columns: Columns
    model: EmbeddingModel

    def batches(self, place: int) -> Iterator[Batch]:
        model = self.model.reading(self.columns.embedding or "")
        return batches(self.sources[place], self.columns, model, over=DISTRIBUTION, place=place)

    def __iter__(self) -> Iterator[Batch]:
        return itertools.chain.from_iterable(self.batches(place) for place in range(len(self.sources)))


def _with_lists(source: Source, column: str) -> Source:
    require(source, column, option="--embedding")
    frame: pl.LazyFrame = source.frame.to_native()
    kind, value = frame.collect_schema()[column], pl.col(column)
    if kind == pl.String:
        value = value.str.json_decode(pl.List(pl.Float64))
    elif kind.is_numeric():
        value = pl.concat_list(value)
    elif not (isinstance(kind, pl.List | pl.Array) and kind.inner.is_numeric()):
        raise InvalidRequest(
            f"{source.name}: {column} holds {kind}; a classifier reads lists of numbers. Leave --embedding-model out "
            "where they are categories."
        )
    return replace(source, frame=nw.from_native(frame.with_columns(value.cast(pl.List(pl.Float64)))))


def _embeddings(batch: Batch, length: int | None) -> Floats:
    cells = batch.rows[feature(0)].to_list()
    for row, cell in zip(batch.numbers, cells, strict=True):
        length = len(cell) if length is None and cell else length
        if not cell or len(cell) != length or not all(one is not None and math.isfinite(one) for one in cell):
            raise InvalidLog(
                f"{batch.name}: row {row:,}: the embedding is {cell!r}; it is a list of {length or 'some'} finite "
                "numbers, as in the rows before. Give each logged action its embedding."
            )
    return np.array(cells, dtype=np.float64)


def _models(log: _Log) -> dict[int, _Classifier]:
    options = log.model
    sample = Sample(math.ceil(options.rows * options.folds / (options.folds - 1)))
    names: list[str] = []
    place: dict[str, int] = {}
    seen: set[int] = set()
    length: int | None = None
    for batch in log:
        embeddings, folds = _embeddings(batch, length), batch.folds
        length = embeddings.shape[1]
        seen.update(folds.tolist())
        unnamed = np.zeros(length, np.uint64)
        for rank, fold, action, vector in zip(batch.ranks, folds, batch.rows[ACTION], embeddings, strict=True):
            if rank < sample.ceiling and action is not None:
                label = place.setdefault(action, len(place))
                sample.offer(int(rank), Row(int(fold), Named(unnamed, vector), float(label)))
    names = list(place)
    return {fold: _without(fold, sample, names, log) for fold in sorted(seen)}


def _without(fold: int, sample: Sample, names: Sequence[str], log: _Log) -> _Classifier:
    pairs, labels = sample.rows(most=log.model.rows, among=lambda row: row.fold != fold)
    if not len(labels):
        raise InvalidLog(
            f"{log.sources[0].name}: all rows are in one fold of {log.model.folds}, so that no action's embedding can "
            "be learned. More decisions make more folds; or leave --embedding out."
        )
    classes, counts = np.unique(labels, return_counts=True)
    place = {names[int(one)]: i for i, one in enumerate(classes)}
    if len(classes) == 1:
        return _Classifier(place, np.ones(1), None)
    model = _fresh(log.model.kind)
    with quiet():
        model.fit(pairs.values.reshape(len(labels), -1), labels)
    return _Classifier(place, counts / counts.sum(), model)


def _fresh(kind: Any) -> Any:  # noqa: ANN401 - scikit-learn has no types
    if kind == LOGISTIC:
        return make_pipeline(StandardScaler(), LogisticRegression(C=1.0, max_iter=1_000))
    return clone(kind)


def _shares(batch: Batch, models: dict[int, _Classifier]) -> Floats:
    """Return p(e|a) of each action of each row, the largest of a row being 1, row after row."""
    embeddings, folds, actions = _embeddings(batch, None), batch.folds, batch.actions
    found: list[Floats] = [np.empty(0)] * len(batch)
    for fold in np.unique(folds):
        own, model = np.flatnonzero(folds == fold), models[int(fold)]
        for row, ratio in zip(own, model.ratios(embeddings[own]), strict=True):
            one = ratio[[model.place.get(name, -1) for name in actions[row]]]
            # A factor of the row is nothing to a ratio, and what stands for probabilities stays below 1.
            found[row] = one / max(one.max(initial=0.0), np.finfo(float).tiny)
    return np.concatenate(found)
