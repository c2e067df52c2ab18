"""The plot of weights: the share of the rows in each bin, and of the weight up to its end."""

import math

from matplotlib.figure import Figure as Canvas
from matplotlib.ticker import FixedFormatter, FixedLocator

from ope.report.html.drawing.canvas import BAR, DASHES, canvas_of, log_axis
from ope.report.html.plots import Weights
from ope.report.html.svg import ACCENT, MUTED, SOFT

_HEIGHT, _LEFT = 250, 50
_FILLED = 0.9
"""How much of its bin a bar fills."""


def histogram(plot: Weights) -> Canvas:
    """Draw bars and a line, both in percent."""
    canvas, axes = canvas_of(_HEIGHT, left=_LEFT)
    low, high = plot.edges[0] / 1.2, plot.edges[-1] * 1.2
    log_axis(axes, low, high, "weight of a row", places=_places(low, high))
    axes.set_ylim(0, 1.04)
    axes.yaxis.set_major_locator(FixedLocator([0, 0.5, 1]))
    axes.yaxis.set_major_formatter(FixedFormatter(["0%", "50%", "100%"]))
    for share in (0.25, 0.5, 0.75, 1):
        axes.axhline(share, color=SOFT, linewidth=1, zorder=0)
    for left, right, share in zip(plot.edges, plot.edges[1:], plot.rows, strict=False):
        if share:
            span = [left * (right / left) ** part for part in ((1 - _FILLED) / 2, (1 + _FILLED) / 2)]
            axes.fill_between(span, [0, 0], [share, share], color=MUTED, linewidth=0, alpha=0.55)
    axes.plot(plot.edges, [0.0, *plot.cumulated], color=ACCENT, linewidth=BAR, clip_on=False)
    if low <= 1 <= high:
        axes.axvline(1, color=MUTED, linewidth=1, dashes=DASHES)
    return canvas


def _places(low: float, high: float) -> list[float]:
    first, last = math.floor(math.log10(low)), math.ceil(math.log10(high))
    steps = (1, 2, 5) if last - first < 3 else (1,)
    return [step * 10.0**power for power in range(first, last + 1) for step in steps]
