"""Every estimator by its name, with what it needs of the log; one line adds one."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from ope.errors import InvalidRequest
from ope.estimators.dm import dm
from ope.estimators.dr import dr
from ope.estimators.ips import ips
from ope.estimators.linearised import Linearised
from ope.estimators.snips import snips
from ope.sums import Sums


@dataclass(frozen=True, slots=True)
class Estimator:
    """A named estimator; `needs` are the predicted-reward columns that it reads."""

    name: str
    of: Callable[[Sums], Linearised]
    needs: frozenset[str] = frozenset()


ESTIMATORS: dict[str, Estimator] = {
    estimator.name: estimator
    for estimator in (
        Estimator("ips", ips),
        Estimator("snips", snips),
        Estimator("dm", dm, frozenset({"q_target"})),
        Estimator("dr", dr, frozenset({"q_logged", "q_target"})),
    )
}


def chosen(names: Sequence[str] | None) -> tuple[Estimator, ...] | None:
    """Return the estimators of these names, None for "all that the columns allow".

    Raises InvalidRequest for a name that is not in the table.
    """
    if names is None:
        return None
    for name in names:
        if name not in ESTIMATORS:
            raise InvalidRequest(f"unknown estimator {name!r}; the estimators are {', '.join(ESTIMATORS)}.")
    return tuple(ESTIMATORS[name] for name in dict.fromkeys(names))


def allowed(asked: tuple[Estimator, ...] | None, columns: frozenset[str], *, where: str) -> tuple[Estimator, ...]:
    """Return the estimators asked for, by default every one that the log's columns allow.

    Raises InvalidRequest, naming the columns, where an estimator was asked for in vain.
    """
    if asked is None:
        return tuple(one for one in ESTIMATORS.values() if one.needs <= columns)
    for estimator in asked:
        missing = sorted(estimator.needs - columns)
        if missing:
            raise InvalidRequest(
                f"{where}: estimator {estimator.name} needs {' and '.join(missing)}, which the log "
                "does not have. Name the columns with --q-logged and --q-target; under --policy "
                "they come from predicted_rewards."
            )
    return asked
