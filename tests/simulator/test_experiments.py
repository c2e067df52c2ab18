"""The learning-quality experiment: how passes are played, kept and scored; the peers themselves in the deep round."""

import json
import sys
from pathlib import Path

import msgspec
import numpy as np
import pytest
from typer.testing import CliRunner

from bandit.settings import LoopConfig
from simulator.experiments import learning_quality, ours, peer_side, peers
from simulator.experiments.results import OURS, Contestant, Failure, Log, Pass, summarise
from simulator.experiments.scores import board, verdicts
from simulator.experiments.tables import print_board
from simulator.worlds import synthetic
from simulator.worlds.rounds import Rounds
from store.errors import HoneyguideError, InvalidInput

MINE, PEER, LOGGER = Contestant(OURS, "default"), Contestant("river", "LinUCB"), Contestant("vowpalwabbit", "squarecb")


def earned(contestant, world, rewards, propensity="none", **parts):
    """One pass per reward, on seeds 0, 1, …; choosing evenly earns 0.2, knowing the world 1."""
    return [
        Pass(world, seed, contestant, propensity, reward, 0.2, 1.0, 1e-4, **parts)
        for seed, reward in enumerate(rewards)
    ]


def app(*words):
    import typer  # noqa: PLC0415  # here alone

    cli = typer.Typer()
    cli.command()(learning_quality.main)
    return CliRunner().invoke(cli, list(words))


# Passes


def test_a_pass_is_summarised_by_hand():
    """Rewards 1, 0 at propensities 1/2, 1/4 of two actions: weights 1, 2, so IPS says 1/2 for a truth of 3/4."""
    rounds = Rounds(
        "w", ("a", "b"), np.zeros((2, 1)), np.zeros((2, 2, 0)), np.array([[1.0, 1], [0, 1]]), np.full((2, 2), 0.5)
    )
    one = summarise(rounds, 0, MINE, "exact", Log([1.0, 0.0], [0.5, 0.25], 1e-3))
    assert (one.reward, one.uniform, one.best) == (0.5, 0.75, 0.5)
    assert one.weight == 1.5
    assert one.ips_error == pytest.approx(0.5 - 0.75)
    assert summarise(rounds, 0, PEER, "none", Log([1.0, 0.0], None, 1e-3)).weight is None


def test_the_same_seed_gives_the_same_pass():
    """A pass is a function of world, config and seed; another seed draws other actions."""
    rounds = synthetic.arms(0, 60)
    once, again, other = (ours.play(rounds, LoopConfig(), seed) for seed in (1, 1, 2))
    assert (once.earned, once.propensities) == (again.earned, again.propensities)
    assert once.propensities != other.propensities or once.earned != other.earned


def test_uniform_earns_what_choosing_evenly_earns():
    """Over 2,000 rounds the uniform policy's average is within 5 standard errors of the mean of all rewards (6e-7)."""
    rounds = synthetic.arms(0, 2000)
    log = ours.play(rounds, LoopConfig(policy={"kind": "uniform"}), 0)
    assert set(log.propensities) == {0.2}
    assert abs(np.mean(log.earned) - rounds.uniform) < 5 * np.sqrt(0.25 / 2000)


def test_logged_propensities_estimate_the_uniform_policy():
    """Over 1,500 rounds of the default at floor 0.2, IPS of choosing evenly is within 5 standard errors of its truth.

    So is the mean weight of 1. The errors of single rounds are martingale differences; false alarms below 2e-6.
    """
    rounds = synthetic.arms(0, 1500)
    _, config = ours.read_config('floored={"exploration": {"cap": 0.5, "floor": 0.2}}')
    log = ours.play(rounds, config, 0)
    weights = 1 / (5 * np.array(log.propensities))
    deviation = np.sqrt((weights**2).sum()) / 1500
    one = summarise(rounds, 0, MINE, "exact", log)
    assert abs(one.weight - 1) < 5 * deviation
    assert abs(one.ips_error) < 5 * deviation


def test_the_default_learns():
    """On a stationary linear world of 1,000 rounds the default covers over half the way from chance to the truth."""
    rounds = synthetic.arms(0, 1000)
    reward = np.mean(ours.play(rounds, LoopConfig(), 0).earned)
    assert reward > (rounds.uniform + rounds.best) / 2


def test_a_failing_policy_is_not_measured_by_its_fallback(monkeypatch):
    """When a policy raises, the pass ends with its reason instead of the fallback's rewards."""

    def broken(*_: object) -> None:
        raise RuntimeError("out of order")

    monkeypatch.setattr(ours.policy_type({"kind": "uniform"}), "believe", broken)
    with pytest.raises(HoneyguideError, match="out of order"):
        ours.play(synthetic.arms(0, 3), LoopConfig(policy={"kind": "uniform"}), 0)


def test_a_failing_policy_is_listed(monkeypatch):
    """A pass of ours that fails is a failure with its reason; the experiment goes on."""

    def broken(*_: object) -> None:
        raise HoneyguideError("out of order")

    monkeypatch.setattr(ours, "play", broken)
    (job,) = learning_quality.jobs(["arms"], ["default"], [0])
    assert learning_quality.run(job) == [Failure("arms", 0, MINE, "out of order")]


def test_configs_are_the_default_its_floors_and_the_other_kinds():
    """One config sets nothing; two differ from it in the floor alone; every other kind that learns stands once."""
    configs = ours.configs()
    default = configs["default"]
    assert default == LoopConfig()
    for name, floor in (("default, floor 0", 0.0), ("default, floor 0.1", 0.1)):
        assert configs[name].exploration.floor == floor
        assert configs[name].policy == default.policy
    kinds = {config.policy["kind"] for config in configs.values()}
    assert {"linear_ts", "linear_ucb", "uniform"} <= kinds
    assert "fixed" not in kinds


@pytest.mark.parametrize("text", ["linear", "={}", 'x={"policy": {"kind": "nonsense"}}', "x={]", 'x={"polcy": 1}'])
def test_a_config_must_be_named_and_valid(text):
    """A policy that is neither known nor `NAME={loop config}` is refused."""
    with pytest.raises(InvalidInput):
        ours.read_config(text)


def test_a_config_of_your_own():
    """`NAME={loop config}` is a contestant under that name."""
    name, config = ours.read_config('mild={"learning": {"decay": 0.99}}')
    assert (name, config.decay) == ("mild", 0.99)


def test_jobs_go_seed_by_seed():
    """Each seed meets every world before the next; peers are one job per library."""
    listed = learning_quality.jobs(["arms", "xor"], ["default", "river"], range(2))
    assert [(job.seed, job.world, job.library, job.policy) for job in listed[:4]] == [
        (0, "arms", OURS, "default"),
        (0, "arms", "river", ""),
        (0, "xor", OURS, "default"),
        (0, "xor", "river", ""),
    ]
    assert len(listed) == 8
    everyone = {job.library for job in learning_quality.jobs(["arms"], [], [0])}
    assert everyone == {OURS, *peers.REQUIREMENTS}


# Scores


def test_scores_by_hand():
    """0.6 where the best peer has 0.8 is a score of 3/4 and, above choosing evenly at 0.2, a gain of 2/3."""
    passes = [*earned(MINE, "w", [0.5, 0.7]), *earned(PEER, "w", [0.9, 0.7]), *earned(LOGGER, "w", [0.1, 0.3])]
    got = board(passes)
    row = next(row for row in got.rows if row.contestant == MINE)
    assert got.best_peer == {"w": pytest.approx(0.8)}
    assert (row.score.value, row.gain, row.worst) == pytest.approx((0.75, 2 / 3, 0.75))
    assert row.rewards["w"].stderr == pytest.approx(0.1)
    assert row.score.stderr == pytest.approx(0.1 / 0.8)
    assert [row.contestant for row in got.rows] == [PEER, MINE, LOGGER]


def test_the_standard_error_of_a_mean_score_is_over_seeds():
    """What is lost on one world and won on the other by the same seed cancels."""
    passes = [*earned(PEER, "v", [0.4, 0.6]), *earned(PEER, "w", [0.6, 0.4])]
    assert board(passes).rows[0].score.stderr == pytest.approx(0)


def test_without_peers_the_best_of_ours_is_the_measure():
    """A board of our own policies scores against the best of them."""
    other = Contestant(OURS, "uniform")
    got = board([*earned(MINE, "w", [0.8]), *earned(other, "w", [0.4])])
    assert [row.score.value for row in got.rows] == pytest.approx([1.0, 0.5])
    assert verdicts(got, "default") == []


def test_who_missed_a_pass_is_not_on_the_board():
    """Averages over other seeds or worlds are not comparable; with nobody left there is no board."""
    passes = [*earned(MINE, "w", [0.5, 0.7]), *earned(PEER, "w", [0.9])]
    assert [row.contestant for row in board(passes).rows] == [MINE]
    with pytest.raises(InvalidInput, match="no contestant"):
        board([])


def test_ips_z_by_hand():
    """Errors 0.1 and 0.3 have the mean 0.2 and the standard error 0.1: two standard errors."""
    passes = [
        msgspec.structs.replace(one, ips_error=error)
        for one, error in zip(earned(MINE, "w", [0.5, 0.5]), (0.1, 0.3), strict=True)
    ]
    assert board(passes).rows[0].ips_z == pytest.approx(2)
    assert board(earned(MINE, "w", [0.5, 0.5])).rows[0].ips_z is None


@pytest.mark.parametrize(
    ("mine", "met"),
    [
        ({"v": 0.80, "w": 0.80}, [True, True, True]),
        ({"v": 0.70, "w": 0.78}, [False, False, True]),
        ({"v": 0.79, "w": 0.77}, [True, True, True]),
        ({"v": 0.86, "w": 0.70}, [True, False, True]),
        ({"v": 0.90, "w": 0.45}, [False, False, False]),
    ],
)
def test_verdicts_by_hand(mine, met):
    """The bars are 1 − 0.0625 for the mean score, 0.95 on each world, and 0.5 of the peer that logs a propensity.

    The best peer earns 0.75 and 0.85 on both worlds: 0.8 each, and its mean score's standard error is 0.05 / 0.8.
    """
    passes = [
        *(one for world, value in mine.items() for one in earned(MINE, world, [value] * 2, "exact")),
        *(one for world in mine for one in earned(PEER, world, [0.75, 0.85])),
        *(one for world in mine for one in earned(LOGGER, world, [0.5] * 2, "exact")),
    ]
    assert [verdict.met for verdict in verdicts(board(passes), "default")] == met


def test_everything_stands_in_the_table(capsys):
    """Contestants, verdicts and who could not be measured with the reason are printed."""
    from rich.console import Console  # noqa: PLC0415  # here alone

    got = board([*earned(MINE, "w", [0.5, 0.7]), *earned(PEER, "w", [0.9, 0.7])])
    failures = [Failure("w", seed, LOGGER, "no wheel") for seed in range(2)]
    print_board(Console(width=150), got, verdicts(got, "default"), failures)
    said = capsys.readouterr().out
    assert "river LinUCB" in said
    assert ".600 ±.100" in said
    assert said.count("NOT MET") == 3
    assert said.count("not measured: vowpalwabbit squarecb: no wheel") == 1


# Peers


class Oracle:
    """Knows that the second arm is right, and says so with propensity 1."""

    def __init__(self):
        self.seen = []

    def choose(self, x, a):
        return 1, 1.0

    def learn(self, x, a, arm, reward, p):
        self.seen.append((arm, reward, p))


def test_a_peer_learns_what_its_arm_earned():
    """Each round the chosen arm's reward, and nothing else, is told with the propensity that was named."""
    oracle = Oracle()
    got = peer_side.one_pass(oracle, np.zeros((2, 1)), np.zeros((2, 2, 0)), np.array([[0.0, 1.0], [1.0, 0.0]]))
    assert got["earned"] == [1.0, 0.0]
    assert got["propensities"] == [1.0, 1.0]
    assert oracle.seen == [(1, 1.0, 1.0), (1, 0.0, 1.0)]


def test_vw_reads_arms_by_features_or_by_name():
    """With features an arm's line is its features, without them its name."""
    x, a = np.array([0.5]), np.array([[1.0], [2.0]])
    assert peer_side._vw_lines(x, a) == ["shared |x 0:0.5", "|a 0:1.0", "|a 0:2.0"]
    assert peer_side._vw_lines(x, np.zeros((2, 0))) == ["shared |x 0:0.5", "|a id_0", "|a id_1"]


def test_every_library_is_pinned():
    """The libraries that can be driven are those that can be installed, each at one version."""
    assert peers.REQUIREMENTS.keys() == peer_side.LIBRARIES.keys()
    assert all(requirement.startswith(f"{name}==") for name, requirement in peers.REQUIREMENTS.items())
    known = {who for library in peers.REQUIREMENTS for who in peers.contestants(library)}
    assert peers._PROPENSITIES.keys() <= known


def test_a_library_that_is_not_there_fails_by_name(monkeypatch):
    """Each learner of a library that cannot be imported is named with the reason, as is a process that breaks."""
    monkeypatch.setattr(peers, "_python", lambda _: Path(sys.executable))
    got = peers.play("river", synthetic.arms(0, 2), 0, folder=Path("/nowhere"))
    assert [(one.contestant, one.reason) for one in got] == [
        (PEER, "ModuleNotFoundError: No module named 'river'"),
    ]
    monkeypatch.setitem(peer_side.LIBRARIES, "new", {"x": peer_side.River})
    monkeypatch.setitem(peers.REQUIREMENTS, "new", "new==1")
    (crash,) = peers.play("new", synthetic.arms(0, 2), 0, folder=Path("/nowhere"))
    assert crash.reason == "it ended with 1: KeyError: 'new'"


def test_a_peers_pass_is_kept_until_anything_changes(monkeypatch, tmp_path):
    """The same rounds and seed are not measured again; another seed or another reward is; failures always are."""
    measured = []

    def measure(library, rounds, seed, path, python):
        measured.append(seed)
        failed = Failure(rounds.name, seed, PEER, "no")
        return [failed] if seed == 9 else [summarise(rounds, seed, PEER, "none", Log([1.0], None, 1e-3))]

    monkeypatch.setattr(peers, "_measure", measure)
    rounds = synthetic.arms(0, 2)
    once = peers.play("river", rounds, 0, folder=tmp_path)
    assert peers.play("river", rounds, 0, folder=tmp_path) == once
    assert measured == [0]
    peers.play("river", rounds, 1, folder=tmp_path)
    peers.play("river", msgspec.structs.replace(rounds, rewards=1 - rounds.rewards), 0, folder=tmp_path)
    for _ in range(2):
        assert isinstance(peers.play("river", rounds, 9, folder=tmp_path)[0], Failure)
    assert measured == [0, 1, 0, 9, 9]


def test_a_library_that_cannot_be_installed_is_listed(monkeypatch):
    """Its jobs are not run, and each of its learners is a failure with pip's reason; the others go on."""
    monkeypatch.setattr(peers, "install", lambda library: "ERROR: no wheel" if library == "river" else None)
    todo = learning_quality.jobs(["arms"], ["river", "coba", "default"], [0])
    failures, runnable = learning_quality._install(todo)
    assert failures == [Failure("arms", 0, PEER, "it cannot be installed: ERROR: no wheel")]
    assert [job.library for job in runnable] == [OURS, "coba"]


@pytest.mark.deep
@pytest.mark.parametrize("library", peers.REQUIREMENTS)
def test_peers_run(library):
    """Each learner of each library plays a pass with and without features of actions, and earns something."""
    assert peers.install(library) is None
    for rounds in (synthetic.linear(0, 60), synthetic.arms(0, 60)):
        got = peers.play(library, rounds, 0)
        assert [one.contestant for one in got] == peers.contestants(library)
        for one in got:
            assert isinstance(one, Pass), one
            assert 0 < one.reward < 1
            assert (one.weight is not None) == (one.propensity != "none")


# The command


def test_the_command_reports_as_json(tmp_path):
    """Two of our policies on a small world: both are on the board, what is saved is what is printed."""
    saved = tmp_path / "report.json"
    words = ("--world", "breast_cancer", "--policy", "default", "--policy", "uniform", "--seeds", "1")
    done = app(*words, "--format", "json", "--save", str(saved))
    assert done.exit_code == 0, done.output
    report = json.loads(done.stdout)
    assert report == json.loads(saved.read_text())
    rewards = {row["contestant"]["policy"]: row["rewards"]["breast_cancer"]["value"] for row in report["board"]["rows"]}
    assert rewards["default"] > rewards["uniform"]
    assert report["verdicts"] == []


@pytest.mark.parametrize("words", [("--world", "mars"), ("--policy", "nonsense")])
def test_the_command_refuses_what_it_does_not_know(words):
    """An unknown world or policy is an error on stderr and exit code 1."""
    done = app(*words)
    assert done.exit_code == 1
    assert words[1] in done.stderr
