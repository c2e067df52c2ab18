"""Which column of a log plays which role for the linter; reads no row."""

import difflib
from collections.abc import Sequence
from dataclasses import dataclass, fields, replace

from ope.errors import InvalidRequest
from ope.formats.columns import ROW_WEIGHT

NUMERIC = ("reward", "propensity", "target_propensity", "q_logged", "q_target", "n_actions", "trained", "row_weight")
NESTED = ("distribution", "predicted_rewards")


@dataclass(frozen=True, slots=True)
class Roles:
    """The log's name for each column that a check reads; the defaults are those of `honeyguide export`.

    `trained` is 1 in the rows whose outcomes the target learned from; `loop` names the recurring
    decision that a row belongs to; `row_weight` is how many decisions it stands for.
    """

    reward: str = "reward"
    propensity: str = "propensity"
    target_propensity: str = "target_propensity"
    q_logged: str = "q_logged"
    q_target: str = "q_target"
    action: str = "action"
    n_actions: str = "n_actions"
    distribution: str = "distribution"
    predicted_rewards: str = "predicted_rewards"
    decision_id: str = "decision_id"
    at: str = "at"
    outcome: str = "outcome"
    loop: str = "loop"
    model_version: str = "model_version"
    trained: str = "trained"
    row_weight: str = ROW_WEIGHT

    def named(self, pairs: Sequence[str]) -> "Roles":
        """Return these with the `ROLE=NAME` of pairs; raises InvalidRequest for an unknown role."""
        changed = self
        for pair in pairs:
            role, _, name = pair.partition("=")
            if role not in ROLES or not name:
                raise InvalidRequest(f"--column {pair}: give ROLE=NAME with a role of {', '.join(ROLES)}.")
            changed = replace(changed, **{role: name})
        return changed

    def of(self, role: str) -> str:
        """Return the log's name for a role."""
        name: str = getattr(self, role)
        return name

    def asked(self) -> list[str]:
        """Return the roles that were given another name than the default: their columns must be there."""
        return [role for role in ROLES if self.of(role) != role]


ROLES = tuple(field.name for field in fields(Roles))


def closest(name: str, columns: Sequence[str]) -> str:
    """Return a hint at the column that was perhaps meant, empty where none is near."""
    others = [column for column in columns if column not in ROLES]
    near = difflib.get_close_matches(name, others, n=1)
    return f" Did you mean {near[0]!r}?" if near else ""
