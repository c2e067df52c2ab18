"""What a gate keeps between two looks at a log that grows, in a file that is whole or not there."""

import hashlib
import os
from pathlib import Path

import msgspec

from ope.errors import InvalidLog, InvalidRequest
from ope.gate.config import Gate
from ope.gate.fold import Folded
from ope.gate.methods import State
from ope.gate.tally import Tally
from ope.intervals.betting import Betting
from ope.intervals.mixture import Mixture

VERSION = 1
KINDS: dict[str, type[State]] = {"betting": Betting, "eb_mixture": Mixture}


class Kept(msgspec.Struct, frozen=True):
    """How far a gate has come: `position` decisions were folded, `rows` names them and `config` the gate.

    `last_at` is in microseconds since 1970, in UTC; None where the log has no times, or nothing was folded.
    """

    config: str
    position: int
    rows: str
    last_id: str | None
    last_at: int | None
    folded: Folded


class _Body(msgspec.Struct, frozen=True):
    version: int
    method: str
    config: str
    position: int
    rows: str
    last_id: str | None
    last_at: int | None
    above: msgspec.Raw
    below: msgspec.Raw
    tally: Tally


class _File(msgspec.Struct, frozen=True):
    sha256: str
    body: msgspec.Raw


def save(kept: Kept, gate: Gate, path: Path) -> None:
    """Write the state beside its file and put it in its place; raises InvalidRequest where that cannot be."""
    folded = kept.folded
    above, below = (msgspec.Raw(msgspec.json.encode(state)) for state in (folded.above, folded.below))
    body = msgspec.json.encode(
        _Body(
            VERSION,
            gate.method,
            kept.config,
            kept.position,
            kept.rows,
            kept.last_id,
            kept.last_at,
            above,
            below,
            folded.tally,
        )
    )
    _replace(path, msgspec.json.encode(_File(hashlib.sha256(body).hexdigest(), msgspec.Raw(body))))


def load(path: Path, gate: Gate) -> Kept | None:
    """Return the state that the file holds, None where there is no file yet.

    Raises InvalidLog for a damaged or newer file, InvalidRequest for one of another gate.
    """
    if not path.exists():
        return None
    body = _body(path)
    if body.config != gate.digest():
        raise InvalidRequest(
            f"{path}: this state was folded by another gate (config {body.config[:12]}…, this one is "
            f"{gate.digest()[:12]}…). Ask with the options that it began with, or begin anew with another --state "
            "file; that is a test of its own, with an error of its own."
        )
    kind = KINDS[body.method]
    above, below = (msgspec.json.decode(raw, type=kind) for raw in (body.above, body.below))
    folded = Folded(above, below, body.tally)
    return Kept(body.config, body.position, body.rows, body.last_id, body.last_at, folded)


def _body(path: Path) -> _Body:
    try:
        file = msgspec.json.decode(path.read_bytes(), type=_File)
        version = msgspec.json.decode(file.body, type=dict[str, object]).get("version")
        if version == VERSION and hashlib.sha256(file.body).hexdigest() == file.sha256:
            return msgspec.json.decode(file.body, type=_Body)
    except (OSError, msgspec.DecodeError) as error:
        raise InvalidLog(f"{path}: is no gate's state ({error}). Name another file, or delete it and fold anew.") from (
            error
        )
    if version != VERSION:
        raise InvalidLog(f"{path}: a gate's state of version {version}; this program reads version {VERSION}.")
    raise InvalidLog(f"{path}: the state is damaged: its checksum does not fit. Delete it and fold anew.")


def _replace(path: Path, content: bytes) -> None:
    part = path.with_name(f"{path.name}.{os.getpid()}.part")
    try:
        with part.open("xb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        part.replace(path)
    except OSError as error:
        raise InvalidRequest(f"--state {path} cannot be written ({error}); name a file in a folder that exists.") from (
            error
        )
    finally:
        part.unlink(missing_ok=True)
