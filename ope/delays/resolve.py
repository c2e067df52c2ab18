"""The one step: sources in which rewards may be missing -> sources in which every row that counts has one."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import reduce
from operator import add
from typing import TypeAlias

from ope.delays.asked import BOUNDS, IPCW, MATURE, REFUSE
from ope.delays.bounds import bounds, timeless_bounds
from ope.delays.ipcw import ipcw
from ope.delays.mature import mature
from ope.delays.resolved import Resolved
from ope.delays.rules import lawful
from ope.delays.timed import Timed, timed
from ope.delays.waiting import Waiting
from ope.formats.source import Source

Way: TypeAlias = Callable[[Sequence[Timed], Waiting, int], Resolved]
WAYS: dict[str, Way] = {MATURE: mature, IPCW: ipcw, BOUNDS: bounds}


def resolved(sources: Sequence[Source], waiting: Waiting, *, reward: str, report: bool) -> Resolved:
    """Return the sources with what is asked in the place of rewards that have not come; `reward` names their column.

    Raises InvalidRequest for what cannot be asked of these logs, InvalidLog for a row that breaks a rule unless
    `report` has it left out.
    """
    if waiting.way == REFUSE:
        return Resolved((tuple(sources),))
    if waiting.window is None:
        return timeless_bounds(sources, waiting, reward=reward)
    known = [timed(source, waiting, reward=reward) for source in sources]
    checked = [lawful(log, waiting, report=report) for log in known]
    found = WAYS[waiting.way]([log for log, _ in checked], waiting, waiting.window)
    return replace(found, bad=reduce(add, (bad for _, bad in checked)))
