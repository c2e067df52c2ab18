"""What may be asked of a log, as it is said: names, columns and numbers, unchecked."""

from collections.abc import Sequence
from dataclasses import dataclass

from ope.bad_rows import REFUSE
from ope.frames import Columns
from ope.scorer import Scorer

CANONICAL = Columns()


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """One evaluation's options, each the command's option of its name; see docs/reference/ope.md.

    Without `policies` the target is what the log's target-propensity column holds. `log_format` is the files' format
    where their names and first lines do not tell, and `on_bad_rows` whether bad rows are refused or reported. `against`
    names the policy that each target is compared with: a spec like `policies` or, without them, `logged` or a column.
    Each column of `segments`, and windows of the length `window` (`6h`, `1d`), cut the log into parts that are judged
    each alone too. `scorer` scores those of `policies` that are its targets; it is used up by one evaluation.
    """

    policies: Sequence[str] = ()
    columns: Columns = CANONICAL
    estimators: Sequence[str] | None = None
    max_weight: float | None = None
    bandwidth: float | None = None
    interval: str = "normal"
    level: float = 0.95
    reward_range: tuple[float, float] | None = None
    log_format: str | None = None
    on_bad_rows: str = REFUSE
    against: str | None = None
    segments: Sequence[str] = ()
    window: str | None = None
    scorer: Scorer | None = None


USUAL = Question()
"""What is asked where nothing is said."""
