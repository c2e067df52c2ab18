"""What is to be seen of each target's weights, from the sums of a lint; judges nothing."""

from collections.abc import Iterator

import polars as pl

from ope.diagnostics.facts import Facts
from ope.diagnostics.findings import View, Worth
from ope.diagnostics.question import Target
from ope.weight_bins import as_bins

MOST = 1_000
"""How many values of a column are kept, those that carry most of the weight."""


def views(facts: Facts) -> Iterator[View]:
    """Yield the view of each target."""
    for target in facts.question.targets:
        places = facts.bins[target.name].select("place", "rows", "mass").iter_rows()
        bins = as_bins({place: (rows, mass) for place, rows, mass in places})
        frames = {"action": facts.actions.rename({"action": "segment"}) if facts.actions.height else facts.actions}
        by = {name: _worth(frame, target) for name, frame in (frames | dict(facts.segments)).items() if frame.height}
        yield View(target.name, bins, tuple(by.items()))


def _worth(frame: pl.DataFrame, target: Target) -> tuple[Worth, ...]:
    w = target.weight
    total = float(frame[w].sum() or 0)
    heavy = frame.filter(pl.col(w) > 0).sort(-pl.col(w), "segment").head(MOST)
    found = heavy.select("segment", pl.col(w) ** 2 / pl.col(w + " squared"), pl.col(w).alias("share") / total)
    return tuple(Worth(name, rows, share) for name, rows, share in found.iter_rows())
