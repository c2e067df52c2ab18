"""The interval of the central limit theorem: fixed n, two-sided, not valid under peeking."""

from scipy.special import ndtri


def normal(value: float, stderr: float, *, level: float) -> tuple[float, float]:
    """Return value ± z·stderr, in reward units, with z the (1 + level)/2 quantile of N(0, 1).

    It covers at about its level once the effective sample size is in the hundreds; heavy-tailed
    weights make it too short, which is what the diagnostics are for.
    """
    reach = float(ndtri((1 + level) / 2)) * stderr
    return value - reach, value + reach
