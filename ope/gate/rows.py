"""A log's settled decisions in their order, with the weights of candidate and champion; folds nothing."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import polars as pl

from ope.diagnostics.canonical import canon
from ope.diagnostics.facts import settled
from ope.diagnostics.opening import Opened
from ope.diagnostics.question import Question, question
from ope.errors import InvalidRequest
from ope.formats.columns import ROW_WEIGHT
from ope.gate.config import Gate
from ope.gate.tally import Floats

AT_ONCE = 100_000
NO_TIME = np.iinfo(np.int64).min


@dataclass(frozen=True, slots=True, eq=False)
class Part:
    """Consecutive decisions: ids (empty where there are none), times in microseconds, both weights and the rewards."""

    ids: list[str]
    at: npt.NDArray[np.int64]
    w: Floats
    v: Floats
    r: Floats

    def __len__(self) -> int:
        return len(self.r)

    def between(self, start: int, stop: int | None) -> "Part":
        """Return some of them."""
        cut = slice(start, stop)
        return Part(self.ids[cut], self.at[cut], self.w[cut], self.v[cut], self.r[cut])


@dataclass(frozen=True, slots=True)
class Decisions:
    """A log's decisions. `unweighed` rows lack a weight, `untimed` ones a time; `timed` says whether times are kept."""

    rows: pl.LazyFrame
    n: int
    unweighed: int
    untimed: int
    timed: bool
    sorted: bool

    def parts(self) -> Iterator[Part]:
        """Yield them in decision order, to before the first whose outcome is open: those behind it wait for it.

        To take the settled ones among those that are younger would favour fast rewards.
        """
        rows = self.rows if self.sorted else self.rows.sort("at", maintain_order=True)
        for frame in rows.collect_batches(chunk_size=AT_ONCE, maintain_order=True, engine="streaming"):
            still_open = ~frame["settled"].to_numpy()
            stop = int(still_open.argmax()) if still_open.any() else len(frame)
            yield _part(frame[:stop])
            if stop < len(frame):
                return


def decisions(opened: Sequence[Opened], gate: Gate) -> Decisions:
    """Return the decisions of a log whose rows keep the linter's rules; takes a pass over times and weights.

    Raises InvalidRequest for rows that stand for several decisions each.
    """
    _check_row_weights(opened)
    asking = question(canon(opened, gate.roles, ()), gate.asked())
    rows = _selected(asking, gate)
    counted = rows.select(n=pl.len(), unweighed=_unweighed().sum(), untimed=pl.col("at").is_null().sum())
    n, unweighed, untimed = counted.collect(engine="streaming").row(0)
    timed = asking.has("at")
    in_order = not timed or untimed > 0 or _ascending(rows)
    return Decisions(rows, n, unweighed, untimed if timed else 0, timed, in_order)


def _selected(q: Question, gate: Gate) -> pl.LazyFrame:
    if not q.targets:
        raise InvalidRequest(
            f"{q.log.files[0]}: there is no candidate: name one with --policy, or the column of its propensity with "
            "--target-propensity."
        )
    other = gate.other()
    champion = pl.lit(1.0)
    if other is not None:
        of_action = other.propensity(q.has("distribution")).cast(pl.Float64)
        champion = pl.when("usable").then(of_action / pl.col("propensity"))
    ids = pl.col("decision_id") if q.has("decision_id") else pl.lit("")
    at = pl.col("at") if q.has("at") else pl.lit(None, pl.Int64)
    return settled(q, {}, 0.0).select(
        id=ids.fill_null(""), at=at, w=pl.col(q.targets[0].weight), v=champion, r=pl.col("reward"), settled="settled"
    )


def _unweighed() -> pl.Expr:
    return pl.col("w").is_null() | pl.col("v").is_null()


def _ascending(rows: pl.LazyFrame) -> bool:
    last = NO_TIME
    for frame in rows.select("at").collect_batches(chunk_size=AT_ONCE, maintain_order=True, engine="streaming"):
        at = frame["at"].to_numpy()
        if at.size and (at[0] < last or (at[1:] < at[:-1]).any()):
            return False
        last = at[-1] if at.size else last
    return True


def _part(frame: pl.DataFrame) -> Part:
    w, v, r = (frame[name].to_numpy() for name in ("w", "v", "r"))
    return Part(frame["id"].to_list(), frame["at"].fill_null(NO_TIME).to_numpy(), w, v, r)


def _check_row_weights(opened: Sequence[Opened]) -> None:
    for one in opened:
        if one.frame is None or ROW_WEIGHT not in one.frame.collect_schema():
            continue
        weight = pl.col(ROW_WEIGHT).cast(pl.Float64, strict=False)
        if one.frame.select((weight != 1).any()).collect(engine="streaming").item():
            raise InvalidRequest(
                f"{one.name}: these rows stand for several decisions each ({ROW_WEIGHT} is not 1), and a gate goes "
                "through decisions one after the other. Gate on a log of which no rows were dropped."
            )
