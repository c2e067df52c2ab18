"""What a gate answers, as frozen values; how it is printed lives in `ope.report`."""

from dataclasses import KW_ONLY, dataclass
from typing import Literal, TypeAlias

from ope.diagnostics import Diagnostics
from ope.diagnostics.findings import Finding, Unknown
from ope.gate.config import Gate
from ope.gate.state import Kept

Decision: TypeAlias = Literal["promote", "hold", "refuse"]


@dataclass(frozen=True, slots=True)
class Rule:
    """One rule and how it came out. A broken one makes the verdict `otherwise`; None is what could not be computed.

    `because` are the linter's findings behind it, by code. `way_out` says what to do where it does not hold.
    """

    name: str
    says: str
    _: KW_ONLY
    holds: bool
    otherwise: Literal["hold", "refuse"]
    value: float | None = None
    threshold: float | None = None
    way_out: str = ""
    because: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Lift:
    """The candidate's value less the champion's, in reward units, with one-sided bounds that hold at every look.

    `lower` is ever above the truth with a probability of at most the gate's α, `upper` ever below it. `evidence` is the
    natural logarithm of the evidence against a lift of at most the margin, `needed` what rules that out.
    """

    value: float
    stderr: float
    lower: float
    upper: float
    candidate: float
    champion: float
    evidence: float
    needed: float


@dataclass(frozen=True, slots=True)
class Evidence:
    """What was looked at: `folded` decisions of `n` rows, named by `rows`, a SHA-256 of them in their order.

    `new` of them were folded at this look; `waiting` ones stand behind the first whose outcome is open. `last_at` is in
    microseconds since 1970.
    """

    files: tuple[str, ...]
    n: int
    folded: int
    new: int
    waiting: int
    rows: str
    last_id: str | None
    last_at: int | None


@dataclass(frozen=True, slots=True)
class Verdict:
    """A gate's answer, with all that it rests on.

    `more` is how many further decisions are expected until every rule of `hold` is met if things go on as they did:
    0 where they are, None where that is not to be expected or not known. `findings` are the linter's faults and
    `unknown` what it could not ask.
    """

    decision: Decision
    rules: tuple[Rule, ...]
    lift: Lift | None
    diagnostics: Diagnostics | None
    more: int | None
    findings: tuple[Finding, ...]
    unknown: tuple[Unknown, ...]
    evidence: Evidence
    config: Gate
    config_digest: str


@dataclass(frozen=True, slots=True)
class Look:
    """A verdict, and what the next look goes on from; None where the rows could not be folded."""

    verdict: Verdict
    kept: Kept | None
