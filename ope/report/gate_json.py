"""The exact JSON of a gate's verdict: these keys and no others, null for what is not known or not finite."""

import datetime as dt
from dataclasses import asdict
from typing import Any

from ope.gate.config import Gate
from ope.gate.verdict import Evidence, Rule, Verdict
from ope.report.exact_json import finite
from ope.report.lint_json import finding_as_json


def verdict_as_json(verdict: Verdict) -> dict[str, Any]:
    """Return the verdict with all that it rests on as JSON values."""
    lift, diagnostics = verdict.lift, verdict.diagnostics
    return {
        "verdict": verdict.decision,
        "rules": [_rule(rule) for rule in verdict.rules],
        "lift": None if lift is None else {name: finite(value) for name, value in asdict(lift).items()},
        "more": verdict.more,
        "diagnostics": (
            None if diagnostics is None else {name: finite(value) for name, value in asdict(diagnostics).items()}
        ),
        "findings": [finding_as_json(one) for one in verdict.findings],
        "unknown": [asdict(one) for one in verdict.unknown],
        "evidence": _evidence(verdict.evidence),
        "config": config_as_json(verdict.config) | {"sha256": verdict.config_digest},
    }


def config_as_json(gate: Gate) -> dict[str, Any]:
    """Return a gate's config as JSON values."""
    return asdict(gate) | {"reward_range": list(gate.reward_range), "thresholds": list(gate.thresholds)}


def _rule(rule: Rule) -> dict[str, Any]:
    return {
        "name": rule.name,
        "holds": rule.holds,
        "otherwise": rule.otherwise,
        "value": finite(rule.value),
        "threshold": finite(rule.threshold),
        "says": rule.says,
        "way_out": rule.way_out,
        "because": list(rule.because),
    }


def _evidence(evidence: Evidence) -> dict[str, Any]:
    return asdict(evidence) | {"files": list(evidence.files), "last_at": when(evidence.last_at)}


def when(microseconds: int | None) -> str | None:
    """Return a time as RFC 3339."""
    if microseconds is None:
        return None
    return (dt.datetime(1970, 1, 1, tzinfo=dt.UTC) + dt.timedelta(microseconds=microseconds)).isoformat()
