"""What runs in the peers' own environment: one library's learners over one pass, one line of JSON per learner.

`python peer_side.py LIBRARY ROUNDS.npz SEED`. It needs numpy and the library, and nothing of ours. Every learner has
its library's defaults. Where a library adds no intercept, the context ends with a constant 1. A library that takes one
context for all arms gets the arms' features at the end of it.
"""

import json
import random
import sys
import time
from collections.abc import Callable
from importlib import import_module
from typing import Any, Protocol, TypeAlias

import numpy as np
from numpy.typing import NDArray

Floats: TypeAlias = NDArray[np.float64]

FORGETTING = 0.995
"""The share that an outcome leaves, where a peer can forget but documents no default rate."""


class Learner(Protocol):
    """Meets one round after the other: context x (d,) and the features a (K, m) of its arms."""

    def choose(self, x: Floats, a: Floats) -> tuple[int, float | None]:
        """Return an arm and its propensity, or None where the library gives none."""

    def learn(self, x: Floats, a: Floats, arm: int, reward: float, p: float | None) -> None:
        """Learn what the chosen arm earned."""


Make: TypeAlias = Callable[[int, int], Learner]
"""Makes a learner for so many arms with a seed."""


class Vw:
    """Vowpal Wabbit by its own command line and text format; its probabilities are sampled here, in float64."""

    def __init__(self, options: str, arms: int, seed: int) -> None:
        words = f"--cb_explore_adf --quadratic xa --quiet --random_seed {seed} {options}"
        self.workspace = import_module("vowpalwabbit").Workspace(words)
        self.rng = np.random.default_rng(seed)
        self.arms = arms

    def choose(self, x: Floats, a: Floats) -> tuple[int, float | None]:
        """Sample from the probabilities that VW predicts."""
        p = np.array(self.workspace.predict(_vw_lines(x, a)), dtype=np.float64)
        p /= p.sum()
        arm = int(self.rng.choice(self.arms, p=p))
        return arm, float(p[arm])

    def learn(self, x: Floats, a: Floats, arm: int, reward: float, p: float | None) -> None:
        """Learn a cost, which is a negative reward."""
        lines = _vw_lines(x, a)
        lines[1 + arm] = f"0:{-reward}:{p} {lines[1 + arm]}"
        self.workspace.learn(lines)


class MabWiser:
    """MABWiser: one context for all arms; the first outcome is learned by `fit`, before which it cannot choose."""

    def __init__(self, policy: str, arms: int, seed: int) -> None:
        mab = import_module("mabwiser.mab")
        self.mab = mab.MAB(list(range(arms)), getattr(mab.LearningPolicy, policy)(), seed=seed)
        self.first = random.Random(seed)
        self.step = self.mab.fit

    def choose(self, x: Floats, a: Floats) -> tuple[int, float | None]:
        """Ask for one arm."""
        if self.step == self.mab.fit:
            return self.first.randrange(len(a)), None
        return int(self.mab.predict(_one_context(x, a))), None

    def learn(self, x: Floats, a: Floats, arm: int, reward: float, p: float | None) -> None:  # noqa: ARG002  # no use for it
        """Learn one row."""
        self.step([arm], [reward], _one_context(x, a))
        self.step = self.mab.partial_fit


class ContextualBandits:
    """contextualbandits: one context for all arms, its own intercept; before a first row it cannot choose."""

    def __init__(self, policy: str, arms: int, seed: int) -> None:
        online = import_module("contextualbandits.online")
        if policy == "AdaptiveGreedy":
            base = import_module("sklearn.linear_model").SGDClassifier(loss="log_loss", random_state=seed)
            self.model = online.AdaptiveGreedy(base, nchoices=arms, batch_train=True, random_state=seed, njobs=1)
        else:
            # With its default of sampling coefficients, LinTS stays at chance; sampling intervals is its other way.
            kind, _, way = policy.partition(" ")
            options = {"sample_from": way} if way else {}
            self.model = getattr(online, kind)(nchoices=arms, random_state=seed, **options)
        self.first = random.Random(seed)
        self.fitted = False

    def choose(self, x: Floats, a: Floats) -> tuple[int, float | None]:
        """Ask for one arm."""
        row = _one_context(x, a)[:, :-1]
        return int(self.model.predict(row)[0]) if self.fitted else self.first.randrange(len(a)), None

    def learn(self, x: Floats, a: Floats, arm: int, reward: float, p: float | None) -> None:  # noqa: ARG002  # no use for it
        """Learn one row."""
        self.model.partial_fit(_one_context(x, a)[:, :-1], np.array([arm]), np.array([reward]))
        self.fitted = True


class BayesianBandits:
    """bayesianbandits: a regression per arm; where arms have features, one of (1, a, x times a) for all."""

    def __init__(self, policy: str, rate: float | None, arms: int, seed: int) -> None:
        self.library = import_module("bayesianbandits")
        self.policy, self.rate, self.arms, self.seed = policy, rate, arms, seed
        self.agent: Any = None

    def choose(self, x: Floats, a: Floats) -> tuple[int, float | None]:
        """Ask for one arm, which the agent remembers until it is updated."""
        if self.agent is None:
            self.agent = self._shared(len(x), a.shape) if a.size else self._per_arm()
        return int(self.agent.pull(_one_context(x, a))[0]), None

    def learn(self, x: Floats, a: Floats, arm: int, reward: float, p: float | None) -> None:  # noqa: ARG002  # it knows
        """Learn what the arm that it remembers earned."""
        self.agent.update(_one_context(x, a), np.array([reward]))

    def _regression(self) -> Any:  # noqa: ANN401  # the library is not installed where this is checked
        rule = None if self.rate is None else self.library.StabilizedForgetting(self.rate)
        return self.library.NormalInverseGammaRegressor(forgetting=rule)

    def _per_arm(self) -> Any:  # noqa: ANN401  # as above
        arms = [self.library.Arm(k, learner=self._regression()) for k in range(self.arms)]
        return self.library.ContextualAgent(arms, getattr(self.library, self.policy)(), random_seed=self.seed)

    def _shared(self, d: int, shape: tuple[int, ...]) -> Any:  # noqa: ANN401  # as above
        def design(rows: Floats, tokens: object) -> Floats:
            # The caller asks for all arms when it chooses, and for the chosen one when it learns.
            chosen = np.asarray(tokens, dtype=int)
            x, a = rows[:, :d], rows[:, d:-1].reshape(len(rows), *shape)[:, chosen]
            crossed = np.einsum("nd,nkm->nkdm", x, a).reshape(len(rows), len(chosen), -1)
            return np.concatenate([np.ones((*a.shape[:2], 1)), a, crossed], axis=2).transpose(0, 2, 1)

        arms = [self.library.Arm(k) for k in range(self.arms)]
        crossing = import_module("bayesianbandits.featurizers").FunctionArmFeaturizer(design)
        policy = getattr(self.library, self.policy)()
        return self.library.LipschitzContextualAgent(arms, policy, crossing, self._regression(), random_seed=self.seed)


class Coba:
    """coba: arms are their features, or one-hot where they have none; its probabilities are 1 for one arm."""

    def __init__(self, learner: str, arms: int, seed: int) -> None:
        self.learner = getattr(import_module("coba.learners"), learner)(seed=seed)
        self.one_hot = [tuple(map(float, row)) for row in np.eye(arms)]

    def choose(self, x: Floats, a: Floats) -> tuple[int, float | None]:
        """Ask for one arm."""
        arms = self._arms(a)
        return arms.index(self.learner.predict(tuple(x.tolist()), arms)[0]), None

    def learn(self, x: Floats, a: Floats, arm: int, reward: float, p: float | None) -> None:  # noqa: ARG002  # no use for it
        """Learn one outcome."""
        self.learner.learn(tuple(x.tolist()), self._arms(a)[arm], reward, 1.0)

    def _arms(self, a: Floats) -> list[tuple[float, ...]]:
        return [tuple(row) for row in a.tolist()] if a.size else self.one_hot


class River:
    """river: one context for all arms, as a mapping."""

    def __init__(self, arms: int, seed: int) -> None:
        self.policy = import_module("river.bandit").LinUCBDisjoint(seed=seed)
        self.arms = list(range(arms))

    def choose(self, x: Floats, a: Floats) -> tuple[int, float | None]:
        """Ask for one arm."""
        return int(self.policy.pull(self.arms, context=dict(enumerate(_one_context(x, a)[0].tolist())))), None

    def learn(self, x: Floats, a: Floats, arm: int, reward: float, p: float | None) -> None:  # noqa: ARG002  # no use for it
        """Learn one outcome."""
        self.policy.update(arm, dict(enumerate(_one_context(x, a)[0].tolist())), reward)


def _vw(options: str) -> Make:
    return lambda arms, seed: Vw(options, arms, seed)


def _mabwiser(policy: str) -> Make:
    return lambda arms, seed: MabWiser(policy, arms, seed)


def _contextualbandits(policy: str) -> Make:
    return lambda arms, seed: ContextualBandits(policy, arms, seed)


def _bayesianbandits(policy: str, rate: float | None = None) -> Make:
    return lambda arms, seed: BayesianBandits(policy, rate, arms, seed)


def _coba(learner: str) -> Make:
    return lambda arms, seed: Coba(learner, arms, seed)


LIBRARIES: dict[str, dict[str, Make]] = {
    "vowpalwabbit": {
        "epsilon .05": _vw("--epsilon 0.05"),
        "squarecb": _vw("--squarecb"),
        "softmax": _vw("--softmax"),
        "bag 4": _vw("--bag 4"),
        "cover 4": _vw("--cover 4"),
        "regcbopt": _vw("--regcbopt --first_only --cb_min_cost -1 --cb_max_cost 0"),
    },
    "mabwiser": {name: _mabwiser(name) for name in ("LinGreedy", "LinTS", "LinUCB")},
    "contextualbandits": {name: _contextualbandits(name) for name in ("LinUCB", "LinTS", "LinTS ci", "AdaptiveGreedy")},
    "bayesianbandits": {
        "NIG UCB": _bayesianbandits("UpperConfidenceBound"),
        "NIG UCB forgetting": _bayesianbandits("UpperConfidenceBound", FORGETTING),
        "NIG TS": _bayesianbandits("ThompsonSampling"),
        "NIG TS forgetting": _bayesianbandits("ThompsonSampling", FORGETTING),
    },
    "coba": {name: _coba(f"{name}Learner") for name in ("LinUCB", "LinTS")},
    "river": {"LinUCB": River},
}
"""The learners of each library, by the names that tables give them."""


def one_pass(learner: Learner, contexts: Floats, features: Floats, rewards: Floats) -> dict[str, object]:
    """Return what a learner earns, its seconds per round and, in `propensities`, what it says it chose with."""
    earned: list[float] = []
    propensities: list[float | None] = []
    began = time.perf_counter()
    for x, a, reward in zip(contexts, features, rewards, strict=True):
        arm, p = learner.choose(x, a)
        learner.learn(x, a, arm, float(reward[arm]), p)
        earned.append(float(reward[arm]))
        propensities.append(p)
    seconds = (time.perf_counter() - began) / len(rewards)
    known = [p for p in propensities if p is not None]
    return {"earned": earned, "seconds": seconds, "propensities": known if len(known) == len(earned) else None}


def _vw_lines(x: Floats, a: Floats) -> list[str]:
    shared = "shared |x " + " ".join(f"{i}:{value!r}" for i, value in enumerate(x.tolist()))
    if not a.size:
        return [shared, *(f"|a id_{k}" for k in range(len(a)))]
    return [shared, *("|a " + " ".join(f"{i}:{value!r}" for i, value in enumerate(row)) for row in a.tolist())]


def _one_context(x: Floats, a: Floats) -> Floats:
    return np.concatenate([x, a.ravel(), [1.0]])[None]


def main(library: str, path: str, seed: int) -> None:
    """Run the library's learners one after the other; one that fails says why, and the others go on."""
    data = np.load(path)
    contexts, features, rewards = (data[name] for name in ("contexts", "features", "rewards"))
    for name, make in LIBRARIES[library].items():
        try:
            # One library wants seeds above 0.
            result = one_pass(make(rewards.shape[1], seed + 1), contexts, features, rewards)
        except Exception as error:  # noqa: BLE001  # whatever a peer raises stands in the table
            result = {"failed": f"{type(error).__name__}: {error}"}
        print(json.dumps({"name": name, **result}), flush=True)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]))
