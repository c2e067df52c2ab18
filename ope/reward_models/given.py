"""Where predicted rewards come from, and what is said of it: the log's own columns, or a model that is fitted here."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from ope.estimators.asked import Asked
from ope.formats.source import Source
from ope.request import Request
from ope.reward_models.asked import PAST
from ope.reward_models.untrained import marked


@contextmanager
def with_predictions(sources: Sequence[Source], request: Request) -> Iterator[Sequence[Source]]:
    """Yield the log with the predictions that are asked for, or with its own, marked by what is declared of them."""
    if request.model is None:
        yield marked(sources, request.declared)
        return
    from ope.reward_models.predictions import predicted  # noqa: PLC0415 - seconds of loading scikit-learn

    with predicted(sources, request.columns, request.model, policies=bool(request.policies)) as found:
        yield found


def told(request: Request, asked: Sequence[Asked]) -> list[str]:
    """Return what to say of the model that was fitted here, if one was."""
    names = ", ".join(one.name for one in asked if one.estimator.form.needs)
    model = request.model
    if not names or model is None:
        return []
    rows = f"on {model.rows:,} rows at most"
    if model.fit == PAST:
        return [f"{names}: rewards predicted by {model.name}, trained on the past only, {rows}"]
    return [f"{names}: rewards predicted by {model.name}, cross-fitted in {model.folds} folds, {rows} each"]
