"""The reading of nested features."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from store.errors import InvalidInput
from store.features.flatten import flatten


def test_every_kind_of_feature() -> None:
    """Numbers, booleans, strings, numeric lists and objects become named numbers."""
    nested = {"n": 3, "f": 0.5, "t": True, "u": False, "s": "red", "l": [1, 2.5], "o": {"x": 1, "p": {"q": "z"}}}
    assert flatten(nested, what="context") == {
        "n": 3,
        "f": 0.5,
        "t": 1.0,
        "u": 0.0,
        "s=red": 1.0,
        "l[0]": 1,
        "l[1]": 2.5,
        "o.x": 1,
        "o.p.q=z": 1.0,
    }
    assert flatten({}, what="context") == {}


@pytest.mark.parametrize(
    ("value", "said"),
    [
        (math.nan, "not finite"),
        (-math.inf, "not finite"),
        (10**400, "beyond 1e15"),
        (-1e16, "beyond 1e15"),
        (None, "leave it out"),
        ([1, "x"], "numbers only"),
        ([True], "numbers only"),
        ([1, math.nan], "not finite"),
        ({"deep": [None]}, "deep"),
    ],
)
def test_what_is_no_feature_is_refused_by_name(value: object, said: str) -> None:
    """A value that is no feature is refused with its name, its rule and whose it is."""
    with pytest.raises(InvalidInput, match=rf"^action 'a': .*'f.*{said}"):
        flatten({"f": value}, what="action 'a'")


def test_a_nan_among_numbers_is_found() -> None:
    """A NaN behind other numbers is refused too, wherever it stands."""
    for features in ({"g": 1.0, "f": math.nan, "h": 2.0}, {"f": math.nan, "g": 1.0}, {"g": 1.0, "f": math.nan}):
        with pytest.raises(InvalidInput, match="'f' is nan, which is not finite"):
            flatten(features, what="context")


def test_two_features_of_one_name_are_refused() -> None:
    """'a.b' beside 'b' inside 'a' is ambiguous."""
    with pytest.raises(InvalidInput, match="same flat name"):
        flatten({"a.b": 1, "a": {"b": 2}}, what="context")


def test_too_many_features_are_refused() -> None:
    """More than 10,000 features are refused."""
    with pytest.raises(InvalidInput, match="at most 10000"):
        flatten({"l": [0.0] * 10_001}, what="context")


@given(st.dictionaries(st.text(min_size=1), st.floats(-1e15, 1e15) | st.integers(-(10**15), 10**15)))
def test_flat_numbers_stay_as_they_are(features: dict[str, float]) -> None:
    """Flattening flat numbers changes nothing."""
    assert flatten(features, what="context") == features


def test_empty_names_and_endless_nesting_are_refused() -> None:
    """A feature without a name, or 65 levels deep, is refused in words; 64 levels are read."""
    with pytest.raises(InvalidInput, match="empty name"):
        flatten({"": 1.0}, what="context")
    deep: dict[str, object] = {"x": 1.0}
    for _ in range(64):
        deep = {"k": deep}
    assert len(flatten(deep, what="context")) == 1
    with pytest.raises(InvalidInput, match="more than 64 deep"):
        flatten({"k": deep}, what="context")
