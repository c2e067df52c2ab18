"""The one canonical frame of off-policy evaluation: which columns a log gives, under which names.

Canonical columns, one row per decision, all Float64: `reward`, `propensity` (of the logged action
under the logging policy), `target_propensity` (of the same action under the target), and where the
log has them `q_logged` (predicted reward of the logged action), `q_target` (predicted reward of the
target policy), `off_support` (the target's mass on actions that the logger could not play),
`q_missing` (1 where the log has no prediction), `known` (1 where a fixed action occurs) and
`row_weight` (how many decisions the row stands for). The decision's time `at` is kept as the log has it.
"""

import difflib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

import narwhals as nw

from ope.errors import InvalidLog, InvalidRequest
from ope.formats.columns import LINE, ROW_WEIGHT, TRAINED
from ope.formats.source import Frame, Source
from ope.rules import Rule


@dataclass(frozen=True, slots=True)
class Columns:
    """What the log calls the canonical columns; the defaults are the canonical names themselves."""

    reward: str = "reward"
    propensity: str = "propensity"
    target_propensity: str = "target_propensity"
    q_logged: str = "q_logged"
    q_target: str = "q_target"
    target_action: str | None = None
    logger: str | None = None
    embedding: str | None = None
    q_against: str | None = None

    @property
    def numeric(self) -> list[str]:
        """The columns that hold numbers, where they are there."""
        named = (self.reward, self.propensity, self.target_propensity, self.q_logged, self.q_target)
        other = [] if self.q_against is None else [self.q_against]
        return [*named, *other, *([] if self.target_action is None else [self.target_action, "action"])]

    def option(self, canonical: str) -> str:
        """Return the command line's name for a canonical column."""
        return "--" + canonical.replace("_", "-")


REQUIRED = ("reward", "propensity", "target_propensity")
PREDICTED = ("q_logged", "q_target")
UNDER_A_POLICY = ("q_missing", "off_support")
"""What only the scoring of a policy makes; a log that `ope score` has written has them as columns."""

SHOWN_NAMES = 30
AT = "at"
LOOP = "loop"


@dataclass(frozen=True, slots=True)
class Rows:
    """A source's rows under canonical names; `origin` says where each canonical column came from.

    `rules` are what its rows must keep beside the rules of their columns.
    """

    source: Source
    frame: Frame
    origin: dict[str, str]
    rules: tuple[Rule, ...] = ()

    @property
    def columns(self) -> list[str]:
        """The canonical columns that are there."""
        return self.frame.collect_schema().names()


def rows_from_columns(
    source: Source,
    columns: Columns,
    *,
    predicted: bool,
    also: Mapping[str, nw.Expr] = MappingProxyType({}),
    others: Mapping[str, str] = MappingProxyType({}),
) -> Rows:
    """Return the canonical rows of a log that carries the target's propensities itself, with the columns of `also`.

    `others` are further canonical columns, and where they stand. Its predicted rewards are read too if `predicted`
    asks for them.
    Raises InvalidRequest for a column that is not there, InvalidLog for one that holds no numbers.
    """
    origin = {name: getattr(columns, name) for name in REQUIRED}
    for name in REQUIRED:
        require(source, origin[name], option=columns.option(name))
    if predicted:
        origin |= predictions(source, columns)
    origin |= others
    chosen = [number(source, column).alias(name) for name, column in origin.items()]
    scored = {name: number(source, name) for name in UNDER_A_POLICY if _is_numeric(source, name)}
    more = [expression.alias(name) for name, expression in ({**scored, **also}).items()]
    return Rows(source=source, frame=source.frame.select(*chosen, *more), origin=origin)


def _is_numeric(source: Source, column: str) -> bool:
    schema = source.frame.collect_schema()
    return column in schema and schema[column].is_numeric()


def carried(source: Source) -> dict[str, nw.Expr]:
    """Return the columns that any canonical rows keep, where there: weights, lines, times, loops, training marks."""
    weights = {ROW_WEIGHT: number(source, ROW_WEIGHT)} if ROW_WEIGHT in source.columns else {}
    return weights | {name: nw.col(name) for name in (LINE, AT, LOOP, TRAINED) if name in source.columns}


def predictions(source: Source, columns: Columns) -> dict[str, str]:
    """Return which columns hold predicted rewards; raises InvalidRequest where a named one is not there."""
    wanted = {name: getattr(columns, name) for name in PREDICTED}
    for name, column in wanted.items():
        if column != name:  # named on purpose, so it must be there
            require(source, column, option=columns.option(name))
    return {name: column for name, column in wanted.items() if column in source.columns}


def require(source: Source, column: str, *, option: str) -> None:
    """Raise InvalidRequest unless the log has the column; the error suggests the closest name."""
    present = [name for name in source.columns if name != LINE]
    if column in present:
        return
    others = [name for name in present if name not in (*REQUIRED, *PREDICTED)]
    close = difflib.get_close_matches(column, others, n=1)
    hint = f" Did you mean {option} {close[0]}?" if close else f" Name yours with {option}."
    if option == "--target-propensity":
        hint += " Or judge a policy that needs no column: --policy uniform, logged or fixed:ID."
    raise InvalidRequest(f"{source.name}: there is no column {column!r}; it has {_listed(present)}.{hint}")


def number(source: Source, column: str) -> nw.Expr:
    """Return the column as Float64; raises InvalidLog where its type cannot hold numbers."""
    kind = source.frame.collect_schema()[column]
    if not (kind.is_numeric() or kind in {nw.Boolean(), nw.Unknown()}):
        raise InvalidLog(
            f"{source.name}: column {column!r} holds {kind}; it must hold numbers. "
            "Convert it where the log is made, or name another column."
        )
    return nw.col(column).cast(nw.Float64())


def _listed(names: Sequence[str]) -> str:
    # A binary file's "names" must not reach the terminal as control characters.
    shown = [name if name.isprintable() and name else repr(name) for name in names[:SHOWN_NAMES]]
    more = f" and {len(names) - SHOWN_NAMES} more" if len(names) > SHOWN_NAMES else ""
    return ", ".join(shown) + more
