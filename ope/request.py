"""What is asked of a log, as one checked value."""

from dataclasses import dataclass

from ope.bad_rows import reported
from ope.delays.asked import BOUNDS, IPCW
from ope.delays.waiting import Waiting
from ope.embedding_model import EmbeddingModel, check_embedding
from ope.engines.table import POLARS, checked_engine
from ope.errors import InvalidRequest
from ope.estimators.asked import Wanted, wanted
from ope.frames import Columns
from ope.intervals.ask import Ask, Range, checked_largest, checked_seed
from ope.intervals.confidence import Confidence, checked_side
from ope.intervals.table import Method, checked_level, interval_method
from ope.kernel import checked_bandwidth
from ope.parts import Cuts, window_seconds
from ope.policies import Policy, parse_policy
from ope.question import CANONICAL, Question
from ope.reward_models.asked import PAST, PredictionsFrom, RewardModel
from ope.reward_models.checks import check_model
from ope.reward_models.untrained import NOTHING, Declared
from ope.scorer import Scorer

NO_CUTS = Cuts()


@dataclass(frozen=True, slots=True)
class Request:
    """What is asked of a log.

    `method` is the interval's, and `ask` what is asked of it; `report` says whether bad rows are left out and listed;
    `part` whether the rows are only a part of the log; `waiting` how decisions count whose reward has not
    come; `loop` is the one that all rows are of, where they name any; `weights` says whether a histogram of the weights
    is wanted; `scorer` scores those of the policies that are its targets.
    """

    columns: Columns
    policies: tuple[Policy, ...]
    wanted: Wanted
    bandwidth: float | None
    method: Method
    ask: Ask
    waiting: Waiting
    model: RewardModel | None = None
    declared: Declared = NOTHING
    embedding_model: EmbeddingModel | None = None
    report: bool = False
    engine: str = POLARS
    loop: str | None = None
    against: str | None = None
    cuts: Cuts = NO_CUTS
    part: bool = False
    scorer: Scorer | None = None
    weights: bool = False

    @property
    def predictions_from(self) -> PredictionsFrom:
        """Where the predicted rewards come from, if any are read."""
        if self.model is not None:
            return "past" if self.model.fit == PAST else "cross_fitted"
        if self.declared.trained is not None:
            return "cross_fitted"
        # What was predicted when deciding, or by a model that was frozen before the first decision.
        return "past" if self.policies or self.declared.until is not None else "column"

    @property
    def reads_features(self) -> bool:
        """Whether anything but a policy looks at what was known when deciding."""
        cut = any(column.startswith(("context.", "actions")) or column == "context" for column in self.cuts.segments)
        return cut or self.model is not None or self.embedding_model is not None

    @staticmethod
    def of(question: Question) -> "Request":
        """Return the question with its names looked up; raises InvalidRequest for what cannot be asked."""
        _check(question)
        waiting = Waiting.of(question.delays, within=question.reward_range, interval=question.interval)
        ask = _ask(question)
        asked = wanted(question.estimators, max_weight=question.max_weight)
        check_model(question.columns, asked, question.model, question.declared)
        check_embedding(question.columns, question.embedding_model)
        return Request(
            columns=question.columns,
            policies=tuple(parse_policy(spec, question.scorer) for spec in dict.fromkeys(question.policies)),
            wanted=asked,
            bandwidth=checked_bandwidth(question.bandwidth, target_action=question.columns.target_action),
            method=_method(question, ask),
            ask=ask,
            waiting=waiting,
            model=question.model,
            declared=question.declared,
            embedding_model=question.embedding_model,
            report=reported(question.on_bad_rows),
            engine=checked_engine(question.engine),
            against=question.against,
            cuts=Cuts(tuple(dict.fromkeys(question.segments)), window_seconds(question.window), question.delays.at),
            weights=question.weights,
            scorer=question.scorer,
        )


def _check(question: Question) -> None:
    columns, policies = question.columns, question.policies
    if policies and columns.target_propensity != CANONICAL.target_propensity:
        raise InvalidRequest(
            f"--target-propensity {columns.target_propensity} and --policy {policies[0]} are two "
            "answers to one question; give one of them."
        )
    if policies and columns.target_action is not None:
        raise InvalidRequest(
            f"--target-action {columns.target_action} and --policy {policies[0]} are two answers to one question; "
            "give one of them."
        )
    if policies and question.against is not None:
        parse_policy(question.against, question.scorer)
    if question.against is not None and question.delays.unresolved == BOUNDS:
        raise InvalidRequest(
            f"--against {question.against}: a difference of two policies may fall where a reward grows, so that "
            f"--unresolved {BOUNDS} does not bound it. Ask for --unresolved mature, or judge each policy by itself."
        )
    if question.model is not None and question.delays.unresolved == BOUNDS:
        raise InvalidRequest(
            f"--model {question.model.name}: what a model predicts may fall where a reward grows, so that --unresolved "
            f"{BOUNDS} does not bound it. Leave the model out, or ask for --unresolved mature."
        )
    if question.model is not None and question.model.fit != PAST and question.past_predictions:
        raise InvalidRequest(
            f"--past-predictions: the model is {question.model.fit}, and has seen later rows. Ask for --model-fit past."
        )


def _ask(question: Question) -> Ask:
    within = None if question.reward_range is None else Range(*question.reward_range)
    return Ask(
        confidence=Confidence(checked_level(question.level), checked_side(question.side)),
        # Rewards that are weighed by how likely they are to have come leave any range.
        within=None if question.delays.unresolved == IPCW else within,
        most=checked_largest(question.largest_weight),
        past=question.past_predictions or (question.model is not None and question.model.fit == PAST),
        seed=checked_seed(question.seed),
    )


def _method(question: Question, ask: Ask) -> Method:
    method = interval_method(question.interval, ask)
    if method.exact and question.columns.embedding is not None:
        raise InvalidRequest(
            f"--interval {method.name} takes each weight as known, and with --embedding it is counted over the whole "
            "log. Judge by --interval normal or bootstrap."
        )
    return method
