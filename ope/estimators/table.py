"""Every estimator by its name: what is made of which weight, and what it needs of the log; one line adds one."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

from ope.estimators import control_variate
from ope.estimators import dm as _dm
from ope.estimators import dr as _dr
from ope.estimators import ips as _ips
from ope.estimators import mean as _mean
from ope.estimators import sndr as _sndr
from ope.estimators import snips as _snips
from ope.estimators.member import Form, Member
from ope.estimators.weighted import Weighted
from ope.raw_weights import BALANCED
from ope.weights import RAW, TRANSFORMS, Weight

PREDICTED = frozenset({"q_logged", "q_target"})
IPS = Form(_ips.ips, _ips.terms)
SNIPS = Form(_snips.snips, _snips.terms)
DM = Form(_dm.dm, _dm.terms, frozenset({"q_target"}))
DR = Form(_dr.dr, _dr.terms, PREDICTED)
SNDR = Form(_sndr.sndr, _sndr.terms, PREDICTED)
BETA_IPS = Form(control_variate.beta_ips, control_variate.beta_ips_terms)
BETA_DR = Form(control_variate.beta_dr, control_variate.beta_dr_terms, PREDICTED)
MEAN = Form(_mean.mean, _mean.terms)

FOLD = Form(_ips.ips, lambda _: ())
"""An ordered fold reads no sums; `ope.replaying` goes through the rows."""

MOST = tuple(2.0**k for k in range(1, 13))
"""The largest weights that are tried where one is chosen: 2, 4, … 4096; leaving the weights alone is tried too."""


Kind: TypeAlias = Literal["sums", "ordered fold", "fitted"]
Bias: TypeAlias = Literal["none", "O(1/n)", "down", "either way", "the model's", "the assumption's"]


@dataclass(frozen=True, slots=True)
class Estimator:
    """A named estimator: a form, the raw weight that it is applied to, and the transform that tames it, if any.

    With `slots` there is such a weight, and a reward, for each slot of a ranking, and their values add up; with
    `by_logger` each logger is judged by itself. `own` are
    columns that it needs beyond those of its form. `bias` says in which direction it errs on average, with rewards of
    at least 0 and exact propensities; `by_default` whether it is reported when nobody names estimators.
    """

    name: str
    form: Form
    bias: Bias
    transform: str = ""
    column: str = RAW
    slots: bool = False
    by_logger: bool = False
    own: frozenset[str] = frozenset()
    by_default: bool = False
    kind: Kind = "sums"

    @property
    def needs(self) -> frozenset[str]:
        """The canonical columns that it reads beyond reward and weight."""
        return self.form.needs | self.own

    @property
    def of_rankings(self) -> bool:
        """Whether it judges whole rankings, and not the choice of one action."""
        return bool(self.own & RANKING_COLUMNS)

    def over(self, *, slots: int, loggers: Sequence[str]) -> Member | Weighted:
        """Return it for rankings of at most so many slots, or for these loggers."""
        if self.by_logger:
            return Weighted(tuple(loggers), doubly=bool(self.form.needs))
        if not self.slots:
            return self.up_to(math.inf)
        weights = (Weight(f"{self.column}:{slot}", reward=f"reward:{slot}") for slot in range(slots))
        return Member(self.form, tuple(weights))

    def at(self, parameter: float) -> Member:
        """Return it with the transform's parameter λ; raises InvalidRequest for one outside its range."""
        return Member(self.form, (Weight(self.column, self.transform, parameter),))

    def up_to(self, most: float) -> Member:
        """Return it with weights of at most about `most`; infinity leaves them alone."""
        if not self.transform or most == math.inf:
            return Member(self.form, (Weight(self.column),))
        return self.at(TRANSFORMS[self.transform].bound(most))


def _tamed() -> Iterator[Estimator]:
    """Yield each transform in each form; Su et al. call DR with optimistic shrinkage DRos, and so does everybody."""
    shown = {"clipped_ips", "switch_dr", "dros"}
    for transform in TRANSFORMS:
        for suffix, form in (("ips", IPS), ("snips", SNIPS), ("dr", DR), ("sndr", SNDR)):
            name = "dros" if (transform, suffix) == ("os", "dr") else f"{transform}_{suffix}"
            bias: Bias = "down" if suffix == "ips" and transform != "sg" else "either way"
            yield Estimator(name, form, bias, transform, by_default=name in shown)


def _loggers() -> Iterator[Estimator]:
    """Yield what tells several loggers apart: by what they would have done together, or each by itself."""
    mixture, one = frozenset({"balanced_propensity"}), frozenset({"logger"})
    yield Estimator("balanced_ips", IPS, "none", column=BALANCED, own=mixture, kind="fitted")
    yield Estimator("balanced_snips", SNIPS, "O(1/n)", column=BALANCED, own=mixture, kind="fitted")
    yield Estimator("balanced_dr", DR, "none", column=BALANCED, own=mixture, kind="fitted")
    yield Estimator("balanced_sndr", SNDR, "O(1/n)", column=BALANCED, own=mixture, kind="fitted")
    yield Estimator("weighted_ips", IPS, "O(1/n)", by_logger=True, own=one)
    yield Estimator("weighted_dr", DR, "O(1/n)", by_logger=True, own=one)


RANKING_COLUMNS = frozenset({"slate", "prefix:0", "item:0", "pseudo", "cascade_dr"})


def _rankings() -> Iterator[Estimator]:
    """Yield what judges whole rankings: a weight of the slate, of each slot or prefix, plain and self-normalised."""
    slate, pseudo = frozenset({"slate"}), frozenset({"pseudo"})
    item, prefix = frozenset({"item:0", "reward:0"}), frozenset({"prefix:0", "reward:0"})
    yield Estimator("sips", IPS, "none", column="slate", own=slate)
    yield Estimator("snsips", SNIPS, "O(1/n)", column="slate", own=slate)
    yield Estimator("iips", IPS, "the assumption's", column="item", slots=True, own=item)
    yield Estimator("sniips", SNIPS, "the assumption's", column="item", slots=True, own=item)
    yield Estimator("rips", IPS, "the assumption's", column="prefix", slots=True, own=prefix)
    yield Estimator("snrips", SNIPS, "the assumption's", column="prefix", slots=True, own=prefix)
    yield Estimator("cascade_dr", MEAN, "the assumption's", column="cascade_dr", own=frozenset({"cascade_dr"}))
    yield Estimator("pi", IPS, "the assumption's", column="pseudo", own=pseudo)
    yield Estimator("snpi", SNIPS, "the assumption's", column="pseudo", own=pseudo)


ESTIMATORS: dict[str, Estimator] = {
    estimator.name: estimator
    for estimator in (
        Estimator("ips", IPS, "none", by_default=True),
        Estimator("snips", SNIPS, "O(1/n)", by_default=True),
        Estimator("dm", DM, "the model's", by_default=True),
        Estimator("dr", DR, "none", by_default=True),
        Estimator("sndr", SNDR, "O(1/n)", by_default=True),
        Estimator("beta_ips", BETA_IPS, "O(1/n)", by_default=True),
        Estimator("beta_dr", BETA_DR, "O(1/n)"),
        *_tamed(),
        Estimator("replay", FOLD, "none", own=frozenset({"target_propensity"}), kind="ordered fold"),
        *_loggers(),
        *_rankings(),
    )
}
