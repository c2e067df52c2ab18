"""The gate's one flow: a log -> lint -> decisions in order -> fold -> rules -> verdict; prints and writes nothing."""

import math
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeAlias

import narwhals as nw
import polars as pl

from ope.diagnostics.findings import BADNESS, Lint
from ope.diagnostics.lint import lint_files, lint_frame
from ope.diagnostics.opening import Opened, Opening
from ope.diagnostics.question import Asked
from ope.errors import InvalidLog
from ope.gate.config import Gate
from ope.gate.digest import Digest
from ope.gate.fold import Folded, start
from ope.gate.growth import expected_total
from ope.gate.methods import needed
from ope.gate.rows import NO_TIME, Decisions, Part, decisions
from ope.gate.rules import Facts, foldable, judged
from ope.gate.state import Kept
from ope.gate.verdict import Decision, Evidence, Lift, Look, Rule, Verdict

Progress: TypeAlias = Callable[[int], None]


def gate_files(
    paths: Sequence[Path | str],
    gate: Gate,
    before: Kept | None = None,
    *,
    log_format: str | None = None,
    progress: Progress = lambda _: None,
) -> Look:
    """Return the verdict on the files as one log, and what the next look at it goes on from.

    With `before`, only the decisions that are new since are folded; the result is the same to the bit. `progress` hears
    how many decisions were gone through; `log_format` is the files', where their names and first lines do not tell.
    Raises InvalidRequest for what cannot be asked, InvalidLog where the decisions that were folded before are not those
    that the log begins with.
    """
    files = [Path(path) for path in paths]
    lint = _lint(lambda asked: lint_files(files, roles=gate.roles, asked=asked, log_format=log_format), gate)
    with tempfile.TemporaryDirectory(prefix="honeyguide-") as folder:
        opening = Opening(gate.roles, (), log_format, Path(folder))
        return _look(lint, lambda: opening.trusting(files), gate, before, progress)


def gate_frame(
    frame: Any,  # noqa: ANN401 - polars, pandas, pyarrow or whatever else narwhals can hand to polars
    gate: Gate,
    before: Kept | None = None,
    *,
    progress: Progress = lambda _: None,
) -> Look:
    """Return the verdict on a frame; see gate_files. One that is not polars is loaded."""
    native = in_polars(nw.from_native(frame))
    lint = _lint(lambda asked: lint_frame(native, roles=gate.roles, asked=asked), gate)
    return _look(lint, lambda: [Opened("frame", native)], gate, before, progress)


def in_polars(log: nw.DataFrame[Any] | nw.LazyFrame[Any]) -> pl.LazyFrame:
    """Return any frame as a polars lazy one; one that is not polars is loaded."""
    native = log.to_native()
    if isinstance(native, pl.LazyFrame):
        return native
    eager = log if isinstance(log, nw.DataFrame) else log.collect(backend="polars")
    return eager.to_polars().lazy()


def _lint(run: Callable[[Asked], Lint], gate: Gate) -> Lint:
    """Lint the log for both policies. A column and a policy cannot be asked about at once, which takes two runs."""
    asked, other = gate.asked(), gate.other()
    if other is None:
        return run(asked)
    if asked.policies:
        return run(replace(asked, policies=(*asked.policies, other)))
    one, two = run(asked), run(replace(asked, policies=(other,)))
    also = [finding for finding in two.findings if finding.where.policy == other.name]
    findings = sorted([*one.findings, *also], key=lambda finding: -BADNESS[finding.severity])
    unknown = [answer for answer in two.unknown if answer.policy == other.name]
    return replace(one, findings=tuple(findings), unknown=(*one.unknown, *unknown))


def _look(
    lint: Lint, opened: Callable[[], Sequence[Opened]], gate: Gate, before: Kept | None, progress: Progress
) -> Look:
    found = decisions(opened(), gate) if foldable(lint) else None
    sound = found is not None and not found.unweighed and not found.untimed
    kept = _fold(found, gate, before, progress) if found is not None and sound else None
    facts = Facts(gate, lint, found, None if kept is None else kept.folded)
    return Look(_verdict(facts, kept, before), kept)


@dataclass(frozen=True, slots=True)
class _Ahead:
    """What is new behind the decisions that were folded before."""

    gate: Gate
    before: Kept | None

    def behind(self, part: Part, seen: int, digest: Digest) -> Part:
        """Return what is new of a part, and take all of it into the digest; `seen` rows stand before it."""
        position = 0 if self.before is None else self.before.position
        known = min(max(position - seen, 0), len(part))
        if self.before is not None and known and seen + known == position:
            digest.update(part.between(0, known))
            self.check(digest, position)
            part = part.between(known, None)
        elif known:
            digest.update(part)
            return part.between(known, None)
        digest.update(part)
        return part

    def check(self, digest: Digest, seen: int) -> None:
        """Raise InvalidLog unless the first decisions are those that were folded before."""
        before = self.before
        if before is None or (seen == before.position and digest.hex() == before.rows):
            return
        last = f", the last of them {before.last_id!r}" if before.last_id else ""
        raise InvalidLog(
            f"{before.position:,} decisions were folded before{last}, and the log does not begin with them: one was "
            "added, taken out, or has another reward, propensity or time now. Give all files of the log, from its "
            "beginning; if a decision was corrected, fold anew with another --state file."
        )


def _fold(found: Decisions, gate: Gate, before: Kept | None, progress: Progress) -> Kept:
    folded, digest, seen, last = start(gate) if before is None else before.folded, Digest(), 0, None
    ahead = _Ahead(gate, before)
    for part in found.parts():
        new = ahead.behind(part, seen, digest)
        folded = folded.fold(gate, new.w, new.v, new.r)
        seen += len(part)
        last = part if len(part) else last
        progress(seen)
    if before is not None and seen < before.position:
        ahead.check(digest, seen)
    last_id = last.ids[-1] or None if last else None
    at = int(last.at[-1]) if last else NO_TIME
    return Kept(gate.digest(), seen, digest.hex(), last_id, None if at == NO_TIME else at, folded)


def _verdict(facts: Facts, kept: Kept | None, before: Kept | None) -> Verdict:
    rules = tuple(judged(facts))
    return Verdict(
        decision=_decision(rules),
        rules=rules,
        lift=None if facts.folded is None or not facts.folded.tally.n else _lift(facts.gate, facts.folded),
        diagnostics=None if facts.folded is None else facts.folded.tally.diagnostics(_deficit(facts)),
        more=_more(facts),
        findings=facts.lint.at_least("warn"),
        unknown=facts.lint.unknown,
        evidence=_evidence(facts, kept, before),
        config=facts.gate,
        config_digest=facts.gate.digest(),
    )


def _decision(rules: Sequence[Rule]) -> Decision:
    broken = {rule.otherwise for rule in rules if not rule.holds}
    return "refuse" if "refuse" in broken else "hold" if broken else "promote"


def _lift(gate: Gate, folded: Folded) -> Lift:
    (lower, upper), tally, least = folded.bounds(gate), folded.tally, gate.reward_range[0]
    return Lift(
        value=tally.lift * gate.width,
        stderr=tally.lift_stderr * gate.width,
        lower=lower,
        upper=upper,
        candidate=least + tally.candidate * gate.width,
        champion=least + tally.champion * gate.width,
        evidence=folded.evidence(gate),
        needed=needed(gate.alpha),
    )


def _deficit(facts: Facts) -> float | None:
    name = facts.gate.policy
    found = [one for one in facts.lint.findings if one.code == "support_deficit" and one.where.policy == name]
    return found[0].value if found else None


def _more(facts: Facts) -> int | None:
    gate, folded = facts.gate, facts.folded
    if folded is None or not folded.tally.n:
        return None
    n = folded.tally.n
    totals = [float(gate.min_outcomes), n * gate.min_ess / folded.tally.ess if folded.tally.ess else math.inf]
    if not folded.above_margin(gate):
        tested = gate.mean_at(gate.margin)
        total = expected_total(folded.above, tested, folded.evidence(gate), needed(gate.alpha))
        totals.append(math.inf if total is None else total)
    most = max(totals)
    return max(math.ceil(most) - n, 0) if math.isfinite(most) else None


def _evidence(facts: Facts, kept: Kept | None, before: Kept | None) -> Evidence:
    folded = 0 if kept is None else kept.position
    old = 0 if before is None or kept is None else before.position
    waiting = 0 if facts.decisions is None or kept is None else facts.decisions.n - folded
    return Evidence(
        files=facts.lint.files,
        n=facts.lint.n,
        folded=folded,
        new=folded - old,
        waiting=waiting,
        rows="" if kept is None else kept.rows,
        last_id=None if kept is None else kept.last_id,
        last_at=None if kept is None else kept.last_at,
    )
