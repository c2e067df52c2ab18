"""The row terms that estimators are made of; each names itself and is one expression over the canonical columns.

With ŵ a weight (`ope.weights`), r the reward that it belongs to and c the pivot:

    w   ŵ                 the weight
    y   ŵ (r − c)         the weighted reward, counted from the pivot
    d   q_target − c      the predicted reward of the target
    z   ŵ (r − q_logged)  the weighted residual
    x   x                 a row's own estimate, in a column of that name
"""

from dataclasses import dataclass
from typing import Literal, TypeAlias

import narwhals as nw

from ope.weights import AGAINST, PLAIN, Weight, against

Kind: TypeAlias = Literal["w", "y", "d", "z", "x"]


@dataclass(frozen=True, slots=True, order=True)
class Term:
    """One term; `weight` says which ŵ and r it has (of x, which column)."""

    kind: Kind
    weight: Weight = PLAIN

    @property
    def name(self) -> str:
        """The term's column in the frame that is summed."""
        return f"{self.kind}({self.weight.name}, {self.weight.reward})"

    def of(self, weight: nw.Expr, *, pivot: float) -> nw.Expr:
        """Return the term as an expression, given that of its weight."""
        match self.kind:
            case "w" | "x":
                return weight
            case "y":
                return weight * (nw.col(self.weight.reward) - pivot)
            case "d":
                return nw.col(self.predicted) - pivot
            case "z":
                return weight * (nw.col(self.weight.reward) - nw.col("q_logged"))

    @property
    def predicted(self) -> str:
        """The column of the predicted reward of the policy whose weight it has."""
        return against("q_target") if self.weight.column.startswith(AGAINST) else "q_target"

    def against(self) -> "Term":
        """Return the same term of the policy that the target is compared with."""
        return Term(self.kind, self.weight.against())

    @property
    def gains(self) -> "Term | None":
        """The term that this one gains for each unit by which the pivot falls, if it is a term at all."""
        return Term("w", self.weight) if self.kind == "y" else None


D = Term("d")


def w_of(weight: Weight) -> Term:
    """Return the weight as a term."""
    return Term("w", weight)


def y_of(weight: Weight) -> Term:
    """Return the weighted reward."""
    return Term("y", weight)


def z_of(weight: Weight) -> Term:
    """Return the weighted residual."""
    return Term("z", weight)
