"""The direct method."""

from ope.estimators.linearised import Linearised
from ope.sums import Sums
from ope.terms import D, Term
from ope.weights import Weight


def terms(_: Weight) -> tuple[Term, ...]:
    """Return what it reads, whatever the weight."""
    return (D,)


def dm(sums: Sums, _: Weight) -> Linearised:
    """Return Σ q_target / n (Dudík, Langford and Li 2011, section 2).

    As biased as the reward model is; its standard error knows nothing of that bias.
    """
    return Linearised(sums.pivot + sums.mean_of(D), {D: 1.0}, ddof=1)
