"""A table that holds what the log alone says about policies against what they truly earn. Knows no server."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from rich import box
from rich.table import Table

COLUMNS = ("policy", "truth", "ESS", "estimator", "value", "95% interval", "holds truth")


@dataclass(frozen=True, slots=True)
class Estimate:
    """One estimator's word on a policy; a figure that is not finite is None."""

    estimator: str
    value: float | None
    low: float | None
    high: float | None

    def holds(self, truth: float) -> bool:
        """Whether the interval contains the true value."""
        return self.low is not None and self.high is not None and self.low <= truth <= self.high


@dataclass(frozen=True, slots=True)
class Judged:
    """A policy: what it truly earns per decision, what the log says, and the rows that this word is worth (ESS)."""

    policy: str
    truth: float
    ess: float | None
    estimates: Sequence[Estimate]


def read_report(report: Mapping[str, Any], truths: Mapping[str, float]) -> list[Judged]:
    """Return the JSON of `honeyguide ope evaluate` beside the true value of each of its policies."""
    return [
        Judged(
            policy=policy,
            truth=truths[policy],
            ess=judged["diagnostics"]["ess"],
            estimates=[_estimate(one) for one in judged["estimates"]],
        )
        for policy, judged in report["policies"].items()
    ]


def comparison(judged: Sequence[Judged]) -> Table:
    """Return the table: one row per policy and estimator."""
    table = Table(box=box.SIMPLE, pad_edge=False)
    for heading in COLUMNS:
        left = heading in {"policy", "estimator"}
        table.add_column(heading, justify="left" if left else "right", no_wrap=True)
    for one in judged:
        for row in _rows(one):
            table.add_row(*row)
        table.add_section()
    return table


def _rows(judged: Judged) -> Iterator[tuple[str, ...]]:
    about = (judged.policy, _figure(judged.truth), "-" if judged.ess is None else f"{judged.ess:,.0f}")
    for estimate in judged.estimates:
        interval = f"{_figure(estimate.low)} … {_figure(estimate.high)}"
        holds = "yes" if estimate.holds(judged.truth) else "no"
        yield (*about, estimate.estimator, _figure(estimate.value), interval, holds)
        about = ("", "", "")


def _estimate(one: Mapping[str, Any]) -> Estimate:
    low, high = one["interval"]
    return Estimate(one["estimator"], one["value"], low, high)


def _figure(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"
