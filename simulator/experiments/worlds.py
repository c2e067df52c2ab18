"""The worlds of the learning-quality experiment, by name; some are kept aside while a default is chosen."""

import functools
from collections.abc import Callable

import msgspec

from simulator.worlds import synthetic
from simulator.worlds.classification import ClassificationWorld, digits
from simulator.worlds.labelled import breast_cancer, image_segments
from simulator.worlds.rounds import Rounds, one_pass
from store.errors import InvalidInput


class World(msgspec.Struct, frozen=True):
    """A world: how a seed makes its rounds, and whether it is kept aside.

    Whoever chooses a default must not look at a world that is held out before the choice stands.
    """

    name: str
    make: Callable[[int], Rounds]
    held_out: bool = False


def _labelled(name: str, read: Callable[[], ClassificationWorld], *, held_out: bool = False) -> World:
    once = functools.cache(read)
    return World(name, lambda seed: one_pass(once(), seed), held_out)


WORLDS = {
    world.name: world
    for world in (
        _labelled("digits", digits),
        _labelled("segments", image_segments),
        World("linear", synthetic.linear),
        World("switching", synthetic.switching),
        _labelled("breast_cancer", breast_cancer, held_out=True),
        World("arms", synthetic.arms, held_out=True),
        World("sparse", synthetic.sparse, held_out=True),
        World("xor", synthetic.xor, held_out=True),
    )
}


def chosen_worlds(names: list[str], *, held_out: bool) -> list[str]:
    """Return the names as they are, or, where there are none, those that are held out or those that are not.

    Raises `InvalidInput` for a name that no world has.
    """
    unknown = [name for name in names if name not in WORLDS]
    if unknown:
        raise InvalidInput(f"there is no world {unknown[0]!r}: the worlds are {', '.join(WORLDS)}")
    return names or [world.name for world in WORLDS.values() if world.held_out == held_out]
