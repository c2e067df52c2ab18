"""What the passes say together: averages over paired seeds, scores against the best peer, and what was asked for.

A score is an average reward as a share of the best peer's average reward on the same world and seeds. A gain is the
same after what choosing evenly earns is taken from both; it is the stricter of the two. Where no peer was run, the best
of all stands in for the best peer.
"""

import statistics
from collections.abc import Iterable, Sequence

import msgspec
import numpy as np

from simulator.experiments.results import OURS, Contestant, Pass, Propensity
from store.errors import InvalidInput

WORST_SCORE = 0.95
"""What the default must reach of the best peer on every world."""


class Mean(msgspec.Struct, frozen=True):
    """An average over seeds and its standard error, 0 where there is one seed."""

    value: float
    stderr: float


class Row(msgspec.Struct, frozen=True):
    """A contestant: its average reward per world, and over the worlds its mean score, mean gain and worst score.

    `ips_z` is the error of the estimated value of choosing evenly, in standard errors over all passes, and None where
    there are no propensities or one pass. `ess` is the mean share of the rounds that the log is worth to that estimate,
    None without propensities. `seconds` is the median time to decide and learn.
    """

    contestant: Contestant
    propensity: Propensity
    rewards: dict[str, Mean]
    score: Mean
    gain: float
    worst: float
    seconds: float
    ips_z: float | None
    ess: float | None = None


class Board(msgspec.Struct, frozen=True):
    """All rows, the best score first; per world what choosing evenly, the best peer and knowing the world earn."""

    rows: list[Row]
    uniform: dict[str, float]
    best_peer: dict[str, float]
    best: dict[str, float]


class Verdict(msgspec.Struct, frozen=True):
    """A criterion, whether it is met, and with which numbers."""

    criterion: str
    met: bool
    numbers: str


def board(passes: Sequence[Pass]) -> Board:
    """Return the board of the contestants that finished every world and seed that anybody finished.

    Raises `InvalidInput` where nobody did.
    """
    table = _tables(passes)
    if not table:
        raise InvalidInput("no contestant has finished every world and seed: see why under the failures")
    rewards = {who: _rewards(rows) for who, rows in table.items()}
    worlds = list(next(iter(rewards.values())))
    peers = [who for who in table if who.library != OURS] or list(table)
    best_peer = {world: max(float(rewards[who][world].mean()) for who in peers) for world in worlds}
    uniform = {world: statistics.fmean(p.uniform for p in passes if p.world == world) for world in worlds}
    best = {world: statistics.fmean(p.best for p in passes if p.world == world) for world in worlds}
    rows = [_row(table[who], rewards[who], best_peer, uniform) for who in table]
    return Board(sorted(rows, key=lambda row: -row.score.value), uniform, best_peer, best)


def verdicts(board: Board, name: str) -> list[Verdict]:
    """Return what was asked of our policy `name`, and whether it is so; empty where it or the peers are missing."""
    ours = next((row for row in board.rows if row.contestant == Contestant(OURS, name)), None)
    peers = [row for row in board.rows if row.contestant.library != OURS]
    if ours is None or not peers:
        return []
    return [_as_good_as(ours, max(peers, key=lambda row: row.score.value)), _nowhere_bad(ours), _ahead(ours, peers)]


def _as_good_as(ours: Row, peer: Row) -> Verdict:
    least = peer.score.value - peer.score.stderr
    numbers = (
        f"{ours.score.value:.3f} against {peer.score.value:.3f} − {peer.score.stderr:.3f} of {peer.contestant.name}"
    )
    return Verdict(
        "mean score at least the best single peer's minus one standard error", ours.score.value >= least, numbers
    )


def _nowhere_bad(ours: Row) -> Verdict:
    return Verdict(
        f"at least {WORST_SCORE} of the best peer on every world", ours.worst >= WORST_SCORE, f"worst {ours.worst:.3f}"
    )


def _ahead(ours: Row, peers: Iterable[Row]) -> Verdict:
    logging = [row for row in peers if row.propensity != "none"]
    ahead = [
        (ours.rewards[world].value - mean.value, f"{row.contestant.name} on {world}")
        for row in logging
        for world, mean in row.rewards.items()
    ]
    closest, where = min(ahead, default=(0.0, "nobody"))
    met = bool(ahead) and closest > 0
    return Verdict("ahead of every peer that logs a true propensity, on every world", met, f"{closest:+.3f}: {where}")


def _tables(passes: Sequence[Pass]) -> dict[Contestant, list[Pass]]:
    table: dict[Contestant, list[Pass]] = {}
    for one in passes:
        table.setdefault(one.contestant, []).append(one)
    whole = {(one.world, one.seed) for one in passes}
    return {who: rows for who, rows in table.items() if {(one.world, one.seed) for one in rows} == whole}


def _rewards(rows: Sequence[Pass]) -> dict[str, np.ndarray]:
    """Return the rewards per world in the order of the seeds, each of shape (seeds,)."""
    ordered = sorted(rows, key=lambda one: one.seed)
    return {world: np.array([p.reward for p in ordered if p.world == world]) for world in _in_order(rows)}


def _in_order(rows: Iterable[Pass]) -> list[str]:
    return sorted({one.world for one in rows})


def _row(
    rows: Sequence[Pass], rewards: dict[str, np.ndarray], best_peer: dict[str, float], uniform: dict[str, float]
) -> Row:
    scores = {world: earned / best_peer[world] for world, earned in rewards.items()}
    gains = [
        float((earned.mean() - uniform[world]) / (best_peer[world] - uniform[world]))
        for world, earned in rewards.items()
    ]
    return Row(
        contestant=rows[0].contestant,
        propensity=rows[0].propensity,
        rewards={world: _mean(earned) for world, earned in rewards.items()},
        score=_mean(np.mean(list(scores.values()), axis=0)),
        gain=statistics.fmean(gains),
        worst=min(float(each.mean()) for each in scores.values()),
        seconds=statistics.median(one.seconds for one in rows),
        ips_z=_z([one.ips_error for one in rows if one.ips_error is not None]),
        ess=_mean_or_none([one.ess for one in rows if one.ess is not None]),
    )


def _mean(values: np.ndarray) -> Mean:
    stderr = float(values.std(ddof=1) / np.sqrt(len(values))) if len(values) > 1 else 0.0
    return Mean(float(values.mean()), stderr)


def _mean_or_none(values: Sequence[float]) -> float | None:
    return statistics.fmean(values) if values else None


def _z(errors: Sequence[float]) -> float | None:
    mean = _mean(np.array(errors)) if errors else Mean(0.0, 0.0)
    return mean.value / mean.stderr if mean.stderr > 0 else None
