"""The difference of two policies by one estimator, over the same rows: of their weights, not of their intervals."""

from dataclasses import dataclass

from ope.estimators.linearised import Linearised
from ope.estimators.member import Valued
from ope.sums import Sums
from ope.terms import Term


@dataclass(frozen=True, slots=True)
class Paired:
    """What an estimator says of the target, less what it says of the other policy.

    Both are functions of the means of one set of rows, so that what moves both alike leaves their difference alone. By
    IPS it is the mean of (w - w') r (Jeunen and Goethals 2024, Δ-OPE), whose variance that difference's rows show.
    """

    member: Valued

    @property
    def terms(self) -> tuple[Term, ...]:
        """The terms of both policies, whose products are read together."""
        own = self.member.terms
        return tuple(dict.fromkeys((*own, *(term.against() for term in own))))

    def of(self, sums: Sums) -> Linearised:
        """Return the difference and its gradient."""
        return self.member.of(sums).less(self.member.of(sums.against(self.member.terms)))
