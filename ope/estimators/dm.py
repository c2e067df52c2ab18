"""The direct method."""

from ope.estimators.linearised import Linearised
from ope.sums import Sums


def dm(sums: Sums) -> Linearised:
    """Return Σ q_target / n (Dudík, Langford and Li 2011, section 2).

    As biased as the reward model is; its standard error knows nothing of that bias.
    """
    return Linearised(sums.pivot + float(sums.mean[2]), (0.0, 0.0, 1.0, 0.0), ddof=1)
