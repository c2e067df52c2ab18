"""The estimates of many targets on the same rows, with their covariance: what a paired difference needs.

Every estimate here is linear in row means, or by the delta method nearly so: with u = (w, w r, d, w (r − q)) of each
target, its influence value is ψ = g·u. One pass sums the means and the covariance of all targets' u together.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import narwhals as nw
import numpy as np
import polars as pl

from ope.errors import InvalidRequest
from ope.formats.columns import ROW_WEIGHT
from ope.formats.source import Source
from ope.frames import Rows
from ope.log import Log
from ope.request import Request
from ope.scoring import in_polars
from ope.sums import Array

AT_ONCE = 50_000
PARTS = 4
"""w, w r, d and w (r − q)."""


def _ips(_w: float, wr: float, _d: float, _e: float) -> tuple[float, Array]:
    return wr, np.array([0, 1, 0, 0])


def _snips(w: float, wr: float, _d: float, _e: float) -> tuple[float, Array]:
    return wr / w, np.array([-wr / w**2, 1 / w, 0, 0])


def _dr(_w: float, _wr: float, d: float, e: float) -> tuple[float, Array]:
    return d + e, np.array([0, 0, 1, 1])


def _sndr(w: float, _wr: float, d: float, e: float) -> tuple[float, Array]:
    return d + e / w, np.array([-e / w**2, 0, 1, 1 / w])


FORMS: dict[str, Callable[[float, float, float, float], tuple[float, Array]]] = {
    "ips": _ips,
    "snips": _snips,
    "dr": _dr,
    "sndr": _sndr,
}
"""An estimator's value and gradient g from the means of u."""
READ = ("reward", "propensity", "target_propensity", "q_logged", "q_target", ROW_WEIGHT)


@dataclass(frozen=True, slots=True)
class Joint:
    """The estimates of K targets on n rows: `values` (K,) and the covariance (K, K) of their influence values."""

    n: int
    values: Array
    covariance: Array


@dataclass(frozen=True, slots=True)
class _Moments:
    """n rows, their weights' sum, and the mean (D,) and scatter (D, D) of all u."""

    n: int
    weight: float
    mean: Array
    scatter: Array

    def __add__(self, other: "_Moments") -> "_Moments":
        """Merge the moments of two parts (Chan, Golub and LeVeque 1979)."""
        n = self.n + other.n
        gap = other.mean - self.mean
        scatter = self.scatter + other.scatter + np.outer(gap, gap) * (self.n * other.n / n)
        return _Moments(n, self.weight + other.weight, self.mean + gap * (other.n / n), scatter)


def joint(log: Log, request: Request, estimator: str) -> Joint:
    """Return the estimates of all policies of a request with their covariance; the rows must keep every rule."""
    total: _Moments | None = None
    for source in log.sources:
        for part in _parts(source):
            found = _moments(np.hstack([_terms(log.rows(part, request, policy)) for policy in request.policies]), part)
            total = found if total is None else total + found
    if total is None or total.n < 2:
        raise InvalidRequest("targets are compared on two rows or more; this log has fewer.")
    scale = total.n / total.weight
    form, k = FORMS[estimator], len(request.policies)
    values, gradient = np.zeros(k), np.zeros((k, PARTS * k))
    for j, means in enumerate((total.mean * scale).reshape(k, PARTS)):
        values[j], gradient[j, PARTS * j : PARTS * (j + 1)] = form(*means.tolist())
    covariance = gradient @ (total.scatter * scale**2 / (total.n - 1)) @ gradient.T
    return Joint(total.n, values, covariance)


def _parts(source: Source) -> Iterator[Source]:
    native: pl.LazyFrame = in_polars(source).frame.to_native()
    for batch in native.collect_batches(chunk_size=AT_ONCE, maintain_order=True, engine="streaming"):
        frame = nw.from_native(batch.lazy())
        yield Source(source.name, frame, frame)


def _moments(u: Array, part: Source) -> _Moments:
    frame = part.frame.to_native()
    weight = float(frame.select(pl.col(ROW_WEIGHT).sum()).collect().item()) if ROW_WEIGHT in part.columns else len(u)
    mean = u.mean(axis=0)
    centred = u - mean
    return _Moments(len(u), float(weight), mean, centred.T @ centred)


def _terms(rows: Rows) -> Array:
    """Return u of each row, shape (n, 4), times the row's weight where it has one."""
    wanted = [name for name in READ if name in rows.columns]
    frame: pl.DataFrame = rows.frame.select(*wanted).to_native().collect()
    found = {name: frame[name].to_numpy() for name in frame.columns}
    w = found["target_propensity"] / found["propensity"]
    nothing = np.zeros(len(w))
    q, d = found.get("q_logged", nothing), found.get("q_target", nothing)
    u = np.column_stack([w, w * found["reward"], d, w * (found["reward"] - q)])
    return u * found[ROW_WEIGHT][:, None] if ROW_WEIGHT in found else u
