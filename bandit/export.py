"""A loop's log as one Parquet file, the input of off-policy evaluation: one row per decision, in log order."""

import itertools
import operator
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import msgspec
import polars as pl
import pyarrow.parquet as pq

from bandit.ranking.marginals import MOST_STATES
from bandit.ranking.replay import slot_marginals, uniform_pi
from bandit.settings import LoopConfig, read_config
from store.errors import InvalidInput
from store.ledger.worth import rewards_by_slot
from store.log.deleted import day
from store.ports import Store
from store.records import Decision, Logged, Outcome

_CHUNK = 5000
_EVER = 2**62
_PAIR = pl.Struct({"action": pl.String, "propensity": pl.Float64})

SCHEMA: dict[str, pl.DataType | type[pl.DataType]] = {
    "loop": pl.String,
    "decision_id": pl.String,
    "at": pl.Datetime("us", "UTC"),
    "context": pl.String,
    "actions": pl.String,
    "distribution": pl.List(_PAIR),
    "predicted_rewards": pl.List(pl.Float64),
    "ranking": pl.List(_PAIR),
    "pscore": pl.Float64,
    "pscore_cascade": pl.List(pl.Float64),
    "pscore_item_position": pl.List(pl.Float64),
    "pscore_item_position_reason": pl.String,
    "pi_weight_uniform": pl.Float64,
    "action": pl.String,
    "propensity": pl.Float64,
    "explored": pl.Boolean,
    "reward": pl.Float64,
    "rewarded_at": pl.Datetime("us", "UTC"),
    "outcome": pl.String,
    "slot": pl.Int64,
    "slot_rewards": pl.List(pl.Float64),
    "component": pl.String,
    "policy": pl.String,
    "model_version": pl.String,
    "top_n": pl.Int64,
    "guard_state": pl.String,
    "new_actions": pl.List(pl.String),
    "outcome_at": pl.Datetime("us", "UTC"),
    "outcome_position": pl.Int64,
    "first_outcome": pl.Int64,
}
"""The columns. `action`, `propensity` and `explored` are those of the first slot; `context` and `actions` are JSON as
sent; `predicted_rewards` is aligned with `distribution`, or null; `reward` is what the whole ranking earned, by its
newest outcome, or null while it is open, `rewarded_at` when that became known, or null where nothing came, `slot` the
position that earned it, or null, and `slot_rewards` what each slot earned, which adds up to `reward`, or null where
that is not known. `top_n` is how many slots were asked for, `guard_state`, as JSON, the numbers that the exploration
guards acted on, and `new_actions` the actions under a ceiling; `outcome_at` and `outcome_position` are when the newest
outcome was appended and its place in the outcome log, `first_outcome` that of the decision's first one.

Of a ranking, with the names of the Open Bandit Pipeline (Saito, Aihara, Matsutani and Narita 2021): `pscore` is the
probability of the whole, `pscore_cascade` of each slot and those above it together, and `pscore_item_position` of each
action to stand in its slot, whatever stands above; null where that is not known exactly, which
`pscore_item_position_reason`, null elsewhere, then explains in the words of `bandit.ranking.why_not`.
`pi_weight_uniform` is the pseudo-inverse's weight of the ranking for a target that ranks uniformly, or null."""


class Exported(NamedTuple):
    """How many decisions were written, how many newer ones left out, and how many are not there: they were erased."""

    written: int
    left: int
    erased: int


def export_loop(
    store: Store,
    loop: str,
    out: Path,
    *,
    since: int = 0,
    until: int = _EVER,
    unsettled: bool = False,
    marginals: bool = True,
) -> Exported:
    """Write the loop's decisions with `since <= at < until`, but for those that were erased.

    Left out are those from the first decision on whose outcome is open: among newer ones, fast rewards would be
    over-represented. With `unsettled` they are written too, with a null reward where there is none. Without `marginals`
    `pscore_item_position` and `pi_weight_uniform` are null in rankings of several slots, which spares their cost:
    milliseconds for short rankings of few actions, up to a second where thousands of sets can stand above a slot.

    Raises:
        InvalidInput: when there is no such loop, or `out` cannot be written.

    """
    found = {record.name: record for record in store.loops()}
    if loop not in found:
        names = ", ".join(found) or "none"
        raise InvalidInput(f"there is no loop {loop!r} in this data folder; its loops are: {names}")
    config = read_config(found[loop].config)
    most_states = MOST_STATES if marginals else 0
    part = out.with_name(out.name + ".part")
    end = _EVER if unsettled else store.first_open(loop) or _EVER
    written = left = 0
    try:
        with pq.ParquetWriter(part, pl.DataFrame(schema=SCHEMA).to_arrow().schema, compression="zstd") as file:
            for chunk in _chunks(store, loop, since, until):
                settled = [row for row in chunk if row.decision.position < end]
                file.write_table(_frame(settled, config, most_states).to_arrow())
                written, left = written + len(settled), left + len(chunk) - len(settled)
        part.replace(out)
    except OSError as error:
        part.unlink(missing_ok=True)
        raise InvalidInput(f"{out} cannot be written ({error}): name a file in a folder that exists") from error
    return Exported(written, left, store.erased(loop, since=since, until=until))


def left_of(store: Store, loop: str, since: int) -> str | None:
    """Say what an export from `since` on lacks because it was deleted; None where nothing of it was."""
    deletions = store.deletions(loop)
    first = store.logged(loop, since=0, until=_EVER, after=0, limit=1)
    if not deletions or not first or since >= first[0].decision.at:
        return None
    return (
        f"the log of loop {loop!r} begins on {day(first[0].decision.at)}, with decision "
        f"{first[0].decision.decision_id!r}; what is older was deleted by retention, last on {day(deletions[-1].at)}"
    )


def _chunks(store: Store, loop: str, since: int, until: int) -> Iterator[list[Logged]]:
    after = 0
    while chunk := store.logged(loop, since=since, until=until, after=after, limit=_CHUNK):
        yield chunk
        after = chunk[-1].decision.position


def _frame(rows: list[Logged], config: LoopConfig, most_states: int) -> pl.DataFrame:
    return pl.DataFrame([_row(row, config, most_states) for row in rows], schema=SCHEMA)


def _row(row: Logged, config: LoopConfig, most_states: int) -> dict[str, object]:
    d, outcome = row.decision, row.outcome
    # What was learned at once, as if nothing came, is no reward yet.
    settled = outcome if outcome is not None and outcome.settled else None
    request = msgspec.json.decode(d.request, type=dict[str, msgspec.Raw])
    told = slot_marginals(d, config.guards, most_states)
    return {
        "loop": d.loop,
        "decision_id": d.decision_id,
        "at": d.at,
        "context": bytes(request.get("context", b"{}")).decode(),
        "actions": bytes(request["actions"]).decode(),
        "distribution": [
            {"action": action, "propensity": p} for action, p in zip(d.actions, d.propensities, strict=True)
        ],
        "predicted_rewards": d.predicted,
        "ranking": [{"action": slot.action, "propensity": slot.propensity} for slot in d.ranking],
        "pscore": d.slate_propensity,
        "pscore_cascade": list(itertools.accumulate((slot.propensity for slot in d.ranking), operator.mul)),
        "pscore_item_position": told.probabilities,
        "pscore_item_position_reason": told.why_not,
        "pi_weight_uniform": uniform_pi(d, config.guards, most_states),
        "action": d.ranking[0].action,
        "propensity": d.ranking[0].propensity,
        "explored": d.ranking[0].explored,
        "reward": settled.value if settled else None,
        "rewarded_at": _rewarded_at(d, settled) if settled else None,
        "outcome": outcome.kind if outcome else None,
        "slot": settled.slot if settled else None,
        "slot_rewards": rewards_by_slot(settled, len(d.ranking), config.reward) if settled else None,
        "component": d.component,
        "policy": d.policy,
        "model_version": d.model_version,
        "top_n": int(bytes(request.get("top_n", b"1"))),
        "guard_state": msgspec.json.encode(d.guard_state).decode(),
        "new_actions": [] if d.law is None else [d.actions[i] for i in d.law.new],
        "outcome_at": outcome.at if outcome else None,
        "outcome_position": outcome.position if outcome else None,
        "first_outcome": (outcome.root or outcome.position) if outcome else None,
    }


def _rewarded_at(decision: Decision, outcome: Outcome) -> int | None:
    """Return from when on the reward was known, None where none came."""
    if outcome.kind not in {"rewarded", "corrected"}:
        return None
    # A reward may arrive before its decision does; it is known when both are there.
    return max(outcome.at, decision.at)
