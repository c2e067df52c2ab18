"""A policy's weights as a figure: how many rows have which, and how much they carry together."""

from itertools import accumulate

from ope.report.html.plots import Figure, Table, Weights
from ope.report.numbers import percent, plain
from ope.weight_bins import WeightBins


def weights_figure(policy: str, found: WeightBins) -> Figure | None:
    """Return the figure, None where no row has a weight above 0."""
    rows = found.zero + sum(one.rows for one in found.bins)
    mass = sum(one.mass for one in found.bins)
    if not mass or mass == float("inf"):
        return None
    shares = [one.rows / rows for one in found.bins]
    cumulated = [min(part / mass, 1.0) for part in accumulate(one.mass for one in found.bins)]
    half = next(one.low for one, part in zip(found.bins, cumulated, strict=True) if part >= 0.5 - 1e-12)
    above = sum(one.rows for one in found.bins if one.low >= half) / rows
    zero = f" {percent(found.zero / rows)} of the rows weigh nothing: the policy would not have done what was done."
    low, high = plain(found.bins[0].low, 2), plain(found.bins[-1].high, 2)
    says = f"Half of the weight lies on the {percent(above)} of the rows that weigh {plain(half, 2)} or more."
    return Figure(
        title=f"Weights of {policy}",
        alt=f"Histogram of {rows:,} weights, from {low} to {high}. {says}",
        drawn=Weights([*(one.low for one in found.bins), found.bins[-1].high], shares, cumulated),
        caption=f"Bars: share of the rows. Line: share of the weight up to there. {says}{zero if found.zero else ''}",
        table=Table(
            ("from", "to", "rows", "share of rows", "weight up to here"),
            [
                *([("0", "0", f"{found.zero:,}", percent(found.zero / rows), "0%")] if found.zero else []),
                *(
                    (plain(one.low, 3), plain(one.high, 3), f"{one.rows:,}", percent(share), percent(part))
                    for one, share, part in zip(found.bins, shares, cumulated, strict=True)
                    if one.rows
                ),
            ],
            words=0,
        ),
    )
