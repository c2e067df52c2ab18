"""Where predicted rewards come from, and what is said of it: the log's own columns, or a model that is fitted here."""

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager

from ope.estimators.asked import Asked
from ope.formats.source import Source
from ope.request import Request
from ope.reward_models.asked import PAST
from ope.reward_models.untrained import marked


@contextmanager
def with_predictions(sources: Sequence[Source], request: Request) -> Iterator[Sequence[Source]]:
    """Yield the log with what is to be predicted of its rows, or with its own predictions, marked by what is declared.

    Files that this takes are gone afterwards.
    """
    with ExitStack() as opened:
        if request.embedding_model is not None and request.columns.embedding is not None and request.policies:
            from ope.embedding_fit import with_shares  # noqa: PLC0415 - seconds of loading scikit-learn

            sources = opened.enter_context(with_shares(sources, request.columns, request.embedding_model))
        if request.model is None:
            yield marked(sources, request.declared)
            return
        from ope.reward_models.predictions import predicted  # noqa: PLC0415 - as above

        policies = bool(request.policies)
        yield opened.enter_context(predicted(sources, request.columns, request.model, policies=policies))


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
