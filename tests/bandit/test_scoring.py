"""Scoring: what our policies would have done in a logged row is what the service would have served, to the bit."""

import re
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import polars as pl
import pytest
from served_logs import LOOP, config_of, distributions, exported, serve

from bandit.learn.checkpoints import line_name
from bandit.policies import plugins
from bandit.policies.base import NEWEST, Entry, Frozen, Pmf
from bandit.policies.catalogue import KINDS
from bandit.policies.plain import Uniform
from bandit.policies.situation import Situation
from bandit.scoring.config import BARE, Stated
from bandit.scoring.learners import Progressive
from bandit.scoring.open import open_scorer
from bandit.scoring.scorer import PolicyScorer
from bandit.scoring.serve import FRESH
from bandit.scoring.target import Target, of_config, of_version
from bandit.scoring.version import Version, find_version
from bandit.settings import LoopConfig, read_config
from ope.errors import InvalidLog, InvalidRequest
from ope.evaluate import evaluate_files
from ope.gate.config import Gate
from ope.gate.judge import gate_files
from ope.question import Question
from ope.reward_models.asked import RewardModel
from ope.score import score_files
from store.errors import Gone
from store.log.memory import MemoryStore
from store.ports import write
from store.records import Deletion

POLICIES: list[dict[str, Any]] = [
    {"kind": kind} | ({"action": "b"} if kind == "fixed" else {}) for kind in sorted(KINDS)
]
POLICIES.append({"kind": "linear_ts", "probabilities": "draws", "draws": 16})
every_policy = pytest.mark.parametrize("policy", POLICIES, ids=lambda policy: "-".join(map(str, policy.values())))


def bare(policy: dict[str, Any]) -> LoopConfig:
    """A policy without caps, floors and guards, as a file of a policy alone has it."""
    return msgspec.structs.replace(read_config(msgspec.json.encode({"policy": policy})), exploration=BARE)


def no_folder(spec: str) -> Version:
    """No data folder is at hand."""
    raise AssertionError(spec)


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


def test_rankings_are_learned_when_they_are_final(tmp_path: Path) -> None:
    """A version is exact on rankings too; progressively, what slots earned on the way is learned late, and said so."""
    store, config = MemoryStore(), config_of({"kind": "linear_ts"})
    serve(store, (config, 40), top_n=3)
    path = exported(store, tmp_path)
    log, logged = pl.read_parquet(path), distributions(path)
    secrets = {record.name: record.secret for record in store.loops()}
    late = Progressive("p", config, secrets, FRESH)
    learned = score(log, late)["p"]
    assert learned[:2] == logged[:2]
    assert learned != logged
    assert late.notes()[1].startswith("40 rows are rankings, each learned when its last reward was final")
    # Until the first was final it had learned of no reward: with other rewards it would have done the same.
    early = sum(int(name.rpartition("@")[2]) < log["outcome_position"].min() for name in log["model_version"])
    other = Progressive("p", config, secrets, FRESH)
    assert (
        score(log.with_columns(reward=1 - pl.col("reward"), slot_rewards=None), other)["p"][:early] == learned[:early]
    )
    assert 20 < early < 40
    for i in range(0, 40, 8):
        version = of_version("v", find_version(store, f"{LOOP}@{log['model_version'][i]}"))
        assert score(log[i : i + 1], version)["v"] == logged[i : i + 1]


GUARDED = {
    "exploration": {
        "ceiling": {"probability": 0.3, "outcomes": 5},
        "value_guard": {"max_loss": 0.4},
        "budget": {"share": 0.5, "window_s": 600},
        "conservative": {"alpha": 0.95, "confidence": 0.5},
    },
    "guards": [{"kind": "quality_floor", "share": 0.1}, {"kind": "pin", "slot": 1, "action": "c"}],
    "reward": {"window_s": 300, "range": [0, 1]},
}


@pytest.mark.parametrize("top_n", [1, 3])
def test_guards_act_with_the_logged_state(top_n: int, tmp_path: Path) -> None:
    """Budget, ceilings, gate and ranking guards act as they did: their state is the logged one, not today's."""
    # With several slots a reward is learned at once and again when the window ends: an export has the second alone.
    delay = {"delay": "wait"} if top_n > 1 else {}
    store, config = MemoryStore(), config_of({"kind": "linear_ts"}, learning=delay, **GUARDED)
    serve(store, (config, 120), top_n=top_n)
    path = exported(store, tmp_path)
    states = [msgspec.json.decode(state) for state in pl.read_parquet(path)["guard_state"]]
    assert {state["gate_open"] for state in states} == {0.0, 1.0}
    assert min(state["allowance"] for state in states) < 1 < max(state["new_actions"] for state in states)
    found = score(pl.read_parquet(path), Progressive("p", config, {}, FRESH))["p"]
    assert found == distributions(path)


@pytest.mark.parametrize("guard", ["ceiling", "value_guard", "budget"])
def test_each_guard_acts_by_itself(guard: str, tmp_path: Path) -> None:
    """One guard alone acts as it did, and did act: without it other distributions come out."""
    store, kind = MemoryStore(), {"kind": "softmax", "temperature": 1.0}
    only = {guard: GUARDED["exploration"][guard] | ({"max_loss": 0.05} if guard == "value_guard" else {})}
    free = {"cap": 1.0, "cold_start": None}
    config = config_of(kind, exploration=only | free)
    serve(store, (config, 60))
    path = exported(store, tmp_path)
    log = pl.read_parquet(path)
    assert score(log, Progressive("p", config, {}, FRESH))["p"] == distributions(path)
    assert score(log, Progressive("p", config_of(kind, exploration=free), {}, FRESH))["p"] != distributions(path)


def test_a_short_ranking_is_what_was_asked_for(tmp_path: Path) -> None:
    """What is pinned below the end of a ranking that came out short is kept from its first slot all the same."""
    store = MemoryStore()
    config = config_of({"kind": "uniform"}, guards=[{"kind": "pin", "slot": 2, "action": "c"}])
    serve(store, (config, 6), top_n=3, exclude=["b", "d"])
    path = exported(store, tmp_path)
    assert distributions(path) == [[1.0, 0.0]] * 6
    assert score(pl.read_parquet(path), Progressive("p", config, {}, FRESH))["p"] == distributions(path)


def test_a_guard_whose_past_is_not_logged_is_refused(tmp_path: Path) -> None:
    """A budget cannot act on a row that does not say what was left of it; the row and the way out are named."""
    store = MemoryStore()
    serve(store, (config_of({"kind": "beta_ts"}), 20))
    scorer = PolicyScorer([Progressive("p", config_of({"kind": "beta_ts"}, **GUARDED), {}, FRESH)])
    rows = pl.read_parquet(exported(store, tmp_path))
    scorer.begin({"log": rows.lazy()})
    assert "exploration.budget looks at the loop's past, which this row" in scorer.score(rows)["p"].wrong[0]


def test_excluded_actions_stay_excluded(tmp_path: Path) -> None:
    """What was not eligible has no place in a target's distribution, and the fixed kind then chooses evenly."""
    store = MemoryStore()
    serve(store, (config_of({"kind": "uniform"}), 9), exclude=["b"])
    log = pl.read_parquet(exported(store, tmp_path))
    target = of_config("f", Stated(bare({"kind": "fixed", "action": "b"}), None), no_folder)
    assert score(log, target)["f"] == [pytest.approx([1 / 3] * 3)] * len(log)


BUILT_IN = {"uniform": {"kind": "uniform"}, "fixed:b": {"kind": "fixed", "action": "b"}}


@pytest.mark.parametrize("builtin", list(BUILT_IN))
def test_a_file_of_a_built_in_policy_gives_its_numbers(builtin: str, tmp_path: Path) -> None:
    """`uniform` and `fixed` as a config file have the estimates and diagnostics of the built-in specs, to the bit."""
    store = MemoryStore()
    serve(store, (config_of({"kind": "linear_ts"}), 60))
    log, file = exported(store, tmp_path), tmp_path / "policy.json"
    file.write_bytes(msgspec.json.encode(BUILT_IN[builtin]))
    with open_scorer([str(file)], data=tmp_path, given=False) as scorer:
        found = evaluate_files([log], Question(policies=[builtin, str(file)], scorer=scorer))
    assert found[str(file)].estimates == found[builtin].estimates
    assert found[str(file)].diagnostics == found[builtin].diagnostics
    assert {estimate.estimator for estimate in found[builtin].estimates} >= {"ips", "dm", "dr"}


def test_a_class_of_another_package_is_scored(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A policy that a package brings is scored and learns like one of ours."""

    class Sticky(Uniform):
        """The action of the last reward that was 1, with 0.7."""

        kind = "sticky"
        corrects = False
        last = ""

        def believe(self, situation: Situation, frozen: Frozen) -> Pmf:
            at = np.array([float(name == self.last) for name in situation.ids])
            return Pmf(0.3 / len(at) + 0.7 * at) if at.any() else Pmf(np.full(len(at), 1 / len(at)))

        def learn(self, situation: Situation, arm: int, reward: float, p: float, entry: Entry = NEWEST) -> None:
            self.last = situation.ids[arm] if reward else self.last

    monkeypatch.setattr(plugins, "find", lambda kind: Sticky if kind == "sticky" else None)
    store = MemoryStore()
    serve(store, (config_of({"kind": "uniform"}), 30))
    log = pl.read_parquet(exported(store, tmp_path))
    found = score(log, Progressive("p", bare({"kind": "sticky"}), {}, FRESH))["p"]
    assert sorted({round(max(row), 9) for row in found}) == [0.25, 0.775]


@pytest.mark.parametrize("place", [30, 31])
def test_a_state_never_knows_what_came_later(place: int, tmp_path: Path) -> None:
    """Rewards appended after a decision change nothing of how it is scored; earlier ones do."""
    store = MemoryStore()
    serve(store, (config_of({"kind": "linear_ts"}), 50))
    log = pl.read_parquet(exported(store, tmp_path))
    now = int(log["model_version"][place].rpartition("@")[2])
    known = {
        "outcome_position": pl.col("outcome_position") <= now,  # by positions, where the log has them
        "outcome_at": pl.col("outcome_at") < log["at"][place],  # else by times
    }
    for column, by_then in known.items():
        own = log if column == "outcome_position" else log.drop("outcome_position")
        later = own.with_columns(reward=pl.when(by_then).then("reward").otherwise(1 - pl.col("reward")))
        earlier = own.with_columns(reward=pl.when(by_then).then(1 - pl.col("reward")).otherwise("reward"))
        target = bare({"kind": "linear_ts"})
        before, after, changed = (
            score(rows, Progressive("p", target, {}, FRESH))["p"] for rows in (own, later, earlier)
        )
        assert before[: place + 1] == after[: place + 1]
        assert before[place + 1 :] != after[place + 1 :]
        assert before[place] != changed[place]


# Versions and their own rows


def test_a_version_is_refused_on_rows_that_it_may_have_learned(tmp_path: Path) -> None:
    """A state is scored on decisions made after all that it knows; the refusal names a version that may be."""
    store = MemoryStore()
    serve(store, (config_of({"kind": "beta_ts"}), 40))
    log = pl.read_parquet(exported(store, tmp_path))
    line, _, position = log["model_version"][20].rpartition("@")
    version = of_version("v", find_version(store, f"{LOOP}@{line}@{position}"))
    with pytest.raises(InvalidLog, match=rf"row 1: decision 'id-0' .*--since .*such as {LOOP}@{line}@0"):
        score(log, version)
    legal = log.filter(pl.col("model_version").str.split("@").list.get(1).cast(int) >= int(position))
    assert len(score(legal, version)["v"]) == len(legal) > 0
    # Without versions in the log, times decide; a decision of the same moment as the newest outcome is not after it.
    by_time = log.drop("model_version").filter(pl.col("at") > datetime.fromtimestamp(version._since.at / 1e6, UTC))
    assert len(score(by_time, version)["v"]) == len(by_time) > 0
    # One outcome fewer, or the same moment, is before: the newest outcome of the state may be the row's own.
    one_less = legal[:1].with_columns(model_version=pl.lit(f"{line}@{int(position) - 1}")).drop("at")
    same_time = by_time[:1].with_columns(at=pl.lit(datetime.fromtimestamp(version._since.at / 1e6, UTC)))
    for row in (one_less, same_time):
        with pytest.raises(InvalidLog, match="may have learned from this row"):
            score(row, version)
    with pytest.raises(InvalidLog, match="neither when it was decided"):
        score(log.drop("model_version", "at"), version)
    with pytest.raises(InvalidLog) as refused:
        score(log[10:], version)
    named = re.search(r"such as (\S+)\.", str(refused.value))
    assert score(log[10:], of_version("v", find_version(store, named[1])))


def test_one_outcome_more_than_the_row_knew_is_refused(tmp_path: Path) -> None:
    """The state that decided a row is scored on it, the next one is not, whether versions or times tell."""
    store = MemoryStore()
    serve(store, (config_of({"kind": "beta_ts"}), 20))
    log = pl.read_parquet(exported(store, tmp_path))
    row = log[10:11]
    line, _, position = row["model_version"][0].rpartition("@")
    own, after = (of_version("v", find_version(store, f"{LOOP}@{line}@{int(position) + more}")) for more in (0, 1))
    for told in (row, row.drop("model_version")):
        assert score(told, own)["v"]
        with pytest.raises(InvalidLog, match="may have learned from this row"):
            score(told, after)


def test_a_policy_without_a_state_may_be_scored_anywhere(tmp_path: Path) -> None:
    """What learns nothing has learned nothing from a log."""
    store = MemoryStore()
    serve(store, (config_of({"kind": "uniform"}), 20))
    log = pl.read_parquet(exported(store, tmp_path))
    assert score(log, of_version("v", find_version(store, f"{LOOP}@{log['model_version'][-1]}")))["v"]


@pytest.mark.parametrize(
    ("spec", "says"),
    [
        ("other@line@3", "there is no loop 'other' in this data folder; its loops are: news"),
        ("news@line@3", "has no config that learns line 'line'"),
        ("news@{line}@999", "has 20 outcomes, not 999"),
        ("news@{line}", "a model version is LOOP@LINE@POSITION"),
        ("news@{line}@x", "a model version is LOOP@LINE@POSITION"),
    ],
)
def test_a_version_that_is_not_there_is_no_question(spec: str, says: str) -> None:
    """An unknown loop, line or position is exit code 2, with what there is."""
    store = MemoryStore()
    serve(store, (config_of({"kind": "uniform"}), 10))
    line = store.configs(LOOP)[0]
    with pytest.raises(InvalidRequest, match=says):
        find_version(store, spec.format(line=line_name(read_config(line.config))))


def test_models_and_segments_see_the_features_of_a_scored_log(tmp_path: Path) -> None:
    """A reward model and a segment inside the context go together with a policy that is scored."""
    store = MemoryStore()
    serve(store, (config_of({"kind": "uniform"}), 80))
    log, file = exported(store, tmp_path), tmp_path / "p.json"
    file.write_text('{"kind": "beta_ts"}')
    with open_scorer([str(file)], data=tmp_path, given=False) as scorer:
        asked = Question(
            policies=[str(file)],
            scorer=scorer,
            segments=["context.who"],
            model=RewardModel(kind="ridge"),
            estimators=["dr"],
        )
        found = evaluate_files([log], asked)[str(file)]
    assert {part.value for part in found.parts} == {"u0", "u1", "u2"}
    assert found.predictions_from == "cross_fitted"


def test_a_version_is_scored_into_columns_and_gated_by_them(tmp_path: Path) -> None:
    """`ope score` keeps what the linter and the gate look at; the file is judged as the version itself is."""
    store = MemoryStore()
    serve(store, (config_of({"kind": "linear_ts"}), 90))
    log = pl.read_parquet(exported(store, tmp_path))
    name = log["model_version"][40]
    later, out = tmp_path / "later.parquet", tmp_path / "scored.parquet"
    log.filter(pl.col("at") > log["at"][41]).write_parquet(later)
    version = find_version(store, f"{LOOP}@{name}")

    def asked() -> Question:
        return Question(policies=["v"], scorer=PolicyScorer([of_version("v", version)]), estimators=["ips", "dr"])

    assert score_files([later], out, asked()) == pl.read_parquet(later).height
    direct, written = evaluate_files([later], asked())["v"], evaluate_files([out], Question(estimators=["ips", "dr"]))
    assert [one.value for one in written["columns"].estimates] == pytest.approx([one.value for one in direct.estimates])
    gate = Gate(reward_range=(0.0, 1.0), target_version=name, min_outcomes=10, min_ess=5)
    rules = {rule.name: rule for rule in gate_files([out], gate).verdict.rules}
    assert rules["overlap"].holds
    assert rules["order"].says.startswith("Decisions stood in the order")
    assert rules["outcomes"].value == pl.read_parquet(later).height


def cut(store: MemoryStore, decisions: int) -> None:
    """Delete a loop's first decisions with their outcomes."""
    rows = store.logged(LOOP, since=0, until=2**62, after=0, limit=decisions)
    through = max(outcome.position for row in rows for outcome in store.outcomes(LOOP, row.decision.decision_id))
    deletion = Deletion(loop=LOOP, decisions=rows[-1].decision.position, outcomes=through, at=10**15)
    write(store, [lambda tx: tx.delete(deletion)])


def test_a_state_that_was_deleted_is_gone(tmp_path: Path) -> None:
    """A version that no stored state leads to is gone; the refusal names one that is stored, and that works."""
    store = MemoryStore()
    serve(store, (config_of({"kind": "beta_ts"}), 40))
    log = pl.read_parquet(exported(store, tmp_path))
    line = log["model_version"][0].rpartition("@")[0]
    find_version(store, f"{LOOP}@{line}@21")
    cut(store, 20)
    with pytest.raises(Gone, match=rf"cannot be made again: earlier days were deleted.* such as {LOOP}@{line}@20\.$"):
        find_version(store, f"{LOOP}@{line}@21")
    assert find_version(store, f"{LOOP}@{line}@20").position == 20
    with pytest.raises(Gone, match=rf"such as {LOOP}@{line}@10\.$"):
        find_version(store, f"{LOOP}@{line}@3")


def test_a_refusal_names_no_version_that_was_deleted(tmp_path: Path) -> None:
    """Where the outcomes before a row were deleted, the refusal of the row stays, without a version to take instead."""
    store = MemoryStore()
    serve(store, (config_of({"kind": "beta_ts"}), 60))
    log = pl.read_parquet(exported(store, tmp_path))
    last = find_version(store, f"{LOOP}@{log['model_version'][-1]}")
    cut(store, 20)
    with pytest.raises(InvalidLog, match=r"row 1: .*may have learned from this row.*, or name an earlier version\.$"):
        score(log, of_version("v", last))


# Logs that no policy can be asked about


def test_what_a_log_lacks_is_named(tmp_path: Path) -> None:
    """A log without features is refused before its first row, with all that is missing and where to get it."""
    store = MemoryStore()
    serve(store, (config_of({"kind": "uniform"}), 5))
    log = pl.read_parquet(exported(store, tmp_path))
    target = Progressive("p", bare({"kind": "linear_ts"}), {}, FRESH)
    for lacks in (["context"], ["actions"], ["context", "actions"]):
        with pytest.raises(InvalidRequest, match=rf"no column {' or '.join(map(repr, lacks))}.*honeyguide export"):
            score(log.drop(lacks), target)


def test_loops_are_not_mixed(tmp_path: Path) -> None:
    """One log of two loops is refused, and a version of one loop on the rows of another."""
    store = MemoryStore()
    serve(store, (config_of({"kind": "beta_ts"}), 20))
    log = pl.read_parquet(exported(store, tmp_path))
    other = log.with_columns(loop=pl.lit("ads"))
    with pytest.raises(InvalidLog, match=r"rows of 2 loops, ads, news.*each loop by itself"):
        score(pl.concat([log, other]), Progressive("p", bare({"kind": "beta_ts"}), {}, FRESH))
    version = find_version(store, f"{LOOP}@{log['model_version'][-1]}")
    with pytest.raises(InvalidLog, match=r"a decision of loop 'ads'.* a log of its own loop"):
        score(other, of_version("v", version))
