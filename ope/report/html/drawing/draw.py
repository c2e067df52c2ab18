"""Draws any plot as SVG: the same text for the same values."""

import io
from collections.abc import Callable
from typing import Any

import matplotlib as mpl
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure as Canvas

from ope.report.html.drawing.canvas import SETTINGS
from ope.report.html.drawing.histogram import histogram
from ope.report.html.drawing.over_time import over_time
from ope.report.html.drawing.rows import forest, lollipops
from ope.report.html.plots import Drawn, Forest, Lollipops, OverTime, Weights

_KINDS: dict[type[Any], Callable[[Any], Canvas]] = {
    Forest: forest,
    Lollipops: lollipops,
    Weights: histogram,
    OverTime: over_time,
}
_NOTHING = dict.fromkeys(("Date", "Creator", "Format", "Type"))


def draw(drawn: Drawn, *, salt: str) -> str:
    """Return the plot as matplotlib's SVG; `salt` goes into the names in it, which would be random otherwise."""
    with mpl.rc_context({**SETTINGS, "svg.hashsalt": salt}):
        canvas = _KINDS[type(drawn)](drawn)
        out = io.StringIO()
        FigureCanvasSVG(canvas)
        canvas.savefig(out, format="svg", transparent=True, metadata=_NOTHING)
        return out.getvalue()
