"""Plans from a log: how many decisions until a lift is detectable by this gate, and which lift is by now."""

import math
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TypeAlias

import narwhals as nw

from ope.diagnostics.findings import Lint
from ope.diagnostics.lint import lint_files, lint_frame
from ope.diagnostics.opening import Opened, Opening
from ope.errors import InvalidLog, InvalidRequest
from ope.gate.config import Gate
from ope.gate.groups import ROWS
from ope.gate.judge import in_polars
from ope.gate.paths import decisions_for
from ope.gate.pilot import Pilot
from ope.gate.rows import Decisions, decisions

STEPS, CLOSE = 12, 0.02
"""How often the detectable lift is guessed anew, and how near its number of decisions is to be, relatively."""
DAY = 86_400e6
Progress: TypeAlias = Callable[[int], None]
Limit: TypeAlias = Literal["lift", "outcomes", "ess"]


@dataclass(frozen=True, slots=True)
class Planned:
    """How many decisions a lift takes, in reward units; None where the log's rewards could not make such a lift.

    `limit` is the rule of the gate that takes as many, and `days` how long they take at the log's pace, if it is known.
    """

    lift: float
    decisions: int | None
    limit: Limit
    days: float | None


@dataclass(frozen=True, slots=True)
class Plan:
    """What a log of `n` decisions says of those to come: `lift` is what it shows itself, all in reward units.

    `detectable` is the smallest lift that as many decisions as the log has would show; None if none would. The chance
    of `power` is that of one look when so many are there; looks before only add to it.
    """

    n: int
    ess: float
    lift: float
    power: float
    detectable: float | None
    planned: tuple[Planned, ...]
    per_day: float | None
    config: Gate


def plan_files(
    paths: Sequence[Path | str],
    gate: Gate,
    lifts: Sequence[float],
    *,
    power: float = 0.8,
    log_format: str | None = None,
    progress: Progress = lambda _: None,
) -> Plan:
    """Return the plan for lifts in reward units, from files read as one log; `progress` hears how many are done.

    Raises InvalidRequest for what cannot be asked, InvalidLog for broken rows, or where nothing varies.
    """
    _check(gate, lifts, power)
    files = [Path(path) for path in paths]
    _check_rows(lint_files(files, roles=gate.roles, asked=gate.asked(), log_format=log_format))
    with tempfile.TemporaryDirectory(prefix="honeyguide-") as folder:
        opened = Opening(gate.roles, (), log_format, Path(folder)).trusting(files)
        return _plan(decisions(opened, gate), gate, lifts, power=power, progress=progress)


def plan_frame(
    frame: Any,  # noqa: ANN401 - polars, pandas, pyarrow or whatever else narwhals can hand to polars
    gate: Gate,
    lifts: Sequence[float],
    *,
    power: float = 0.8,
    progress: Progress = lambda _: None,
) -> Plan:
    """Return the plan from a frame; see plan_files."""
    _check(gate, lifts, power)
    native = in_polars(nw.from_native(frame))
    _check_rows(lint_frame(native, roles=gate.roles, asked=gate.asked()))
    return _plan(decisions([Opened("frame", native)], gate), gate, lifts, power=power, progress=progress)


def _plan(found: Decisions, gate: Gate, lifts: Sequence[float], *, power: float, progress: Progress) -> Plan:
    parts = [part for part in found.parts() if len(part)]
    pilot = Pilot.of(parts, gate)
    span = float(parts[-1].at[-1] - parts[0].at[0]) if found.timed and not found.untimed else 0.0
    per_day = pilot.n / (span / DAY) if span > 0 else None
    planned = []
    for place, lift in enumerate(lifts):
        planned.append(_planned(pilot, gate, lift, power=power, per_day=per_day))
        progress(place + 1)
    detectable = _detectable(pilot, gate, power)
    return Plan(
        n=pilot.n,
        ess=pilot.n * pilot.worth,
        lift=pilot.lift * gate.width,
        power=power,
        detectable=None if detectable is None else detectable * gate.width,
        planned=tuple(planned),
        per_day=per_day,
        config=gate,
    )


def _planned(pilot: Pilot, gate: Gate, lift: float, *, power: float, per_day: float | None) -> Planned:
    found = _decisions(pilot, gate, lift / gate.width, power)
    if found is None:
        return Planned(lift, None, "lift", None)
    takes: dict[Limit, float] = {
        "lift": found,
        "outcomes": float(gate.min_outcomes),
        "ess": gate.min_ess / pilot.worth if pilot.worth else math.inf,
    }
    limit = max(takes, key=lambda name: takes[name])
    if not math.isfinite(takes[limit]):
        return Planned(lift, None, limit, None)
    count = math.ceil(takes[limit])
    return Planned(lift, count, limit, None if per_day is None else count / per_day)


def _decisions(pilot: Pilot, gate: Gate, share: float, power: float) -> float | None:
    least, most = pilot.lifts()
    return decisions_for(pilot.with_lift(share), gate, power) if least < share < most else None


def _detectable(pilot: Pilot, gate: Gate, power: float) -> float | None:
    """Return the smallest lift, as a share of the range, that needs no more decisions than the log has.

    What a lift needs falls a little faster than its square, so that a guess is made good by the root of what it is off.
    """
    base, most = gate.margin / gate.width, pilot.lifts()[1]
    low, high = 0.0, (most - base) * 0.999
    if not high > 0 or not _shows(pilot, gate, base + high, power):
        return None
    guess = pilot.deviation * 5 / math.sqrt(pilot.n)
    for _ in range(STEPS):
        guess = guess if low < guess < high else math.sqrt(max(low, high / 100) * high)
        needs = _decisions(pilot, gate, base + guess, power) or math.inf
        low, high = (low, guess) if needs <= pilot.n else (guess, high)
        if abs(needs / pilot.n - 1) < CLOSE:
            return base + guess
        guess *= math.sqrt(needs / pilot.n)
    return base + high


def _shows(pilot: Pilot, gate: Gate, share: float, power: float) -> bool:
    found = _decisions(pilot, gate, share, power)
    return found is not None and found <= pilot.n


def _check_rows(lint: Lint) -> None:
    broken = [one for one in lint.findings if ROWS.is_broken_by(one)]
    if broken:
        worst = broken[0]
        where = f"{worst.where.file}: " if worst.where.file else ""
        rows = f" First rows: {', '.join(f'{row:,}' for row in worst.where.rows)}." if worst.where.rows else ""
        raise InvalidLog(f"{where}{worst.code}: {worst.says}{rows} {worst.way_out}")


def _check(gate: Gate, lifts: Sequence[float], power: float) -> None:
    if not 0 < power < 1:
        raise InvalidRequest(f"--power is {power:g}; it is between 0 and 1, both excluded. Try 0.8.")
    for lift in lifts:
        if not gate.margin < lift < math.inf:
            raise InvalidRequest(
                f"--lift is {lift:g}; it is a number above the margin of {gate.margin:g}. Give the smallest lift that "
                "you would not like to miss."
            )
