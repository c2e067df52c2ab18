"""What the ledger means, as short as it can be said: every question is answered from all that ever happened.

It knows one loop, keeps everything in lists and looks through them; it shares no code with the ledger.
"""

from dataclasses import dataclass, field

JOINS = {
    "first": lambda values: values[0],
    "last": lambda values: values[-1],
    "sum": sum,
    "mean": lambda values: sum(values) / len(values),
    "max": max,
    "min": min,
}


@dataclass
class Entry:
    """A decision: what it heard, how it was settled, what the outcome log says of it."""

    at: int
    slots: int
    deferred: bool
    activated: bool = False
    heard: list[tuple[int | None, float]] = field(default_factory=list)
    settled: str | None = None
    settled_at: int = 0
    value: float = 0.0


class ReferenceLedger:
    """One loop's ledger under rules that do not change."""

    def __init__(self, *, window, default, aggregation, late, correction, provisional):
        self.window, self.default, self.join = window, default, JOINS[aggregation]
        self.first = aggregation == "first"
        self.late, self.correction, self.provisional = late, correction, provisional
        self.decisions: dict[str, Entry] = {}
        self.early: list[tuple[int, str, int | None, float]] = []
        self.ids: set[str] = set()
        self.log: list[tuple[str, str, float]] = []
        self.counts = dict.fromkeys(("duplicate", "early", "late", "extra", "dropped"), 0)

    def decide(self, name, now, slots, *, deferred):
        """Make a decision, unless it is there, and hear what came before it."""
        if name in self.decisions:
            return
        entry = self.decisions[name] = Entry(now, slots, deferred)
        if self.provisional and not deferred:
            self.write(name, "provisional", self.default)
        waiting = [r for r in self.early if r[1] == name]
        self.early = [r for r in self.early if r[1] != name]
        for at, _, slot, value in waiting:
            if slot is not None and slot >= slots:
                self.counts["dropped"] += 1
            else:
                self.hear(name, entry, slot, value, at)

    def reward(self, name, now, slot, value, reward_id):
        """Take a reward, unless its id was taken or its slot does not exist."""
        if reward_id in self.ids:
            self.counts["duplicate"] += 1
            return
        entry = self.decisions.get(name)
        if entry is not None and slot is not None and slot >= entry.slots:
            return
        if reward_id:
            self.ids.add(reward_id)
        if entry is None:
            self.counts["early"] += 1
            self.early.append((now, name, slot, value))
        else:
            self.hear(name, entry, slot, value, now)

    def hear(self, name, entry, slot, value, now):
        """Let a reward count, or say why not."""
        quick = self.first and entry.slots == 1
        by_window = entry.settled is not None and not (
            entry.settled == "rewarded" and entry.settled_at < entry.at + self.window
        )
        late = now >= entry.at + self.window or by_window
        taken = self.first and any(s == slot for s, _ in entry.heard)
        if late:
            self.counts["late"] += 1
            if entry.settled is None:
                self.settle(name, entry)
            too_late = now > entry.at + self.window + self.correction
            if self.late == "log" or entry.settled == "censored" or too_late or taken:
                return
            before = (entry.value, self.heard_by_slot(entry))
            entry.heard.append((slot, value))
            if (self.worth(entry), self.heard_by_slot(entry)) != before:
                self.write(name, "corrected", self.worth(entry))
            return
        if entry.settled is not None or taken:
            self.counts["extra"] += 1
            return
        entry.heard.append((slot, value))
        if entry.deferred and not entry.activated:
            return
        self.take_in(name, entry, now, quick=quick)

    def take_in(self, name, entry, now, *, quick):
        """Settle what needs no waiting for; otherwise say so far, where that is learned."""
        if quick:
            self.write(name, "rewarded", self.worth(entry), now)
        elif self.provisional or any(n == name for n, _, _ in self.log):
            self.write(name, "provisional", self.worth(entry))

    def activate(self, name, now):
        """Show a deferred decision, if that is still in time."""
        entry = self.decisions.get(name)
        if entry is None or not entry.deferred or entry.activated:
            return
        if entry.settled is not None or now >= entry.at + self.window:
            return
        entry.activated = True
        if entry.heard and self.first and entry.slots == 1:
            self.write(name, "rewarded", self.worth(entry), now)
        elif self.provisional:
            self.write(name, "provisional", self.worth(entry))

    def tick(self, now):
        """Close what is due, earliest first, and give up on rewards whose decision did not come."""
        due = [(e.at + self.window, i, n) for i, (n, e) in enumerate(self.decisions.items()) if e.settled is None]
        for at, _, name in sorted(due):
            if at <= now:
                self.settle(name, self.decisions[name])
        waiting = [r for r in self.early if r[0] <= now - self.window]
        self.counts["dropped"] += len(waiting)
        self.early = [r for r in self.early if r not in waiting]

    def settle(self, name, entry):
        """Close a decision at the end of its window."""
        if entry.deferred and not entry.activated:
            self.write(name, "censored", self.default, entry.at + self.window)
        elif entry.heard:
            self.write(name, "rewarded", self.worth(entry), entry.at + self.window)
        else:
            self.write(name, "expired", self.default, entry.at + self.window)

    def heard_by_slot(self, entry):
        """What each slot's rewards come to."""
        slots = {s for s, _ in entry.heard}
        return {s: self.join([v for t, v in entry.heard if t == s]) for s in slots}

    def worth(self, entry):
        """What all rewards come to."""
        return sum(self.heard_by_slot(entry).values()) if entry.heard else self.default

    def write(self, name, kind, value, at=0):
        """Append to the outcome log."""
        entry = self.decisions[name]
        entry.value = value
        if kind in ("rewarded", "expired", "censored"):
            entry.settled, entry.settled_at = kind, at
        elif kind == "corrected":
            entry.settled = entry.settled if entry.settled == "censored" else "corrected"
        self.log.append((name, kind, value))
