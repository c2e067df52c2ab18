"""Driving a world against a front that is made up here."""

import itertools
import threading

import pytest

from simulator.traffic import Tally, decision_id, drive, row_of
from store.errors import InvalidInput


class Parity:
    """A world of n rows on which "even" or "odd" is right."""

    def __init__(self, n):
        self._n = n

    def __len__(self):
        return self._n

    def context(self, row):
        """Return the row's number."""
        return {"row": row}

    def candidates(self):
        """Return both actions."""
        return [{"id": "even", "features": {}}, {"id": "odd", "features": {}}]

    def reward(self, row, action):
        """Return 1 for the right parity."""
        return float((row % 2 == 0) == (action == "even"))


class AlwaysEven:
    """A front that always answers "even", calls every fourth row explored, and remembers the calls."""

    def __init__(self):
        self.calls = []
        self.open = set()
        self.most_open = 0
        self._lock = threading.Lock()

    def decide(self, loop, *, context, actions, decision_id):
        """Answer as the server does."""
        with self._lock:
            self.calls.append(("decide", decision_id, context["row"]))
            self.open.add(decision_id)
            self.most_open = max(self.most_open, len(self.open))
        explored = context["row"] % 4 == 0
        return {"ranking": [{"action": "even", "propensity": 0.9, "explored": explored, "reason": None}]}

    def reward(self, loop, *, decision_id, value, reward_id):
        """Take the reward."""
        with self._lock:
            self.calls.append(("reward", decision_id, value))
            self.open.remove(decision_id)
        return {"status": "accepted"}


def _drive(front, n, **options):
    seen = []
    end = drive(front, loop="parity", world=Parity(n), run="r", on_progress=seen.append, **options)
    return seen, end


def test_each_reward_is_reported_before_the_next_decision():
    """By default one row is met after the other: decide, reward, decide, reward …."""
    front = AlwaysEven()
    _drive(front, 3)
    ids = [decision_id("r", row) for row in range(3)]
    expected = [(("decide", name, row), ("reward", name, float(row % 2 == 0))) for row, name in enumerate(ids)]
    assert front.calls == list(itertools.chain.from_iterable(expected))


def test_progress_counts_what_happened():
    """Eight rows of which every second is right and every fourth explored."""
    seen, end = _drive(AlwaysEven(), 8)
    assert [progress.decisions for progress in seen] == list(range(1, 9))
    assert end == seen[-1]
    assert (end.total, end.decisions, end.rewards) == (8, 8, 8)
    assert (end.average_reward, end.exploration_share) == (0.5, 0.25)


def test_last_quarter_and_speed_by_hand():
    """Rewards 0 0 0 0 1 1 0 1 in 4 s: average 3/8, last quarter (the last two) 1/2, 2 decisions/s."""
    clock = iter([10.0, *[14.0] * 8])
    tally = Tally(total=8, clock=lambda: next(clock))
    for reward in (0, 0, 0, 0, 1, 1, 0, 1):
        end = tally.add(reward, explored=False)
    assert (end.average_reward, end.last_quarter, end.decisions_per_s) == (3 / 8, 1 / 2, 2.0)


def test_rows_in_flight_are_bounded():
    """With three in flight never more than three decisions are open, and every row is met once."""
    front = AlwaysEven()
    _, end = _drive(front, 60, in_flight=3)
    assert front.most_open <= 3
    assert sorted(row for call, _, row in front.calls if call == "decide") == list(range(60))
    assert end.average_reward == 0.5


@pytest.mark.parametrize("in_flight", [0, 5])
def test_in_flight_has_limits(in_flight):
    """More than four in flight would learn from states that are old; it is refused."""
    with pytest.raises(InvalidInput, match="1 to 4"):
        _drive(AlwaysEven(), 1, in_flight=in_flight)


def test_failure_stops_the_run():
    """An error of the front ends the run: rows that have not begun are not met."""

    class Failing(AlwaysEven):
        def reward(self, loop, *, decision_id, value, reward_id):
            raise ConnectionError("gone")

    front = Failing()
    with pytest.raises(ConnectionError):
        _drive(front, 1000, in_flight=2)
    assert len(front.calls) < 1000


def test_decision_names_its_row():
    """A decision id leads back to the row, whatever the run is called."""
    assert row_of(decision_id("a-run-2", 41)) == 41
