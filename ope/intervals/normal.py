"""The interval of the central limit theorem: fixed n, not valid under peeking."""

from scipy.special import ndtri

from ope.intervals.confidence import Confidence


def normal(value: float, stderr: float, confidence: Confidence) -> tuple[float, float]:
    """Return value ± z·stderr, in reward units, with z the quantile of N(0, 1) that is exceeded with each side's α.

    It covers at about its level once the effective sample size is in the hundreds; heavy-tailed
    weights make it too short, which is what the diagnostics are for.
    """
    return confidence.bounds(
        lambda alpha: value + float(ndtri(alpha)) * stderr, lambda alpha: value - float(ndtri(alpha)) * stderr
    )
