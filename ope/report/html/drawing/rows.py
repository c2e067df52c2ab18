"""Plots of one line for each name: values with intervals, and amounts."""

import math
from collections.abc import Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure as Canvas
from matplotlib.ticker import NullLocator

from ope.report.html.drawing.canvas import BAR, BOTTOM, DOT, TOP, WIDTH, canvas_of, log_axis, shortened, x_axis
from ope.report.html.plots import Forest, Group, Lollipops, Mark
from ope.report.html.scale import known, window
from ope.report.html.svg import ACCENT, BAD, MUTED, SOFT

ROW = 24
_LETTER = 7.4
"""How wide a letter of the page's font is at most on average; the drawing's own font is wider than any of them."""
_MOST_LETTERS, _MOST_IN_HEADINGS = 24, 48
_FAR = 100
"""Amounts that differ by more than this factor are drawn on a logarithmic axis."""

Lines = list[tuple[str, Mark | None]]
"""Names from top to bottom; one without a mark is a heading."""


def forest(plot: Forest) -> Canvas:
    """Draw values with intervals below each other."""
    lines = _lines(plot.groups)
    canvas, axes = _rows(lines)
    low, high = window([group.marks for group in plot.groups], also=plot.zero)
    x_axis(axes, low, high, plot.axis)
    if plot.zero is not None and low <= plot.zero <= high:
        _dashes(axes, plot.zero, [place for place, (_, mark) in enumerate(lines) if mark and known(mark.value)])
    for place, (_, mark) in enumerate(lines):
        if mark is not None:
            _interval(axes, mark, place, low, high)
    return canvas


def lollipops(plot: Lollipops) -> Canvas:
    """Draw amounts below each other."""
    lines = _lines(plot.groups)
    canvas, axes = _rows(lines)
    amounts = [(place, _amount(mark)) for place, (_, mark) in enumerate(lines) if mark is not None]
    start = _amounts_axis(axes, plot, [amount for _, amount in amounts])
    for place, amount in amounts:
        colour = BAD if plot.limit is not None and amount < plot.limit else ACCENT
        end = max(amount, start)
        axes.plot([start, end], [place, place], color=colour, linewidth=BAR, solid_capstyle="butt")
        axes.plot([end], [place], marker="o", color=colour, markersize=DOT, clip_on=False)
    if plot.limit is not None:
        _dashes(axes, plot.limit, [place for place, _ in amounts])
    return canvas


def _amount(mark: Mark) -> float:
    return mark.value if mark.value is not None and known(mark.value) else 0.0


def _amounts_axis(axes: Axes, plot: Lollipops, amounts: Sequence[float]) -> float:
    """Give the axis its ends and ticks; returns where amounts begin."""
    shown = [*amounts, *([] if plot.limit is None else [plot.limit])]
    most = max(shown, default=0.0) or 1.0
    least = min((amount for amount in shown if amount > 0), default=most)
    if most <= _FAR * least:
        x_axis(axes, 0.0, most * 1.08, plot.axis)
        return 0.0
    first, last = math.floor(math.log10(least)), math.ceil(math.log10(most))
    log_axis(axes, 10.0**first, most * 1.5, plot.axis, places=[10.0**power for power in range(first, last + 1)])
    return 10.0**first


def _lines(groups: Sequence[Group]) -> Lines:
    lines: Lines = []
    for group in groups:
        lines += [(group.heading, None)] if group.heading and group.marks else []
        lines += [(mark.name, mark) for mark in group.marks]
    return lines


def _rows(lines: Lines) -> tuple[Canvas, Axes]:
    names = [shortened(name, _MOST_IN_HEADINGS if mark is None else _MOST_LETTERS) for name, mark in lines]
    longest = max((len(name) for name, (_, mark) in zip(names, lines, strict=True) if mark is not None), default=0)
    height, left = TOP + ROW * len(lines) + BOTTOM, 22 + _LETTER * longest
    canvas, axes = canvas_of(height, left=left)
    axes.set_ylim(len(lines) - 0.5, -0.5)
    axes.yaxis.set_major_locator(NullLocator())
    for place, (name, (_, mark)) in enumerate(zip(names, lines, strict=True)):
        y = 1 - (TOP + ROW * (place + 0.5)) / height
        if mark is None:
            canvas.text(4 / WIDTH, y, name, ha="left", va="center", fontweight="bold")
        else:
            canvas.text((left - 10) / WIDTH, y, name, ha="right", va="center")
            axes.axhline(place, color=SOFT, linewidth=1, zorder=0)
    return canvas, axes


def _dashes(axes: Axes, x: float, places: Sequence[int]) -> None:
    """Draw a line through these rows only: one from top to bottom would strike headings through."""
    for place in places:
        axes.plot([x, x], [place - 0.4, place + 0.4], color=MUTED, linewidth=1, dashes=(3, 2), zorder=1)


def _interval(axes: Axes, mark: Mark, place: float, low: float, high: float) -> None:
    if mark.value is None or not known(mark.value):
        axes.text(low, place, " undefined", color=MUTED, va="center", fontstyle="italic")
        return
    bounds = [bound for bound in (mark.low, mark.high) if bound is not None and known(bound)]
    bounded = len(bounds) == 2
    if bounded:
        ends = [min(max(bound, low), high) for bound in bounds]
        axes.plot(ends, [place, place], color=ACCENT, linewidth=BAR, solid_capstyle="butt")
    if low <= mark.value <= high:
        face = ACCENT if bounded else "none"
        axes.plot([mark.value], [place], marker="o", color=ACCENT, markerfacecolor=face, markersize=DOT, clip_on=False)
    reached = [mark.value, *(bounds if bounded else [])]
    if min(reached) < low:
        axes.plot([low], [place], marker="<", color=ACCENT, markersize=DOT, clip_on=False)
    if max(reached) > high:
        axes.plot([high], [place], marker=">", color=ACCENT, markersize=DOT, clip_on=False)
