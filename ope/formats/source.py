"""What every log format is read into: a named frame; nothing here knows a policy or an estimator."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeAlias

import narwhals as nw

from ope.formats.asides import Asides

Frame: TypeAlias = nw.LazyFrame[Any] | nw.DataFrame[Any]


@dataclass(frozen=True, slots=True)
class Source:
    """One log, or one file of it.

    `frame` holds the numeric columns as numbers (null where the text was not one); `raw` holds what
    the file said, so that an error can quote it. The two are the same frame in typed formats. `asides`
    reads the file through for what it holds beside decisions, or is None where it can hold nothing else.
    """

    name: str
    frame: Frame
    raw: Frame
    asides: Callable[[], Asides] | None = None

    @property
    def columns(self) -> list[str]:
        """The names of the columns, in the file's order."""
        return self.frame.collect_schema().names()
