"""The policy kinds, by the name that a loop's config gives."""

import sys
from typing import Any

import msgspec

from bandit.policies import plugins
from bandit.policies.base import Policy
from bandit.policies.beta import BetaTs
from bandit.policies.bootstrap import BootstrapTs
from bandit.policies.greedy import EpsilonGreedy
from bandit.policies.linear import LinearTs, LinearUcb
from bandit.policies.logistic import LogisticTs
from bandit.policies.plain import Baseline, Fixed, Uniform
from bandit.policies.regcb import RegCb
from bandit.policies.softmax import Softmax
from bandit.policies.squarecb import SquareCb
from store.errors import InvalidInput

_THOMPSON = (LinearTs, LogisticTs, BetaTs, BootstrapTs)
_VALUED = (LinearUcb, EpsilonGreedy, Softmax, SquareCb, RegCb)
_PLAIN = (Uniform, Fixed, Baseline)
KINDS: dict[str, type[Policy]] = {kind.kind: kind for kind in (*_THOMPSON, *_VALUED, *_PLAIN)}

if sys.version_info < (3, 13):  # as in pyproject.toml: VW's wheels end at CPython 3.12
    from bandit.policies.vw import VowpalWabbit

    KINDS[VowpalWabbit.kind] = VowpalWabbit


def policy_type(config: dict[str, Any]) -> type[Policy]:
    """Return the class of a policy config's `kind`: a built-in one, or else one that an installed package brings.

    Raises:
        InvalidInput: for a missing or unknown kind, or a class of another package that is not a policy.

    """
    kind = config.get("kind")
    found = (KINDS.get(kind) or plugins.find(kind)) if isinstance(kind, str) else None
    if found is None:
        known = ", ".join(sorted({*KINDS, *plugins.kinds()}))
        raise InvalidInput(f"policy.kind is {kind!r}; it must be one of {known}{_why_not(kind)}")
    return found


def policy_config(config: dict[str, Any]) -> msgspec.Struct:
    """Check a policy config and return it as its kind's own type, with the defaults filled in.

    Raises:
        InvalidInput: for an unknown kind, an unknown key or a value that breaks a rule.

    """
    settings = {key: value for key, value in config.items() if key != "kind"}
    kind = policy_type(config)
    try:
        return msgspec.convert(settings, kind.config_type)
    except msgspec.ValidationError as error:
        allowed = ", ".join(field.name for field in msgspec.structs.fields(kind.config_type)) or "none"
        raise InvalidInput(f"policy: {error}; the settings of {kind.kind!r} are: {allowed}") from None


def _why_not(kind: object) -> str:
    return " (vowpal-wabbit-next has no wheel for this Python; use 3.11 or 3.12)" if kind == "vw" else ""
