"""The exact JSON of a plan: these keys and no others, null for what is not known or cannot be."""

from dataclasses import asdict
from typing import Any

from ope.gate.power import Plan
from ope.report.exact_json import finite
from ope.report.gate_json import config_as_json


def plan_as_json(plan: Plan) -> dict[str, Any]:
    """Return the plan as JSON values."""
    return {
        "n": plan.n,
        "ess": finite(plan.ess),
        "lift": finite(plan.lift),
        "power": plan.power,
        "per_day": finite(plan.per_day),
        "detectable": finite(plan.detectable),
        "planned": [asdict(one) | {"days": finite(one.days)} for one in plan.planned],
        "config": config_as_json(plan.config),
    }
