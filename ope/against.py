"""The other policy of a comparison, where the log's columns hold it: canonical columns beside those of the target."""

from ope.formats.source import Source
from ope.frames import Columns, require
from ope.weights import AGAINST

LOGGED = "logged"
"""The policy that logged: it weighs each row 1, and what it earned is what was logged."""
OTHERS = f"{AGAINST}target_propensity", f"{AGAINST}q_target"


def columns_against(source: Source, columns: Columns, name: str, *, predicted: bool) -> dict[str, str]:
    """Return where the log holds the canonical columns of the policy `name`: `logged`, or its propensities' column.

    Of the logging policy DR is then the mean reward, for each row's prediction is that of the action it chose.
    Raises InvalidRequest for a column that is not there.
    """
    propensity, q = OTHERS
    if name == LOGGED:
        found = {propensity: columns.propensity, q: columns.q_logged}
    else:
        require(source, name, option="--against")
        found = {propensity: name}
        if columns.q_against is not None:
            require(source, columns.q_against, option="--q-against")
            found[q] = columns.q_against
    if not predicted or found.get(q) not in source.columns:
        found.pop(q, None)
    return found
