"""Every engine by its name, and how it opens a log; loads none before it is asked for."""

import importlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any, TypeAlias

import narwhals as nw
import polars as pl

from ope.engine import in_memory
from ope.errors import InvalidRequest
from ope.formats.files import open_log, reading
from ope.formats.guess import PARQUET, guessed
from ope.formats.source import Source

Opened: TypeAlias = "nw.LazyFrame[Any] | nw.DataFrame[Any]"


@dataclass(frozen=True, slots=True)
class Engine:
    """One engine that reads Parquet itself: its package, the extra that installs it, and the module that speaks it.

    The module has a function `scan`, from a path to a frame whose column LINE numbers the rows from 1.
    """

    package: str
    extra: str
    module: str


POLARS, PANDAS = "polars", "pandas"
OTHERS = {
    "duckdb": Engine("duckdb", "duckdb", "ope.engines.on_duckdb"),
    "pyspark": Engine("pyspark", "spark", "ope.engines.on_spark"),
}
ENGINES = (POLARS, PANDAS, *OTHERS)


def checked_engine(name: str) -> str:
    """Return the name of an engine that is here; raises InvalidRequest for an unknown one or one not installed."""
    if name not in ENGINES:
        raise InvalidRequest(f"--engine {name}: there is no such engine. The engines are {', '.join(ENGINES)}.")
    engine = OTHERS.get(name)
    if engine is not None and find_spec(engine.package) is None:
        raise InvalidRequest(
            f"--engine {name}: the package {engine.package} is not installed. "
            f"Install it with: pip install 'honeyguide[{engine.extra}]'"
        )
    return name


def open_on(name: str, path: Path, *, numeric: Sequence[str], kind: str | None, report: bool) -> Source:
    """Return the file as a source of that engine; the other arguments are those of `open_log`, as are the errors.

    Polars and pandas take every format; the others read Parquet by themselves, and raise InvalidRequest for the rest.
    """
    source = open_log(path, numeric=numeric, kind=kind, report=report)
    if name == POLARS:
        return source
    with reading(source.name):
        if name == PANDAS:
            return replace(source, frame=_in_pandas(source.frame.to_native()))
        _is_parquet(path, kind, engine=name)
        scan: Callable[[Path], Opened] = importlib.import_module(OTHERS[name].module).scan
        frame = scan(path)
    return Source(name=source.name, frame=frame, raw=frame)


def _in_pandas(frame: pl.LazyFrame) -> nw.DataFrame[Any]:
    # Arrow's types keep null apart from NaN, and lists and structs as they are.
    read = in_memory(nw.from_native(frame)).to_native()
    return nw.from_native(read.to_pandas(use_pyarrow_extension_array=True), eager_only=True)


def _is_parquet(path: Path, kind: str | None, *, engine: str) -> None:
    found = guessed(path) if kind is None else kind
    if found != PARQUET:
        raise InvalidRequest(
            f"{path}: --engine {engine} reads Parquet, and this is {found}. Write what is judged as Parquet first: "
            f"honeyguide ope score {path} --out rows.parquet"
        )
