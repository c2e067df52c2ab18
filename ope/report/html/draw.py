"""Draws plots as SVG with matplotlib, the one module that speaks it: units are CSS pixels, colours are variables."""

import datetime as dt
import io
import math
from collections.abc import Callable, Sequence
from typing import Any

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure as Canvas
from matplotlib.ticker import FixedFormatter, FixedLocator, MaxNLocator, NullLocator

from ope.report.html.plots import Drawn, Forest, Group, Lollipops, Mark, OverTime, Weights
from ope.report.html.scale import known, tick_names, window
from ope.report.html.svg import ACCENT, BAD, INK, LINE, MUTED, SOFT
from ope.report.numbers import plain

WIDTH = 440
ROW = 24
FONT = 13
_LETTER = 7.4
"""How wide a letter of the page's font is at most on average; the drawing's own font is wider than any of them."""
_MOST_LETTERS, _MOST_IN_HEADINGS = 24, 48
_MOST_DOTS = 60
"""More windows than that are a line with a band around it."""
_BOTTOM, _TOP = 46, 10
_SETTINGS: Any = {
    "svg.fonttype": "none", "font.size": FONT, "axes.labelsize": FONT, "xtick.labelsize": FONT,
    "ytick.labelsize": FONT, "text.color": INK, "axes.labelcolor": MUTED, "xtick.color": MUTED, "ytick.color": INK,
    "axes.edgecolor": LINE, "axes.facecolor": "none", "text.parse_math": False, "path.simplify": False,
}  # fmt: skip
_NOTHING = dict.fromkeys(("Date", "Creator", "Format", "Type"))


def draw(drawn: Drawn, *, salt: str) -> str:
    """Return the plot as SVG text of matplotlib's; the same bytes for the same values and salt."""
    with mpl.rc_context({**_SETTINGS, "svg.hashsalt": salt}):
        canvas = _CANVASES[type(drawn)](drawn)
        out = io.StringIO()
        FigureCanvasSVG(canvas)
        canvas.savefig(out, format="svg", transparent=True, metadata=_NOTHING)
        return out.getvalue()


def shortened(name: str, most: int = _MOST_LETTERS) -> str:
    """Return a name that fits into a plot: the middle of a long one is left out."""
    flat = " ".join("".join(letter if letter.isprintable() else " " for letter in name).split())
    if len(flat) <= most:
        return flat
    return f"{flat[: most // 2]}…{flat[-(most - most // 2 - 1) :]}"


def _canvas(height: float, left: float, right: float = 16) -> tuple[Canvas, Axes]:
    canvas = Canvas(figsize=(WIDTH / 72, height / 72), dpi=72)
    inner = (left / WIDTH, _BOTTOM / height, 1 - (left + right) / WIDTH, 1 - (_BOTTOM + _TOP) / height)
    axes = canvas.add_axes(inner)
    for side in ("top", "right", "left"):
        axes.spines[side].set_visible(False)
    axes.tick_params(length=0, pad=6)
    return canvas, axes


def _forest(plot: Forest) -> Canvas:
    lines = _lines(plot.groups)
    canvas, axes = _rows(lines)
    low, high = window([group.marks for group in plot.groups], also=plot.zero)
    _x_axis(axes, low, high, plot.axis)
    if plot.zero is not None and low <= plot.zero <= high:
        _dashes(axes, plot.zero, [place for place, (_, mark) in enumerate(lines) if mark and known(mark.value)])
    for place, (_, mark) in enumerate(lines):
        if mark is not None:
            _interval(axes, mark, place, low, high)
    return canvas


def _dashes(axes: Axes, x: float, places: Sequence[int]) -> None:
    """Draw a line through these rows only: one from top to bottom would strike headings through."""
    for place in places:
        axes.plot([x, x], [place - 0.4, place + 0.4], color=MUTED, linewidth=1, dashes=(3, 2), zorder=1)


def _lines(groups: Sequence[Group]) -> list[tuple[str, Mark | None]]:
    lines: list[tuple[str, Mark | None]] = []
    for group in groups:
        lines += [(group.heading, None)] if group.heading and group.marks else []
        lines += [(mark.name, mark) for mark in group.marks]
    return lines


def _rows(lines: Sequence[tuple[str, Mark | None]]) -> tuple[Canvas, Axes]:
    names = [shortened(name, _MOST_LETTERS if mark is not None else _MOST_IN_HEADINGS) for name, mark in lines]
    longest = max((len(name) for name, (_, mark) in zip(names, lines, strict=True) if mark is not None), default=0)
    height = _TOP + ROW * len(lines) + _BOTTOM
    left = 22 + _LETTER * longest
    canvas, axes = _canvas(height, left)
    axes.set_ylim(len(lines) - 0.5, -0.5)
    axes.yaxis.set_major_locator(NullLocator())
    for place, (name, (_, mark)) in enumerate(zip(names, lines, strict=True)):
        y = 1 - (_TOP + ROW * (place + 0.5)) / height
        heading = mark is None
        canvas.text(
            4 / WIDTH if heading else (left - 10) / WIDTH, y, name,
            ha="left" if heading else "right", va="center", fontweight="bold" if heading else "normal",
        )  # fmt: skip
        if not heading:
            axes.axhline(place, color=SOFT, linewidth=1, zorder=0)
    return canvas, axes


def _interval(axes: Axes, mark: Mark, place: float, low: float, high: float) -> None:
    if mark.value is None or not known(mark.value):
        axes.text(low, place, " undefined", color=MUTED, va="center", fontstyle="italic")
        return
    if mark.low is not None and mark.high is not None and known(mark.low) and known(mark.high):
        ends = max(mark.low, low), min(mark.high, high)
        if ends[0] <= ends[1]:
            axes.plot(ends, [place, place], color=ACCENT, linewidth=2.4, solid_capstyle="butt")
        arrows = [
            (end, sign) for end, sign in ((low, "<"), (high, ">")) if (mark.low < low, mark.high > high)[sign == ">"]
        ]
    else:
        arrows = []
    arrows += [(low, "<")] if mark.value < low else [(high, ">")] if mark.value > high else []
    for end, sign in arrows:
        axes.plot([end], [place], marker=sign, color=ACCENT, markersize=7, clip_on=False)
    if low <= mark.value <= high:
        hollow = not (known(mark.low) and known(mark.high))
        face = "none" if hollow else ACCENT
        axes.plot([mark.value], [place], marker="o", color=ACCENT, markerfacecolor=face, markersize=7, clip_on=False)


def _lollipops(plot: Lollipops) -> Canvas:
    lines = _lines(plot.groups)
    canvas, axes = _rows(lines)
    marks = [(place, mark) for place, (_, mark) in enumerate(lines) if mark is not None]
    values = [mark.value for _, mark in marks if mark.value is not None and known(mark.value)]
    limits = [] if plot.limit is None else [plot.limit]
    most = max([*values, *limits], default=1.0) or 1.0
    least = min([value for value in [*values, *limits] if value > 0], default=most)
    if most > 100 * least:
        axes.set_xscale("log")
        start = 10 ** math.floor(math.log10(least))
        decades = [10.0**power for power in range(round(math.log10(start)), math.ceil(math.log10(most)) + 1)]
        _x_axis(axes, start, most * 1.5, plot.axis, places=decades[:: max(1, math.ceil(len(decades) / 5))])
    else:
        start = 0.0
        _x_axis(axes, 0.0, most * 1.08, plot.axis)
    for place, mark in marks:
        value = mark.value if mark.value is not None and known(mark.value) else 0.0
        colour = BAD if plot.limit is not None and value < plot.limit else ACCENT
        axes.plot([start, max(value, start)], [place, place], color=colour, linewidth=2.4, solid_capstyle="butt")
        axes.plot([max(value, start)], [place], marker="o", color=colour, markersize=7, clip_on=False)
    if plot.limit is not None:
        _dashes(axes, plot.limit, [place for place, _ in marks])
    return canvas


def _weights(plot: Weights) -> Canvas:
    canvas, axes = _canvas(250, 50)
    axes.set_xscale("log")
    low, high = plot.edges[0] / 1.2, plot.edges[-1] * 1.2
    axes.set_ylim(0, 1.04)
    for share in (0.25, 0.5, 0.75, 1):
        axes.axhline(share, color=SOFT, linewidth=1, zorder=0)
    for left, right, share in zip(plot.edges, plot.edges[1:], plot.rows, strict=False):
        if share:
            middle = math.sqrt(left * right)
            half = math.sqrt(right / left) ** 0.9
            axes.fill_between(
                [middle / half, middle * half], [0, 0], [share, share], color=MUTED, linewidth=0, alpha=0.55
            )
    axes.plot(plot.edges, [0.0, *plot.cumulated], color=ACCENT, linewidth=2.4, clip_on=False)
    axes.yaxis.set_major_locator(FixedLocator([0, 0.5, 1]))
    axes.yaxis.set_major_formatter(FixedFormatter(["0%", "50%", "100%"]))
    first, last = math.floor(math.log10(low)), math.ceil(math.log10(high))
    steps = [m * 10.0**power for power in range(first, last + 1) for m in ((1, 2, 5) if last - first < 3 else (1,))]
    inside = [step for step in steps if low <= step <= high]
    _x_axis(axes, low, high, "weight of a row", places=inside[:: max(1, math.ceil(len(inside) / 5))])
    if low <= 1 <= high:
        axes.axvline(1, color=MUTED, linewidth=1, dashes=(4, 3))
    return canvas


def _over_time(plot: OverTime) -> Canvas:
    canvas, axes = _canvas(260, 66)
    low, high = window([plot.marks])
    if plot.limit is not None:  # amounts: what is small is what matters, so nothing is cut off
        low, high = (
            0.0,
            1.08 * max([plot.limit, *(mark.value for mark in plot.marks if mark.value and known(mark.value))]),
        )
    bounded = [
        (x, min(max(mark.low, low), high), min(max(mark.high, low), high))
        for x, mark in zip(plot.at, plot.marks, strict=True)
        if mark.low is not None and mark.high is not None and known(mark.low) and known(mark.high)
    ]
    many = len(plot.at) > _MOST_DOTS
    if many and bounded:
        times, lows, highs = (list(column) for column in zip(*bounded, strict=True))
        axes.fill_between(times, lows, highs, color=ACCENT, alpha=0.25, linewidth=0)
    for x, *ends in [] if many else bounded:
        axes.plot([x, x], ends, color=ACCENT, linewidth=2.4, alpha=0.45, solid_capstyle="butt")
    there = [(x, m.value) for x, m in zip(plot.at, plot.marks, strict=True) if m.value is not None and known(m.value)]
    inside = [(x, value) for x, value in there if low <= value <= high]
    dot = "" if many else "o"
    axes.plot([x for x, _ in inside], [y for _, y in inside], color=ACCENT, marker=dot, markersize=5, linewidth=1.4)
    axes.set_ylim(low, high)
    places = [float(place) for place in MaxNLocator(4).tick_values(low, high) if low <= place <= high]
    axes.yaxis.set_major_locator(FixedLocator(places))
    axes.yaxis.set_major_formatter(FixedFormatter(tick_names(places)))
    for place in places:
        axes.axhline(place, color=SOFT, linewidth=1, zorder=0)
    if plot.limit is not None and low <= plot.limit <= high:
        axes.axhline(plot.limit, color=MUTED, linewidth=1, dashes=(4, 3))
    _times(axes, plot)
    return canvas


def _times(axes: Axes, plot: OverTime) -> None:
    first, last = min(plot.at), max(plot.at)
    pad = 0.04 * (last - first) or 1.0
    axes.set_xlim(first - pad, last + pad)
    chosen = sorted(plot.at)[:: max(1, math.ceil(len(plot.at) / 4))]
    days = all(at % 86_400 == 0 for at in plot.at)
    axes.xaxis.set_major_locator(FixedLocator(chosen))
    axes.xaxis.set_major_formatter(FixedFormatter([_clock(at, days=days) for at in chosen]))
    axes.set_xlabel("start of the window, UTC", labelpad=6)


def _clock(at: float, *, days: bool) -> str:
    moment = dt.datetime(1970, 1, 1, tzinfo=dt.UTC) + dt.timedelta(seconds=at)
    return moment.strftime("%Y-%m-%d" if days else "%m-%d %H:%M")


def _x_axis(axes: Axes, low: float, high: float, label: str, *, places: Sequence[float] | None = None) -> None:
    axes.set_xlim(low, high)
    if places is None:
        places = [float(place) for place in MaxNLocator(4).tick_values(low, high) if low <= place <= high]
    axes.xaxis.set_major_locator(FixedLocator(list(places)))
    axes.xaxis.set_minor_locator(NullLocator())
    names = [plain(place, 3) for place in places] if axes.get_xscale() == "log" else tick_names(places)
    axes.xaxis.set_major_formatter(FixedFormatter(names))
    axes.set_xlabel(label, labelpad=6)


_CANVASES: dict[type[Any], Callable[[Any], Canvas]] = {
    Forest: _forest,
    Lollipops: _lollipops,
    Weights: _weights,
    OverTime: _over_time,
}
