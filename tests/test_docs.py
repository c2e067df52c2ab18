"""The documentation is complete and runs: whatever a user can name stands in it, and what it shows is what happens."""

import importlib
import inspect
import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args

import click
import msgspec
import pytest
import typer

from bandit.api.openapi import describe
from bandit.cli import main
from bandit.client import Client
from bandit.export import SCHEMA
from bandit.policies.catalogue import KINDS
from bandit.policies.rules import RULES
from bandit.ranking.beliefs import READERS
from bandit.ranking.why_not import WhyNot
from bandit.service.changes import EFFECTS, Effect
from bandit.service.status_views import StatusView
from bandit.settings import LoopConfig
from simulator.server import free_port
from store.log.group_commit import GroupCommit
from store.log.sqlite import SqliteStore

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
REFERENCE = DOCS / "reference"
PAGES = sorted([*DOCS.rglob("*.md"), *ROOT.glob("*.md")])
VARYING = {"action", "propensity", "slate_propensity", "model_version", "at", "due", "occurred_at", "received_at"}
VARYING |= {"observed", "expected", "bound", "e_value", "alarm_at"}
"""What chance or the clock decides in the answers that the tutorial shows."""
STRICT = """set -euo pipefail
if command -v curl >/dev/null; then curl() { command curl --fail-with-body --noproxy '*' "$@"; }
else curl() { python curl.py "$@"; }; fi
"""
"""A shell in which a command that fails, or a request that is refused, ends the script."""
CURL = """
import argparse, urllib.request as u
p = argparse.ArgumentParser()
for name in ("-X", "-d", "url"):
    p.add_argument(name)
p.add_argument("-s", action="store_true")
a = p.parse_args()
r = u.Request(a.url, a.d and a.d.encode(), method=a.X)
print(u.build_opener(u.ProxyHandler({})).open(r).read().decode())
"""
"""A stand-in for machines without curl, which the README does not ask for."""
OWN_OPTIONS = {"--help", "--install-completion", "--show-completion"}


def page(name: str) -> str:
    return (REFERENCE / name).read_text()


def section(text: str, heading: str) -> str:
    """What stands under a heading, to the next one of its level; empty when there is no such heading."""
    level = heading.split(" ", maxsplit=1)[0]
    found = re.search(rf"^{re.escape(heading)}\n(.*?)(?=^#{{1,{len(level)}}} |\Z)", text, re.MULTILINE | re.DOTALL)
    return found[1] if found else ""


def absent(names: Iterator[str] | list[str], text: str) -> list[str]:
    """The names that do not stand in the text as code, alone or as the last part of a dotted name."""
    return [name for name in names if not re.search(rf"`([\w\[\].]+\.)?{re.escape(name)}`", text)]


def row(text: str, name: str) -> str:
    """The table row that begins with this name."""
    found = re.search(rf"^\| `{re.escape(name)}` \|.*$", text, re.MULTILINE)
    return found[0] if found else ""


# What stands in the reference


@pytest.fixture(scope="module")
def description() -> dict[str, Any]:
    """The OpenAPI description."""
    return describe("Honeyguide", "under test")


def test_every_route_is_documented(description: dict[str, Any]) -> None:
    """Each route and method has a section in the REST page that names its parameters and each of its status codes."""
    text = page("rest.md")
    missing = []
    for path, methods in description["paths"].items():
        for method, operation in methods.items():
            own = section(text, f"## `{method.upper()} {path}`")
            names = [parameter["name"] for parameter in operation["parameters"] if parameter["in"] != "path"]
            codes = [code for code in operation["responses"] if not re.search(rf"\b{code}\b", own)]
            missing += [f"{method} {path}: {name}" for name in [*codes, *absent(names, own)]]
    assert missing == []


def test_no_other_route_is_documented(description: dict[str, Any]) -> None:
    """A section of the REST page that looks like a route is one."""
    shown = set(re.findall(r"^## `([A-Z]+ /\S*)`", page("rest.md"), re.MULTILINE))
    assert shown == {f"{m.upper()} {path}" for path, methods in description["paths"].items() for m in methods}


def test_every_field_of_a_body_is_documented(description: dict[str, Any]) -> None:
    """Each property that a request or an answer may have stands in the REST page, or in those it points to."""
    text = page("rest.md") + page("loop-config.md") + page("log.md")
    for name, schema in description["components"]["schemas"].items():
        assert (name, absent(list(schema.get("properties", {})), text)) == (name, [])


def keys(struct: Any, prefix: str = "") -> Iterator[tuple[str, str | None]]:
    """Each key of a config with its default as JSON, or None where it has none of its own."""
    for field in msgspec.structs.fields(struct):
        nested = isinstance(field.type, type) and issubclass(field.type, msgspec.Struct)
        yield prefix + field.name, None if nested or field.required else default(field)
        if nested:
            yield from keys(field.type, f"{prefix}{field.name}.")


def default(field: Any) -> str:
    value = field.default if field.default is not msgspec.NODEFAULT else field.default_factory()
    return msgspec.json.encode(value).decode()


def test_every_config_key_is_documented() -> None:
    """Each key of a loop's config has a row in its page, with the default that the code has."""
    text = page("loop-config.md")
    wrong = []
    for key, value in keys(LoopConfig):
        if value is None:
            wrong += [key] if f"`{key}" not in text else []
        elif f"`{value}`" not in row(text, key):
            wrong.append(f"{key}: {value}")
    assert wrong == []


def test_every_effect_is_documented() -> None:
    """The row of an effect names each key that has it, or the object that the key is in; no other row does."""
    own = section(page("loop-config.md"), "## What a change does")
    told = {effect: set(re.findall(r"`([\w.]+)`", row(own, effect))) for effect in get_args(Effect)}
    for key, effect in EFFECTS.items():
        names = {key, key.rpartition(".")[0] or key}
        assert [name for name in told if names & told[name]] == [effect], key


def test_every_policy_setting_is_documented() -> None:
    """Each kind of policy has a section, and each of its settings a row with the default that the code has."""
    text = page("policies.md")
    wrong = []
    for kind, policy in KINDS.items():
        own = section(text, f"## `{kind}`")
        common = section(text, "## The linear model") if kind.startswith("linear_") else ""
        wrong += [] if own and f"`{kind}`" in row(page("loop-config.md"), "policy.kind") else [kind]
        for key, value in keys(policy.config_type):
            expected = "required" if value is None else f"`{value}`"
            wrong += [] if expected in row(own + common, key) else [f"{kind}.{key}: {expected}"]
    assert wrong == []


def commands(command: click.Command, name: str) -> Iterator[tuple[str, click.Command]]:
    """Each command of the command line with its full name; groups are not commands."""
    children = getattr(command, "commands", {})
    for child, nested in children.items():
        yield from commands(nested, f"{name} {child}")
    if not children:
        yield name, command


def test_every_command_and_option_is_documented() -> None:
    """Each command has a section in the command-line page that names each of its options, and nothing else has."""
    main._add_plugins()
    text = page("cli.md")
    found = dict(commands(typer.main.get_command(main.app), "honeyguide"))
    wrong = []
    for name, command in found.items():
        options = {option for parameter in command.params for option in parameter.opts if option.startswith("--")}
        wrong += [
            f"{name} {option}" for option in options - OWN_OPTIONS if f"`{option}`" not in section(text, f"## `{name}`")
        ]
    assert wrong == []
    assert set(re.findall(r"^## `(honeyguide .*)`", text, re.MULTILINE)) == set(found)
    assert all(f"`{option}`" in text for option in OWN_OPTIONS)


def test_every_status_field_is_documented() -> None:
    """Each field of the status answer, nested ones included, stands in the section on it."""
    own = section(page("log.md"), "## Status")
    assert absent([key.rsplit(".", 1)[-1] for key, _ in keys(StatusView)], own) == []


def test_every_export_column_is_documented() -> None:
    """Each column that `export` writes has a row in the log page."""
    own = section(page("log.md"), "## The export")
    assert [column for column in SCHEMA if not row(own, column)] == []


def test_every_reason_for_a_null_marginal_is_documented() -> None:
    """Each reason that `export` can give has a row in the log page."""
    own = section(page("log.md"), "## The export")
    assert [reason for reason in WhyNot if not row(own, reason)] == []


def test_a_rankings_law_has_the_documented_shapes() -> None:
    """Each shape of a belief that is logged has a row in the log page."""
    own = section(page("log.md"), "### What a ranking's slots were computed from")
    assert [shape for shape in (*READERS, *RULES) if f"`{shape}`" not in own] == []


def test_every_table_is_documented(tmp_path: Path) -> None:
    """Each table of the embedded store has a section that names its columns."""
    store = SqliteStore(tmp_path)
    query = (
        "SELECT m.name, c.name FROM sqlite_master m, pragma_table_info(m.name) c"
        " WHERE m.type = 'table' AND m.name NOT LIKE '\\_%' ESCAPE '\\'"
    )
    columns = store._reader.execute(query).fetchall()
    store.close()
    assert columns
    text = page("log.md")
    assert [f"{t}.{c}" for t, c in columns if f"`{c}`" not in section(text, f"### `{t}`")] == []


def test_constants_are_documented_with_their_values() -> None:
    """A limit or constant in the settings page has the value that the code has."""
    shown = re.findall(r"`([a-z_.]+)\.([A-Z_]+)` \| ([\d.e]+)", page("settings.md"))
    assert len(shown) > 10
    for module, name, value in shown:
        assert (name, float(value)) == (name, float(getattr(importlib.import_module(module), name)))


def test_queue_limits_are_documented_with_their_values() -> None:
    """How many requests share a transaction or wait for one is what the settings page says."""
    shown = dict(re.findall(r"`GroupCommit\((\w+)\)` \| (\d+)", page("settings.md")))
    limits = {
        p.name: str(p.default) for p in inspect.signature(GroupCommit).parameters.values() if p.kind is p.KEYWORD_ONLY
    }
    assert shown == limits


def test_environment_variables_are_documented() -> None:
    """Each variable of ours that the code reads stands in the settings page."""
    code = "".join(
        path.read_text()
        for package in ("bandit", "ope", "store", "simulator")
        for path in (ROOT / package).rglob("*.py")
    )
    assert absent(sorted(set(re.findall(r"\bHONEYGUIDE_[A-Z_]+", code))), page("settings.md")) == []


# What is said elsewhere


def slug(heading: str) -> str:
    """The anchor that the site gives to a heading."""
    return re.sub(r"[-\s]+", "-", re.sub(r"[^\w\s-]", "", heading).strip().lower())


def anchors(path: Path) -> set[str]:
    prose = re.sub(r"^ *```.*?^ *```$", "", path.read_text(), flags=re.MULTILINE | re.DOTALL)
    return {slug(heading) for heading in re.findall(r"^#+ (.+)$", prose, re.MULTILINE)}


@pytest.mark.parametrize("path", PAGES, ids=lambda path: str(path.relative_to(ROOT)))
def test_links_resolve(path: Path) -> None:
    """A link to another page or heading leads there."""
    prose = re.sub(r"^ *```.*?^ *```$|`[^`]*`", "", path.read_text(), flags=re.MULTILINE | re.DOTALL)
    for link in re.findall(r"\]\(([^)]+)\)", prose):
        if link.startswith(("http://", "https://")):
            continue
        name, _, anchor = link.partition("#")
        target = (path.parent / name).resolve() if name else path
        assert target.exists(), link
        assert not anchor or anchor in anchors(target), link


def test_every_page_is_in_the_navigation() -> None:
    """Each page of the docs can be reached from the site's menu."""
    menu = (ROOT / "zensical.toml").read_text()
    assert [str(p) for p in DOCS.rglob("*.md") if f'"{p.relative_to(DOCS)}"' not in menu] == []


def test_make_targets_exist() -> None:
    """A `make` target that is named in the README, the docs or for contributors is in the Makefile."""
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    named = {
        target
        for path in PAGES
        for target in re.findall(r"(?:^|`)make(?: PYTHON=\S+)? ([a-z-]+)(?=[\s`]|$)", path.read_text(), re.MULTILINE)
    }
    assert {"demo", "test"} <= named <= targets


def test_named_tests_exist() -> None:
    """A test that is named as the guard of a promise exists."""
    code = "".join(path.read_text() for path in (ROOT / "tests").rglob("*.py"))
    named = {name for path in PAGES for name in re.findall(r"`(test_\w+)`", path.read_text())}
    assert named
    assert sorted(name for name in named if f"def {name}(" not in code) == []


# What is shown runs


class Session:
    """A reader who follows a page: a server in one terminal, commands in another, files that the page says to save."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.port = str(free_port())
        self.output = ""
        self._server: subprocess.Popen[bytes] | None = None
        (folder / ".venv").symlink_to(sys.prefix)
        (folder / "curl.py").write_text(CURL)
        path = f"{Path(sys.prefix) / 'bin'}{os.pathsep}{os.environ['PATH']}"
        self._env = {**os.environ, "PATH": path, "PYTHONDONTWRITEBYTECODE": "1"}
        self._env.pop("HONEYGUIDE_DATA", None)

    def serve(self, command: str) -> None:
        """Start the server, after stopping the one that runs as Ctrl-C does."""
        self.stop()
        words = [*command.split(), "--port", self.port]
        self._server = subprocess.Popen(
            words, cwd=self.folder, env=self._env, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, process_group=0
        )
        with Client(f"http://127.0.0.1:{self.port}", trust_env=False) as client:
            client._caller.http.timeout = 5
            for _ in range(200):
                if client.ready():
                    return
                try:
                    self._server.wait(0.1)
                except subprocess.TimeoutExpired:
                    continue
                break
        raise AssertionError(f"{command} is not ready")

    def stop(self) -> None:
        """Press Ctrl-C in the server's terminal."""
        if self._server is not None:
            self._server.send_signal(signal.SIGINT)
            self._server.wait(20)
            self._server = None

    def run(self, commands: str) -> None:
        """Run what the page says to run; a command that fails, or a request that is refused, fails the test."""
        script = f"{STRICT}\n{self._at_port(commands)}"
        done = subprocess.run(
            ["bash", "-c", script], cwd=self.folder, env=self._env, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, f"{commands}\n{done.stdout}\n{done.stderr}"
        self.output = done.stdout

    def save(self, name: str, content: str) -> None:
        """Save a file under the name that the page gives."""
        (self.folder / name).write_text(self._at_port(content))

    def compare_json(self, shown: str) -> None:
        """The last output is what the page shows, but for what differs from run to run."""
        assert steady(json.loads(self.output)) == steady(json.loads(shown))

    def compare_text(self, shown: str) -> None:
        """The last output has the lines that the page shows, but for the digits."""
        said = [without_digits(line) for line in self.output.splitlines()]
        assert [line for line in shown.splitlines() if without_digits(line) not in said] == []

    def _at_port(self, text: str) -> str:
        return text.replace("8080", self.port)


def steady(value: object, name: str = "") -> object:
    """A JSON value in which whatever differs from run to run is replaced by its type."""
    if isinstance(value, dict):
        return {key: steady(inner, key) for key, inner in value.items()}
    if isinstance(value, list):
        return [steady(inner) for inner in value]
    return type(value) if name in VARYING else value


def without_digits(line: str) -> str:
    return re.sub(r"-[0-9a-f]{8}@|\d+", "0", line)


@pytest.fixture
def session(tmp_path: Path) -> Iterator[Session]:
    """A session in an empty folder; its server is stopped in the end."""
    session = Session(tmp_path)
    yield session
    session.stop()


def blocks(text: str) -> list[tuple[str, str, str]]:
    """The fenced blocks of a page: language, title and content."""
    return re.findall(r'^```(\w*)(?: title="([^"]*)")?\n(.*?)^```$', text, re.MULTILINE | re.DOTALL)


def test_the_first_loop_runs(session: Session) -> None:
    """Whoever follows the tutorial sees what it shows: blocks titled Terminal run, the block below is their answer."""
    followed = 0
    for language, title, content in blocks((DOCS / "tutorial/first-loop.md").read_text()):
        match language, title:
            case "bash", "Terminal 1":
                session.serve(content)
            case "bash", "Terminal 2":
                session.run(content)
            case "python", name:
                session.save(name, content)
            case "json", _:
                session.compare_json(content)
            case "text", _:
                session.compare_text(content)
            case "sh", _:
                continue
            case _:
                pytest.fail(f"the tutorial has a block of {language!r} titled {title!r}: say here what to do with it")
        followed += 1
    assert followed >= 18
    assert re.search(r'"model_version":"linear_ts-\w+@802"', (session.folder / "status.json").read_text())


def test_the_readme_session_runs(session: Session) -> None:
    """The session that the README shows below its mark runs against a server in the same folder."""
    text = (ROOT / "README.md").read_text().split("<!-- session -->")[1]
    language, _, content = blocks(text)[0]
    assert language == "bash"
    session.serve(".venv/bin/honeyguide serve")
    session.run(content)
    assert "uniform" in session.output
