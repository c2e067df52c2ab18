"""Which actions a policy gets to see: the rules over what was sent, and what history keeps back."""

from collections import Counter
from collections.abc import Iterable, Mapping

import msgspec

from bandit.ranking.features import feature_of, same
from bandit.ranking.guards import Eligible, GuardConfig, of_kind
from store.errors import InvalidInput
from store.records import Action


class Pool(msgspec.Struct, frozen=True):
    """The eligible actions in canonical order, by id, and why the others are not.

    `removed` counts them by guard, in the order of the guards; `withheld` are the ids that a frequency cap kept back,
    which cannot be told from the request.
    """

    actions: list[Action]
    removed: dict[str, int] = {}
    withheld: list[str] = []

    @property
    def ids(self) -> list[str]:
        """The ids of the actions."""
        return [action.id for action in self.actions]

    @property
    def acted(self) -> tuple[str, ...]:
        """The loop's guards that removed an action; what the request itself excludes is no guard's doing."""
        return tuple(dict.fromkeys(name.partition(" ")[0] for name in self.removed if name != EXCLUDE))


EXCLUDE = "exclude"


def narrow(pool: Pool, guards: Iterable[GuardConfig], spent: Mapping[str, str]) -> Pool:
    """Return what the loop's guards leave of a pool.

    `spent` are the ids of the pool that a frequency cap keeps back, each with the entity key of the cap.

    Raises `InvalidInput` when nothing is left, with what each guard removed.
    """
    actions, removed = pool.actions, Counter(pool.removed)
    for rule in of_kind(guards, Eligible):
        kept = [action for action in actions if obeys(rule, action.features)]
        if len(kept) < len(actions):
            removed[f"eligible ({rule.feature})"] += len(actions) - len(kept)
        actions = kept
    caught = {action.id: spent[action.id] for action in actions if action.id in spent}
    removed.update(f"frequency_cap ({entity})" for entity in caught.values())
    actions = [action for action in actions if action.id not in caught]
    if not actions:
        raise InvalidInput(
            f"no action is left to serve ({told(removed)}): send more actions, or loosen the loop's guards"
        )
    return Pool(actions, dict(removed), sorted(caught))


def obeys(rule: Eligible, features: Mapping[str, object]) -> bool:
    """Say whether an action with these features passes the rule."""
    value = feature_of(features, rule.feature)
    if value is None:
        return rule.when_missing == "keep"
    if rule.equals is not None:
        return same(value, rule.equals)
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    return (rule.min is None or value >= rule.min) and (rule.max is None or value <= rule.max)


def told(removed: Mapping[str, int]) -> str:
    """Say how many actions each guard removed."""
    return ", ".join(f"{name} removed {count}" for name, count in removed.items())
