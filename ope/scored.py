"""Has a log's rows scored by policies, a batch after the other, into a temporary file that is read like the log itself.

The file keeps the log's columns but for the features, and adds the propensity and the distribution of each target. It
is removed when the evaluation is done.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

import narwhals as nw
import polars as pl
import pyarrow.parquet as pq

from ope.errors import InvalidLog
from ope.formats.columns import LINE
from ope.formats.files import reading
from ope.formats.source import Source
from ope.formats.typed import typed
from ope.frames import Columns
from ope.policies import scored_distribution, scored_propensity
from ope.scorer import Scored, Scorer
from ope.scoring import in_polars

AT_ONCE = 1_000
"""Rows that are scored at once: features are large, and only these are in memory."""
FEATURES = ("context", "actions")


@contextmanager
def scored(
    sources: Sequence[Source], scorer: Scorer | None, columns: Columns, *, report: bool, features: bool = False
) -> Iterator[list[Source]]:
    """Yield the sources with the targets' columns in them, one read of the log for all targets.

    Raises what the scorer raises for the log as a whole, and InvalidLog for a row that it cannot score; with `report`
    such a row has no target propensity, which breaks the rule for it. With `features` the log's own are kept as well.
    """
    if scorer is None:
        yield list(sources)
        return
    logs = [in_polars(source) for source in sources]
    scorer.begin({log.name: _canonical(log, scorer, columns) for log in logs})
    with TemporaryDirectory(prefix="honeyguide-scored-") as folder:
        yield [
            _into_file(log, scorer, columns, Path(folder) / f"{i}.parquet", report=report, features=features)
            for i, log in enumerate(logs)
        ]


def _canonical(log: Source, scorer: Scorer, columns: Columns) -> pl.LazyFrame:
    frame = log.frame.to_native()
    named = {"reward": columns.reward, "propensity": columns.propensity}
    wanted = {name: named.get(name, name) for name in scorer.reads}
    chosen: pl.LazyFrame = frame.select(
        pl.col(column).alias(name) for name, column in wanted.items() if column in log.columns
    )
    return chosen


def _into_file(log: Source, scorer: Scorer, columns: Columns, path: Path, *, report: bool, features: bool) -> Source:
    frame: pl.LazyFrame = log.frame.to_native()
    kept = [name for name in log.columns if features or name not in FEATURES]
    writer: pq.ParquetWriter | None = None
    start = 0
    try:
        with reading(log.name):
            for batch in frame.collect_batches(chunk_size=AT_ONCE, maintain_order=True):
                found = scorer.score(_seen(log, batch, scorer, columns, start))
                if not report:
                    _refuse_wrong(log.name, batch, found, start)
                table = _with_targets(batch.select(kept), found).to_arrow()
                writer = writer or pq.ParquetWriter(path, table.schema)
                writer.write_table(table)
                start += batch.height
    finally:
        if writer is not None:
            writer.close()
    if writer is None:
        return log  # without a row there is nothing to score, and the evaluation says so
    return replace(log, frame=nw.from_native(pl.scan_parquet(path, glob=False, hive_partitioning=False)))


def _seen(log: Source, batch: pl.DataFrame, scorer: Scorer, columns: Columns, start: int) -> pl.DataFrame:
    rows, broken = typed(_canonical(replace(log, frame=nw.from_native(batch.lazy())), scorer, columns).collect())
    for place, cell in broken[:1]:
        raise InvalidLog(
            f"{log.name}: row {start + place + 1:,}: {cell.value}; {cell.rule}. Mend it, or leave the column out."
        )
    return rows


def _with_targets(rows: pl.DataFrame, found: Mapping[str, Scored]) -> pl.DataFrame:
    own = []
    for target, scores in found.items():
        own.append(pl.Series(scored_propensity(target), scores.propensity, dtype=pl.Float64))
        own.append(pl.Series(scored_distribution(target), scores.distribution, dtype=pl.List(pl.Float64)))
    return rows.with_columns(own)


def _refuse_wrong(name: str, rows: pl.DataFrame, found: Mapping[str, Scored], start: int) -> None:
    wrong = [(place, target, why) for target, scores in found.items() for place, why in scores.wrong.items()]
    if not wrong:
        return
    place, target, why = min(wrong)
    row = rows[LINE][place] if LINE in rows.columns else start + place + 1
    raise InvalidLog(f"{name}: row {row:,}: {target} cannot be scored: {why}")
