"""The propensity audit: does what was served agree with the probabilities that the log holds for it?

A fold over the decision log, in its order; it knows neither SQLite nor HTTP, and never changes what is served.
"""

from collections.abc import Sequence

import msgspec
import numpy as np

from store.drift.columns import Distributions, Draws, Marks, distributions, first_draws, lower_draws
from store.drift.evidence import Floats, Places, Tallies, Weights, bounds, log_thresholds
from store.drift.findings import LARGEST_E, Alarm, Finding, TestName, contradiction, e_value, message
from store.errors import InvalidInput
from store.records import Decision

ALPHA = 0.001
"""The probability that a loop whose log is right ever alarms is at most this."""
MOST_ACTIONS = 1000
"""Actions with a test of their own; all later ones share one test."""
MOST_ALARMS = 20
SHOWN = 3
"""Tests of each family that a view shows, those with the most evidence first."""
FORMAT = 1

_SAME = 1e-9


class _State(msgspec.Struct, array_like=True):
    format: int
    since: int
    position: int
    at: int
    decisions: int
    forced: int
    unknown: int
    actions: list[str]
    sums: dict[TestName, list[list[float]]]
    alarms: list[Alarm]


class PropensityAudit:
    """Sums over a loop's decisions after `since`, a position of the decision log, and the alarms they gave.

    Four families of tests, which share `alpha`, each valid given all that was fixed before the draw:

    - `action`: an action is served in the first slot as often as its propensities add up to;
    - `weight`: in each slot, the mean importance weight against uniform over the supported actions is 1;
    - `explored`: in each slot, the greedy action is left as often as the logged probabilities of that add up to;
    - `sharpness`: in the first slot, the propensities of what was served add up to what they were expected to.

    What was forced with probability 1 adds nothing to any sum. One draw that the log calls impossible is a
    `contradiction`, and alarms at once. `position` and `at` are those of the newest decision added.
    """

    __slots__ = (
        "_actions",
        "_explored",
        "_ids",
        "_places",
        "_sharpness",
        "_tests",
        "_weights",
        "alarms",
        "alpha",
        "at",
        "decisions",
        "forced",
        "position",
        "since",
        "unknown_slots",
    )

    def __init__(self, alpha: float = ALPHA, since: int = 0) -> None:
        self.alpha = alpha
        self.since = self.position = since
        self.at = 0
        self.decisions = 0
        self.forced = 0
        self.unknown_slots = 0
        self.alarms: list[Alarm] = []
        self._ids: list[str] = []
        self._places: dict[str, int] = {}
        self._actions, self._weights, self._explored, self._sharpness = Tallies(), Weights(), Tallies(), Tallies()
        self._tests: dict[TestName, Tallies | Weights] = {
            "action": self._actions,
            "weight": self._weights,
            "explored": self._explored,
            "sharpness": self._sharpness,
        }

    @property
    def actions(self) -> int:
        """How many actions have a test of their own."""
        return len(self._ids)

    def add(self, decisions: Sequence[Decision]) -> None:
        """Take the loop's next decisions into account, in the order of the log."""
        if not decisions:
            return
        self.position, self.at = decisions[-1].position, decisions[-1].at
        self.decisions += len(decisions)
        law, lower = distributions(decisions), lower_draws(decisions)
        self.unknown_slots += sum(len(d.ranking) - 1 for d in decisions) - len(lower.slot)
        first = first_draws(decisions, law)
        sound = first.possible() & (np.abs(law.p[law.start + law.served] - first.propensity) <= _SAME)
        sound &= law.served >= 0
        self._contradictions(decisions, first.keep(~sound))
        self._contradictions(decisions, lower.keep(~lower.possible()))
        drawn = sound & (law.largest < 1)
        self.forced += int((sound & ~drawn).sum())
        self._add_actions([name for d in decisions for name in d.actions], law, drawn)
        self._add_sharpness(law, first.propensity, drawn)
        for draws in (first.keep(drawn), lower.keep(lower.possible() & (lower.supported > 1))):
            self._add_draws(draws)

    def check(self) -> None:
        """Raise the alarms that are due; each test alarms once, and the first 20 alarms are kept."""
        known = {(alarm.test, alarm.slot, alarm.action) for alarm in self.alarms}
        for family, tests in self._tests.items():
            evidence = tests.log_evidence()
            over = np.flatnonzero(evidence >= self._thresholds(evidence)).tolist()
            new = [place for place in over if (family, *self._where(family, place)) not in known]
            for finding in self._findings(family, evidence, new[: max(0, MOST_ALARMS - len(self.alarms))]):
                text = message(finding, self.alpha)
                where = finding.test, finding.slot, finding.action
                self.alarms.append(Alarm(*where, self.position, self.at, finding.e_value, text))

    def view(self) -> list[Finding]:
        """Return the tests of each family with the most evidence, most first."""
        found = []
        for family, tests in self._tests.items():
            evidence = tests.log_evidence()
            spare = self._thresholds(evidence) - evidence
            found += self._findings(family, evidence, np.argsort(spare, kind="stable")[:SHOWN].tolist())
        return found

    def state(self) -> bytes:
        """Return everything, to go on from with `restore`."""
        counted = (self.position, self.at, self.decisions, self.forced, self.unknown_slots)
        sums = {name: tests.sums.tolist() for name, tests in self._tests.items()}
        return msgspec.msgpack.encode(_State(FORMAT, self.since, *counted, self._ids, sums, self.alarms))

    @classmethod
    def restore(cls, state: bytes, alpha: float = ALPHA) -> "PropensityAudit":
        """Return the audit whose state this is.

        Raises `InvalidInput` for a state of another program version.
        """
        try:
            s = msgspec.msgpack.decode(state, type=_State)
        except msgspec.DecodeError as error:
            raise InvalidInput(f"the audit's state cannot be read ({error}): begin a new audit") from error
        if s.format != FORMAT:
            raise InvalidInput(f"the audit's state has format {s.format}; this program reads {FORMAT}: begin a new one")
        audit = cls(alpha, s.since)
        audit.position, audit.at, audit.alarms = s.position, s.at, s.alarms
        audit.decisions, audit.forced, audit.unknown_slots = s.decisions, s.forced, s.unknown
        audit._ids = s.actions
        audit._places = {name: place for place, name in enumerate(s.actions)}
        for name, sums in s.sums.items():
            audit._tests[name].sums = np.array(sums)
        return audit

    def _add_actions(self, names: Sequence[str], law: Distributions, drawn: Marks) -> None:
        inside = law.spread(drawn) & (law.p > 0)
        places = self._place(names, inside)
        served = np.zeros(len(names))
        served[(law.start + law.served)[drawn]] = 1
        own = inside & (places < MOST_ACTIONS)
        p = law.p[own]
        self._actions.add(places[own], served[own], p, p * (1 - p))
        rest = np.minimum(law.per_decision(np.where(inside & ~own, law.p, 0)), 1)
        others = rest > 0
        served = law.per_decision(np.where(own, 0, served))[others]
        rest = rest[others]
        self._actions.add(np.full(len(rest), MOST_ACTIONS), served, rest, rest * (1 - rest))

    def _place(self, names: Sequence[str], inside: Marks) -> Places:
        """Return each action's place; the next free ones go to new actions that are inside, in their order."""
        known = self._places
        places = np.array([known.get(name, MOST_ACTIONS) for name in names])
        fresh = np.flatnonzero(inside & (places == MOST_ACTIONS)).tolist() if self.actions < MOST_ACTIONS else []
        for k in fresh:
            name = names[k]
            if name not in known and self.actions < MOST_ACTIONS:
                known[name] = self.actions
                self._ids.append(name)
            places[k] = known.get(name, MOST_ACTIONS)
        return places

    def _add_sharpness(self, law: Distributions, propensity: Floats, drawn: Marks) -> None:
        squares = law.p * law.p
        mean = law.per_decision(squares)
        variance = np.maximum(law.per_decision(squares * law.p) - mean * mean, 0)
        places = np.zeros(int(drawn.sum()), dtype=np.intp)
        self._sharpness.add(places, propensity[drawn], mean[drawn], variance[drawn])

    def _add_draws(self, draws: Draws) -> None:
        self._weights.add(draws.slot, draws.propensity, draws.supported, draws.least)
        explores = draws.exploration > 0
        p = np.minimum(draws.exploration[explores], 1)
        self._explored.add(draws.slot[explores], draws.explored[explores], p, p * (1 - p))

    def _contradictions(self, decisions: Sequence[Decision], draws: Draws) -> None:
        if not len(draws.slot) or any(alarm.test == "contradiction" for alarm in self.alarms):
            return
        d, slot = decisions[draws.decision[0]], int(draws.slot[0])
        action = d.ranking[slot].action
        text = contradiction(d.decision_id, slot, action)
        self.alarms.append(Alarm("contradiction", slot, action, d.position, d.at, LARGEST_E, text))

    def _thresholds(self, evidence: Floats) -> Floats:
        return log_thresholds(self.alpha, len(evidence), len(self._tests))

    def _where(self, family: TestName, place: int) -> tuple[int, str | None]:
        """Return the slot and the action that the test at a place is about."""
        if family != "action":
            return place, None
        return 0, self._ids[place] if place < MOST_ACTIONS else None

    def _findings(self, family: TestName, evidence: Floats, places: Sequence[int]) -> list[Finding]:
        thresholds, tests = self._thresholds(evidence)[places], self._tests[family]
        draws, observed = tests.sums[:2, places].tolist()
        if isinstance(tests, Tallies):
            expected, variance = tests.sums[2:, places]
            means, far = expected.tolist(), bounds(variance, thresholds).tolist()
        else:
            means, far = draws, [None] * len(places)
        return [
            Finding(
                family,
                *self._where(family, place),
                draws=int(draws[k]),
                observed=observed[k],
                expected=means[k],
                bound=far[k],
                e_value=e_value(evidence[place]),
                alarm_at=e_value(thresholds[k]),
            )
            for k, place in enumerate(places)
        ]
