"""What Vowpal Wabbit's own parsers make of lines: its labels, as rows to compare ours with."""

from collections.abc import Iterable, Iterator
from functools import cache

import vowpal_wabbit_next as vw


def of_dsjson(lines: Iterable[str]) -> Iterator[dict[str, object]]:
    """Yield of each line the labelled place, from 1, its reward, probability and weight, and the number of actions."""
    parser = vw.DSJsonFormatParser(_workspace("--cb_explore_adf", "--dsjson"))
    for line in lines:
        yield _labelled([example.get_label() for example in parser.parse_json(line)])


def of_adf(blocks: Iterable[list[str]]) -> Iterator[dict[str, object]]:
    """Yield the same of blocks of text."""
    parser = vw.TextFormatParser(_workspace("--cb_adf"))
    for block in blocks:
        yield _labelled([parser.parse_line(line).get_label() for line in block])


def of_cb(lines: Iterable[str]) -> Iterator[dict[str, object]]:
    """Yield the action of each line as it is written, its reward and probability."""
    parser = vw.TextFormatParser(_workspace("--cb", "9"))
    for line in lines:
        action, cost, probability = parser.parse_line(line).get_label().label
        yield {"action": str(action), "reward": -cost, "propensity": probability}


@cache
def _workspace(*arguments: str) -> vw.Workspace:
    return vw.Workspace([*arguments, "--quiet"])


def _labelled(labels: list[vw.CBLabel]) -> dict[str, object]:
    actions = [label for label in labels if not label.shared]
    (place,) = (place for place, label in enumerate(actions, start=1) if label.label is not None)
    _, cost, probability = actions[place - 1].label
    return {
        "action": str(place),
        "reward": -cost,
        "propensity": probability,
        "n_actions": len(actions),
        "row_weight": actions[place - 1].weight,
    }
