"""Opens logs of every format lazily; looks at no row before it is asked to, but at first lines to know the format."""

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import narwhals as nw
import polars as pl

from ope.engines.trouble import trouble
from ope.errors import InvalidLog, InvalidRequest
from ope.formats import dsjson, guess, vw_text
from ope.formats.columns import LOG_COLUMNS, TIMES
from ope.formats.guess import checked_format, guessed
from ope.formats.lines import COMPRESSED
from ope.formats.linewise import Reader, scan_lines
from ope.formats.ndjson_blocks import scan_blocks
from ope.formats.open_bandit import with_our_names
from ope.formats.source import Source
from ope.formats.tolerant import NdjsonRows, csv_rows, csv_schema
from ope.formats.typed import list_of_text

DISTRIBUTION = pl.List(pl.Struct({"action": pl.String, "propensity": pl.Float64}))
NESTED: dict[str, pl.DataType] = {
    "distribution": DISTRIBUTION,
    "target_distribution": DISTRIBUTION,
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
OF_A_LOGGER = "propensity_"
"""What comes before a logger's id in the name of the column of its propensities."""


def open_log(path: Path, *, numeric: Sequence[str], kind: str | None = None, report: bool = False) -> Source:
    """Return the file as a lazy source; `numeric` names the columns that text formats must parse.

    `kind` is one of the names in `ope.formats.guess`, by default what the file's name or first lines say. With
    `report`, rows that cannot be read are left out, and told by the source's `asides`. Raises InvalidRequest for a
    path that is no log file, InvalidLog for a file that cannot be read.
    """
    if not path.exists():
        raise InvalidRequest(f"{path}: no such file. Give the path of a log: {', '.join(guess.FORMATS)}.")
    if path.is_dir():
        raise InvalidRequest(f"{path}: is a folder. Name its files: {path}/*.parquet")
    kind = guessed(path) if kind is None else checked_format(kind, option="--from")
    if path.stat().st_size == 0:
        raise InvalidLog(f"{path}: the file is empty (0 bytes); a log needs a header or schema. Export it again.")
    if kind in LINEWISE:
        reader, columns = LINEWISE[kind]
        return scan_lines(path, reader, {name: LOG_COLUMNS[name] for name in columns}, report=report)
    with reading(str(path)):
        if report and kind != guess.PARQUET:
            return _tolerant(path, kind, numeric)
        raw = SCANNERS[kind](path, numeric)
        return Source(name=str(path), frame=nw.from_native(_parse(raw, numeric)), raw=nw.from_native(raw))


@contextmanager
def reading(name: str) -> Iterator[None]:
    """Turn what an engine says of an unreadable file into an error that names it and the way out."""
    try:
        yield
    except trouble() as error:
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise InvalidLog(
            f"{name}: cannot be read: {reason}. A log must be whole and match its extension: "
            "check that the writer finished, then export it again."
        ) from error


def _tolerant(path: Path, kind: str, numeric: Sequence[str]) -> Source:
    if kind == guess.NDJSON:
        reader = NdjsonRows(numeric)
        source = scan_lines(path, reader, reader.schema(path), report=True)
    else:
        source = scan_lines(path, csv_rows, csv_schema(path), report=True)
    raw = source.raw.to_native()
    raw = with_our_names(raw) if kind == guess.OPEN_BANDIT else raw
    frame = _numbers(raw.with_columns(list_of_text(name, kind) for name, kind in _lists_as_text(raw)), numeric)
    return Source(source.name, nw.from_native(frame), nw.from_native(raw), source.asides)


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
    wanted |= {name: pl.String() for name in TIMES if seen.get(name) == pl.Null}  # the first reward may come later
    overrides = {name: kind for name, kind in wanted.items() if name in seen}
    if path.suffix.lower() in COMPRESSED:
        return pl.scan_ndjson(path, infer_schema_length=INFER_ROWS, schema_overrides=overrides)
    return scan_blocks(path, {**seen, **overrides})


def _parse(raw: pl.LazyFrame, numeric: Sequence[str]) -> pl.LazyFrame:
    return _numbers(raw.with_columns(pl.col(name).str.json_decode(kind) for name, kind in _lists_as_text(raw)), numeric)


def _numbers(raw: pl.LazyFrame, numeric: Sequence[str]) -> pl.LazyFrame:
    schema = raw.collect_schema()
    text = [name for name in schema if schema[name] == pl.String and _holds_numbers(name, numeric)]
    return raw.with_columns(_number(pl.col(name).str.strip_chars()).alias(name) for name in text)


def _number(said: pl.Expr) -> pl.Expr:
    # NaN is no number either, but unlike null it does not pass for a cell in which nothing was said.
    number = said.cast(pl.Float64, strict=False)
    return pl.when(number.is_null() & (said.str.len_bytes() > 0)).then(math.nan).otherwise(number)


def _lists_as_text(raw: pl.LazyFrame) -> list[tuple[str, pl.DataType]]:
    schema = raw.collect_schema()
    return [(name, kind) for name, kind in NESTED.items() if schema.get(name) == pl.String]


def _holds_numbers(column: str, numeric: Sequence[str]) -> bool:
    return column in numeric or column.startswith(OF_A_LOGGER)


def _scan_open_bandit(path: Path, _: Sequence[str]) -> pl.LazyFrame:
    return with_our_names(_scan_csv(path, _))


Scanner = Callable[[Path, Sequence[str]], pl.LazyFrame]
SCANNERS: dict[str, Scanner] = {
    guess.PARQUET: _scan_parquet,
    guess.CSV: _scan_csv,
    guess.NDJSON: _scan_ndjson,
    guess.OPEN_BANDIT: _scan_open_bandit,
}
LINEWISE: dict[str, tuple[Reader, Sequence[str]]] = {
    guess.DSJSON: (dsjson.read, dsjson.COLUMNS),
    guess.CB: (vw_text.read_cb, vw_text.CB_COLUMNS),
    guess.CB_ADF: (vw_text.read_adf, vw_text.ADF_COLUMNS),
}
