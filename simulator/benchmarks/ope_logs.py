"""Logs of any length for the benchmarks of evaluation: narrow ones of numbers, wide ones with contexts and actions."""

from collections.abc import Iterator
from pathlib import Path

import msgspec
import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

from simulator.benchmarks.bodies import decision_bodies

ARMS = 10
PART = 1_000_000
"""Rows that are in memory at a time, and a row group."""

_WIDE_PART = 50_000
_JSON = ("context", "actions")


def write_log(path: Path, *, rows: int, seed: int = 0) -> None:
    """Write a log of ten actions with rewards 0 or 1 and a reward model that is off by a little."""
    _write(path, (_numbers(size, part=part, seed=seed) for part, size in _parts(rows, PART)))


def write_wide_log(path: Path, *, gigabytes: float, seed: int = 0) -> int:
    """Write a log as wide as an export, its text neither compressed nor shared; return how many rows it took."""
    texts = _texts(seed)
    width = np.mean([len(one) for column in texts.values() for one in column.to_pylist()]) * len(texts)
    rows = round(gigabytes * 1e9 / (width + 160))  # 160: ten ids and propensities, and what is around them
    _write(path, (_wide(size, texts, part=part, seed=seed) for part, size in _parts(rows, _WIDE_PART)))
    return rows


def _parts(rows: int, most: int) -> Iterator[tuple[int, int]]:
    yield from ((part, min(most, rows - start)) for part, start in enumerate(range(0, rows, most)))


def _write(path: Path, parts: Iterator[pa.Table]) -> None:
    first = next(parts)
    plain = {"use_dictionary": [name for name in first.schema.names if name not in _JSON]}
    codecs = {name: "none" if name in _JSON else "zstd" for name in first.schema.names}
    with pq.ParquetWriter(path, first.schema, compression=codecs, **plain) as writer:
        writer.write_table(first)
        for table in parts:
            writer.write_table(table)


def _numbers(rows: int, *, part: int, seed: int) -> pa.Table:
    world = np.random.default_rng(seed)
    logging, target = world.dirichlet(np.ones(ARMS) * 5), world.dirichlet(np.ones(ARMS) * 5)
    means = world.uniform(0.1, 0.9, ARMS)
    predicted = means + world.normal(0, 0.05, ARMS)
    rng = np.random.default_rng((seed, part))
    arm = rng.choice(ARMS, rows, p=logging)
    noise = rng.normal(0, 0.02, rows)  # as if the context moved it, so that no column is constant
    return pl.DataFrame(
        {
            "reward": rng.binomial(1, means[arm]).astype(float),
            "propensity": logging[arm],
            "target_propensity": target[arm],
            "q_logged": predicted[arm] + noise,
            "q_target": target @ predicted + noise,
        }
    ).to_arrow()


def _texts(seed: int) -> dict[str, pa.Array]:
    bodies = [msgspec.json.decode(body) for body in decision_bodies(seed=seed)]
    return {name: pa.array([msgspec.json.encode(body[name]).decode() for body in bodies]) for name in _JSON}


def _wide(rows: int, texts: dict[str, pa.Array], *, part: int, seed: int) -> pa.Table:
    rng = np.random.default_rng((seed, part))
    numbers = _numbers(rows, part=part, seed=seed)
    chances = rng.dirichlet(np.ones(ARMS) * 5, rows)
    place = rng.integers(0, ARMS, rows)
    ids = pa.array([f"a{arm}" for arm in range(ARMS)])
    pairs = pa.StructArray.from_arrays(
        [ids.take(pa.array(np.tile(np.arange(ARMS), rows))), pa.array(chances.ravel())], ["action", "propensity"]
    )
    columns = {
        **{name: column.take(pa.array(rng.integers(0, len(column), rows))) for name, column in texts.items()},
        "distribution": pa.ListArray.from_arrays(np.arange(rows + 1) * ARMS, pairs),
        "action": ids.take(pa.array(place)),
        "propensity": chances[np.arange(rows), place],
        "reward": numbers["reward"],
        "target_propensity": numbers["target_propensity"],
    }
    return pa.table(columns)
