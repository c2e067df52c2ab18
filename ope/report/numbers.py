"""Numbers as people read them: few digits, no powers where they can be avoided, a dash for what is undefined."""

import math
from collections.abc import Sequence

UNDEFINED = "–"
_PLAIN = (1e-4, 1e7)
_LONGEST = 1e12
"""From here on numbers that are compared are written with powers too."""
_SUPERSCRIPT = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")
_MOST_DECIMALS = 12


def plain(value: float | None, digits: int = 4) -> str:
    """Return a number to so many significant digits: 1,234,000, 0.01235, 1.2×10⁻⁷."""
    if value is None or not math.isfinite(value):
        return UNDEFINED
    if value == 0:
        return "0"
    if not _PLAIN[0] <= abs(value) < _PLAIN[1]:
        return _powers(value, digits)
    rounded = float(f"{value:.{digits}g}")
    decimals = max(0, digits - 1 - math.floor(math.log10(abs(rounded))))
    text = f"{rounded:,.{decimals}f}"
    return _minus(text.rstrip("0").rstrip(".") if "." in text else text)


def together(values: Sequence[float | None], digits: int = 3) -> list[str]:
    """Return numbers that are compared, to the digits in which they differ; those far apart each by itself."""
    known = [value for value in values if value is not None and math.isfinite(value)]
    spread = max(known, default=0.0) - min(known, default=0.0)
    largest = max(map(abs, known), default=0.0)
    if not spread or not _PLAIN[0] <= largest < _LONGEST:
        return [plain(value) for value in values]
    decimals = digits - 1 - math.floor(math.log10(spread) + 1e-9)  # 0.43 - 0.33 is a little less than 0.1
    if decimals > _MOST_DECIMALS:
        return [plain(value) for value in values]
    return [_fixed(value, decimals) for value in values]


def percent(share: float | None) -> str:
    """Return a share in percent: 34%, 0.5%, below 0.1%."""
    if share is None or not math.isfinite(share):
        return UNDEFINED
    if 0 < share < 0.001:
        return "< 0.1%"
    return f"{100 * share:.1f}%" if share < 0.1 and share else f"{100 * share:.0f}%"


def _fixed(value: float | None, decimals: int) -> str:
    if value is None or not math.isfinite(value):
        return UNDEFINED
    rounded = round(value, decimals) + 0.0  # -0.0 would be a minus nothing
    return _minus(f"{rounded:,.{max(decimals, 0)}f}")


def _powers(value: float, digits: int) -> str:
    mantissa, _, power = f"{value:.{digits - 1}e}".partition("e")
    short = mantissa.rstrip("0").rstrip(".") if "." in mantissa else mantissa
    return f"{_minus(short)}×10{str(int(power)).translate(_SUPERSCRIPT)}"


def _minus(text: str) -> str:
    return text.replace("-", "−")
