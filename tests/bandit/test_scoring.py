"""Scoring: what our policies would have done in a logged row is what the service would have served, to the bit."""

from pathlib import Path
from typing import Any

import polars as pl
import pytest
from served_logs import LOOP, config_of, distributions, exported, serve

from bandit.policies.catalogue import KINDS
from bandit.scoring.learners import Progressive
from bandit.scoring.scorer import PolicyScorer
from bandit.scoring.serve import FRESH
from bandit.scoring.target import Target, of_version
from bandit.scoring.version import find_version
from store.log.memory import MemoryStore

POLICIES: list[dict[str, Any]] = [
    {"kind": kind} | ({"action": "b"} if kind == "fixed" else {}) for kind in sorted(KINDS)
]
POLICIES.append({"kind": "linear_ts", "probabilities": "draws", "draws": 16})
every_policy = pytest.mark.parametrize("policy", POLICIES, ids=lambda policy: "-".join(map(str, policy.values())))


def score(log: pl.DataFrame, *targets: Target) -> dict[str, list[Any]]:
    """Return each target's distributions of a log's rows, which must all be scored."""
    scorer = PolicyScorer(targets)
    rows = log.select(name for name in scorer.reads if name in log.columns)
    scorer.begin({"log": rows.lazy()})
    parts = [scorer.score(rows[start : start + 25]) for start in range(0, len(rows), 25)]
    assert [dict(found.wrong) for part in parts for found in part.values() if found.wrong] == []
    return {target.name: [row for part in parts for row in part[target.name].distribution] for target in targets}


@every_policy
def test_a_version_scores_as_it_served(policy: dict[str, Any], tmp_path: Path) -> None:
    """Under LOOP@VERSION, the rows that this version served have the logged distribution, bit for bit."""
    store = MemoryStore()
    serve(store, (config_of(policy, exploration={"cap": 0.3, "cold_start": {"outcomes": 30, "cap": 0.9}}), 45))
    log = pl.read_parquet(exported(store, tmp_path))
    for version in log["model_version"].unique(maintain_order=True).to_list()[3::9]:
        own = log.filter(pl.col("model_version") == version)
        found = score(own, of_version("v", find_version(store, f"{LOOP}@{version}")))["v"]
        assert found == [[pair["propensity"] for pair in row] for row in own["distribution"].to_list()]


@every_policy
def test_progressive_scoring_of_the_server_reproduces_its_log(policy: dict[str, Any], tmp_path: Path) -> None:
    """A config learning progressively from its own log is, row by row, the state that served, bit for bit."""
    store = MemoryStore()
    config = config_of(policy)
    serve(store, (config, 60))
    path = exported(store, tmp_path)
    secrets = {record.name: record.secret for record in store.loops()}
    found = score(pl.read_parquet(path), Progressive("p", config, secrets, FRESH))["p"]
    assert found == distributions(path)
