"""How entities are named on the command line."""

from collections.abc import Iterable

from store.errors import InvalidInput
from store.lineage import Entity
from store.records import MAX_ID_LENGTH


def entities_of(words: Iterable[str]) -> tuple[Entity, ...]:
    """Read `KEY=ID` each; an id may contain `=`. Raises `InvalidInput`."""
    return tuple(_entity(word) for word in words)


def _entity(word: str) -> Entity:
    key, equals, name = word.partition("=")
    if not (equals and 0 < len(key) <= MAX_ID_LENGTH and 0 < len(name) <= MAX_ID_LENGTH):
        raise InvalidInput(
            f"{word!r} is not an entity: write KEY=ID as requests name it in `entities`, such as user=u-17, with 1 to "
            f"{MAX_ID_LENGTH} characters each"
        )
    return key, name
