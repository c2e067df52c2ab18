"""The Open Bandit Dataset (Saito, Aihara, Matsutani and Narita 2021): real logs with propensities.

A fashion shop's recommender showed three items side by side under two policies at once, `random`
(uniform) and `bts` (Bernoulli Thompson sampling). The small version, six logs of 10,000 rows, is
inside a published source distribution; the full one is a folder. Nothing of either is kept here.
"""

import io
import tarfile
import zlib
from enum import StrEnum
from pathlib import Path

import polars as pl

from simulator.datasets.fetch import Sdist, cached
from store.errors import InvalidInput

SDIST = Sdist(
    project="obp",
    version="0.5.7",
    sha256="3060d67fedfcfadf1e7a6f2608987f74412b5eb74d2c567edeb147595c68f2a0",
)
USER_FEATURES = tuple(f"user_feature_{i}" for i in range(4))
LOGGED = ("timestamp", "item_id", "position", "click", "propensity_score", *USER_FEATURES)


class Campaign(StrEnum):
    """The shop's three campaigns."""

    ALL = "all"
    MEN = "men"
    WOMEN = "women"


class Behaviour(StrEnum):
    """The logging policies; each logged its own share of the same traffic."""

    RANDOM = "random"
    BTS = "bts"


N_ACTIONS = {Campaign.ALL: 80, Campaign.MEN: 34, Campaign.WOMEN: 46}


def load(campaign: Campaign, behaviour: Behaviour, *, path: Path | None = None) -> pl.LazyFrame:
    """Return one log under Honeyguide's column names, one row per shown item.

    `path` is the folder of the full data set or a downloaded source distribution; by default the
    small version is fetched and cached. `propensity` is that of the item at its slot. Raises
    InvalidInput where the path does not hold the log.
    """
    raw = read_csv(path or cached(SDIST), campaign, behaviour)
    missing = [name for name in LOGGED if name not in raw.collect_schema()]
    if missing:
        raise InvalidInput(
            f"the {behaviour}/{campaign} log lacks {', '.join(missing)}; an Open Bandit log has "
            f"{', '.join(LOGGED)}. Check the path."
        )
    return _as_log(raw.select(LOGGED), campaign, behaviour)


def read_csv(path: Path, campaign: Campaign, behaviour: Behaviour) -> pl.LazyFrame:
    """Return the log's own columns from a folder or a source distribution, unchanged."""
    inside = f"{behaviour}/{campaign}/{campaign}.csv"
    if path.is_dir():
        return _from_folder(path, inside)
    if path.is_file():
        return _from_sdist(path, inside)
    raise InvalidInput(f"{path}: no such file or folder. Give the data set's folder or its sdist.")


def _from_folder(folder: Path, inside: str) -> pl.LazyFrame:
    path = folder / inside
    if not path.is_file():
        raise InvalidInput(f"{folder}: there is no {inside} in it. Give the folder that holds random/ and bts/.")
    return pl.scan_csv(path, glob=False)


def _from_sdist(path: Path, inside: str) -> pl.LazyFrame:
    # Read in place: nothing of the archive is ever written to a path that the archive chose.
    name = f"{SDIST.project}-{SDIST.version}/obp/dataset/obd/{inside}"
    try:
        with tarfile.open(path) as archive:
            file = archive.extractfile(name)
            return pl.read_csv(io.BytesIO(file.read() if file else b"")).lazy()
    except (tarfile.TarError, EOFError, zlib.error) as error:
        raise InvalidInput(f"{path}: not a whole tar archive ({error}). Download it again.") from error
    except KeyError as error:
        raise InvalidInput(f"{path}: there is no {inside} in it. Give {SDIST.filename}.") from error
    except pl.exceptions.PolarsError as error:
        raise InvalidInput(f"{path}: {inside} is not a readable CSV ({error}). Download it again.") from error


def _as_log(raw: pl.LazyFrame, campaign: Campaign, behaviour: Behaviour) -> pl.LazyFrame:
    at = pl.col("timestamp").str.to_datetime("%Y-%m-%d %H:%M:%S%.f%:z", time_unit="us", time_zone="UTC")
    return raw.with_row_index("row").select(
        decision_id=pl.format("{}-{}-{}", pl.lit(behaviour.value), pl.lit(campaign.value), "row"),
        at=at,
        context=pl.struct(USER_FEATURES).struct.json_encode(),
        action=pl.col("item_id").cast(pl.String),
        slot=pl.col("position").cast(pl.Int64) - 1,
        propensity=pl.col("propensity_score").cast(pl.Float64),
        reward=pl.col("click").cast(pl.Float64),
        outcome=pl.lit("rewarded"),
        n_actions=pl.lit(N_ACTIONS[campaign], dtype=pl.Int64),
        policy=pl.lit(behaviour.value),
    )
