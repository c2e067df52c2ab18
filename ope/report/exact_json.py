"""The exact JSON of an evaluation: these keys and no others, null for what is not finite."""

import math
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from ope.evaluation import Comparison, Estimate, Evaluation, PartEvaluation
from ope.formats.asides import Asides


def report_as_json(report: Mapping[str, Evaluation]) -> dict[str, Any]:
    """Return one target's evaluation as it is, several under "policies" by name."""
    if len(report) == 1:
        return evaluation_as_json(next(iter(report.values())))
    return {"policies": {name: evaluation_as_json(one) for name, one in report.items()}}


def evaluation_as_json(evaluation: Evaluation) -> dict[str, Any]:
    """Return the evaluation of one target as JSON values."""
    diagnostics = asdict(evaluation.diagnostics)
    return {
        "n": evaluation.n,
        "estimates": [_estimate(estimate) for estimate in evaluation.estimates],
        "diagnostics": {name: finite(value) for name, value in diagnostics.items()},
        **({} if evaluation.against is None else {"against": _comparison(evaluation.against)}),
        **({"parts": [_part(part) for part in evaluation.parts]} if evaluation.parts else {}),
        **({} if evaluation.bad_rows is None else {"bad_rows": bad_rows_as_json(evaluation.bad_rows)}),
    }


def _comparison(found: Comparison) -> dict[str, Any]:
    return {"policy": found.policy, "estimates": [_estimate(estimate) for estimate in found.estimates]}


def _part(part: PartEvaluation) -> dict[str, Any]:
    return {"column": part.column, "value": part.value, **evaluation_as_json(part.evaluation)}


def bad_rows_as_json(found: Asides) -> dict[str, Any]:
    """Return how many rows were bad, and the first of them, as JSON values."""
    return {"count": found.broken, "rows": [asdict(row) for row in found.shown]}


def finite(value: float | None) -> float | None:
    """Return the number, or None for what JSON cannot say: NaN and the infinities."""
    return value if value is not None and math.isfinite(value) else None


def _estimate(estimate: Estimate) -> dict[str, Any]:
    return {
        "estimator": estimate.estimator,
        "value": finite(estimate.value),
        "stderr": finite(estimate.stderr),
        "interval": [finite(bound) for bound in estimate.interval],
        "level": estimate.level,
        "method": estimate.method,
    }
