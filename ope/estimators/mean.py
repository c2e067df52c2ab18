"""The mean of what each row estimates by itself, in a column that scoring has made."""

from ope.estimators.linearised import Linearised
from ope.sums import Sums
from ope.terms import Term
from ope.weights import Weight


def terms(weight: Weight) -> tuple[Term, ...]:
    """Return what it reads."""
    return (Term("x", weight),)


def mean(sums: Sums, weight: Weight) -> Linearised:
    """Return Σ x / n."""
    (x,) = terms(weight)
    return Linearised(sums.mean_of(x), {x: 1.0}, ddof=1)
