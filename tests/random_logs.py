"""Random logs of decisions, by the columns of the export."""

import json
import math
from datetime import UTC, datetime, timedelta
from typing import Any

from hypothesis import strategies as st

# VW takes keys that begin with an underscore for its own.
names = st.text("abcxyz-", min_size=1, max_size=5)
features = st.dictionaries(
    names, st.dictionaries(names, st.floats(-1e6, 1e6).map(lambda x: x + 0.0), min_size=1, max_size=3), max_size=2
)
# VW misreads numbers that single precision does not hold.
rewards = st.floats(-100, 100, width=32, allow_subnormal=False).map(lambda reward: reward + 0.0)


@st.composite
def logs(draw: st.DrawFn, ids: str = "any") -> list[dict[str, Any]]:
    """Rows of decisions whose actions have any ids, or with `places` the ids 1, 2, 3."""
    rows = []
    for number in range(draw(st.integers(1, 4))):
        n = draw(st.integers(1, 4))
        own = [str(i) for i in range(1, n + 1)]
        some = (
            own
            if ids == "places"
            else draw(st.lists(st.text(min_size=1, max_size=6), min_size=n, max_size=n, unique=True))
        )
        parts = draw(st.lists(st.floats(0.05, 1), min_size=n, max_size=n))
        chances = [part / math.fsum(parts) for part in parts]
        chosen = draw(st.integers(0, n - 1))
        listed = [{"id": i, "features": draw(features)} for i in some]
        rows.append(
            {
                "decision_id": f"d-{number}",
                "at": datetime(2026, 1, 1, tzinfo=UTC) + timedelta(microseconds=draw(st.integers(0, 10**12))),
                "context": json.dumps(draw(features)),
                "actions": json.dumps(listed),
                "distribution": [{"action": i, "propensity": p} for i, p in zip(some, chances, strict=True)],
                "action": some[chosen],
                "propensity": chances[chosen],
                "reward": draw(rewards),
                "outcome": "rewarded",
                "model_version": draw(st.none() | st.text(max_size=5)),
                "n_actions": n,
                "row_weight": draw(st.sampled_from([1.0, 2.0, 10.0])),
            }
        )
    return rows
