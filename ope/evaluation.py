"""What an evaluation answers, as frozen values; how it is printed lives in `ope.report`."""

from dataclasses import dataclass

from ope.diagnostics import Diagnostics
from ope.formats.asides import Asides

OF_COLUMNS = "columns"  # the key of a target that is no policy but a column of the log


@dataclass(frozen=True, slots=True)
class Estimate:
    """One estimator's answer, in reward units; NaN where it is undefined."""

    estimator: str
    value: float
    stderr: float
    interval: tuple[float, float]
    level: float
    method: str


@dataclass(frozen=True, slots=True)
class Comparison:
    """What the log says of a target less another policy, over the same rows; `policy` names the other."""

    policy: str
    estimates: tuple[Estimate, ...]


@dataclass(frozen=True, slots=True)
class Evaluation:
    """What the log says of one target policy; `notes` say in words what was left out, and why.

    `bad_rows` are those left out because they break a rule; None where such rows are refused. `against` is the
    comparison with another policy, `parts` are the same of parts of the log, where they were asked for.
    """

    n: int
    estimates: tuple[Estimate, ...]
    diagnostics: Diagnostics
    notes: tuple[str, ...] = ()
    bad_rows: Asides | None = None
    against: Comparison | None = None
    parts: "tuple[PartEvaluation, ...]" = ()


@dataclass(frozen=True, slots=True)
class PartEvaluation:
    """What the rows of one part of the log say: `column` is that which cuts it, `value` is the part's.

    Of a window `column` is that of the times and `value` its start, RFC 3339 in UTC; None stands for rows without a
    value.
    """

    column: str
    value: str | None
    evaluation: Evaluation
