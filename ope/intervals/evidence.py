"""What an interval may be made of: an estimate, the sums that it is of, and the rows behind them."""

from dataclasses import dataclass

from ope.decision_order import Decisions
from ope.estimators.member import Valued
from ope.estimators.paired import Paired
from ope.sums import Sums


@dataclass(frozen=True, slots=True, eq=False)
class Evidence:
    """One estimator's value and standard error on a log; `member` is None for an ordered fold, which has no sums.

    `rows` are in decision order for the methods that need it, and as they stand for others.
    """

    name: str
    value: float
    stderr: float
    member: Valued | None
    sums: Sums
    rows: Decisions

    @property
    def paired(self) -> bool:
        """Whether it is of the difference of two policies over the same rows."""
        return isinstance(self.member, Paired)
