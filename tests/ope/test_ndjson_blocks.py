"""NDJSON is read block by block: where a block ends changes nothing, and nothing but a block is in memory."""

import json

import polars as pl
import pytest

from ope.errors import InvalidLog
from ope.evaluate import evaluate_files
from ope.formats import ndjson_blocks
from ope.formats.files import open_log

ROWS = pl.DataFrame(
    {
        "reward": [float(i % 3) for i in range(40)],
        "propensity": [0.2 + i / 100 for i in range(40)],
        "target_propensity": [0.5] * 40,
        "action": [f"ä{i}" for i in range(40)],
    }
)


@pytest.fixture(params=[1, 70, 333, 1 << 20], ids="{} bytes".format)
def path(tmp_path, monkeypatch, request):
    """The rows as NDJSON, without a line end at last, read in blocks of so many bytes."""
    monkeypatch.setattr(ndjson_blocks, "BLOCK_BYTES", request.param)
    path = tmp_path / "log.ndjson"
    path.write_text("\n".join(map(json.dumps, ROWS.to_dicts())))
    return path


def test_blocks_do_not_show(path):
    """All rows, in their order, of any choice of columns, filtered or cut off."""
    frame = open_log(path, numeric=[]).frame.to_native()
    assert frame.collect(engine="streaming").equals(ROWS)
    assert frame.select("action").collect(engine="streaming").equals(ROWS.select("action"))
    assert frame.select(pl.len()).collect(engine="streaming").item() == 40
    assert frame.head(13).collect(engine="streaming").equals(ROWS.head(13))
    kept = pl.col("propensity") > 0.37
    assert frame.filter(kept).select("action").collect(engine="streaming").equals(ROWS.filter(kept).select("action"))


def test_rows_are_counted_over_blocks(path):
    """A broken row far down has its number, and a line that is no JSON is met wherever it stands."""
    text = path.read_text()
    path.write_text(text.replace('"propensity": 0.55', '"propensity": 5.55'))
    with pytest.raises(InvalidLog, match=r"row 36: propensity is '5\.55'"):
        evaluate_files([path])
    path.write_text(text[:-9])
    with pytest.raises(InvalidLog, match=r"log\.ndjson: cannot be read: "):
        evaluate_files([path])


def test_no_more_than_a_block_is_read_at_once(path, monkeypatch):
    """A block is its bytes, and what is left of its last line."""
    seen = []
    read = pl.read_ndjson
    monkeypatch.setattr(
        pl, "read_ndjson", lambda file, **options: seen.append(len(file.getvalue())) or read(file, **options)
    )
    open_log(path, numeric=[]).frame.to_native().collect(engine="streaming")
    longest = max(map(len, path.read_bytes().splitlines(keepends=True)))
    assert max(seen) <= ndjson_blocks.BLOCK_BYTES + longest
    assert sum(seen) == path.stat().st_size
