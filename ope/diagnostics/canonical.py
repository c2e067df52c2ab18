"""Brings the files of a log under the names of the roles, as one lazy frame; judges columns, not rows.

Of the frame: `file` (its place in `files`), `row` (from 1 in its file), the roles that are there, `…
as logged` (what the file said, as text) beside numbers that were text, and `segment NAME` columns.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import polars as pl

from ope.diagnostics.findings import Finding, Where
from ope.diagnostics.opening import BROKEN, Opened
from ope.diagnostics.roles import NUMERIC, ROLES, Roles, closest
from ope.errors import InvalidRequest
from ope.times import microseconds

AS_LOGGED, SEGMENT, CONTENT = " as logged", "segment ", "content"
NEEDED = ("reward", "propensity")
PAIRS = pl.List(pl.Struct({"action": pl.String, "propensity": pl.Float64}))
_NUMBERS = "numbers"
_KINDS = {
    "distribution": "a list of {action, propensity}",
    "predicted_rewards": "a list of numbers",
    "at": "times",
}


@dataclass(frozen=True, slots=True)
class Canon:
    """A log under the names of the roles; `there` are the roles that all its files have.

    `doubted` says that a file could not simply be read, so that rows may be marked as broken lines.
    """

    files: tuple[str, ...]
    frame: pl.LazyFrame
    there: frozenset[str]
    segments: tuple[str, ...]
    findings: tuple[Finding, ...]
    doubted: bool


def canon(opened: Sequence[Opened], roles: Roles, segments: Sequence[str], *, doubted: bool = False) -> Canon:
    """Return the files as one log. Raises InvalidRequest for a column that was named and is nowhere."""
    schemas = [one.frame.collect_schema() if one.frame is not None else None for one in opened]
    _check_asked(opened, schemas, roles, segments)
    findings = [_unreadable(one) for one in opened if one.frame is None]
    frames, there = [], set(ROLES)
    for place, (one, schema) in enumerate(zip(opened, schemas, strict=True)):
        if one.frame is None or schema is None:
            continue
        columns, bad = _columns(one.name, schema, roles)
        findings += bad
        there &= columns.keys()
        frames.append(_select(one.frame, schema, columns, segments).with_columns(file=pl.lit(place, pl.UInt32)))
    empty = pl.LazyFrame(schema={"file": pl.UInt32, "row": pl.Int64, BROKEN: pl.Boolean})
    frame = pl.concat([*frames, empty], how="diagonal_relaxed")
    names, known = tuple(one.name for one in opened), frozenset(there if frames else ())
    return Canon(names, frame, known, tuple(segments), tuple(findings), doubted)


def _select(
    frame: pl.LazyFrame, schema: pl.Schema, columns: dict[str, pl.Expr], segments: Sequence[str]
) -> pl.LazyFrame:
    extra = {SEGMENT + name: pl.col(name).cast(pl.String) for name in segments if name in schema}
    mark = pl.col(BROKEN).fill_null(value=False) if BROKEN in schema else pl.lit(value=False)
    whole = pl.struct(pl.all()).hash() if schema.len() else pl.lit(0, pl.UInt64)
    numbered = frame.with_columns(whole.alias(CONTENT)).with_row_index("row", offset=1)
    texts = {role + AS_LOGGED: expression for role, expression in _as_logged(schema, columns).items()}
    return numbered.select(pl.col("row").cast(pl.Int64), CONTENT, mark.alias(BROKEN), **columns, **texts, **extra)


def _columns(name: str, schema: pl.Schema, roles: Roles) -> tuple[dict[str, pl.Expr], list[Finding]]:
    columns: dict[str, pl.Expr] = {}
    findings = []
    for role in ROLES:
        column = roles.of(role)
        if column not in schema:
            findings += [_missing(name, role, column, list(schema))] if role in NEEDED else []
            continue
        expression = _as_role(role, column, schema[column])
        if expression is None:
            findings.append(_mistyped(name, role, column, schema[column]))
        else:
            columns[role] = expression
    return columns, findings


def _as_role(role: str, column: str, kind: pl.DataType) -> pl.Expr | None:
    if role in NUMERIC:
        return _as_number(role, column, kind)
    if role == "at":
        return microseconds(column, kind)
    if role == "distribution":
        return _pairs(column, kind) if _is_pairs(kind) else None
    if role == "predicted_rewards":
        of_numbers = isinstance(kind, pl.List) and (_inner(kind).is_numeric() or _inner(kind) == pl.Null)
        return pl.col(column).cast(pl.List(pl.Float64)) if of_numbers or kind == pl.Null else None
    return None if kind.is_nested() or kind == pl.Binary else pl.col(column).cast(pl.String)


def _as_number(role: str, column: str, kind: pl.DataType) -> pl.Expr | None:
    if kind == pl.String:
        text = pl.col(column).str.strip_chars()
        if role == "trained":
            text = text.str.to_lowercase().replace({"true": "1", "false": "0"})
        return text.cast(pl.Float64, strict=False)
    return pl.col(column).cast(pl.Float64) if kind.is_numeric() or kind in {pl.Boolean(), pl.Null()} else None


def _as_logged(schema: pl.Schema, columns: dict[str, pl.Expr]) -> dict[str, pl.Expr]:
    numbers = {role: columns[role] for role in NUMERIC if role in columns}
    named = {role: expression.meta.root_names()[0] for role, expression in numbers.items()}
    return {role: pl.col(name) for role, name in named.items() if schema[name] == pl.String}


def _inner(kind: pl.List) -> pl.DataType:
    inner = kind.inner
    return inner if isinstance(inner, pl.DataType) else inner()


def _pairs(column: str, kind: pl.DataType) -> pl.Expr:
    if kind == PAIRS:
        return pl.col(column)
    fields = [
        pl.element().struct.field(name).cast(to) for name, to in (("action", pl.String), ("propensity", pl.Float64))
    ]
    return pl.col(column).list.eval(pl.struct(fields))


def _is_pairs(kind: pl.DataType) -> bool:
    inner = _inner(kind) if isinstance(kind, pl.List) else None
    fields = {field.name: field.dtype for field in inner.fields} if isinstance(inner, pl.Struct) else {}
    return {"action", "propensity"} <= fields.keys() and fields["propensity"].is_numeric()


def _check_asked(
    opened: Sequence[Opened], schemas: Sequence[pl.Schema | None], roles: Roles, segments: Sequence[str]
) -> None:
    read = [(one.name, schema) for one, schema in zip(opened, schemas, strict=True) if schema is not None]
    for column in [*(roles.of(role) for role in roles.asked()), *segments]:
        for name, schema in read:
            if column not in schema:
                raise InvalidRequest(
                    f"{name}: there is no column {column!r}; it has {', '.join(map(repr, schema))}."
                    f"{closest(column, list(schema))}"
                )
    for column in segments:
        for name, schema in read:
            if schema[column].is_nested():
                raise InvalidRequest(f"{name}: --segment {column} holds {schema[column]}; a segment is one value.")


def _unreadable(one: Opened) -> Finding:
    return Finding(
        "file_unreadable",
        "refuse",
        None,
        None,
        says=one.why_not.removeprefix(f"{one.name}: "),
        way_out="Write the file anew: whole, closed by its writer, in the format that its name says.",
        where=Where(file=one.name),
    )


def _missing(name: str, role: str, column: str, columns: Sequence[str]) -> Finding:
    way_out = {
        "propensity": "Log, at the moment of the draw, the probability of the action that was drawn.",
        "reward": "Join each decision with its reward, by its id, before the log is judged.",
    }[role]
    return Finding(
        "column_missing",
        "refuse",
        None,
        None,
        says=f"there is no column {column!r}, and nothing can be judged without it.{closest(column, columns)}",
        way_out=f"{way_out} If it has another name, give it with --{role}.",
        where=Where(file=name, column=column),
    )


def _mistyped(name: str, role: str, column: str, kind: pl.DataType) -> Finding:
    wanted = _NUMBERS if role in NUMERIC else _KINDS.get(role, "plain values")
    return Finding(
        "column_type",
        "refuse" if role in {*NEEDED, "target_propensity"} else "warn",
        None,
        None,
        says=f"it holds {kind} where {wanted} are due, so that nothing in it could be checked.",
        way_out="Convert it where the log is written; nested columns need Parquet or NDJSON.",
        where=Where(file=name, column=column),
    )
