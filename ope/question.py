"""What may be asked of a log, as it is said: names, columns and numbers, unchecked."""

from collections.abc import Sequence
from dataclasses import dataclass

from ope.bad_rows import REFUSE
from ope.delays.asked import AS_SETTLED, Delays
from ope.embedding_model import EmbeddingModel
from ope.engines.table import POLARS
from ope.frames import Columns
from ope.intervals.confidence import Side
from ope.reward_models.asked import RewardModel
from ope.reward_models.untrained import NOTHING, Declared
from ope.scorer import Scorer

CANONICAL = Columns()


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """One evaluation's options, each the command's option of its name; see docs/reference/ope.md.

    Without `policies` the target is what the log's target-propensity column holds. `log_format` is the files' format
    where their names and first lines do not tell, `engine` what reads and adds them up (a frame's engine is its own),
    and `on_bad_rows` whether bad rows are refused or reported. `delays` says how decisions count whose reward has not
    come. `against` names the policy that each target is compared with: a spec like `policies` or, without them,
    `logged` or a column. Each column of `segments`, and windows of the length `window` (`6h`, `1d`), cut the log into
    parts that are judged each alone too.
    `model` predicts the rewards anew; `declared` says what the model behind the log's own predictions was trained on;
    `embedding_model` tells actions by their embedding, which without it is a category.
    `weights` asks for a histogram of each policy's weights, which takes a pass of its own.
    `scorer` scores those of `policies` that are its targets; it is used up by one evaluation.
    """

    policies: Sequence[str] = ()
    columns: Columns = CANONICAL
    estimators: Sequence[str] | None = None
    max_weight: float | None = None
    bandwidth: float | None = None
    interval: str = "normal"
    level: float = 0.95
    side: str = Side.BOTH
    reward_range: tuple[float, float] | None = None
    largest_weight: float | None = None
    past_predictions: bool = False
    seed: int = 0
    model: RewardModel | None = None
    declared: Declared = NOTHING
    embedding_model: EmbeddingModel | None = None
    log_format: str | None = None
    on_bad_rows: str = REFUSE
    engine: str = POLARS
    delays: Delays = AS_SETTLED
    against: str | None = None
    segments: Sequence[str] = ()
    window: str | None = None
    weights: bool = False
    scorer: Scorer | None = None


USUAL = Question()
"""What is asked where nothing is said."""
