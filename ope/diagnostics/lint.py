"""The linter's one flow: files or a frame -> roles -> sums -> findings, worst first; prints nothing."""

import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import narwhals as nw
import polars as pl

from ope.diagnostics.canonical import Canon, canon
from ope.diagnostics.checks.table import CHECKS
from ope.diagnostics.facts import gather
from ope.diagnostics.findings import Finding, Lint, Unknown, explained
from ope.diagnostics.opening import Opened, Opening
from ope.diagnostics.question import Asked, question
from ope.diagnostics.roles import Roles
from ope.diagnostics.thresholds import DEFAULTS
from ope.diagnostics.views import views
from ope.errors import InvalidLog, InvalidRequest

EXPORTED = Roles()
DEFAULT = Asked(DEFAULTS)


def lint_files(
    paths: Sequence[Path | str], *, roles: Roles = EXPORTED, asked: Asked = DEFAULT, log_format: str | None = None
) -> Lint:
    """Return what is wrong with the files, read as one log; whatever is broken in them is a finding, no error.

    `log_format` is one of the names in `ope.formats.guess`, by default what names and first lines say. Raises
    InvalidRequest for what cannot be asked: no file, a column that was named and is not there, a policy that needs a
    column.
    """
    files = [Path(path) for path in paths]
    if not files:
        raise InvalidRequest("no log was given; name at least one Parquet, CSV or NDJSON file.")
    with tempfile.TemporaryDirectory(prefix="honeyguide-") as folder:
        opening = Opening(roles, asked.segments, log_format, Path(folder))
        try:
            return _lint(canon(opening.trusting(files), roles, asked.segments), asked)
        except InvalidLog:
            return _lint(canon(opening.doubting(files), roles, asked.segments), asked)


def lint_frame(frame: Any, *, roles: Roles = EXPORTED, asked: Asked = DEFAULT) -> Lint:  # noqa: ANN401 - narwhals takes many
    """Return what is wrong with a frame of any engine; one that is not polars is loaded, the columns of roles only."""
    log = nw.from_native(frame)
    native = log.to_native()
    if not isinstance(native, pl.LazyFrame):
        native = _loaded(log, roles, asked).lazy()
    return _lint(canon([Opened("frame", native)], roles, asked.segments), asked)


def _loaded(log: nw.DataFrame[Any] | nw.LazyFrame[Any], roles: Roles, asked: Asked) -> pl.DataFrame:
    wanted = {roles.of(role) for role in Roles.__slots__} | set(asked.segments)
    kept = log.select([name for name in log.collect_schema().names() if name in wanted])
    eager = kept if isinstance(kept, nw.DataFrame) else kept.collect(backend="polars")
    return eager.to_polars()


def _lint(log: Canon, asked: Asked) -> Lint:
    findings = [*log.findings]
    asking = question(log, asked)
    facts = gather(asking, [check.ask for check in CHECKS])
    if facts.n == 0:
        return Lint(0, log.files, explained([*findings, _no_rows()]), ())
    answers = [answer for check in CHECKS for answer in check.judge(facts)]
    found = explained([*findings, *(one for one in answers if isinstance(one, Finding))])
    return Lint(
        facts.n, log.files, found, tuple(one for one in answers if isinstance(one, Unknown)), tuple(views(facts))
    )


def _no_rows() -> Finding:
    says = "there is no row to judge."
    return Finding("no_rows", "refuse", 0.0, 1.0, says, "Look at what writes the log, and at the filter that made it.")
