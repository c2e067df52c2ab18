"""Formulas that make one reward of several named components: arithmetic, min and max, and nothing else."""

import ast
import functools
import math
from collections.abc import Callable, Mapping
from typing import TypeAlias

from store.errors import InvalidInput
from store.records import LARGEST

Formula: TypeAlias = Callable[[Mapping[str, float]], float]

MAX_LENGTH = 500
_TOO_LARGE = 1e300
_FUNCTIONS: dict[str, Callable[..., float]] = {"min": min, "max": max}
_ALLOWED = "numbers, component names, + - *, division by a number, min(...) and max(...)"


@functools.lru_cache(maxsize=256)
def read_formula(text: str, names: frozenset[str]) -> Formula:
    """Return the function that the text describes, from component values to a reward.

    Raises:
        InvalidInput: for anything but numbers, these names, + - *, division by a number, min and max.

    """
    try:
        return _checked(text, names)
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        raise InvalidInput(
            f"reward.components.formula is {text[:100]!r}: {error}; it may hold {_ALLOWED}, "
            f"and the components are {', '.join(sorted(names))}"
        ) from None


def _checked(text: str, names: frozenset[str]) -> Formula:
    if len(text) > MAX_LENGTH:
        raise ValueError(f"it has {len(text)} characters, more than {MAX_LENGTH}")
    body = ast.parse(text, mode="eval").body
    formula = _read(body, names)
    if _most(body) > _TOO_LARGE:
        raise ValueError(f"it can exceed {_TOO_LARGE:g} where its components are {LARGEST:g}: scale it down")
    return formula


def _most(node: ast.expr) -> float:
    """Return how large a readable formula can become where no component exceeds 1e15."""
    if isinstance(node, ast.Constant):
        return abs(float(node.value))  # type: ignore[arg-type]  # `_number` saw to it
    if isinstance(node, ast.UnaryOp):
        return _most(node.operand)
    if isinstance(node, ast.BinOp):
        left, right = _most(node.left), _most(node.right)
        if isinstance(node.op, ast.Mult):
            return left * right
        return left / right if isinstance(node.op, ast.Div) else left + right
    return max(map(_most, node.args)) if isinstance(node, ast.Call) else LARGEST


def _read(node: ast.expr, names: frozenset[str]) -> Formula:
    if isinstance(node, ast.Constant):
        return _number(node)
    if isinstance(node, ast.Name):
        return _component(node.id, names)
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub):
        inner = _read(node.operand, names)
        return lambda parts: -inner(parts)
    if isinstance(node, ast.BinOp):
        return _operation(node, names)
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and not node.keywords:
        return _call(node.func.id, [_read(each, names) for each in node.args])
    raise ValueError(f"{ast.unparse(node)!r} is not allowed")


def _number(node: ast.Constant) -> Formula:
    value = node.value
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise ValueError(f"{value!r} is not a finite number")
    number = float(value)
    return lambda parts: number  # noqa: ARG005  # a constant asks for nothing


def _component(name: str, names: frozenset[str]) -> Formula:
    if name not in names:
        raise ValueError(f"there is no component {name!r}")
    return lambda parts: parts[name]


def _operation(node: ast.BinOp, names: frozenset[str]) -> Formula:
    left, right = _read(node.left, names), _read(node.right, names)
    if isinstance(node.op, ast.Add):
        return lambda parts: left(parts) + right(parts)
    if isinstance(node.op, ast.Sub):
        return lambda parts: left(parts) - right(parts)
    if isinstance(node.op, ast.Mult):
        return lambda parts: left(parts) * right(parts)
    if isinstance(node.op, ast.Div) and isinstance(node.right, ast.Constant) and node.right.value:
        return lambda parts: left(parts) / right(parts)
    raise ValueError(f"{ast.unparse(node)!r} is not allowed")


def _call(name: str, arguments: list[Formula]) -> Formula:
    function = _FUNCTIONS.get(name)
    if function is None or len(arguments) < 2:
        raise ValueError(f"{name}(...) is not allowed, or has too few arguments")
    return lambda parts: function(*(argument(parts) for argument in arguments))
