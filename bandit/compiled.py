"""Compiled functions over numpy arrays: the inner loops of a decision, where a numpy call costs more than its work.

Numba compiles a function when it is first called and keeps the machine code on disk, beside the module or in the user's
cache folder. The code does the same operations in the same order as the Python that it is made from (no fast-math).
"""

from collections.abc import Callable
from typing import ParamSpec, TypeVar

import llvmlite.binding
import numba

P = ParamSpec("P")
T = TypeVar("T")


def compiled(function: Callable[P, T]) -> Callable[P, T]:
    """Return the function, compiled for the types that it is called with; division by zero gives infinity or NaN."""
    try:
        made: Callable[P, T] = numba.njit(cache=True, error_model="numpy")(function)
    except RuntimeError:  # no folder to keep machine code in: compile anew in each process
        made = numba.njit(error_model="numpy")(function)
    return made


def host_processor() -> str:
    """Return the name of the processor that code is compiled for."""
    name: str = llvmlite.binding.get_host_cpu_name()
    return name
