"""From what `--policy` says to the scorer of an evaluation: which specs are ours, and what each needs."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path

from bandit.scoring.config import read_file
from bandit.scoring.learners import Counterfactual, Progressive
from bandit.scoring.scorer import PolicyScorer
from bandit.scoring.serve import FRESH
from bandit.scoring.target import Target, of_config, of_version
from bandit.scoring.version import Version, find_version
from ope.errors import InvalidRequest
from store.errors import StoreUnusable
from store.log.sqlite import FILE_NAME, SqliteStore
from store.ports import Store

LEARN, PROGRESSIVE, ENDING = "learn:", "progressive:", ".json"
_OWN = ("uniform", "logged")


def is_scored(spec: str) -> bool:
    """Say whether a policy spec is one that has to be scored: a config file or a model version."""
    if spec in _OWN or spec.startswith("fixed:"):
        return False
    return spec.endswith(ENDING) or "@" in spec


def with_learning(specs: Sequence[str], *, learning: bool) -> list[str]:
    """Return the specs; with `learning` each config file's two learning targets in its place."""
    found: list[str] = []
    for spec in specs:
        plain = spec.endswith(ENDING) and is_scored(spec) and not spec.startswith((LEARN, PROGRESSIVE))
        found += [LEARN + spec, PROGRESSIVE + spec] if learning and plain else [spec]
    if learning and found == list(specs) and not any(spec.startswith((LEARN, PROGRESSIVE)) for spec in specs):
        raise InvalidRequest("--learning is for policies that are config files: give --policy FILE.json with it.")
    return list(dict.fromkeys(found))


@contextmanager
def open_scorer(
    specs: Sequence[str],
    *,
    data: Path,
    given: bool = True,
    most: float | None = None,
    progress: Callable[[int], None] = lambda _: None,
) -> Iterator[PolicyScorer | None]:
    """Yield the scorer of those specs that are scored, or None where there is none.

    `data` is a data folder, which a model version is looked up in, and where it is `given` the loops' secrets too;
    `most` is the largest weight of the run of a `learn:` target. Raises InvalidRequest for what cannot be asked, and
    `StoreUnusable` where a folder that is needed is none.
    """
    wanted = [spec for spec in specs if is_scored(spec)]
    if not wanted:
        yield None
        return
    stored = (data / FILE_NAME).exists()
    if given and not stored:
        raise StoreUnusable(f"{data / FILE_NAME} does not exist: name the data folder of a server with --data")
    store = SqliteStore(data, read_only=True) if stored and (given or any("@" in spec for spec in wanted)) else None
    try:
        yield PolicyScorer([_target(spec, store, most) for spec in wanted], progress)
    finally:
        if store is not None:
            store.close()


def _target(spec: str, store: Store | None, most: float | None) -> Target:
    find = partial(_find, store)
    if not spec.endswith(ENDING):
        return of_version(spec, find(spec))
    secrets = {} if store is None else {record.name: record.secret for record in store.loops()}
    prefix = next((prefix for prefix in (LEARN, PROGRESSIVE) if spec.startswith(prefix)), "")
    stated = read_file(Path(spec.removeprefix(prefix)))
    if not prefix:
        return of_config(spec, stated, find)
    if stated.state is not None:
        raise InvalidRequest(f"--policy {spec}: it learns from scratch, and its file names a state. Leave `state` out.")
    if prefix == LEARN:
        return Counterfactual(spec, stated.config, secrets, FRESH, most=most)
    return Progressive(spec, stated.config, secrets, FRESH)


def _find(store: Store | None, spec: str) -> Version:
    if store is None:
        raise InvalidRequest(f"--policy {spec}: a model version is looked up in a data folder; name it with --data.")
    return find_version(store, spec)
