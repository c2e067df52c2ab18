"""Whether a log can carry an estimate, in a word and in reasons, from its diagnostics and the linter's limits."""

import math
from collections.abc import Iterator
from dataclasses import dataclass

from ope.diagnostics import Diagnostics
from ope.diagnostics.findings import BADNESS, Severity, grade
from ope.diagnostics.thresholds import DEFAULTS
from ope.report.numbers import percent, plain


@dataclass(frozen=True, slots=True)
class Reason:
    """One thing about the weights: how bad, and what it means."""

    severity: Severity
    says: str


def reasons(n: int, of: Diagnostics) -> list[Reason]:
    """Return what speaks for and against an estimate from `n` rows, the worst first."""
    return sorted(_reasons(n, of), key=lambda one: -BADNESS[one.severity])


def worst(found: list[Reason]) -> Severity:
    """Return the worst severity."""
    return max((one.severity for one in found), key=BADNESS.__getitem__, default="ok")


def _reasons(n: int, of: Diagnostics) -> Iterator[Reason]:
    if not math.isfinite(of.ess):
        yield Reason("refuse", "the weights are so large that their squares overflow: look at the propensities.")
        return
    severity, _ = grade(of.ess, warn=DEFAULTS["ess_warn"], refuse=DEFAULTS["ess_refuse"], low=True)
    rows = "row is" if n == 1 else "rows are"
    yield Reason(severity, f"its {n:,} {rows} worth {plain(of.ess, 3)} of the policy's own.")
    if of.support_deficit is not None:
        off = of.support_deficit
        severity, _ = grade(off, warn=DEFAULTS["support_warn"], refuse=DEFAULTS["support_refuse"])
        if severity != "ok":
            yield Reason(severity, f"{percent(off)} of the policy's choices are where the logger never went.")
    z = of.mean_weight_z
    if of.ess >= DEFAULTS["z_ess"] and math.isfinite(z) and abs(z) > DEFAULTS["mean_weight_z"]:
        mean = f"the mean weight is {plain(of.mean_weight)}, {plain(abs(z), 2)} standard errors from 1"
        yield Reason("refuse", f"{mean}: propensities are wrong, or the logger never did what the policy does.")
