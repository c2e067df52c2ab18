"""Which questions of reward models go together with the rest of what is asked."""

from ope.errors import InvalidRequest
from ope.estimators.asked import Wanted
from ope.frames import PREDICTED, Columns
from ope.reward_models.asked import RewardModel
from ope.reward_models.untrained import Declared

CANONICAL = Columns()


def check_model(columns: Columns, wanted: Wanted, model: RewardModel | None, declared: Declared) -> None:
    """Raise InvalidRequest for a model, or a declaration, that the rest of the question has no use for."""
    if model is None and declared.column is None:
        return
    option = "--model" if model is not None else "--trained-until" if declared.until is not None else "--trained"
    if model is not None:
        _check_alone(columns, declared)
    if wanted.of_rankings:
        raise InvalidRequest(f"{option} is about one choice's reward; rankings are judged without. Leave it out.")
    if not wanted.predicted:
        names = ", ".join(one.name for one in wanted.asked)
        raise InvalidRequest(f"{option}: {names} read no predicted rewards. Ask for dr too, or leave it out.")
    if model is not None and columns.target_action is not None:
        raise InvalidRequest(
            "--model predicts the reward of actions with ids, not of numbers. Predict elsewhere, and name the columns: "
            "--q-logged and --q-target."
        )


def _check_alone(columns: Columns, declared: Declared) -> None:
    named = [name for name in PREDICTED if getattr(columns, name) != getattr(CANONICAL, name)]
    if named:
        raise InvalidRequest(
            f"{columns.option(named[0])} {getattr(columns, named[0])} and --model are two answers to one question; "
            "give one of them."
        )
    if columns.q_against is not None:
        raise InvalidRequest(
            f"--q-against {columns.q_against} and --model: two policies are compared by predictions of one model. "
            "Leave one out."
        )
    if declared.column is not None:
        raise InvalidRequest(
            "--trained-until and --trained are about predictions that the log has; --model makes its own. Leave one "
            "out."
        )
