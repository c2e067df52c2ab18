"""An estimator with every parameter filled in: what it reads of the sums, and its value."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import reduce
from operator import add
from typing import Protocol, TypeAlias

from ope.estimators.linearised import Linearised
from ope.sums import Sums
from ope.terms import Term
from ope.weights import Weight

Of: TypeAlias = Callable[[Sums, Weight], Linearised]
Reads: TypeAlias = Callable[[Weight], tuple[Term, ...]]


class Valued(Protocol):
    """What has a value by the sums of a log, and says which terms of them it reads."""

    @property
    def terms(self) -> tuple[Term, ...]:
        """The terms whose means and products it reads."""
        ...

    def of(self, sums: Sums) -> Linearised:
        """Return the value and its gradient."""
        ...


@dataclass(frozen=True, slots=True)
class Form:
    """What is made of one weight: `reads` the terms, `of` the value, both as functions of the weight."""

    of: Of
    reads: Reads
    needs: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Member:
    """A form over one weight, or over one for each slot of a ranking, whose values add up."""

    form: Form
    weights: tuple[Weight, ...]

    @property
    def terms(self) -> tuple[Term, ...]:
        """The terms whose means and products it reads."""
        return tuple(dict.fromkeys(term for weight in self.weights for term in self.form.reads(weight)))

    def of(self, sums: Sums) -> Linearised:
        """Return the value and its gradient."""
        return reduce(add, (self.form.of(sums, weight) for weight in self.weights))
