"""Writes a file so that it is there when all of it is, and an older one stays until then."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from ope.errors import InvalidLog, InvalidRequest


@contextmanager
def atomically(out: Path) -> Iterator[IO[bytes]]:
    """Open a file beside `out` that takes its place when all is written, and is gone when anything fails.

    Raises InvalidRequest where no file can be made there, InvalidLog where it cannot be written to its end.
    """
    part = out.with_name(f"{out.name}.{os.getpid()}.part")
    try:
        file = part.open("xb")
    except OSError as error:
        raise InvalidRequest(f"{out} cannot be written ({error}): name a file in a folder that exists.") from error
    try:
        with file:
            yield file
        part.replace(out)
    except OSError as error:
        raise InvalidLog(f"{out} cannot be written ({error}): make room, and start again.") from error
    finally:
        part.unlink(missing_ok=True)
