"""What of Vowpal Wabbit can be set, the command line that it makes, and what is refused, with the reason."""

from collections.abc import Callable
from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from store.errors import InvalidInput

Cross = Literal["aa", "ac", "ca", "cc", "aaa", "caa", "cca", "ccc"]
"""Namespaces whose features are multiplied with each other: `c` is the context, `a` the action."""

REFUSED = {
    "squarecb_elim": "SquareCB with --elim gives negative probabilities, down to -8; use squarecb",
    "regcbopt_ties": "--regcbopt without --first_only gives every tied action probability 1; use regcbopt",
    "synthcover": "--synthcover never returns from a prediction that is not finite; use cover",
    "rnd": "--rnd answers NaN after rewards of 1e12 and for good; use bag or cover",
    "large_action_spaces_one_pass": (
        "--large_action_space without --two_pass_svd keeps other actions in each workspace that has learned the same, "
        "so that no decision can be recomputed; use large_action_spaces"
    ),
    "cover_nounif": "--cover with --nounif gives most actions probability 0, a floor alone would explore; use cover",
    "cb_explore": "--cb_explore takes a fixed number of actions without features; use any explorer here",
}
"""Explorers of VW that are not sound here, by the name that one would look for."""

REFUSED_TYPES = {
    "dm": "the direct method ignores propensities, so what the policy avoids stays misjudged; use mtr",
    "sm": "it has no published definition to check it against; use mtr",
}
"""Ways to turn propensities into regressions that VW has besides `mtr`, `ips` and `dr`."""

MOST_WEIGHTS = 2**24
"""2^bits times the models that bag and cover keep: 16 bytes each, so 268 MB."""

PLACE_BREAKS_TIES = frozenset({"regcbopt", "large_action_spaces"})
"""Explorers that prefer what stands first among actions that look alike to them."""

_REGRESSION_ONLY = frozenset({"squarecb", "regcb", "regcbopt", "large_action_spaces"})
_SEVERAL_MODELS = frozenset({"bag", "cover"})


class VwConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What of VW can be set; `EXPLORERS` says which explorer reads what.

    `interactions`: true crosses context with action features (`["ca"]`), without which the context cannot tell actions
    apart; a list names the crosses. `cb_type`: how a propensity enters the regression. `policies`: models of `bag`
    and `cover`. `reward_range`: what RegCB takes rewards to lie in; what it learns is clipped to it. `bits`: log2
    of the number of weights.
    """

    explorer: str = "squarecb"
    interactions: bool | tuple[Cross, ...] = True
    cb_type: str = "mtr"
    epsilon: Annotated[float, Meta(ge=0, le=1)] = 0.05
    gamma_scale: Annotated[float, Meta(gt=0, le=1e6)] = 10.0
    softmax_lambda: Annotated[float, Meta(ge=0, le=1e6)] = 1.0
    first: Annotated[int, Meta(ge=1, le=1_000_000_000)] = 100
    policies: Annotated[int, Meta(ge=2, le=64)] = 5
    psi: Annotated[float, Meta(gt=0, le=1e6)] = 0.1
    mellowness: Annotated[float, Meta(gt=0, le=1e6)] = 0.1
    reward_range: tuple[float, float] = (0.0, 1.0)
    max_actions: Annotated[int, Meta(ge=2, le=1000)] = 20
    learning_rate: Annotated[float, Meta(gt=0, le=100)] = 0.5
    bits: Annotated[int, Meta(ge=10, le=22)] = 18

    def __post_init__(self) -> None:
        _check_name("explorer", self.explorer, tuple(EXPLORERS), REFUSED)
        _check_name("cb_type", self.cb_type, ("mtr", "ips", "dr"), REFUSED_TYPES)
        if self.cb_type != "mtr" and self.explorer in _REGRESSION_ONLY:
            raise InvalidInput(f"cb_type is {self.cb_type!r}, but {self.explorer} needs a regression: use 'mtr'")
        low, high = self.reward_range
        if not -1e15 <= low < high <= 1e15:
            raise InvalidInput(f"reward_range is [{low!r}, {high!r}]; give two numbers within 1e15, the lower first")
        if self.explorer in _SEVERAL_MODELS and self.policies << self.bits > MOST_WEIGHTS:
            raise InvalidInput(
                f"bits is {self.bits} and policies {self.policies}, which is more than 2^24 weights: lower one of them"
            )

    @property
    def crosses(self) -> tuple[Cross, ...]:
        """The interactions, written out."""
        if isinstance(self.interactions, bool):
            return ("ca",) if self.interactions else ()
        return self.interactions

    def arguments(self) -> list[str]:
        """Return VW's command line; without `--per_model_save_load`, a state of several models resumes wrongly."""
        general = f"--quiet --cb_explore_adf --per_model_save_load -b {self.bits} --learning_rate {self.learning_rate}"
        # The explorers that take mtr alone do so without being told.
        kind = "" if self.cb_type == "mtr" else f"--cb_type {self.cb_type}"
        crosses = " ".join(f"--interactions {cross}" for cross in self.crosses)
        return f"{general} {kind} {EXPLORERS[self.explorer](self)} {crosses}".split()

    def cost(self, reward: float) -> float:
        """Return what VW learns to avoid: the negative reward; for RegCB clipped to the range, which its bounds need.

        Raises `InvalidInput` for a reward that is not finite or beyond 1e15: one such cost poisons a model for good.
        """
        if not -1e15 <= reward <= 1e15:
            raise InvalidInput(f"the reward is {reward!r}; a finite number of at most 1e15 can be learned: rescale it")
        low, high = self.reward_range if self.explorer.startswith("regcb") else (reward, reward)
        return -min(max(reward, low), high)


def _regcb(config: VwConfig) -> str:
    low, high = config.reward_range
    return f"--regcb --mellowness {config.mellowness} --cb_min_cost {-high} --cb_max_cost {-low}"


EXPLORERS: dict[str, Callable[[VwConfig], str]] = {
    "squarecb": lambda config: f"--squarecb --gamma_scale {config.gamma_scale}",
    "epsilon": lambda config: f"--epsilon {config.epsilon}",
    "softmax": lambda config: f"--softmax --lambda {config.softmax_lambda}",
    "first": lambda config: f"--first {config.first}",
    "bag": lambda config: f"--bag {config.policies} --epsilon {config.epsilon}",
    "cover": lambda config: f"--cover {config.policies} --psi {config.psi} --epsilon {config.epsilon}",
    "regcb": _regcb,
    "regcbopt": lambda config: f"{_regcb(config)} --regcbopt --first_only",
    "large_action_spaces": lambda config: (
        f"--large_action_space --two_pass_svd --max_actions {config.max_actions} {EXPLORERS['squarecb'](config)}"
    ),
}
"""What each explorer adds to the command line."""


def _check_name(key: str, value: str, allowed: tuple[str, ...], refused: dict[str, str]) -> None:
    if value in refused:
        raise InvalidInput(f"{key} {value!r} is refused: {refused[value]}")
    if value not in allowed:
        raise InvalidInput(f"{key} is {value!r}; it must be one of {', '.join(allowed)}")
