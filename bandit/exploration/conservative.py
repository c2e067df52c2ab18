r"""The conservative gate: explore only while cumulative reward is surely near enough to the baseline's.

The aim (Wu, Shariff, Lattimore and Szepesvari 2016, eq. 1; Kazerouni, Ghavamzadeh, Abbasi-Yadkori and Van Roy 2017,
eq. 3): with probability 1 - delta, at every decision t and with rewards in [0, R],

    sum_{s<=t} V_s >= (1 - alpha) sum_{s<=t} B_s,

where V_s is the expected reward of what decision s was sampled from and B_s that of its baseline b_s.

- Where q_s(b) >= 1 - alpha (a closed gate sees to that), V_s - (1 - alpha) B_s >= (q_s(b) - 1 + alpha) B_s >= 0, of
  which Z_s = (q_s(b) - 1 + alpha) / q_s(b) * r_s on {b_s served} is an unbiased estimate in [0, alpha R]: *safe* ones.
- Elsewhere V_s is estimated by Z_s = r_s in [0, R], and B_s is bounded by U_s = min(R, mean + z deviation) of the
  model, R where it has none: *free* ones, which owe (1 - alpha) U_s.

For Z in [0, m], exp(l Z / m) <= 1 + (e^l - 1) Z / m makes exp(l sum Z/m - (e^l - 1) sum E[Z]/m) a supermartingale, so
(Ville's inequality) with probability 1 - d at all times at once

    sum E[Z_s] >= m max_j (l_j sum Z_s / m - log(1 / d_j)) / (e^{l_j} - 1),   l_j = 2^{1-j}, d_j = 6 d / (pi (j+1))^2.

It grows with sum Z, so a reward that is still to come counts as 0 and the bound stays a bound, whatever is slow.
"""

import msgspec
import numpy as np
from scipy.special import ndtri

from bandit.exploration.plan import Plan
from store.errors import InvalidInput
from store.records import Decision, Example, Outcome

_TILTS = 2.0 ** np.arange(1, -24, -1)
_PARTS = 6 / (np.pi * np.arange(1, len(_TILTS) + 1)) ** 2


class ConservativeConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """At most a share `alpha` of the baseline's cumulative reward may be lost, with this confidence."""

    alpha: float
    confidence: float = 0.95

    def __post_init__(self) -> None:
        if not 0 < self.alpha < 1:
            raise InvalidInput(
                f"exploration.conservative.alpha is {self.alpha!r}; it must be between 0 and 1: "
                'for no loss at all use mode "baseline"'
            )
        if not 0 < self.confidence < 1:
            raise InvalidInput(
                f"exploration.conservative.confidence is {self.confidence!r}; it must be between 0 and 1"
            )


def lower_total(observed: float, most: float, delta: float) -> float:
    """Return a lower bound, at all times with probability 1 - `delta`, of the sum of means of terms in [0, `most`].

    `observed` is the sum of the terms; the formula stands at the top. Never below 0.
    """
    bounds = (_TILTS * (observed / most) + np.log(delta * _PARTS)) / np.expm1(_TILTS)
    return most * max(0.0, float(bounds.max()))


def upper_value(mean: float, deviation: float, top: float, delta: float) -> float:
    """Return the model's upper bound of a mean reward at level 1 - `delta`, within [0, `top`]."""
    return min(top, max(0.0, mean + float(-ndtri(delta)) * deviation))


class Ledger(msgspec.Struct, frozen=True):
    """The gate's sums: `safe` and `free` are what was earned, `owed` what is owed for free decisions.

    `through` is the position of the newest outcome that is in them.
    """

    safe: float = 0.0
    free: float = 0.0
    owed: float = 0.0
    through: int = 0


class Gate:
    """Whether there is reward to spare for exploring; `top` is R, the largest reward.

    It judges the decisions made from `since` on, in microseconds since 1970: a gate with other settings is another
    one. A third of the error goes to each of the two sums, and one to the model's bounds.
    """

    __slots__ = ("config", "ledger", "margin", "since", "top")

    def __init__(self, config: ConservativeConfig, top: float, since: int) -> None:
        self.config = config
        self.top = top
        self.since = since
        self._take(Ledger())

    @property
    def delta(self) -> float:
        """The probability that each of the three bounds may fail with."""
        return (1 - self.config.confidence) / 3

    def price(self, mean: float | None, deviation: float | None) -> float:
        """Return what a free decision owes whose baseline the model believes to have this mean and deviation."""
        known = mean is not None and deviation is not None
        upper = upper_value(mean, deviation, self.top, self.delta) if known else self.top  # type: ignore[arg-type]
        return (1 - self.config.alpha) * upper

    def allows(self, price: float) -> bool:
        """Say whether the reward that is surely earned covers what is owed and this price, even if nothing comes in."""
        return self.margin >= price

    def spend(self, decision: Decision, sign: int = 1) -> None:
        """Owe for a decision, or with `sign` -1 take it back."""
        owed = decision.guard_state.get("gate_price", 0.0)
        if owed:
            self._take(msgspec.structs.replace(self.ledger, owed=self.ledger.owed + sign * owed))

    def learn(self, example: Example) -> None:
        """Earn an outcome; one that is in the sums changes nothing, a correction replaces what was earned."""
        ledger, outcome, decision = self.ledger, example.outcome, example.decision
        if outcome.position <= ledger.through:
            return
        ledger = msgspec.structs.replace(ledger, through=outcome.position)
        if self.judges(decision):
            reward = self._earned(outcome) - (self._earned(example.before) if example.before else 0.0)
            share = safe_share(decision, self.config.alpha)
            if share is None:
                ledger = msgspec.structs.replace(ledger, free=ledger.free + reward)
            elif _served_baseline(decision):
                ledger = msgspec.structs.replace(ledger, safe=ledger.safe + share * reward)
        self._take(ledger)

    def pass_over(self, position: int) -> None:
        """Go on behind that position at the earliest: what was earned before, and not taken in, counts as nothing."""
        self._take(msgspec.structs.replace(self.ledger, through=max(self.ledger.through, position)))

    def judges(self, decision: Decision) -> bool:
        """Say whether the decision was made under this gate."""
        state = decision.guard_state
        return "baseline" in state and state.get("gate_since") == self.since

    def state(self) -> dict[str, float]:
        """Return what a decision logs of the gate, from which it goes on after a restart."""
        ledger = self.ledger
        return {**self._identity(), "gate_since": float(self.since)} | {
            "gate_safe": ledger.safe,
            "gate_free": ledger.free,
            "gate_owed": ledger.owed,
            "gate_through": float(ledger.through),
            "gate_margin": self.margin,
        }

    def open(self, newest: Decision | None, through: int) -> None:
        """Go on from the loop's newest decision if a gate with the same settings logged it, else begin.

        The outcomes through `through` belong to decisions from before.
        """
        self._take(Ledger(through=through))
        state = {} if newest is None else newest.guard_state
        if state.items() >= self._identity().items():
            self.since = int(state["gate_since"])
            owed = state["gate_owed"] + state.get("gate_price", 0.0)
            self._take(Ledger(state["gate_safe"], state["gate_free"], owed, int(state["gate_through"])))

    @property
    def earned(self) -> float:
        """The lower bound of what was earned for exploring."""
        safe = lower_total(self.ledger.safe, self.config.alpha * self.top, self.delta)
        return safe + lower_total(self.ledger.free, self.top, self.delta)

    def _identity(self) -> dict[str, float]:
        config = self.config
        return {"gate_alpha": config.alpha, "gate_confidence": config.confidence, "gate_top": self.top}

    def _take(self, ledger: Ledger) -> None:
        self.ledger = ledger
        self.margin = self.earned - ledger.owed

    def _earned(self, outcome: Outcome) -> float:
        """Return what an outcome brings in: nothing before its window has passed, or where nothing was shown."""
        if outcome.kind in {"provisional", "censored"}:
            return 0.0
        return min(max(outcome.value, 0.0), self.top)


def safe_share(decision: Decision, alpha: float) -> float | None:
    """Return (q(b) - 1 + alpha) / q(b), or None where the baseline's q(b) is below 1 - alpha."""
    q = decision.propensities[int(decision.guard_state["baseline"])]
    return (q - 1 + alpha) / q if q >= 1 - alpha else None


def _served_baseline(decision: Decision) -> bool:
    return decision.ranking[0].action == decision.actions[int(decision.guard_state["baseline"])]


def closed(plan: Plan) -> Plan:
    """Serve the baseline: exploration is then measured from it, and the floor still holds."""
    chosen = np.arange(len(plan.q)) == plan.baseline
    name = "exploration.conservative"
    return Plan(chosen.astype(float), chosen, plan.baseline, name, (*plan.trace, name), plan.left)
