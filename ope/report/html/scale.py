"""Where an axis begins and ends, and what its ticks are called; draws nothing."""

import math
from collections.abc import Sequence
from itertools import pairwise
from statistics import median

from ope.report.html.plots import Mark
from ope.report.numbers import plain

_WIDE = 6
"""Half-widths of the middle interval that are shown on each side; what is wider is cut off and marked."""
_FAR = 4
_MOST_DIGITS = 15


def known(value: float | None) -> bool:
    """Say whether there is a number to draw."""
    return value is not None and math.isfinite(value)


def window(groups: Sequence[Sequence[Mark]], *, also: float | None = None) -> tuple[float, float]:
    """Return the ends of an axis on which each group's marks can be told apart: a huge one squeezes no other."""
    ends = [_of_group(values, marks) for marks in groups if (values := _values(marks))]
    if not ends:
        return 0.0, 1.0
    low, high = min(low for low, _ in ends), max(high for _, high in ends)
    if also is not None and low - (high - low) <= also <= high + (high - low):
        low, high = min(low, also), max(high, also)
    pad = 0.04 * (high - low) or 0.1 * abs(high) or 1.0
    return low - pad, high + pad


def _of_group(values: Sequence[float], marks: Sequence[Mark]) -> tuple[float, float]:
    centre = median(values)
    half = _WIDE * _middle([abs(bound - m.value) for m in marks if m.value is not None for bound in _bounds(m)])
    reach = max(half, _FAR * _middle([abs(value - centre) for value in values]))
    ends = [*values, *(bound for mark in marks for bound in _bounds(mark))]
    return (max(min(ends), centre - reach), min(max(ends), centre + reach)) if reach else (min(ends), max(ends))


def _values(marks: Sequence[Mark]) -> list[float]:
    return [mark.value for mark in marks if mark.value is not None and math.isfinite(mark.value)]


def marks_in_words(groups: Sequence[Sequence[Mark]], *, also: float | None = None) -> str:
    """Return what arrows and hollow dots of such a plot mean, where it has any."""
    low, high = window(groups, also=also)
    drawn = [mark for marks in groups for mark in marks if known(mark.value)]
    cut = any(not low <= bound <= high for mark in drawn for bound in (*_values([mark]), *_bounds(mark)))
    hollow = any(not (known(mark.low) and known(mark.high)) for mark in drawn)
    says = (
        "Arrows point to what lies beyond the plot." if cut else "",
        "Hollow dots have no interval." if hollow else "",
    )
    return " ".join(filter(None, says))


def tick_names(places: Sequence[float]) -> list[str]:
    """Return names with as many digits as it takes to tell the places apart."""
    for digits in range(2, _MOST_DIGITS):
        names = [plain(place, digits) for place in places]
        if len(set(names)) == len(set(places)) and _true(places, digits):
            return names
    return [plain(place, _MOST_DIGITS) for place in places]


def _true(places: Sequence[float], digits: int) -> bool:
    step = min((abs(b - a) for a, b in pairwise(places)), default=1.0)
    return all(abs(float(f"{place:.{digits}g}") - place) <= step / 100 for place in places)


def _bounds(mark: Mark) -> list[float]:
    return [bound for bound in (mark.low, mark.high) if bound is not None and math.isfinite(bound)]


def _middle(lengths: Sequence[float]) -> float:
    some = [length for length in lengths if length > 0]
    return median(some) if some else 0.0
