"""The exact JSON of a lint: these keys and no others, null for what is not known or not finite."""

from dataclasses import asdict
from typing import Any

from ope.diagnostics.findings import Finding, Lint
from ope.report.exact_json import finite


def lint_as_json(lint: Lint) -> dict[str, Any]:
    """Return the lint as JSON values, findings worst first."""
    return {
        "n": lint.n,
        "files": list(lint.files),
        "verdict": lint.verdict,
        "findings": [finding_as_json(one) for one in lint.findings],
        "unknown": [asdict(one) for one in lint.unknown],
    }


def finding_as_json(one: Finding) -> dict[str, Any]:
    """Return one finding as JSON values."""
    where = asdict(one.where)
    return {
        "code": one.code,
        "severity": one.severity,
        "value": finite(one.value),
        "threshold": finite(one.threshold),
        "says": one.says,
        "way_out": one.way_out,
        "where": where | {"rows": list(one.where.rows)},
        "because": one.because,
    }
