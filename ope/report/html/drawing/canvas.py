"""What all plots share: their size and settings, axes without ornament, names that fit."""

from collections.abc import Sequence
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure as Canvas
from matplotlib.ticker import FixedFormatter, FixedLocator, MaxNLocator, NullLocator

from ope.report.html.scale import tick_names
from ope.report.html.svg import INK, LINE, MUTED, SOFT
from ope.report.numbers import plain

WIDTH = 440
BOTTOM, TOP = 46, 10
TICKS = 4
FONT = 13
BAR = 2.4
DOT = 7
DASHES = (4, 3)
SETTINGS: Any = {
    "svg.fonttype": "none", "font.size": FONT, "axes.labelsize": FONT, "xtick.labelsize": FONT,
    "ytick.labelsize": FONT, "text.color": INK, "axes.labelcolor": MUTED, "xtick.color": MUTED, "ytick.color": INK,
    "axes.edgecolor": LINE, "axes.facecolor": "none", "text.parse_math": False, "path.simplify": False,
}  # fmt: skip


def canvas_of(height: float, *, left: float, right: float = 16) -> tuple[Canvas, Axes]:
    """Return a drawing of this height with room at its left for names."""
    canvas = Canvas(figsize=(WIDTH / 72, height / 72), dpi=72)
    inner = (left / WIDTH, BOTTOM / height, 1 - (left + right) / WIDTH, 1 - (BOTTOM + TOP) / height)
    axes = canvas.add_axes(inner)
    for side in ("top", "right", "left"):
        axes.spines[side].set_visible(False)
    axes.tick_params(length=0, pad=6)
    return canvas, axes


def shortened(name: str, most: int) -> str:
    """Return a name that fits into a plot: the middle of a long one is left out."""
    flat = " ".join("".join(letter if letter.isprintable() else " " for letter in name).split())
    if len(flat) <= most:
        return flat
    return f"{flat[: most // 2]}…{flat[-(most - most // 2 - 1) :]}"


def x_axis(axes: Axes, low: float, high: float, label: str) -> None:
    """Give the axis its ends, a few ticks and its name."""
    axes.set_xlim(low, high)
    places = _round_places(low, high)
    _ticks(axes, places, tick_names(places), label)


def log_axis(axes: Axes, low: float, high: float, label: str, *, places: Sequence[float]) -> None:
    """Make the axis logarithmic, with some of these places as ticks."""
    axes.set_xscale("log")
    axes.set_xlim(low, high)
    some = [place for place in places if low <= place <= high]
    some = some[:: -(-len(some) // (TICKS + 1)) or 1]
    _ticks(axes, some, [plain(place, 3) for place in some], label)


def y_axis(axes: Axes, low: float, high: float) -> None:
    """Give the axis its ends and a few ticks, each with a line."""
    axes.set_ylim(low, high)
    places = _round_places(low, high)
    axes.yaxis.set_major_locator(FixedLocator(places))
    axes.yaxis.set_major_formatter(FixedFormatter(tick_names(places)))
    for place in places:
        axes.axhline(place, color=SOFT, linewidth=1, zorder=0)


def _round_places(low: float, high: float) -> list[float]:
    return [float(place) for place in MaxNLocator(TICKS).tick_values(low, high) if low <= place <= high]


def _ticks(axes: Axes, places: Sequence[float], names: Sequence[str], label: str) -> None:
    axes.xaxis.set_major_locator(FixedLocator(list(places)))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_major_formatter(FixedFormatter(list(names)))
    axes.set_xlabel(label, labelpad=6)
