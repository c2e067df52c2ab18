"""The estimators' formulas once more, straight from the papers, on plain numpy arrays: the reference of the tests.

Written apart from `ope`, of which nothing is imported. Each returns (value, standard error).
"""

import numpy as np


def mean(x):
    """The mean, and its standard error with n − 1."""
    return x.mean(), x.std(ddof=1) / np.sqrt(len(x))


def normalised(w, x):
    """Σ w x / Σ w, with the delta method's error √(Σ w² (x − v)²) / Σ w (Owen 2013, eq. 9.9)."""
    v = (w * x).sum() / w.sum()
    return v, np.sqrt((w**2 * (x - v) ** 2).sum()) / w.sum()


def doubly_normalised(w, e, d):
    """Mean d + Σ w e / Σ w; its error by the influence of each row, (d − d̄) + w (e − c) / w̄."""
    c = (w * e).sum() / w.sum()
    influence = (d - d.mean()) + w * (e - c) / w.mean()
    return d.mean() + c, np.sqrt((influence**2).mean() / len(d))


def with_control(x, w):
    """Mean of x − β (w − 1), at the β of least variance."""
    beta = np.cov(x, w)[0, 1] / w.var(ddof=1)
    return mean(x - beta * (w - 1))


def tame(w, kind, at):
    """The weights after one of the transforms."""
    return {
        "clipped": lambda: np.minimum(w, at),
        "switch": lambda: np.where(w > at, 0, w),
        "os": lambda: at / (w + at / np.where(w > 0, w, 1)) * (w > 0),
        "sg": lambda: w / ((1 - at) + at * w),
    }[kind]()


def forms(w, log):
    """What a weight gives in each form."""
    r, q, d = log["reward"], log["q_logged"], log["q_target"]
    return {
        "ips": mean(w * r),
        "snips": normalised(w, r),
        "dr": mean(d + w * (r - q)),
        "sndr": doubly_normalised(w, r - q, d),
    }


def plain(log):
    """Every estimator without a parameter, by name."""
    w = log["target_propensity"] / log["propensity"]
    d, z = log["q_target"], w * (log["reward"] - log["q_logged"])
    controlled = {"beta_ips": with_control(w * log["reward"], w), "beta_dr": with_control(d + z, w)}
    return forms(w, log) | {"dm": mean(d)} | controlled


def tamed(log, parameters):
    """Every estimator with a parameter, by the name and λ that it is asked by, for λ of each transform."""
    w = log["target_propensity"] / log["propensity"]
    found = {}
    for kind, at in parameters.items():
        for form, answer in forms(tame(w, kind, at), log).items():
            name = "dros" if (kind, form) == ("os", "dr") else f"{kind}_{form}"
            found[f"{name}:{at:g}"] = answer
    return found


def slope(thetas, widths):
    """The index that SLOPE++ selects among estimates and the half-widths of their intervals (Tucker and Lee 2021)."""
    order = sorted(range(len(thetas)), key=lambda i: -widths[i])
    for place, i in enumerate(order):
        for j in order[:place]:
            if abs(thetas[j] - thetas[i]) > widths[i] + (6**0.5 - 1) * widths[j]:
                return order[place - 1]
    return order[-1]


def mse_bound(x, bias, w, delta=0.05):
    """Variance and squared bias, the latter with high probability (Su, Dimakopoulou, Krishnamurthy, Dudík 2020)."""
    n, surprise = len(x), np.log(2 / delta)
    slack = np.sqrt(2 * (w**2).mean() * surprise / n) + 2 * w.max() * surprise / (3 * n)
    return x.var() / n + (abs(bias.mean()) + slack) ** 2


def rankings(log):
    """The estimators of whole rankings, row by row, from lists of slots; absent slots weigh 1 and earn nothing."""
    n, deepest = len(log["reward"]), max(map(len, log["slot_rewards"]))

    def of_slots(target, logged, empty):
        found = np.full((n, deepest), empty, dtype=float)
        for i, (above, below) in enumerate(zip(target, logged, strict=True)):
            for slot, (p, q) in enumerate(zip(above, below, strict=True)):
                found[i, slot] = p / q
        return found

    whole = np.array(log["reward"])
    rewards = of_slots(log["slot_rewards"], [[1] * len(one) for one in log["slot_rewards"]], 0)
    items = of_slots(log["target_pscore_item_position"], log["pscore_item_position"], 1)
    prefixes = of_slots(log["target_pscore_cascade"], log["pscore_cascade"], 1)
    slate = np.array(log["target_pscore"]) / np.array(log["pscore"])
    # Of a row: Σ_l ρ_{1:l} (r_l − q_l) + ρ_{1:l−1} v_l (Kiyohara et al. 2022, cascade-DR).
    own = [
        sum(
            prefixes[i, slot] * (reward - q) + (prefixes[i, slot - 1] if slot else 1) * v
            for slot, (reward, q, v) in enumerate(zip(*row, strict=True))
        )
        for i, row in enumerate(zip(log["slot_rewards"], log["q_slot_logged"], log["q_slot_target"], strict=True))
    ]
    pseudo = [1 - len(log["slot_rewards"][i]) + items[i, : len(log["slot_rewards"][i])].sum() for i in range(n)]
    return {
        "sips": mean(slate * whole),
        "snsips": normalised(slate, whole),
        "iips": mean((items * rewards).sum(1)),
        "sniips": _slots_normalised(items, rewards),
        "rips": mean((prefixes * rewards).sum(1)),
        "snrips": _slots_normalised(prefixes, rewards),
        "cascade_dr": mean(np.array(own)),
        "pi": mean(np.array(pseudo) * whole),
        "snpi": normalised(np.array(pseudo), whole),
    }


def _slots_normalised(w, r):
    """Σ over slots of Σ_i w r / Σ_i w, with the influence of each row summed over its slots."""
    values = (w * r).sum(0) / w.sum(0)
    influence = (w * (r - values) / w.mean(0)).sum(1)
    return values.sum(), np.sqrt((influence**2).mean() / len(w))


def several_loggers(log):
    """The estimators for logs of several policies; `propensity_ID` are those of the logged action under each."""
    logger = np.asarray(log["logger"])
    ids, counts = np.unique(logger, return_counts=True)
    mixture = sum(n / len(logger) * log[f"propensity_{name}"] for name, n in zip(ids, counts, strict=True))
    balanced = forms(log["target_propensity"] / mixture, log)
    w = log["target_propensity"] / log["propensity"]
    rows = {"ips": w * log["reward"], "dr": log["q_target"] + w * (log["reward"] - log["q_logged"])}
    found = {f"balanced_{name}": answer for name, answer in balanced.items()}
    for name, x in rows.items():
        means = np.array([x[logger == one].mean() for one in ids])
        precision = counts / np.array([x[logger == one].var() for one in ids])
        found[f"weighted_{name}"] = (precision @ means / precision.sum(), 1 / np.sqrt(precision.sum()))
    return found
