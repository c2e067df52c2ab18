"""Reads what a reward model needs of a log, batch after batch, so that its length does not matter; learns nothing."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TypeAlias

import narwhals as nw
import numpy as np
import numpy.typing as npt
import polars as pl

from ope.errors import InvalidLog, InvalidRequest
from ope.formats.columns import LINE
from ope.formats.files import reading
from ope.formats.source import Source
from ope.frames import Columns, number, require
from ope.policies import logged_action
from ope.reward_models.asked import RewardModel
from ope.reward_models.folds import SAMPLE, Hashes, folds_of, hashes

Mask: TypeAlias = npt.NDArray[np.bool_]

AT_ONCE, MOST_PAIRS = 2_000, 50_000
"""Rows in memory at a time, and how many (row, action) pairs are encoded at a time."""

KEY, GROUP, ACTIONS, IDS, MASSES = "key", "group", "actions", "ids", "masses"
TARGET = "target_distribution"
"""The column with the target's distribution, where it is no policy that the log is scored by."""
ACTION, REWARD, ROW = "action", "reward", "row"


@dataclass(frozen=True, slots=True, eq=False)
class Batch:
    """Consecutive rows of a source, under names of our own.

    `numbers` are those of the rows in the source, from 1, `ids` what identifies their decisions.
    """

    name: str
    rows: pl.DataFrame
    numbers: npt.NDArray[np.int64]
    ids: Sequence[str]
    model: RewardModel

    def __len__(self) -> int:
        return len(self.numbers)

    @property
    def actions(self) -> list[list[str]]:
        """The ids of the actions to predict of each row; none where the row has no distribution."""
        return [one or [] for one in self.rows[IDS].to_list()]

    @property
    def rewards(self) -> npt.NDArray[np.float64]:
        """The rewards, NaN where there is none, shape (m,)."""
        return self.rows[REWARD].cast(pl.Float64).fill_null(np.nan).to_numpy()

    @property
    def ranks(self) -> Hashes:
        """The place of each row in the order in which rows are chosen to learn from, shape (m,)."""
        return hashes(self.ids, purpose=SAMPLE, seed=self.model.seed)

    @property
    def folds(self) -> npt.NDArray[np.int64]:
        """The fold of each row, shape (m,)."""
        groups = self.rows[GROUP].to_list()
        for row, one in zip(self.numbers, groups, strict=True):
            if one is None and self.model.fold_by is not None:
                raise InvalidLog(
                    f"{self.name}: row {row:,}: {self.model.fold_by} is null; rows are kept together by it. Give each "
                    "row one, or leave --fold-by out."
                )
        keys = self.ids if self.model.fold_by is None else groups
        return folds_of(keys, folds=self.model.folds, seed=self.model.seed)

    def taken(self, keep: Mask) -> "Batch":
        """Return the rows that are marked."""
        ids = [one for one, kept in zip(self.ids, keep, strict=True) if kept]
        return replace(self, rows=self.rows.filter(pl.Series(keep)), numbers=self.numbers[keep], ids=ids)

    def between(self, start: int, end: int) -> "Batch":
        """Return the rows from one place to before another."""
        return replace(self, rows=self.rows[start:end], numbers=self.numbers[start:end], ids=self.ids[start:end])


def batches(source: Source, columns: Columns, model: RewardModel, *, over: str, place: int) -> Iterator[Batch]:
    """Yield the rows of one source of a log in their order; it stands at this place among the sources.

    The actions to predict are those of the distribution in the column `over`; if that is the target's, then also the
    logged one, at the end.
    Raises InvalidRequest for a column that is not there, InvalidLog for one of the wrong type.
    """
    for rows in _chunks(source, _selected(source, columns, model, over=over)):
        numbers = rows[LINE if LINE in rows.columns else ROW].cast(pl.Int64).to_numpy()
        # Without an id each row is a decision of its own.
        named = zip(rows[ROW].to_list(), rows[KEY].to_list(), strict=True)
        ids = [f"{place}: {row}" if key is None else key for row, key in named]
        yield from _cut(Batch(source.name, rows, numbers, ids, model))


def feature(place: int) -> str:
    """Return our name of the features' column at a place."""
    return f"feature {place}"


def _chunks(source: Source, frame: pl.LazyFrame) -> Iterator[pl.DataFrame]:
    start = 1
    with reading(source.name):
        for chunk in frame.collect_batches(chunk_size=AT_ONCE, maintain_order=True, engine="streaming"):
            for rows in chunk.iter_slices(AT_ONCE):
                yield rows.with_columns(pl.int_range(start, start + len(rows), dtype=pl.Int64).alias(ROW))
                start += len(rows)


def _cut(batch: Batch) -> Iterator[Batch]:
    ends = np.cumsum(batch.rows[IDS].list.len().fill_null(0).to_numpy())
    start = 0
    while start < len(batch):
        before = ends[start - 1] if start else 0
        end = max(int(np.searchsorted(ends, before + MOST_PAIRS, side="right")), start + 1)
        yield batch.between(start, end)
        start = end


def _selected(source: Source, columns: Columns, model: RewardModel, *, over: str) -> pl.LazyFrame:
    require(source, columns.reward, option="--reward")
    require(source, "action", option="action")
    for name in model.features:
        require(source, name, option="--model-features")
    if model.fold_by is not None:
        require(source, model.fold_by, option="--fold-by")
    _require_pairs(source, over)
    present, empty = source.columns, pl.lit(None, dtype=pl.String)
    pairs = pl.col(over).list
    ids = pairs.eval(pl.element().struct.field("action").cast(pl.String))
    chosen = {
        KEY: pl.col("decision_id").cast(pl.String) if "decision_id" in present else empty,
        GROUP: empty if model.fold_by is None else pl.col(model.fold_by).cast(pl.String),
        ACTIONS: pl.col("actions") if "actions" in present else empty,
        # A target's distribution need not have the logged action.
        IDS: pl.concat_list(ids, logged_action()) if over == TARGET else ids,
        MASSES: pairs.eval(pl.element().struct.field("propensity").cast(pl.Float64)),
        ACTION: logged_action(),
        **{feature(place): pl.col(name) for place, name in enumerate(model.features)},
    }
    line = [pl.col(LINE)] if LINE in present else []
    # A column of another name may be called as one of ours, so the reward is made before the others are named.
    rewarded = source.frame.with_columns(number(source, columns.reward).alias("honeyguide: reward"))
    frame: pl.LazyFrame = rewarded.to_native()
    return frame.select(*line, pl.col("honeyguide: reward").alias(REWARD), **chosen)


def _require_pairs(source: Source, over: str) -> None:
    if over not in source.columns:
        raise InvalidRequest(
            f"{source.name}: a model needs each action of a row, which the column {over!r} lists with its propensity; "
            "the log has none. Export it with one; or predict elsewhere, and name the columns: --q-logged, --q-target."
        )
    kind = source.frame.collect_schema()[over]
    inner = kind.inner if isinstance(kind, nw.List) else None
    fields = {one.name for one in inner.fields} if isinstance(inner, nw.Struct) else set()
    if not {"action", "propensity"} <= fields:
        raise InvalidLog(f"{source.name}: column {over!r} holds {kind}; it must be a list of {{action, propensity}}.")
