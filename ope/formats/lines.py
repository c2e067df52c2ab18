"""Reads a text log line by line in bounded memory, plain or compressed; knows nothing of what a line says."""

import io
from collections.abc import Iterator
from pathlib import Path
from typing import TypeAlias

import pyarrow as pa

from ope.errors import InvalidLog

MOST_BYTES = 64 * 1024 * 1024
"""The longest line; a file without line ends must not fill the memory."""

COMPRESSED = (".gz", ".zst", ".bz2")
Line: TypeAlias = tuple[int, bytes]

_BOM = b"\xef\xbb\xbf"


def lines_of(path: Path) -> Iterator[Line]:
    """Yield each line with its number, from 1, without its end (LF or CRLF) and the file without its BOM.

    Raises InvalidLog for a line that is too long and for a file that cannot be read to its end.
    """
    try:
        # What the last suffix says decides how it is unpacked.
        with pa.input_stream(str(path)) as stream, io.BufferedReader(stream) as file:
            number = 0
            while line := file.readline(MOST_BYTES + 2):
                number += 1
                yield number, _bare(line, number, path)
    except OSError as error:
        raise InvalidLog(
            f"{path}: cannot be read to its end: {error}. Check that the writer finished, then copy it again."
        ) from error


def plain_suffix(path: Path) -> str:
    """Return the suffix that says what the lines are, in lower case: that of log.DSJSON.gz is .dsjson."""
    bare = path.with_suffix("") if path.suffix.lower() in COMPRESSED else path
    return bare.suffix.lower()


def _bare(line: bytes, number: int, path: Path) -> bytes:
    line = line.removesuffix(b"\n").removesuffix(b"\r")
    if len(line) > MOST_BYTES:
        raise InvalidLog(
            f"{path}: line {number:,} is longer than {MOST_BYTES // 2**20} MiB; a decision fits in less. "
            "Check that the file is text with one decision in a line."
        )
    return line.removeprefix(_BOM) if number == 1 else line
