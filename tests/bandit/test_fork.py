"""Forks: lines that go as another one does through a past moment, or as if somebody had never been there."""

import functools
import json
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support import decision, loop
from typer.testing import CliRunner

from bandit.cli.main import app
from bandit.learn.advance import advance
from bandit.learn.checkpoints import begin_line, checkpoint_of, line_name, open_line
from bandit.learn.fork import Fork, Forked, fork, last_before
from bandit.learn.learner import Learner
from bandit.learn.lines import find_line, line_for, lines_of
from bandit.learn.passing import learned
from bandit.learn.replay import replay
from bandit.policies.base import Policy
from bandit.settings import LoopConfig, as_stored
from store.errors import Conflict, InvalidInput, NotFound
from store.ledger.join import expire, record_decision, record_reward
from store.lineage import PassesOver, Span
from store.log.folder_lock import lock_folder
from store.log.memory import MemoryStore
from store.log.sqlite import SqliteStore
from store.ports import Store, write
from store.records import SECOND, Example, Relearning, Reward, Slot

WINDOW = 10
KINDS: list[dict[str, Any]] = [
    {"kind": "linear_ts"},
    {"kind": "beta_ts"},
    {"kind": "logistic_ts"},
    {"kind": "bootstrap_ts"},
]
HER = ("user", "u0")


def config_of(policy: dict[str, Any], **parts: Any) -> LoopConfig:
    reward = {"window_s": WINDOW, "correction_window_s": 1000}
    return as_stored(msgspec.convert({"policy": policy, "reward": reward, **parts}, LoopConfig))


class World:
    """A loop's ledger, driven by hand: decisions for three users, rewards in time and late, windows that end."""

    def __init__(self, store: Store, config: LoopConfig, *, provisional: bool = False) -> None:
        self.store, self.config, self.provisional, self.now = store, config, provisional, 1000 * SECOND
        record = msgspec.structs.replace(loop("a"), config=msgspec.json.encode(config), updated_at=0)
        write(store, [lambda tx: tx.put_loop(record)])

    def decide(self, name: str, user: int, x: float, slots: int = 1, first: str | None = None) -> None:
        asked = {"context": {"x": x}, "entities": {"user": f"u{user}"}, "actions": [{"id": i} for i in "xyz"]}
        start = zlib.crc32(name.encode()) % 3 if first is None else "xyz".index(first)
        made = msgspec.structs.replace(
            decision(name, at=self.now, window=WINDOW * SECOND),
            request=msgspec.json.encode(asked),
            ranking=[Slot("xyzxyz"[start + slot], 0.5, explored=False) for slot in range(slots)],
        )
        write(
            self.store,
            [lambda tx: record_decision(tx, made, self.config.reward, known_id=True, provisional=self.provisional)],
        )

    def reward(self, name: str, value: float) -> None:
        sent = Reward(loop="a", decision_id=name, value=value, received_at=self.now, occurred_at=self.now)
        write(self.store, [lambda tx: record_reward(tx, sent, self.config.reward)])

    def wait(self, seconds: float) -> None:
        self.now += int(seconds * SECOND)
        write(self.store, [functools.partial(expire, now=self.now, rules_of=lambda _: self.config.reward, limit=999)])

    def play(self, script: list[tuple[Any, ...]], *, but: int | None = None) -> "World":
        """Do what the script says, as if user `but` were not there."""
        users: dict[str, int] = {}
        for number, (what, *args) in enumerate(script):
            if what == "wait":
                self.wait(args[0])
            elif what == "decide":
                user, x, slots = args
                users[f"d{number}"] = user
                if user != but:
                    self.decide(f"d{number}", user, x, slots)
            elif users:
                back, value = args
                name = list(users)[-1 - back % len(users)]
                if users[name] != but:
                    self.reward(name, value)
        return self


SCRIPTS = st.lists(
    st.one_of(
        st.tuples(st.just("decide"), st.integers(0, 2), st.sampled_from([-1.0, 0.5, 2.0]), st.integers(1, 2)),
        st.tuples(st.just("reward"), st.integers(0, 5), st.sampled_from([0.0, 1.0])),
        st.tuples(st.just("wait"), st.sampled_from([0.5, 4.0, 11.0])),
    ),
    min_size=5,
    max_size=40,
)
BUSY = [
    step
    for i in range(40)
    for step in (
        ("decide", i % 3, (i % 5) - 2.0, 1 + i % 2),
        ("reward", i % 4, float(i % 2)),
        ("wait", 11.0 if i % 6 == 0 else 1.0),
    )
]


def forked(store: Store, **wanted: Any) -> Forked:
    return fork(store, Fork(loop="a", **{"name": "f", **wanted}), now=7, keep=20, progress=lambda _: None)


def state(store: Store, config: LoopConfig, name: str = "f") -> bytes:
    """The state of a line at the end of the log, from its newest checkpoint."""
    learner = open_line(store, "a", config, line=find_line(store, "a", name).line)
    while advance(store, "a", learner, through=store.log_position("a"), limit=3) is not None:
        pass
    assert learner.position == store.log_position("a")
    return learner.policy.dump()


def by_hand(store: Store, config: LoopConfig, learns: Callable[[Example], bool]) -> bytes:
    """The state after folding those entries alone, one by one, without a line."""
    policy: Policy = begin_line(store, "a", config).policy
    folds = Learner("by hand", policy, config.reward)
    for example in store.examples("a", after=0, limit=9999):
        if learns(example):
            folds._fold_one(policy, example, settles=example.outcome.kind in {"rewarded", "expired"})
    return policy.dump()


@pytest.fixture(params=["memory", "sqlite"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Store:
    return MemoryStore() if request.param == "memory" else SqliteStore(tmp_path)


# Without somebody


@pytest.mark.parametrize("policy", KINDS, ids=lambda policy: policy["kind"])
def test_without_is_the_fold_that_skips_these_entries(store: Store, policy: dict[str, Any]) -> None:
    """A line without a user is, bit for bit, the fold of the log with that user's entries left out."""
    config = config_of(policy)
    World(store, config).play(BUSY)
    found = forked(store, without=(HER,))
    hers = [e for e in store.examples("a", after=0, limit=999) if b'"u0"' in e.decision.request]
    assert found.passed_over == len(hers) > 10
    assert (found.position, found.learned) == (store.log_position("a"), store.log_position("a") - len(hers))
    assert state(store, config) == by_hand(store, config, lambda e: b'"u0"' not in e.decision.request)


@settings(max_examples=60, deadline=None)
@given(script=SCRIPTS, provisional=st.booleans())
def test_without_is_as_if_she_had_never_been_there(script: list[tuple[Any, ...]], *, provisional: bool) -> None:
    """Whatever happens in whatever order, the line believes what it would, had her decisions never been made."""
    config = config_of({"kind": "linear_ts"})
    whole = World(MemoryStore(), config, provisional=provisional).play(script).store
    never = World(MemoryStore(), config, provisional=provisional).play(script, but=0).store
    forked(whole, without=(HER,))
    learner = begin_line(never, "a", config)
    while advance(never, "a", learner, through=never.log_position("a"), limit=7) is not None:
        pass
    line = open_line(whole, "a", config, line=find_line(whole, "a", "f").line)
    assert line.settled == learner.settled
    mine, theirs = _numbers(line.policy), _numbers(learner.policy)
    assert mine.keys() == theirs.keys()
    for name, numbers in mine.items():
        assert numbers == pytest.approx(theirs[name], abs=1e-12), name


def _numbers(policy: Policy) -> dict[str, Any]:
    """What a linear state holds, but for the numbers of entries, which count the others' too."""
    from store.registry import statefile  # noqa: PLC0415

    _, numbers = statefile.unpack(policy.kind, policy.dump())
    return {name: array for name, array in numbers.items() if array.dtype.kind == "f"}


def test_a_fork_says_how_it_differs(store: Store) -> None:
    """Where one user alone likes y, the line without her prefers another action, and says for how many decisions."""
    config = config_of({"kind": "linear_ts"})
    world = World(store, config)
    for i in range(30):
        world.decide(f"d{i}", min(i % 3, 1), 1.0, first="yyz"[i % 3])
        world.reward(f"d{i}", [1.0, 0.0, 0.3][i % 3])
    found = forked(store, without=(HER,))
    assert (found.compared, found.prefers_another) == (30, 30)
    assert forked(store, name="same", without=(("user", "nobody"),)).prefers_another == 0


# Until a moment


@pytest.mark.parametrize("policy", KINDS, ids=lambda policy: policy["kind"])
def test_until_is_the_state_of_then_and_goes_on(store: Store, policy: dict[str, Any]) -> None:
    """It is the source's state of that moment; then it learns what is new, and nothing that revises what it missed."""
    config = config_of(policy, learning={"delay": "wait"})
    world = World(store, config).play(BUSY[:60])
    moment = world.now
    world.play([("decide", 1, 0.5, 1), ("wait", 11.0), *BUSY[:30]])
    missed = store.log_position("a")
    found = forked(store, until=moment)
    after = found.after
    assert 10 < after < missed
    assert (found.learned, found.passed_over) == (after, missed - after)
    assert state(store, config) == by_hand(store, config, lambda e: e.outcome.position <= after)
    before, late = store.examples("a", after=after - 1, limit=2)
    world.reward(late.outcome.decision_id, 1.0)
    world.decide("new", 2, 1.0)
    world.reward("new", 1.0)
    world.wait(11)
    world.reward(late.outcome.decision_id, 0.0)
    gone = {e.decision.decision_id for e in store.examples("a", after=after, limit=missed - after)}
    later = store.examples("a", after=missed, limit=99)
    assert {"new", late.outcome.decision_id} <= {e.decision.decision_id for e in later}
    assert "new" not in gone
    fresh = [e.outcome.position for e in later if e.decision.decision_id not in gone]
    learns = {*range(1, after + 1), *fresh}
    assert before.outcome.decision_id != late.outcome.decision_id
    assert state(store, config) == by_hand(store, config, lambda e: e.outcome.position in learns)


@settings(max_examples=60, deadline=None)
@given(script=SCRIPTS, rest=SCRIPTS, share=st.floats(0, 1), provisional=st.booleans())
def test_what_revises_a_missed_entry_is_missed_too(
    script: list[tuple[Any, ...]], rest: list[tuple[Any, ...]], share: float, *, provisional: bool
) -> None:
    """Of every decision a line learns entries up to its first missed one, and from the beginning as from any state."""
    config = config_of({"kind": "linear_ts"})
    world = World(MemoryStore(), config, provisional=provisional).play(script)
    store, began = world.store, 1000 * SECOND
    found = forked(store, until=int(began + share * (world.now - began)), without=(("user", "u2"),))
    missed: set[str] = set()
    world.play([(what, *args) for what, *args in [*script, *rest]])  # the same ids again: retries, and rewards for them

    def learns(example: Example) -> bool:
        position, name = example.outcome.position, example.decision.decision_id
        if found.after < position <= found.position:
            missed.add(name)
        return name not in missed and b'"u2"' not in example.decision.request

    wanted = by_hand(store, config, learns)
    assert state(store, config) == wanted
    line = find_line(store, "a", "f").line
    learner = begin_line(store, "a", config, line)
    while advance(store, "a", learner, through=store.log_position("a"), limit=1) is not None:
        pass
    assert learner.policy.dump() == wanted


def test_a_fork_of_a_fork_passes_over_both(store: Store) -> None:
    """It goes as its source does, which missed a part too, and misses the end of that part where it began in it."""
    rule = PassesOver((Span(3, 5), Span(8, 20)), (HER,))
    assert rule.from_then_on(4, 30) == PassesOver((Span(3, 4), Span(4, 30)), (HER,))
    assert rule.from_then_on(6, 30) == PassesOver((Span(3, 5), Span(6, 30)), (HER,))
    config = config_of({"kind": "linear_ts"})
    world = World(store, config).play(BUSY[:40])
    moment = world.now
    world.play(BUSY[:40])
    first = forked(store, name="f1", until=moment)
    world.play([("decide", 1, 1.5, 1), ("wait", 11.0)])
    second = forked(store, name="f2", source="f1", without=(HER,))
    assert second.origin == "f1"
    missed = range(first.after + 1, first.position + 1)
    hers = {e.outcome.position for e in store.examples("a", after=0, limit=999) if b'"u0"' in e.decision.request}
    tainted = {e.decision.decision_id for e in store.examples("a", after=0, limit=999) if e.outcome.position in missed}
    learns = [
        e.outcome.position
        for e in store.examples("a", after=0, limit=999)
        if e.outcome.position not in hers
        and (e.outcome.position <= first.after or e.decision.decision_id not in tainted)
    ]
    assert second.learned == len(learns)
    assert state(store, config, "f2") == by_hand(store, config, lambda e: e.outcome.position in learns)


def test_a_moment_is_before_whatever_came_later(store: Store) -> None:
    """Where an entry that is stamped earlier follows a later one, the fork ends before the later one."""
    config = config_of({"kind": "linear_ts"})
    world = World(store, config)
    world.decide("slow", 1, 1.0)
    world.now += 20 * SECOND
    world.decide("quick", 1, 1.0)
    world.reward("quick", 1.0)  # at 1020, and then the window that ended at 1010 is closed
    world.wait(0)
    assert [e.outcome.at // SECOND for e in store.examples("a", after=0, limit=9)] == [1020, 1010]
    assert [last_before(store, "a", t * SECOND) for t in (999, 1015, 1020)] == [0, 0, 2]


# Lines that learn anew


@pytest.mark.parametrize("policy", [{"kind": "logistic_ts"}, {"kind": "bootstrap_ts"}], ids=lambda p: p["kind"])
def test_learning_anew_passes_over_the_same(store: Store, policy: dict[str, Any]) -> None:
    """A fork learns anew where its source did, without what it passes over, with the newest word that it does not."""
    config = config_of(policy, learning={"delay": "wait", "relearn_s": 3600})
    world = World(store, config).play(BUSY[:60])
    middle, moment = store.log_position("a"), world.now
    world.play(BUSY[:60])
    own = line_name(config)
    for position in (middle // 2, middle, middle + 5):
        there = Relearning(loop="a", line=own, position=position, at=position)
        write(store, [lambda tx, r=there: tx.add_relearning(r)])
    found = forked(store, until=moment, without=(HER,))
    expected = [p for p in (middle // 2, middle) if p <= found.after]
    assert [r.position for r in store.relearnings("a", "f")] == expected
    assert expected
    line = find_line(store, "a", "f").line
    policy_now = begin_line(store, "a", config).policy
    for at in (expected[-1],):
        for e in store.examples("a", after=0, limit=at):
            if e.before is None:
                newest = learned(
                    line.passes_over,
                    e.decision,
                    [o for o in store.outcomes("a", e.decision.decision_id) if o.position <= at],
                )
                if newest and b'"u0"' not in e.decision.request:
                    example = Example(newest[-1], e.decision)
                    Learner("x", policy_now, config.reward)._fold_one(policy_now, example, settles=True)
    for e in store.examples("a", after=expected[-1], limit=999):
        if e.outcome.position <= found.after and b'"u0"' not in e.decision.request:
            Learner("x", policy_now, config.reward)._fold_one(
                policy_now, e, settles=e.outcome.kind in {"rewarded", "expired"}
            )
    assert state(store, config) == policy_now.dump()
    assert replay(store, "a", config, progress=lambda _: None, line=line).matches


# What a fork is, and is not


def test_a_fork_replays_bit_for_bit_and_changes_nothing_else(store: Store) -> None:
    """Its checkpoints are its fold; the line that serves and the last cut are what they were."""
    config = config_of({"kind": "linear_ts"})
    world = World(store, config).play(BUSY)
    own = open_line(store, "a", config)
    own.fold(store.examples("a", after=0, limit=20))
    write(store, [lambda tx: tx.save_checkpoint(checkpoint_of("a", own, 3), keep=9)])
    before = store.last_checkpoint("a")
    forked(store, until=world.now - 60 * SECOND)
    found = replay(store, "a", config, progress=lambda _: None, line=find_line(store, "a", "f").line)
    assert [each.verdict for each in found.checkpoints] == ["identical"]
    assert (found.line, found.tainted) == ("f", None)
    assert line_for(store, "a", config).name == line_name(config)
    assert store.last_checkpoint("a") == before == (20, 3)
    assert [(each.line, each.why, each.serves, each.checkpoint) for each in lines_of(store, "a")] == [
        (line_name(config), "own", True, 20),
        ("f", "fork", False, store.log_position("a")),
    ]


def test_a_rule_is_not_forgotten(store: Store) -> None:
    """A line with a rule cannot be folded by who does not know what it passes over."""
    config = config_of({"kind": "linear_ts"})
    World(store, config).play(BUSY)
    forked(store, without=(HER,))
    learner = begin_line(store, "a", config, find_line(store, "a", "f").line)
    with pytest.raises(ValueError, match="use `advance`"):
        learner.fold(store.examples("a", after=0, limit=1))


@pytest.mark.parametrize(
    ("wanted", "error", "said"),
    [
        ({"name": "linear_ts-0123abcd"}, InvalidInput, "not allowed"),
        ({"name": "linear_ts-0123abcd.2"}, InvalidInput, "not allowed"),
        ({"name": "a@3"}, InvalidInput, "'a@3' is not allowed"),
        ({"name": "taken"}, Conflict, "has a line 'taken' already"),
        ({"source": "nobody"}, NotFound, "no config that learns line 'nobody'"),
    ],
)
def test_what_cannot_be_forked_is_said(store: Store, wanted: dict[str, str], error: type, said: str) -> None:
    """A name that means something else, one that is taken, and a source that is not there."""
    World(store, config_of({"kind": "linear_ts"}))
    forked(store, name="taken", without=(HER,))
    with pytest.raises(error, match=said):
        forked(store, without=(HER,), **wanted)


# The command line


@pytest.fixture
def data(tmp_path: Path) -> Path:
    store = SqliteStore(tmp_path)
    World(store, config_of({"kind": "linear_ts"})).play(BUSY)
    store.close()
    return tmp_path


def run(data: Path, *words: str, code: int = 0) -> str:
    done = CliRunner().invoke(app, ["replay", *words, "--data", str(data)])
    assert done.exit_code == code, done.output
    return done.stdout if code == 0 else done.output + str(done.exception)


def test_the_command_forks_lists_and_replays(data: Path) -> None:
    """As an operator types it: fork, see what it learned, list the lines, fold the fork again."""
    until = "1970-01-01T00:18:00"
    told = json.loads(run(data, "a", "--until", until, "--as", "then", "--format", "json"))
    assert told["position"] == told["learned"] + told["passed_over"]
    assert told["after"] == told["learned"] > 0 < told["passed_over"]
    assert 0 <= told["prefers_another"] < told["compared"]
    said = run(data, "a", "--line", "then", "--without", "user=u0", "--without", "user=u=1", "--as", "less")
    assert "is forked from then" in said
    listed = {each["line"]: each for each in json.loads(run(data, "a", "--lines", "--format", "json"))}
    assert listed["less"]["passes_over"] == {
        "spans": [[told["after"], told["position"]]],
        "without": [["user", "u0"], ["user", "u=1"]],
    }
    assert listed["less"]["origin"] == "then"
    assert "user=u0" in run(data, "a", "--lines")
    found = json.loads(run(data, "a", "--line", "less", "--verify", "--format", "json"))
    assert (found["matches"], found["line"], len(found["checkpoints"])) == (True, "less", 1)


def test_the_command_says_what_goes_together(data: Path) -> None:
    """`--as` and a rule need each other; a running server, an unknown loop and a bad entity are named."""
    for words in (["--as", "x"], ["--without", "user=u0"], ["--as", "x", "--without", "user=u0", "--verify"]):
        assert "--as NAME takes --until" in run(data, "a", *words, code=2)
    assert "is not an entity" in run(data, "a", "--as", "x", "--without", "user", code=1)
    assert "its loops are: a" in run(data, "b", "--as", "x", "--without", "user=u0", code=1)
    assert "its loops are: a" in run(data, "b", "--lines", code=1)
    lock = lock_folder(data)
    assert "in use by another" in run(data, "a", "--as", "x", "--without", "user=u0", code=1)
    lock.release()
