"""Policies of other packages: found by entry point, checked before they are used, never in place of a built-in one."""

import os
import re
import subprocess
import sys
import tomllib
import types
from collections.abc import Callable, Iterator
from importlib.metadata import EntryPoint, EntryPoints
from pathlib import Path
from typing import ClassVar

import msgspec
import numpy as np
import pytest

from bandit.decide import DecisionRequest, Frame, decide
from bandit.policies import plugins
from bandit.policies.base import Pmf
from bandit.policies.catalogue import policy_config, policy_type
from bandit.policies.plain import Uniform
from bandit.settings import read_config
from store.errors import InvalidInput
from store.records import Action

Install = Callable[..., None]
GUIDE = Path(__file__).parents[2] / "docs" / "how-to" / "write-a-policy.md"


class FirstConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    share: float = 0.9


class First(Uniform):
    """A policy as another package would write it: the first action by id with `share`."""

    kind: ClassVar[str] = "first"
    config_type: ClassVar[type[msgspec.Struct]] = FirstConfig

    def believe(self, situation, frozen):
        p = np.full(len(situation.ids), (1 - self.config.share) / len(situation.ids))
        p[0] += self.config.share
        return Pmf(p)


@pytest.fixture
def install(monkeypatch: pytest.MonkeyPatch) -> Iterator[Install]:
    """Install classes as if packages had brought them."""

    def put(*brought: tuple[str, object]) -> None:
        module = types.ModuleType("their_package")
        module.__dict__.update({f"n{i}": found for i, (_, found) in enumerate(brought)})
        monkeypatch.setitem(sys.modules, "their_package", module)
        points = EntryPoints(
            EntryPoint(kind, f"their_package:n{i}", plugins.GROUP) for i, (kind, _) in enumerate(brought)
        )
        monkeypatch.setattr(plugins, "entry_points", points.select)

    plugins.find.cache_clear()
    yield put
    plugins.find.cache_clear()


def test_an_installed_policy_is_a_kind_like_any_other(install: Install) -> None:
    """Its settings are checked by its own config type, and a loop can have it."""
    install(("first", First))
    assert policy_type({"kind": "first"}) is First
    assert policy_config({"kind": "first", "share": 0.5}) == FirstConfig(0.5)
    assert read_config(b'{"policy": {"kind": "first"}}').policy == {"kind": "first", "share": 0.9}
    with pytest.raises(InvalidInput, match=r"unknown field `x`.*settings of 'first' are: share"):
        policy_config({"kind": "first", "x": 1})


def test_an_unknown_kind_is_refused_with_the_installed_ones(install: Install) -> None:
    """The message lists what there is, those that other packages bring included."""
    install(("first", First))
    with pytest.raises(InvalidInput, match=r"'best'; it must be one of .*first.*uniform"):
        policy_type({"kind": "best"})


def test_a_built_in_kind_cannot_be_replaced(install: Install) -> None:
    """An entry point with a built-in kind's name is never loaded, and a class cannot take that kind by another name."""
    install(("uniform", First), ("alias", Uniform))
    assert policy_type({"kind": "uniform"}) is Uniform
    with pytest.raises(InvalidInput, match="its `kind` is 'uniform', not the entry point's name"):
        policy_type({"kind": "alias"})


def without(name: str) -> type:
    return type("Lacking", (First,), {name: None})


@pytest.mark.parametrize(
    ("found", "said"),
    [
        (First.__name__, "'First', not a class"),
        (without("learn"), "it has no method `learn`"),
        (without("kind"), "its `kind` is None"),
        (without("forgets"), "its `forgets` is not True or False"),
        (type("Odd", (First,), {"config_type": dict}), "`config_type` is not a frozen msgspec.Struct"),
        (type("Odd", (First,), {"believe": lambda self: None}), "`believe` cannot be called as the protocol says"),
        (type("Odd", (First,), {"create": classmethod(lambda cls, config: None)}), "`create` cannot be called"),
    ],
)
def test_a_class_that_is_not_a_policy_is_refused(install: Install, found: object, said: str) -> None:
    """The message names the kind, the class, what is wrong and where the protocol stands."""
    install(("first", found))
    with pytest.raises(
        InvalidInput, match=f"'first' is their_package:n0, which is not a policy: .*{said}.*base.Policy"
    ):
        policy_type({"kind": "first"})


def test_a_package_that_cannot_be_imported_is_refused(install: Install) -> None:
    """What its import raised stands in the message; other kinds go on working."""
    install(("first", First))
    del sys.modules["their_package"].n0
    with pytest.raises(InvalidInput, match=r"cannot be loaded.*AttributeError.*mend or uninstall"):
        policy_type({"kind": "first"})
    assert policy_type({"kind": "uniform"}) is Uniform


def test_two_packages_with_one_kind_are_refused(install: Install) -> None:
    """Which of them would decide is not left to chance."""
    install(("first", First), ("first", Uniform))
    with pytest.raises(InvalidInput, match="brought by their_package:n0, their_package:n1: uninstall all but one"):
        policy_type({"kind": "first"})


def test_the_documented_policy_works(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The page's class, installed by the page's entry point, passes the page's tests and decides in a loop."""
    blocks = re.findall(r'^```\w+ title="([^"]+)"\n(.*?)^```$', GUIDE.read_text(), re.MULTILINE | re.DOTALL)
    for name, content in blocks:
        (tmp_path / name).write_text(content)
    project = tomllib.loads((tmp_path / "pyproject.toml").read_text())["project"]
    metadata = tmp_path / "optimist-0.1.0.dist-info"
    metadata.mkdir()
    declared = "\n".join(f"{kind} = {found}" for kind, found in project["entry-points"][plugins.GROUP].items())
    (metadata / "entry_points.txt").write_text(f"[{plugins.GROUP}]\n{declared}\n")
    (metadata / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {project['name']}\nVersion: 0.1.0\n")
    path = os.pathsep.join([str(tmp_path), str(GUIDE.parents[2])])
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "test_optimist.py"]
    done = subprocess.run(
        command, cwd=tmp_path, env={**os.environ, "PYTHONPATH": path}, capture_output=True, text=True, check=False
    )
    assert "2 passed" in done.stdout, done.stdout + done.stderr

    monkeypatch.syspath_prepend(str(tmp_path))
    plugins.find.cache_clear()
    config = read_config((tmp_path / "config.json").read_bytes())
    policy = policy_type(config.policy).create(policy_config(config.policy))
    request = DecisionRequest([Action("x"), Action("y")])
    decision = decide(Frame("loop", b"secret", config, policy, "line@0"), request, b"", decision_id="d", at=0)
    assert decision.fallback is None
    assert decision.predicted == [0.5, 0.5]
    plugins.find.cache_clear()
