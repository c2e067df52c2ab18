"""Says which format a file has, from its name and, where that does not tell, from its first lines."""

import re
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

from ope.errors import InvalidRequest
from ope.formats.lines import COMPRESSED, lines_of, plain_suffix
from ope.formats.open_bandit import is_header

PARQUET, CSV, NDJSON, OPEN_BANDIT = "parquet", "csv", "ndjson", "open-bandit"
DSJSON, CB, CB_ADF = "dsjson", "vw-cb", "vw-cb-adf"
FORMATS = (PARQUET, CSV, NDJSON, DSJSON, CB, CB_ADF, OPEN_BANDIT)
BY_SUFFIX = {".parquet": PARQUET, ".pq": PARQUET, ".csv": CSV, ".ndjson": NDJSON, ".jsonl": NDJSON, ".dsjson": DSJSON}

_LOOKED_AT = 100
_DSJSON_KEY = re.compile(rb'[{,]\s*"(_label_cost|_label_probability|_label_ca|_outcomes|RewardValue)"\s*:')
_LABELLED = re.compile(rb"^[^|{]*?\d+:[-+.\de]+:[-+.\de]+[^|]*\|")
_ACTION = re.compile(rb"^(shared\b[^|]*)?\|")


def checked_format(name: str, *, option: str) -> str:
    """Return the name of a format; raises InvalidRequest for one that is none."""
    if name in FORMATS:
        return name
    raise InvalidRequest(f"{option} {name}: no such format. The formats are {', '.join(FORMATS)}.")


def guessed(path: Path) -> str:
    """Return the format of a file that exists; raises InvalidRequest where neither name nor first lines tell."""
    suffix = plain_suffix(path)
    named = BY_SUFFIX.get(suffix)
    if named == PARQUET and path.suffix.lower() in COMPRESSED:
        raise InvalidRequest(f"{path}: Parquet is compressed inside. Unpack the file and name it {path.stem}.")
    if named in {PARQUET, DSJSON}:
        return named
    first = [line for _, line in islice(lines_of(path), _LOOKED_AT) if line.strip()]
    if named == CSV:
        return OPEN_BANDIT if first and is_header(first[0]) else CSV
    found = next(_of_lines(first), named)
    if found is None:
        raise InvalidRequest(
            f"{path}: unknown extension {path.suffix!r}. A log ends in one of {', '.join(BY_SUFFIX)}; "
            f"rename or convert it, or say what it is with --from {'|'.join(FORMATS)}."
        )
    return found


def format_of_name(path: Path) -> str:
    """Return the format that a file to be written is named for; raises InvalidRequest where its name does not tell."""
    named = BY_SUFFIX.get(path.suffix.lower())
    if named is None:
        raise InvalidRequest(
            f"{path}: the name does not tell the format. End it in one of {', '.join(BY_SUFFIX)}, "
            f"or say it with --to {'|'.join(FORMATS)}."
        )
    return named


def _of_lines(first: list[bytes]) -> Iterator[str]:
    if any(_DSJSON_KEY.search(line) for line in first if line.startswith(b"{")):
        yield DSJSON
    labelled = [line for line in first if _LABELLED.search(line)]
    if labelled:
        yield CB_ADF if any(_ACTION.search(line) for line in first) else CB
