"""What a loop's config makes of `learning.delay`, and what it refuses."""

import msgspec
import pytest

from bandit.settings import read_config
from store.errors import InvalidInput


def provisional(**config: object) -> bool:
    return read_config(msgspec.json.encode(config)).provisional


LONG, SHORT = {"window_s": 61}, {"window_s": 60}


@pytest.mark.parametrize(
    ("config", "expected"),
    [
        ({"reward": LONG}, True),
        ({"reward": SHORT}, False),
        ({"reward": SHORT, "learning": {"delay": "provisional"}}, True),
        ({"reward": LONG, "learning": {"delay": "wait"}}, False),
        ({"reward": LONG, "policy": {"kind": "logistic_ts"}}, False),
        ({"reward": LONG, "policy": {"kind": "linear_ucb", "hash_bits": 10}}, False),
        ({"reward": {**LONG, "credit": "cascade"}}, False),
    ],
)
def test_whether_decisions_are_learned_at_once(config: dict[str, object], *, expected: bool) -> None:
    """By default where windows are long and all that was learned can be corrected; never where it cannot."""
    assert provisional(**config) is expected


@pytest.mark.parametrize(
    ("config", "said"),
    [
        ({"policy": {"kind": "logistic_ts"}}, "'logistic_ts' cannot take back what it learned"),
        ({"policy": {"kind": "linear_ts", "hash_bits": 10}}, "'linear_ts' with hash_bits cannot take back"),
        ({"reward": {"credit": "cascade"}}, 'reward.credit "cascade": what a slot had learned'),
    ],
)
def test_what_cannot_be_corrected_is_not_learned_at_once(config: dict[str, object], said: str) -> None:
    """Asked for all the same, it is refused, and the message says what to do."""
    with pytest.raises(InvalidInput, match=said) as caught:
        provisional(**config, learning={"delay": "provisional"})
    assert 'use "wait"' in str(caught.value)
