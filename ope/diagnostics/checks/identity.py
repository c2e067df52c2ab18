"""Whether each row is one decision of one loop, in its order."""

from collections.abc import Iterator

import polars as pl

from ope.diagnostics.checks.base import Check, first_rows, rows_of, share
from ope.diagnostics.facts import Facts, Named
from ope.diagnostics.findings import Answer, Finding, Unknown, Where, grade
from ope.diagnostics.question import Question

CODES = ("duplicates", "disorder", "mixed_loops")
_FINE = 4
"""Times are too coarse for copies to show unless copies are so many times the different rows of one time."""


def _ask(q: Question) -> Named:
    named: Named = {}
    if q.has("loop"):
        named |= {"loop least": pl.col("loop").min(), "loop most": pl.col("loop").max()}
    return named


def _judge(facts: Facts) -> Iterator[Answer]:
    yield _duplicates(facts)
    yield _disorder(facts)
    yield _loops(facts)


def _duplicates(facts: Facts) -> Answer:
    q = facts.question
    if facts.copies.is_empty():
        return Unknown("duplicates", "there is neither a decision_id nor a time by which rows could be told apart.")
    sums = {name: int(value or 0) for name, value in facts.copies.row(0, named=True).items()}
    by_id = q.has("decision_id")
    copies = sums["copies"] if by_id else sums["whole_copies"]
    if not by_id and copies and copies < _FINE * (sums["copies"] - copies):
        return Unknown(
            "duplicates", "there is no decision_id, and times are too coarse to tell copies from look-alikes."
        )
    part = copies / sums["rows"] if sums["rows"] else 0.0
    severity, threshold = grade(part, warn=facts.limit("duplicate_warn"), refuse=facts.limit("duplicate_refuse"))
    looked = f" (one id in {facts.of_ids} was looked at)" if facts.of_ids > 1 else ""
    if severity == "ok":
        return Finding("duplicates", "ok", part, threshold, f"no decision is there twice{looked}.")
    same = "all" if sums["whole_copies"] == sums["copies"] else f"{sums['whole_copies']:,}"
    what = (
        f"repeat a decision_id, {same} of them with the same content" if by_id else "repeat another one in everything"
    )
    says = f"{rows_of(copies, sums['rows'])} {what}{looked}. Copies count twice and make intervals too short."
    way_out = (
        "Write each decision once: drop retries by decision_id, and join rewards so that several of one decision are "
        "added up, not repeated. If the rows are slots of rankings, give each its own id."
    )
    return Finding("duplicates", severity, part, threshold, says, way_out, _first_copy(facts, sums["first"]))


def _first_copy(facts: Facts, index: int) -> Where:
    q = facts.question
    role = "decision_id" if q.has("decision_id") else "at"
    value = q.rows.filter(pl.col("index") == index).select(role).collect(engine="streaming").item()
    where, _ = first_rows(facts, pl.col(role) == value)
    return Where(file=where.file, rows=where.rows, column=role)


def _disorder(facts: Facts) -> Answer:
    if not facts.question.has("at"):
        return Unknown("disorder", "there is no time column (name yours with --column at=NAME).")
    back, first = facts.disorder
    part = back / facts.n
    severity, threshold = grade(part, warn=facts.limit("disorder_warn"))
    if severity == "ok":
        return Finding("disorder", "ok", part, threshold, "rows stand in the order of their times.")
    file = first["file"][0]
    rows = tuple(first.filter(pl.col("file") == file)["row"].to_list())
    says = f"{rows_of(back, facts.n)} are earlier than the row before. Sums do not mind; sequential tests do."
    where = Where(file=facts.question.log.files[file], rows=rows, column="at")
    return Finding("disorder", severity, part, threshold, says, "Sort the log by the time of the decision.", where)


def _loops(facts: Facts) -> Answer:
    if not facts.question.has("loop"):
        return Unknown("mixed_loops", "there is no loop column (name yours with --column loop=NAME).")
    least, most = facts.total["loop least"], facts.total["loop most"]
    if least == most:
        return Finding("mixed_loops", "ok", None, None, f"all rows are of loop {least!r}.")
    part = facts.question.rows.select((pl.col("loop") == most).mean()).collect(engine="streaming").item()
    where, _ = first_rows(facts, pl.col("loop") != least)
    return Finding(
        "mixed_loops", "refuse", part, 0.0,
        f"the log mixes loops, such as {least!r} and {most!r} ({share(part)} of the rows): their rewards and actions "
        "mean different things.",
        "Judge each loop alone: one file, or one filter, for each.",
        Where(file=where.file, rows=where.rows, column="loop"),
    )  # fmt: skip


CHECK = Check(CODES, _judge, _ask)
