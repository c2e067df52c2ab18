"""What every `Store` must do; each test runs over every adapter."""

import math

import msgspec
import pytest
from support import decision, loop

from store.errors import Conflict, Gone, InvalidInput, NotStored
from store.lineage import Erased, Erasure, Line, PassesOver, Span, Taint
from store.ports import Store, Transaction, write
from store.records import (
    AuditRecord,
    Cell,
    Checkpoint,
    Counts,
    Decision,
    Deletion,
    Odds,
    Outcome,
    Relearning,
    Reward,
)


def outcome(decision_id: str = "d", kind: str = "rewarded", value: float = 1.0, loop: str = "a") -> Outcome:
    return Outcome(loop=loop, position=0, decision_id=decision_id, kind=kind, value=value, at=5)


def reward(decision_id: str = "d", **changes: object) -> Reward:
    return Reward(loop="a", decision_id=decision_id, value=1.0, received_at=3, occurred_at=2, **changes)


def checkpoint(position: int, line: str = "l") -> Checkpoint:
    return Checkpoint(
        loop="a", line=line, position=position, settled=position, state=b"s", digest="d", fingerprint="f", at=1
    )


def test_decision_comes_back_as_it_went_in(store: Store) -> None:
    """A decision is stored to the last bit and gets the next position."""
    awkward = msgspec.structs.replace(
        decision(),
        propensities=[0.1, 0.2, math.nextafter(0.7, 1)],
        trace=["t"],
        fallback="f",
        predicted=None,
        odds=[Odds(3, 5e-324, 0.1)],
    )
    [stored] = write(store, [lambda tx: tx.add_decision(awkward)])
    assert stored == msgspec.structs.replace(awkward, position=1)
    assert store.decision("a", "d") == stored


def test_absent_things_are_none_or_empty(store: Store) -> None:
    """What is not there is None, empty or 0, for unknown loops too."""
    for name in ("a", "unknown"):
        assert store.decision(name, "d") is None
        assert store.rewards(name, "d") == []
        assert store.outcomes(name, "d") == []
        assert store.examples(name, after=0, limit=9) == []
        assert store.log_position(name) == 0
        assert store.first_open(name) is None
        assert store.counts(name) == Counts()
        assert list(store.checkpoints(name, "l")) == []
        assert store.last_checkpoint(name) == (0, 0)


def test_ids_are_per_loop(store: Store) -> None:
    """The same decision id may be used in two loops."""
    write(store, [lambda tx: tx.add_decision(decision(loop="a")), lambda tx: tx.add_decision(decision(loop="b", at=1))])
    assert store.decision("a", "d").at == 0
    assert store.decision("b", "d").at == 1


def test_outcome_positions_count_per_loop_without_gaps(store: Store) -> None:
    """Outcome positions are 1, 2, 3 … in each loop, over several transactions."""
    for i, name in enumerate("aabab"):
        d = decision(str(i), loop=name)
        write(store, [lambda tx, d=d: tx.add_outcome(tx.add_decision(d), outcome(d.decision_id, loop=d.loop))])
    assert [e.outcome.position for e in store.examples("a", after=0, limit=9)] == [1, 2, 3]
    assert [e.outcome.decision_id for e in store.examples("a", after=1, limit=1)] == ["1"]
    assert store.log_position("b") == 2


def test_examples_pair_outcomes_with_their_decisions(store: Store) -> None:
    """An example holds the decision that its outcome settles, however often it is settled."""
    write(store, [lambda tx: [tx.add_outcome(tx.add_decision(decision("d")), outcome("d")), None][1]])
    stored = store.decision("a", "d")
    corrected = msgspec.structs.replace(
        outcome(kind="corrected", value=2.0),
        previous=1.0,
        earned=(Cell(0, "click", 1.5), Cell(1, None, 0.5)),
        unrewarded=-1.0,
        revises=1,
        root=1,
    )
    write(store, [lambda tx: tx.add_outcome(stored, corrected)])
    first, second = store.examples("a", after=0, limit=9)
    assert first.decision == second.decision == stored
    assert second.outcome == msgspec.structs.replace(corrected, position=2)
    assert (first.before, second.before) == (None, first.outcome)
    assert store.outcomes("a", "d") == [first.outcome, second.outcome]


def test_latest_outcome_is_the_newest(store: Store) -> None:
    """`latest_outcome` is None while open, then the newest entry."""
    found = []

    def settle(tx):
        d = tx.add_decision(decision())
        found.append(tx.latest_outcome(d))
        tx.add_outcome(d, outcome(value=1.0))
        tx.add_outcome(d, outcome(kind="corrected", value=2.0))
        found.append(tx.latest_outcome(d).value)

    write(store, [settle])
    assert found == [None, 2.0]


def test_due_are_the_open_whose_window_has_passed(store: Store) -> None:
    """`due` lists open decisions of all loops, earliest first, up to the limit; closing takes one off."""
    for name, due in (("late", 9), ("soon", 3), ("other", 5)):
        d = decision(name, at=0, window=due, loop="b" if name == "other" else "a")
        write(store, [lambda tx, d=d: tx.add_decision(d)])
    [ids] = write(store, [lambda tx: [due.decision.decision_id for due in tx.due(5, 9)]])
    assert ids == ["soon", "other"]
    assert store.anything_due(3)
    assert not store.anything_due(2)
    write(store, [lambda tx: tx.close(tx.decision("a", "soon"))])
    assert not store.anything_due(4)
    assert write(store, [lambda tx: len(tx.due(99, 1))]) == [1]
    assert store.first_open("a") == 1
    assert store.first_open("b") == 3


def test_due_come_with_what_was_said_of_them(store: Store) -> None:
    """Each due decision has its newest outcome and its rewards in order of arrival; or None, and none."""
    first, second = reward("told", reward_id="1"), reward("told", reward_id="2", status="extra")

    def tell(tx):
        told = tx.add_decision(decision("told"))
        tx.add_outcome(told, outcome("told", kind="provisional", value=0.0))
        tx.add_outcome(told, outcome("told", kind="provisional", value=2.0))
        tx.add_reward(first)

    write(store, [lambda tx: tx.add_decision(decision("silent")), tell])
    # The same id in another loop, and at another place in it, is another decision.
    write(store, [lambda tx: tx.add_decision(decision("told", loop="b")), lambda tx: tx.add_reward(second)])
    [found] = write(store, [lambda tx: tx.due(10, 9)])
    assert [(due.decision.loop, due.decision.decision_id) for due in found] == [
        ("a", "silent"),
        ("a", "told"),
        ("b", "told"),
    ]
    assert [due.rewards for due in found] == [[], [first, second], []]
    assert [due.outcome and (due.outcome.position, due.outcome.value) for due in found] == [None, (2, 2.0), None]


def test_due_see_what_the_same_batch_said(store: Store) -> None:
    """A reward and an outcome of the transaction that asks for what is due are in the answer."""
    [_, [due]] = write(
        store,
        [
            lambda tx: [tx.add_outcome(tx.add_decision(decision()), outcome()), tx.add_reward(reward())],
            lambda tx: tx.due(10, 9),
        ],
    )
    assert due.outcome == msgspec.structs.replace(outcome(), position=1)
    assert due.rewards == [reward()]


def test_reward_ids_are_found_per_loop(store: Store) -> None:
    """A reward id is known in its own loop only, at once and later."""
    found = write(
        store,
        [
            lambda tx: tx.add_reward(reward(reward_id="r")),
            lambda tx: (tx.has_reward("a", "r"), tx.has_reward("b", "r"), tx.has_reward("a", "q")),
        ],
    )
    assert found[1] == (True, False, False)
    assert store.rewards("a", "d") == [reward(reward_id="r")]


def test_early_rewards_wait_and_are_settled_one_by_one(store: Store) -> None:
    """Two early rewards that are alike to the last field are two; settling one leaves the other waiting."""
    early = reward(status="early")
    write(store, [lambda tx: tx.add_reward(early), lambda tx: tx.add_reward(early)])
    assert store.anything_waiting("a", 3)
    assert not store.anything_waiting("a", 2)
    assert not store.anything_waiting("b", 3)
    write(store, [lambda tx: tx.settle_early(msgspec.structs.replace(early, status="joined"))])
    [waiting] = write(store, [lambda tx: (tx.early("a", "d"), tx.early_before("a", 3, 9), tx.early_before("a", 2, 9))])
    assert waiting == ([early], [early], [])
    assert [r.status for r in store.rewards("a", "d")] == ["joined", "early"]


def test_relearnings_are_kept_per_line(store: Store) -> None:
    """Where a line learned its log anew is there by position, for that line alone."""
    for position, line in ((9, "l"), (4, "l"), (4, "m")):
        made = Relearning(loop="a", line=line, position=position, at=position + 1)
        write(store, [lambda tx, r=made: tx.add_relearning(r)])
    assert [(r.position, r.at) for r in store.relearnings("a", "l")] == [(4, 5), (9, 10)]
    assert [r.position for r in store.relearnings("a", "m")] == [4]
    assert store.relearnings("b", "l") == store.relearnings("a", "n") == []


def test_counts_add_up(store: Store) -> None:
    """Counts add up over operations and transactions, per loop."""
    add = lambda tx: tx.count("a", decisions=1, expected_exploration=0.25)  # noqa: E731  # used three times
    write(store, [add, add])
    write(store, [add, lambda tx: tx.count("b", rewards=2)])
    assert store.counts("a") == Counts(decisions=3, expected_exploration=0.75)
    assert store.counts("b") == Counts(rewards=2)


def test_errors_of_ours_are_answers_and_spoil_nothing(store: Store) -> None:
    """An operation that refuses is answered by its error; the others of the batch are written."""

    def refuse(tx):
        raise Conflict("no")

    results = write(
        store, [lambda tx: tx.add_decision(decision("1")), refuse, lambda tx: tx.add_decision(decision("2"))]
    )
    assert isinstance(results[1], Conflict)
    assert store.decision("a", "1")
    assert store.decision("a", "2").position == 2


def test_other_errors_undo_the_batch(store: Store) -> None:
    """After an error that nobody raised on purpose, nothing of the batch is there, and the store goes on."""

    def write_then_fail(tx):
        tx.add_outcome(tx.add_decision(decision("1")), outcome("1"))
        tx.count("a", decisions=1)
        tx.put_loop(loop("c"))
        raise ZeroDivisionError

    with pytest.raises(NotStored):
        write(store, [write_then_fail])
    assert store.decision("a", "1") is None
    assert store.log_position("a") == 0
    assert store.counts("a") == Counts()
    assert [record.name for record in store.loops()] == ["a", "b"]
    [stored] = write(store, [lambda tx: tx.add_outcome(tx.add_decision(decision("2")), outcome("2"))])
    assert stored.position == 1


def test_loops_are_replaced_by_name(store: Store) -> None:
    """Putting a loop again replaces it and keeps its log."""
    write(store, [lambda tx: tx.add_decision(decision())])
    write(store, [lambda tx: tx.put_loop(loop("a", revision=2))])
    assert [(record.name, record.revision) for record in store.loops()] == [("a", 2), ("b", 1)]
    assert store.decision("a", "d")


def test_checkpoints_come_newest_first_and_old_ones_go(store: Store) -> None:
    """Checkpoints are per line, newest position first; only the newest `keep` stay."""
    for position in (5, 10, 20, 10):
        write(store, [lambda tx, p=position: tx.save_checkpoint(checkpoint(p), keep=2)])
    write(store, [lambda tx: tx.save_checkpoint(checkpoint(7, line="m"), keep=2)])
    assert [c.position for c in store.checkpoints("a", "l")] == [20, 10]
    assert list(store.checkpoints("a", "m")) == [checkpoint(7, line="m")]


def test_the_last_checkpoint_is_the_newest_of_all_lines(store: Store) -> None:
    """It is the one of the highest position, whatever its line and whichever was stored last; of two, the newer."""
    for position, line, at in ((30, "l", 5), (40, "m", 9), (40, "k", 7), (35, "l", 11)):
        stored = msgspec.structs.replace(checkpoint(position, line), at=at)
        write(store, [lambda tx, c=stored: tx.save_checkpoint(c, keep=9)])
    assert store.last_checkpoint("a") == (40, 9)
    assert store.last_checkpoint("b") == (0, 0)


def test_log_is_read_in_order_by_time_and_position(store: Store) -> None:
    """`logged` gives decisions in log order within a half-open time range, with their newest outcome."""
    for i in range(5):
        write(store, [lambda tx, i=i: tx.add_decision(decision(str(i), at=i))])
    settled = store.decision("a", "3")
    write(store, [lambda tx: tx.add_outcome(settled, outcome("3"))])
    rows = store.logged("a", since=1, until=4, after=0, limit=9)
    assert [(row.decision.decision_id, row.outcome and row.outcome.kind) for row in rows] == [
        ("1", None),
        ("2", None),
        ("3", "rewarded"),
    ]
    assert [r.decision.decision_id for r in store.logged("a", since=0, until=9, after=2, limit=2)] == ["2", "3"]


def test_the_decision_log_is_read_over_all_loops(store: Store) -> None:
    """`decisions` gives every loop's decisions behind a position, in log order."""
    assert store.decisions(after=0, limit=9) == []
    for i, name in enumerate("abba"):
        write(store, [lambda tx, i=i, name=name: tx.add_decision(decision(str(i), loop=name, at=9 - i))])
    assert [(d.loop, d.position) for d in store.decisions(after=1, limit=2)] == [("b", 2), ("b", 3)]
    assert store.decisions(after=3, limit=9) == [store.decision("a", "3")]
    assert store.decisions(after=4, limit=9) == []


def test_audits_are_replaced_by_loop(store: Store) -> None:
    """A loop has one stored audit, the newest; loops without one are left out."""
    assert store.audits() == []
    for name, position in (("b", 3), ("a", 5), ("b", 8)):
        record = AuditRecord(loop=name, position=position, state=bytes([position]), at=position)
        write(store, [lambda tx, record=record: tx.save_audit(record)])
    assert [(r.loop, r.position, r.state, r.at) for r in store.audits()] == [("a", 5, b"\x05", 5), ("b", 8, b"\x08", 8)]


def test_lines_and_taints_come_back_as_they_went_in(store: Store) -> None:
    """Lines are per loop, oldest first; a line has one taint, the newest that was written down."""
    rule = PassesOver((Span(3, 9), Span(12, 20)), (("user", "u-17"),))
    lines = [
        Line(loop="a", name="late", origin="l", why="erasure", opened_at=9),
        Line(loop="a", name="early", origin="l", why="fork", passes_over=rule, opened_at=4),
        Line(loop="b", name="early", origin="m", why="fork", opened_at=5),
    ]
    write(store, [lambda tx, line=line: tx.put_line(line) for line in lines])
    assert store.lines("a") == [lines[1], lines[0]]
    assert store.lines("b") == [lines[2]]
    less = msgspec.structs.replace(lines[1], passes_over=PassesOver())
    write(store, [lambda tx: tx.put_line(less)])
    assert store.lines("a") == [less, lines[0]]
    assert store.lines("unknown") == store.taints("unknown") == []
    for position, at in ((7, 1), (5, 2)):
        marked = Taint(loop="a", line="l", position=position, at=at)
        write(store, [lambda tx, taint=marked: tx.add_taint(taint)])
    assert store.taints("a") == [Taint(loop="a", line="l", position=5, at=2)]
    assert store.taints("b") == []


def test_checkpoints_can_be_dropped_and_a_fork_has_never_served(store: Store) -> None:
    """Those from a position on go, of one line; the last checkpoint of what may have served is not that of a fork."""
    for position, line in ((5, "l"), (10, "l"), (20, "l"), (20, "m"), (30, "f")):
        stored = checkpoint(position, line)
        write(store, [lambda tx, c=stored: tx.save_checkpoint(c, keep=9)])
    assert store.stored_through("a") == {"f": 30, "l": 20, "m": 20}
    assert store.last_checkpoint("a") == (30, 1)
    write(store, [lambda tx: tx.put_line(Line(loop="a", name="f", origin="l", why="fork"))])
    assert store.last_checkpoint("a") == (20, 1)
    write(store, [lambda tx: tx.drop_checkpoints("a", "l", since=10)])
    assert [c.position for c in store.checkpoints("a", "l")] == [5]
    assert store.stored_through("a") == {"f": 30, "l": 5, "m": 20}
    assert store.stored_through("b") == {}


def test_erasures_are_replaced_by_loop_and_time(store: Store) -> None:
    """An erasure is written down as it began and as it ended; they come oldest first."""
    begun = Erasure(loop="b", at=7, what=("x", "y"), count=Erased(1, 2, 3))
    done = msgspec.structs.replace(begun, done_at=8)
    other = Erasure(loop="a", at=9, what=(), count=Erased())
    write(store, [lambda tx, e=e: tx.save_erasure(e) for e in (other, begun, done)])
    assert store.erasures() == [done, other]


def test_what_is_erased_is_gone_but_for_its_place(store: Store) -> None:
    """Ids, positions, links and times stay; content goes, nothing is open any more, and asking for it says when."""

    def fill(tx):
        for name in ("kept", "gone", "open"):
            made = tx.add_decision(decision(name, at=4))
            tx.add_reward(reward(name, reward_id=f"r-{name}", slot=0, component="click"))
            if name != "open":
                first = tx.add_outcome(made, msgspec.structs.replace(outcome(name), earned=(Cell(0, None, 1.0),)))
                second = outcome(name, kind="corrected", value=2.0)
                position = first.position
                tx.add_outcome(made, msgspec.structs.replace(second, previous=1.0, revises=position, root=position))
                tx.close(made)

    write(store, [fill])
    before = store.examples("a", after=0, limit=9)
    gone, still_open = store.decision("a", "gone"), store.decision("a", "open")
    counted = write(store, [lambda tx: tx.erase(gone, 77), lambda tx: tx.erase(still_open, 77)])
    assert counted == [Erased(1, 2, 1), Erased(1, 0, 1)]
    for ask in (lambda: store.decision("a", "gone"), lambda: store.decision("a", "open")):
        with pytest.raises(Gone, match="was erased at 1970-01-01T00:00:00Z"):
            ask()
    [refused] = write(store, [lambda tx: tx.decision("a", "gone")])
    assert isinstance(refused, Gone)
    assert store.first_open("a") is None
    assert not store.anything_due(99)
    after = store.examples("a", after=0, limit=9)
    assert after[:2] == before[:2]
    left = gone.erased(77)
    assert (left.at, left.due, left.position, left.request) == (4, 14, 2, b"")
    assert [(e.decision, e.outcome) for e in after[2:]] == [(left, e.outcome.erased()) for e in before[2:]]
    assert [(e.outcome.kind, e.outcome.value, e.outcome.earned, e.outcome.previous) for e in after[2:]] == [
        ("erased", 0.0, (), None)
    ] * 2
    assert [(e.outcome.revises, e.outcome.root, e.before and e.before.kind) for e in after[2:]] == [
        (None, None, None),
        (3, 3, "erased"),
    ]
    assert store.rewards("a", "gone") == [reward("gone", reward_id="r-gone", slot=0, component="click").erased()]
    assert write(store, [lambda tx: tx.has_reward("a", "r-gone")]) == [True]
    assert [row.decision.decision_id for row in store.logged("a", since=0, until=9, after=0, limit=1)] == ["kept"]
    assert [d.decision_id for d in store.decisions(after=1, limit=9)] == []
    assert (store.erased("a", since=0, until=5), store.erased("a", since=5, until=9)) == (2, 0)
    assert store.erased("b", since=0, until=9) == 0
    assert write(store, [lambda tx: tx.add_decision(decision("next"))])[0].position == 4
    assert [d.decision_id for d in store.decisions(after=0, limit=2)] == ["kept", "next"]


def settle(store: Store, name: str, at: int, *, loop: str = "a", revised: int = 0) -> Decision:
    """Log a decision with a reward and an outcome, and as many corrections."""

    def operation(tx: Transaction) -> Decision:
        made = tx.add_decision(decision(name, loop=loop, at=at, deferred=True))
        tx.activate(made, at + 1)
        given = reward(name, reward_id=f"r{name}")
        tx.add_reward(msgspec.structs.replace(given, loop=loop, received_at=at + 2))
        tx.close(made)
        before = tx.add_outcome(made, outcome(name, loop=loop))
        for _ in range(revised):
            changed = msgspec.structs.replace(outcome(name, "corrected", loop=loop), revises=before.position, root=1)
            tx.add_outcome(made, changed)
        return made

    return write(store, [operation])[0]


def test_what_is_deleted_is_gone_and_its_ids_stay_known(store: Store) -> None:
    """Decisions go whole, the others stay whole; the outcome log is read from where every entry is."""
    settle(store, "d1", 0)
    settle(store, "other", 10, loop="b")
    second = settle(store, "d2", 20)
    settle(store, "d3", 30)
    # The first is corrected after the third was settled: its log begins behind that.
    late = msgspec.structs.replace(outcome("d1", "corrected"), revises=1, root=1)
    write(store, [lambda tx: tx.add_outcome(tx.decision("a", "d1"), late)])
    settle(store, "d4", 40, revised=1)
    orphans = [
        msgspec.structs.replace(reward(name, reward_id=name, status=status), received_at=at)
        for name, at, status in (("nobody", 0, "dropped"), ("nobody-yet", 25, "dropped"), ("waits", 0, "early"))
    ]
    write(store, [lambda tx, r=r: tx.add_reward(r) for r in orphans])
    settle(store, "d5", 50)
    kept = [store.decision("a", "d3"), store.rewards("a", "d3"), store.outcomes("a", "d3")]
    behind = store.examples("a", after=4, limit=9)
    assert (store.log_start("a"), store.deletions("a")) == (1, [])
    deletions = [
        Deletion(loop="a", decisions=1, outcomes=4, at=100),
        Deletion(loop="a", decisions=second.position, outcomes=4, at=86_400_000_000),
    ]
    for deletion in deletions:
        write(store, [lambda tx, deletion=deletion: tx.delete(deletion)])
    assert store.deletions("a") == deletions
    assert (store.log_start("a"), store.log_start("b"), store.log_position("a")) == (5, 1, 7)
    assert store.examples("a", after=4, limit=9) == behind
    with pytest.raises(Gone, match="begins at 5: decisions with outcomes up to 4 were deleted by retention on 1970-01"):
        store.examples("a", after=3, limit=9)
    for read in (store.decision, store.rewards, store.outcomes, store.activated):
        with pytest.raises(Gone, match=r"'d1' of loop 'a' was made on 1970-01-01 and deleted by .* 1970-01-01"):
            read("a", "d1")
        with pytest.raises(Gone, match=r"deleted by retention on 1970-01-02: its id stays known"):
            read("a", "d2")
    assert [store.decision("a", "d3"), store.rewards("a", "d3"), store.outcomes("a", "d3")] == kept
    logged = store.logged("a", since=0, until=99, after=0, limit=9)
    assert [row.decision.decision_id for row in logged] == ["d3", "d4", "d5"]
    assert [d.decision_id for d in store.decisions(after=0, limit=3)] == ["other", "d3", "d4"]
    assert [len(store.rewards("a", name)) for name in ("nobody", "nobody-yet", "waits")] == [0, 1, 1]
    answers = write(
        store,
        [
            lambda tx: [tx.has_reward("a", name) for name in ("rd1", "rd2", "rd3", "nobody", "nobody-yet", "rd9")],
            lambda tx: tx.decision("a", "d2"),
            lambda tx: tx.add_decision(decision("d6", at=60)).position,
        ],
    )
    assert (answers[0], type(answers[1]), answers[2]) == ([True] * 5 + [False], Gone, 7)


def test_open_decisions_and_the_end_of_the_log_cannot_be_deleted(store: Store) -> None:
    """A deletion that reaches either is refused and changes nothing."""
    settle(store, "d1", 0)
    write(store, [lambda tx: tx.add_decision(decision("open", at=5))])
    settle(store, "d3", 10)
    for decisions, outcomes, said in ((2, 1, "decision 2 of loop 'a' is open"), (1, 2, "2 is the newest of loop 'a'")):
        deletion = Deletion(loop="a", decisions=decisions, outcomes=outcomes, at=1)
        [refusal] = write(store, [lambda tx, deletion=deletion: tx.delete(deletion)])
        assert isinstance(refusal, InvalidInput)
        assert said in str(refusal)
    assert store.deletions("a") == []
    assert store.decision("a", "d1") is not None


def test_a_line_says_where_its_log_began(store: Store) -> None:
    """Checkpoints and relearnings keep the position behind which they began."""
    begun = msgspec.structs.replace(checkpoint(7), began=5)
    relearning = Relearning(loop="a", line="l", position=9, at=1, since=6)
    write(store, [lambda tx: tx.save_checkpoint(begun, keep=3), lambda tx: tx.add_relearning(relearning)])
    assert list(store.checkpoints("a", "l")) == [begun]
    assert store.relearnings("a", "l") == [relearning]
