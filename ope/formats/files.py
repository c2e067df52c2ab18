"""Opens Parquet, CSV and NDJSON logs lazily; must not look at a row before it is asked to."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import narwhals as nw
import polars as pl

from ope.errors import InvalidLog, InvalidRequest
from ope.formats.source import Source

DISTRIBUTION = pl.List(pl.Struct({"action": pl.String, "propensity": pl.Float64}))
NESTED: dict[str, pl.DataType] = {
    "distribution": DISTRIBUTION,
    "predicted_rewards": pl.List(pl.Float64()),
    "pscore_cascade": pl.List(pl.Float64()),
    "pscore_item_position": pl.List(pl.Float64()),
    "target_pscore_cascade": pl.List(pl.Float64()),
    "target_pscore_item_position": pl.List(pl.Float64()),
    "slot_rewards": pl.List(pl.Float64()),
    "q_slot_logged": pl.List(pl.Float64()),
    "q_slot_target": pl.List(pl.Float64()),
}
INFER_ROWS = 10_000


def open_log(path: Path, *, numeric: Sequence[str]) -> Source:
    """Return the file as a lazy source; `numeric` names the columns that text formats must parse.

    Raises InvalidRequest for a path that is no log file, InvalidLog for a file that cannot be read.
    """
    scan = _scanner(path)
    if path.stat().st_size == 0:
        raise InvalidLog(f"{path}: the file is empty (0 bytes); a log needs a header or schema. Export it again.")
    with reading(str(path)):
        raw = scan(path, numeric)
        typed = _parse(raw, numeric)
    return Source(name=str(path), frame=nw.from_native(typed), raw=nw.from_native(raw))


@contextmanager
def reading(name: str) -> Iterator[None]:
    """Turn what polars says of an unreadable file into an error that names it and the way out."""
    try:
        yield
    except (pl.exceptions.PolarsError, OSError, pl.exceptions.PanicException) as error:
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise InvalidLog(
            f"{name}: cannot be read: {reason}. A log must be whole and match its extension: "
            "check that the writer finished, then export it again."
        ) from error


def _scanner(path: Path) -> Callable[[Path, Sequence[str]], pl.LazyFrame]:
    if not path.exists():
        raise InvalidRequest(f"{path}: no such file. Give the path of a Parquet, CSV or NDJSON log.")
    if path.is_dir():
        raise InvalidRequest(f"{path}: is a folder. Name its files: {path}/*.parquet")
    scan = SCANNERS.get(path.suffix.lower())
    if scan is None:
        raise InvalidRequest(
            f"{path}: unknown extension {path.suffix!r}. A log ends in one of "
            f"{', '.join(SCANNERS)}; rename or convert it."
        )
    return scan


def _scan_parquet(path: Path, _: Sequence[str]) -> pl.LazyFrame:
    # A bracket in a file name is a name, and a folder called loop=a is no column.
    return pl.scan_parquet(path, glob=False, hive_partitioning=False)


def _scan_csv(path: Path, _: Sequence[str]) -> pl.LazyFrame:
    # Types are not guessed from the first rows: "abc" in row 5,000 must be an error with a row number.
    return pl.scan_csv(path, infer_schema=False, glob=False)


def _scan_ndjson(path: Path, numeric: Sequence[str]) -> pl.LazyFrame:
    seen = pl.scan_ndjson(path, infer_schema_length=INFER_ROWS).collect_schema()
    # Text first, number later: a reward column of 0 and 1 would be guessed an integer and break at 0.5.
    wanted = dict.fromkeys(numeric, pl.String()) | NESTED
    overrides = {name: kind for name, kind in wanted.items() if name in seen}
    return pl.scan_ndjson(path, infer_schema_length=INFER_ROWS, schema_overrides=overrides)


def _parse(raw: pl.LazyFrame, numeric: Sequence[str]) -> pl.LazyFrame:
    schema = raw.collect_schema()
    text = [name for name in numeric if schema.get(name) == pl.String]
    return raw.with_columns(pl.col(text).str.strip_chars().cast(pl.Float64, strict=False))


SCANNERS: dict[str, Callable[[Path, Sequence[str]], pl.LazyFrame]] = {
    ".parquet": _scan_parquet,
    ".pq": _scan_parquet,
    ".csv": _scan_csv,
    ".ndjson": _scan_ndjson,
    ".jsonl": _scan_ndjson,
}
