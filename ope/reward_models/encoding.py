"""Turns the cells of a batch into features: JSON text, nested columns or plain ones; an error names the row."""

import functools
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, TypeAlias, TypeVar

import msgspec
import numpy as np

from ope.errors import InvalidLog
from ope.reward_models.pairs import NOTHING, Named, Pairs, named, paired
from ope.reward_models.reading import ACTION, ACTIONS, Batch, feature
from store.errors import InvalidInput

Table: TypeAlias = Mapping[str, Named]
T = TypeVar("T")

KEPT = 1_024
"""Texts that are not read twice while they stay common: catalogues of actions, mostly."""


class Encoder:
    """The features of a batch's rows and actions; with `crossed` the context once more for each action."""

    def __init__(self, features: Sequence[str], *, crossed: bool) -> None:
        self._features, self._crossed = features, crossed
        self._kept_cell = functools.lru_cache(maxsize=KEPT)(_cell)
        self._kept_table = functools.lru_cache(maxsize=KEPT)(_table)

    def pairs(self, batch: Batch, ids: Sequence[Sequence[str]]) -> Pairs:
        """Return the features of these actions of each row, row after row; raises InvalidLog for a broken cell."""
        tables = list(_each(batch, batch.rows[ACTIONS].to_list(), "actions", self._table))
        return paired(self._contexts(batch), tables, ids, crossed=self._crossed)

    def played(self, batch: Batch) -> list[Named]:
        """Return the features of the logged action of each row."""
        return self.pairs(batch, [[str(one)] for one in batch.rows[ACTION].to_list()]).each()

    def _contexts(self, batch: Batch) -> list[Named]:
        columns = [
            list(_each(batch, batch.rows[feature(place)].to_list(), name, functools.partial(self._cell, name)))
            for place, name in enumerate(self._features)
        ]
        return [_together(parts) for parts in zip(*columns, strict=True)] if columns else [NOTHING] * len(batch)

    def _cell(self, column: str, cell: object) -> Named:
        return (self._kept_cell if isinstance(cell, str) else _cell)(column, cell)

    def _table(self, cell: object) -> Table:
        return (self._kept_table if isinstance(cell, str) else _table)(cell)


def _each(batch: Batch, cells: Sequence[object], column: str, read: Callable[[object], T]) -> Iterator[T]:
    for row, cell in zip(batch.numbers, cells, strict=True):
        try:
            yield read(cell)
        except InvalidInput as error:
            raise InvalidLog(f"{batch.name}: row {row:,}: {column}: {error}.") from error


def _cell(column: str, cell: object) -> Named:
    value = _decoded(cell)
    if value is None:
        value = "null"  # that nothing is known is known
    return named({column: value}, prefix="c:", what="the context")


def _table(cell: object) -> Table:
    listed = _decoded(cell)
    if listed is None:
        return {}
    if not isinstance(listed, list):
        raise InvalidInput(f"{str(cell)[:40]!r} is no list of {{id, features}}: mend the row, or drop the column")
    return dict(_action(one) for one in listed)


def _action(one: object) -> tuple[str, Named]:
    if not isinstance(one, dict):
        return str(one), NOTHING
    if one.get("id") is None:
        raise InvalidInput(f"an action has no id: {str(one)[:40]!r}: name it")
    features = one.get("features")
    if features is None:
        return str(one["id"]), NOTHING
    if not isinstance(features, dict):
        raise InvalidInput(f"the features of action {one['id']!r} are {str(features)[:40]!r}; they are an object")
    return str(one["id"]), named(features, prefix="f:", what=f"action {one['id']!r}")


def _decoded(cell: object) -> Any:  # noqa: ANN401 - JSON
    if not isinstance(cell, str):
        return _present(cell)
    if cell[:1] not in ("{", "["):
        return cell
    try:
        return msgspec.json.decode(cell)
    except msgspec.DecodeError as error:
        raise InvalidInput(f"{cell[:40]!r} is no JSON ({error}): write the row anew") from None


def _present(value: Any) -> Any:  # noqa: ANN401 - a cell of any type
    # A nested column has every row's keys in each row, as nulls.
    if isinstance(value, dict):
        return {key: _present(one) for key, one in value.items() if one is not None}
    return [_present(one) for one in value] if isinstance(value, list) else value


def _together(parts: Sequence[Named]) -> Named:
    if len(parts) == 1:
        return parts[0]
    return Named(np.concatenate([one.names for one in parts]), np.concatenate([one.values for one in parts]))
