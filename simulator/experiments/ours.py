"""Our policies on a pass, as a server would run them: each round decides with caps and floors, then learns."""

import hashlib
import time
from collections.abc import Mapping

import msgspec

from bandit.decide import DecisionRequest, Frame, decide
from bandit.policies.catalogue import KINDS, policy_config, policy_type
from bandit.policies.situation import Situation
from bandit.settings import LoopConfig
from simulator.experiments.results import Log
from simulator.worlds.rounds import Rounds
from store.errors import HoneyguideError, InvalidInput
from store.records import Action

DEFAULT = "default"
"""The name of what a loop does that sets nothing."""
_LOOP = "learning-quality"
_NOT_LEARNING = ("fixed",)


def configs() -> dict[str, LoopConfig]:
    """Return the configs to compare: the default, the default with other floors, each other kind with its defaults."""
    default = LoopConfig()
    floors = {f"{DEFAULT}, floor {floor:g}": _with_floor(default, floor) for floor in (0.0, 0.1)}
    others = [kind for kind in KINDS if kind != default.policy["kind"] and kind not in _NOT_LEARNING]
    return {DEFAULT: default, **floors, **{kind: LoopConfig(policy={"kind": kind}) for kind in others}}


def read_config(text: str) -> tuple[str, LoopConfig]:
    """Return the name and the loop config of `NAME={...}`.

    Raises `InvalidInput` for a text of another form or a config that breaks a rule.
    """
    name, equals, body = text.partition("=")
    if not (name and equals and body.startswith("{")):
        raise InvalidInput(f'{text!r} is no policy: give a known name, or NAME={{"policy": {{"kind": ...}}, ...}}')
    try:
        return name, msgspec.json.decode(body, type=LoopConfig)
    except msgspec.MsgspecError as error:
        raise InvalidInput(f"{name}: {error}") from error


def play(rounds: Rounds, config: LoopConfig, seed: int) -> Log:
    """Return what the policy earned and logged; the seconds are those of `decide` and `learn` alone.

    Raises `HoneyguideError` where a policy failed: its fallback's rewards are not the policy's.
    """
    policy = policy_type(config.policy).create(policy_config(config.policy), decay=config.decay)
    secret = hashlib.sha256(f"learning quality {seed}".encode()).digest()
    place: Mapping[str, int] = {action: k for k, action in enumerate(rounds.actions)}
    earned, propensities, seconds = [], [], 0.0
    for i in range(len(rounds)):
        request = _request(rounds, i)
        name = f"{rounds.name}-{seed}-{i}"
        began = time.perf_counter()
        frame = Frame(_LOOP, secret, config, policy, f"line@{i}", learned=i)
        decision = decide(frame, request, b"", decision_id=name, at=i)
        seconds += time.perf_counter() - began
        if decision.fallback:
            raise HoneyguideError(f"{name}: {decision.fallback}. Mend the policy: its fallback cannot stand in for it.")
        slot = decision.ranking[0]
        reward = float(rounds.rewards[i, place[slot.action]])
        began = time.perf_counter()
        situation = Situation(request.context, request.eligible())
        policy.learn(situation, place[slot.action], reward, slot.propensity)
        seconds += time.perf_counter() - began
        earned.append(reward)
        propensities.append(slot.propensity)
    return Log(earned, propensities, seconds / len(rounds))


def _request(rounds: Rounds, i: int) -> DecisionRequest:
    listed = zip(rounds.actions, rounds.action_features(i), strict=True)
    return DecisionRequest([Action(name, dict(features)) for name, features in listed], context=dict(rounds.context(i)))


def _with_floor(config: LoopConfig, floor: float) -> LoopConfig:
    exploration = msgspec.structs.replace(config.exploration, floor=floor)
    return msgspec.structs.replace(config, exploration=exploration)
