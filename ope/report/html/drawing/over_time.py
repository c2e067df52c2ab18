"""The plot of windows of time: values with intervals, or amounts."""

import datetime as dt
import math

from matplotlib.axes import Axes
from matplotlib.figure import Figure as Canvas
from matplotlib.ticker import FixedFormatter, FixedLocator

from ope.report.html.drawing.canvas import BAR, DASHES, canvas_of, y_axis
from ope.report.html.plots import Mark, OverTime
from ope.report.html.scale import known, window
from ope.report.html.svg import ACCENT, MUTED

_HEIGHT, _LEFT = 260, 66
_MOST_DOTS = 60
"""More windows than that are a line with a band around it."""
_DAY = 86_400


def over_time(plot: OverTime) -> Canvas:
    """Draw values at their times."""
    canvas, axes = canvas_of(_HEIGHT, left=_LEFT)
    low, high = _ends(plot)
    y_axis(axes, low, high)
    _intervals(axes, plot, low, high)
    values = [(at, mark.value) for at, mark in zip(plot.at, plot.marks, strict=True) if mark.value is not None]
    inside = [(at, value) for at, value in values if low <= value <= high]
    dot = "o" if len(plot.at) <= _MOST_DOTS else ""
    times, heights = [at for at, _ in inside], [value for _, value in inside]
    axes.plot(times, heights, color=ACCENT, marker=dot, markersize=5, linewidth=1.4)
    if plot.limit is not None:
        axes.axhline(plot.limit, color=MUTED, linewidth=1, dashes=DASHES)
    _times(axes, plot)
    return canvas


def _ends(plot: OverTime) -> tuple[float, float]:
    if plot.limit is None:
        return window([plot.marks])
    # Of amounts what is small is what matters, so that nothing is cut off.
    amounts = [mark.value for mark in plot.marks if mark.value is not None and known(mark.value)]
    return 0.0, 1.08 * max([plot.limit, *amounts])


def _intervals(axes: Axes, plot: OverTime, low: float, high: float) -> None:
    found = [
        (at, *(min(max(bound, low), high) for bound in bounds))
        for at, mark in zip(plot.at, plot.marks, strict=True)
        if len(bounds := _bounds(mark)) == 2
    ]
    if not found:
        return
    times, lows, highs = (list(column) for column in zip(*found, strict=True))
    if len(plot.at) > _MOST_DOTS:
        axes.fill_between(times, lows, highs, color=ACCENT, alpha=0.25, linewidth=0)
    else:
        axes.vlines(times, lows, highs, color=ACCENT, alpha=0.45, linewidth=BAR)


def _bounds(mark: Mark) -> list[float]:
    return [bound for bound in (mark.low, mark.high) if bound is not None and known(bound)]


def _times(axes: Axes, plot: OverTime) -> None:
    first, last = min(plot.at), max(plot.at)
    pad = 0.04 * (last - first) or 1.0
    axes.set_xlim(first - pad, last + pad)
    chosen = sorted(plot.at)[:: math.ceil(len(plot.at) / 4)]
    form = "%Y-%m-%d" if all(at % _DAY == 0 for at in plot.at) else "%m-%d %H:%M"
    axes.xaxis.set_major_locator(FixedLocator(chosen))
    axes.xaxis.set_major_formatter(FixedFormatter([_clock(at, form) for at in chosen]))
    axes.set_xlabel("start of the window, UTC", labelpad=6)


def _clock(at: float, form: str) -> str:
    return (dt.datetime(1970, 1, 1, tzinfo=dt.UTC) + dt.timedelta(seconds=at)).strftime(form)
