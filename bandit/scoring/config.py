"""A policy config file: a loop's config, or its `policy` part alone, with a model version to begin from or without."""

from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from bandit.exploration import ExplorationConfig
from bandit.settings import LoopConfig, read_config
from ope.errors import InvalidRequest
from store.errors import InvalidInput

BARE = ExplorationConfig(cap=1.0, floor=0.0, cold_start=None)
"""No cap and no floor: the policy's own distribution."""


class Stated(NamedTuple):
    """A config as a file states it, and the model version that it begins from, or None for its initial state."""

    config: LoopConfig
    state: str | None


def read_file(path: Path) -> Stated:
    """Return what a policy config file says; a `policy` part alone is served without cap, floor and guards.

    Raises InvalidRequest for a file that is not there or no such config.
    """
    try:
        content = msgspec.json.decode(path.read_bytes(), type=dict[str, Any])
    except OSError as error:
        raise InvalidRequest(
            f"--policy {path}: cannot be read ({error.strerror}). Give the path of a config."
        ) from error
    except msgspec.DecodeError as error:
        raise InvalidRequest(f"--policy {path}: is no JSON object ({error}). {_WANTED}") from None
    state = content.pop("state", None)
    if state is not None and not isinstance(state, str):
        raise InvalidRequest(f'--policy {path}: state is {state!r}; it is a model version, such as "news@line@120".')
    try:
        return Stated(_config(content), state)
    except InvalidInput as error:
        raise InvalidRequest(f"--policy {path}: {error}. {_WANTED}") from None


_WANTED = 'It is a loop\'s config, {"policy": {"kind": …}, "exploration": {…}}, or a policy alone, {"kind": …}.'


def _config(content: dict[str, Any]) -> LoopConfig:
    if "kind" not in content:
        if "policy" not in content:
            raise InvalidInput('it has neither "policy" nor "kind"')
        return read_config(msgspec.json.encode(content))
    bare = read_config(msgspec.json.encode({"policy": content}))
    return msgspec.structs.replace(bare, exploration=BARE)
