"""Whether predicted rewards agree with what came: the direct method is as wrong as they are."""

import math
from collections.abc import Iterator

import polars as pl

from ope.diagnostics.checks.base import Check
from ope.diagnostics.facts import Facts, Named
from ope.diagnostics.findings import Answer, Finding, Severity, Unknown, grade
from ope.diagnostics.question import Question

CODES = ("q_bias", "q_slope")
_FEWEST = 100
_SURE = 4
_WAY_OUT = (
    "Fit the model on the same reward, on rows of the past only, and calibrate it. Until then trust dr and the "
    "estimators without a model, not dm."
)


def _ask(q: Question) -> Named:
    if not (q.predicted and q.has("reward")):
        return {}
    both = pl.col("q").is_finite() & pl.col("reward").is_finite()
    if not q.has("q_logged"):
        both &= pl.col("index") >= pl.len() / 2  # an online model's first predictions are its prior
    r, predicted = pl.col("reward").filter(both), pl.col("q").filter(both)
    off = r - predicted
    named = {"n": r.count(), "off": off.mean(), "var off": off.var(), "var r": r.var(), "var q": predicted.var()}
    return {f"q {name}": expression for name, expression in named.items()}


def _judge(facts: Facts) -> Iterator[Answer]:
    if "q n" not in facts.total:
        yield from (Unknown(code, "there are no predicted rewards.") for code in CODES)
        return
    n = int(facts.total["q n"])
    off, var_off, var_r, var_q = (float(facts.total[f"q {name}"] or 0) for name in ("off", "var off", "var r", "var q"))
    if n < _FEWEST or not var_r:
        yield from (Unknown(code, "too few different rewards have a prediction.") for code in CODES)
        return
    yield _bias(facts, n, off, var_off, var_r)
    yield _slope(facts, n, var_off, var_r, var_q)


def _bias(facts: Facts, n: int, off: float, var_off: float, var_r: float) -> Finding:
    bias, error = off / math.sqrt(var_r), math.sqrt(var_off / n / var_r)
    severity, threshold = grade(abs(bias) if abs(bias) > _SURE * error else 0.0, warn=facts.limit("q_bias_warn"))
    says = f"rewards are {abs(off):.3g} {'above' if off > 0 else 'below'} their predictions on average"
    says += f", {abs(bias):.2g} of their standard deviation."
    return Finding("q_bias", severity, bias, threshold, says, _WAY_OUT if severity != "ok" else "")


def _slope(facts: Facts, n: int, var_off: float, var_r: float, var_q: float) -> Answer:
    if var_q <= 1e-12 * var_r:
        return Unknown("q_slope", "every prediction is the same.")
    slope = (var_r + var_q - var_off) / (2 * var_q)  # cov(r, q) / var(q)
    error = math.sqrt(max(var_r - slope * slope * var_q, 0.0) / var_q / n)
    least = facts.limit("q_slope_warn")
    low, high = slope + _SURE * error < least, slope - _SURE * error > 1 / least
    severity: Severity = "warn" if low or high else "ok"
    threshold = 1 / least if high else least
    says = f"a prediction that is higher by 1 goes with a reward that is higher by {slope:.2g} (1 if calibrated)."
    return Finding("q_slope", severity, slope, threshold, says, _WAY_OUT if severity != "ok" else "")


CHECK = Check(CODES, _judge, _ask)
