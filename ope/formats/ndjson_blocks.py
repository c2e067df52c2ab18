"""Reads NDJSON block by block, so that no more than a block of it is in memory; polars would map the whole file."""

import io
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl
from polars.io.plugins import register_io_source

BLOCK_BYTES = 16 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class _Blocks:
    path: Path
    schema: dict[str, Any]

    def frames(
        self, columns: list[str] | None, predicate: pl.Expr | None, most: int | None, _: int | None
    ) -> Iterator[pl.DataFrame]:
        """Yield the rows in their order; what polars raises for a broken one is raised when its block is met."""
        wanted = list(self.schema) if columns is None else columns
        # One column at least, or there would be no rows to count.
        schema = {name: self.schema[name] for name in wanted or list(self.schema)[:1]}
        left = most
        for block in self._blocks():
            frame = pl.read_ndjson(io.BytesIO(block), schema=schema).select(wanted or list(schema))[:left]
            left = None if left is None else left - frame.height
            yield frame if predicate is None else frame.filter(predicate)
            if left == 0:
                return

    def _blocks(self) -> Iterator[bytes]:
        with self.path.open("rb") as file:
            while block := file.read(BLOCK_BYTES):
                yield block + file.readline()


def scan_blocks(path: Path, schema: dict[str, Any]) -> pl.LazyFrame:
    """Return the file's columns of this schema as a frame that has not been read."""
    return register_io_source(_Blocks(path, schema).frames, schema=schema, is_pure=True)
