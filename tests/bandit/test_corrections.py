"""Late rewards: correcting what was learned leaves the state that would have been, whatever was learned since."""

import msgspec
import numpy as np
import pytest
from numpy.testing import assert_allclose

from bandit.policies.ages import Ages
from bandit.policies.base import Entry
from bandit.policies.catalogue import KINDS, policy_config, policy_type
from bandit.policies.regression import Regressions
from bandit.policies.situation import Situation
from store.records import Action
from store.registry import statefile

EXACT = [
    {"kind": "linear_ts"},
    {"kind": "linear_ts", "arms": "hybrid", "memories": [0.9]},
    {"kind": "linear_ucb", "memories": [0.95, 1.0]},
    {"kind": "epsilon_greedy"},
    {"kind": "softmax"},
    {"kind": "squarecb"},
    {"kind": "regcb"},
    {"kind": "beta_ts"},
    {"kind": "uniform"},
    {"kind": "fixed", "action": "a"},
    {"kind": "baseline"},
]


def growing(i: int) -> Situation:
    """Features that become known one after the other, and actions that join."""
    rng = np.random.default_rng(i)
    context = {f"f{k}": float(rng.normal()) for k in range(1 + i // 15)}
    return Situation(context, [Action(name, {"q": float(rng.normal())}) for name in "abcde"[: 2 + i // 20]])


def arrays(policy) -> dict[str, np.ndarray]:
    """The numbers and names of a state, without what models were judged by on the way."""
    state = policy.dump()
    if not state:
        return {}
    header, numbers = statefile.unpack(policy.kind, state)
    numbers.pop("weights", None)
    return {"header": np.frombuffer(msgspec.json.encode(header), np.uint8), **numbers}


def fold(config, decay, *, told: bool):
    """Learn 80 outcomes; a third are learned as 0 and corrected between 1 and 40 outcomes later, unless `told`."""
    policy = policy_type(config).create(policy_config(config), decay=decay)
    waiting: list[tuple[int, int, float]] = []
    for i in range(80):
        rng = np.random.default_rng(1000 + i)
        arm, reward, late = int(rng.integers(2)), float(rng.random()), i % 3 == 0 and not told
        policy.learn(growing(i), arm, 0.0 if late else reward, 0.5, Entry(i + 1))
        if late:
            waiting.append((i, arm, reward))
        while waiting and waiting[0][0] <= i - int(rng.integers(1, 40)):
            correct(policy, *waiting.pop(0))
    for each in waiting:
        correct(policy, *each)
    return policy


def correct(policy, i: int, arm: int, reward: float) -> None:
    policy.correct(growing(i), arm, reward, 0.0, Entry(i + 1, settles=False))


def test_every_kind_that_says_so_is_under_test() -> None:
    """The list above holds each kind that claims exact corrections, and no other."""
    assert {config["kind"] for config in EXACT} == {name for name, kind in KINDS.items() if kind.corrects}


@pytest.mark.parametrize("decay", [1.0, 0.95])
@pytest.mark.parametrize("config", EXACT, ids=lambda c: "-".join(map(str, c.values())))
def test_correcting_is_having_known(config: dict[str, object], decay: float) -> None:
    """Learning 0 and correcting it much later equals learning the reward at once, to 1e-9: means, covariances, noise.

    So it is with decay, with columns that were not known yet when the outcome was learned, and with actions that join.
    """
    told, corrected = (arrays(fold(config, decay, told=told)) for told in (True, False))
    assert told.keys() == corrected.keys()
    for name, numbers in told.items():
        if numbers.dtype.kind == "f":
            assert_allclose(corrected[name], numbers, atol=1e-9, err_msg=name)
        else:
            assert (corrected[name] == numbers).all()


def test_correction_under_decay_by_hand() -> None:
    """One coefficient, prior variance 1, decay 0.5: after 0 and 1, correcting the 0 to 3 gives (0.5 * 3 + 1) / 2.5."""
    model = Regressions(1.0, 8, 8, 0.5)
    bare = Situation({}, [Action("a")])
    model.learn(bare, 0, 0.0, Entry(1))
    model.learn(bare, 0, 1.0, Entry(2))
    model.correct(bare, 0, 3.0, 0.0, Entry(1))
    assert_allclose((model.mean[0, 1, 0], model.cov[0, 1, 0, 0]), (1.0, 0.4))


def test_a_settled_default_judges_models_as_if_it_had_waited() -> None:
    """What `correct` returns is the density that `learn` gives the reward when it was not learned before."""
    model, waited = (Regressions(1.5, 8, 8, [1.0, 0.9]) for _ in range(2))
    rng = np.random.default_rng(2)
    for step in range(20):
        x, reward = rng.normal(size=2).tolist(), float(rng.normal())
        for each in (model, waited):
            each.learn(Situation({"x": x}, [Action("a")]), 0, reward, Entry(step + 1))
    case = Situation({"x": [0.3, -0.2]}, [Action("a")])
    model.learn(case, 0, 0.0, Entry(21, settles=False))
    corrected, expected = model.correct(case, 0, 0.7, 0.0, Entry(21)), waited.learn(case, 0, 0.7, Entry(21))
    assert corrected[0] == pytest.approx(expected[0], abs=1e-9)


def test_ages_count_what_a_row_learned_since() -> None:
    """Weights are the decay to the power of newer steps of the same row; other rows do not count."""
    ages = Ages(np.array([1.0, 0.5]))
    for step, row in ((1, 1), (2, 2), (3, 1), (5, 1)):
        ages.add(row, step)
    assert ages.weights(1, 1).tolist() == [1, 0.25]
    assert ages.weights(1, 4).tolist() == [1, 0.5]
    assert ages.weights(2, 2).tolist() == [1, 1]


def test_ages_have_a_bound() -> None:
    """Steps whose weight is lost to rounding are dropped; what is left still counts right."""
    ages = Ages(np.array([0.5]))
    for step in range(1, 1000):
        ages.add(1, step)
    (steps,) = (x for name, x in ages.arrays().items() if name == "ages.steps")
    assert len(steps) < 121
    assert ages.weights(1, 998).tolist() == [0.5]
    assert ages.weights(1, 1)[0] < 1e-17
    again = Ages(np.array([0.5]))
    again.restore(ages.arrays())
    assert again.weights(1, 990) == ages.weights(1, 990)
