"""Lines of any file: ends, marks, compression, length; and which format a file has."""

import bz2
import gzip
import json

import polars as pl
import pyarrow as pa
import pytest
from polars.testing import assert_frame_equal

from ope.errors import InvalidLog, InvalidRequest
from ope.evaluate import evaluate_files
from ope.formats import guess
from ope.formats.files import open_log
from ope.formats.guess import guessed
from ope.formats.lines import lines_of
from ope.question import Question

LINE = json.dumps(
    {
        "_label_cost": -1,
        "_label_probability": 0.5,
        "_labelIndex": 0,
        "a": [1, 2],
        "c": {"_multi": [{}, {}]},
        "p": [0.5, 0.5],
    }
).encode()


def zstd(data):
    """Compress with zstd."""
    sink = pa.BufferOutputStream()
    with pa.CompressedOutputStream(sink, "zstd") as stream:
        stream.write(data)
    return sink.getvalue().to_pybytes()


PACKED = {".gz": gzip.compress, ".zst": zstd, ".bz2": bz2.compress}


def value(path):
    """The value of fixed:1 on a log of rewards 1 at propensity .5: 2 for each row that plays it."""
    return evaluate_files([path], Question(policies=["fixed:1"]))["fixed:1"].estimates[0].value


@pytest.mark.parametrize(
    "content",
    [b"\n".join([LINE] * 2), b"\xef\xbb\xbf" + LINE + b"\r\n" + LINE + b"\r\n", LINE + b"\n\n" + LINE + b"\n"],
    ids=["no last line end", "BOM and CRLF", "blank line"],
)
def test_line_ends_and_marks(tmp_path, content):
    """Line ends of any kind, a byte order mark and blank lines change nothing."""
    path = tmp_path / "log.dsjson"
    path.write_bytes(content)
    assert value(path) == 2.0


@pytest.mark.parametrize(
    "ask",
    [
        lambda frame: frame.head(3),
        lambda frame: frame.slice(2, 3),
        lambda frame: frame.filter(pl.col("reward") > 3),
        lambda frame: frame.filter(pl.col("reward") > 3).head(2),
        lambda frame: frame.select("action"),
        lambda frame: frame.select(pl.len(), pl.col("reward").sum()),
    ],
)
def test_a_scan_answers_as_a_frame_does(tmp_path, monkeypatch, ask):
    """Heads, slices, filters and single columns are those of the whole, in chunks of two as well."""
    monkeypatch.setattr("ope.formats.linewise.CHUNK", 2)
    path = tmp_path / "log.dsjson"
    path.write_bytes(b"\n".join(LINE.replace(b"-1", b"-%d" % i) for i in range(7)))
    scan = open_log(path, numeric=()).frame.to_native()
    whole = scan.collect()
    assert whole.height == 7
    assert_frame_equal(ask(scan).collect(engine="streaming"), ask(whole.lazy()).collect())


def test_a_head_reads_no_further(tmp_path):
    """The first rows are had without reading what is broken behind them."""
    path = tmp_path / "log.dsjson"
    path.write_bytes(LINE + b"\n" + LINE + b"\nnonsense\n")
    scan = open_log(path, numeric=()).frame.to_native()
    assert scan.head(2).collect().height == 2
    with pytest.raises(InvalidLog, match="row 3"):
        scan.head(3).collect()


@pytest.mark.parametrize("suffix", PACKED)
@pytest.mark.parametrize("name", ["log.dsjson", "log.ndjson"])
def test_compressed_files(tmp_path, name, suffix):
    """What the last suffix says is unpacked on the way."""
    path = tmp_path / (name + suffix)
    path.write_bytes(PACKED[suffix](LINE + b"\n" + LINE))
    assert value(path) == 2.0


@pytest.mark.parametrize("suffix", PACKED)
def test_truncated_compressed_files_are_refused(tmp_path, suffix):
    """Half of a compressed file is no log: the error says so."""
    path = tmp_path / ("log.dsjson" + suffix)
    packed = PACKED[suffix](b"\n".join(LINE.replace(b"-1", b"-%d" % i) for i in range(500)))
    path.write_bytes(packed[: len(packed) // 2])
    with pytest.raises(InvalidLog, match="cannot be read to its end"):
        value(path)


def test_a_huge_line_is_read(tmp_path):
    """A context of 5 MB is a context."""
    path = tmp_path / "log.dsjson"
    big = json.loads(LINE)
    big["c"]["text"] = "x" * 5_000_000
    path.write_bytes(json.dumps(big).encode() + b"\n" + LINE)
    assert value(path) == 2.0


def test_a_line_without_end_is_refused(tmp_path, monkeypatch):
    """A file that is no text must not fill the memory."""
    monkeypatch.setattr("ope.formats.lines.MOST_BYTES", 2**20)
    path = tmp_path / "log.dsjson"
    path.write_bytes(LINE + b"\n" + b"x" * (2**20 + 1))
    with pytest.raises(InvalidLog, match="line 2 is longer than 1 MiB"):
        list(lines_of(path))
    path.write_bytes(LINE + b"\n" + b"x" * 2**20 + b"\r\n")
    assert len(list(lines_of(path))) == 2


@pytest.mark.parametrize("name", ["log.dsjson", "log.ndjson", "log.csv"])
def test_empty_files_are_refused(tmp_path, name):
    """0 bytes are no log, and only blank lines are none."""
    path = tmp_path / name
    path.write_bytes(b"")
    with pytest.raises(InvalidLog, match="the file is empty"):
        value(path)


def test_only_blank_lines_are_no_log(tmp_path):
    """A file of blank lines has no rows."""
    path = tmp_path / "log.dsjson"
    path.write_bytes(b"\n\n")
    with pytest.raises(InvalidLog, match="no rows"):
        value(path)


@pytest.mark.parametrize(
    ("name", "content", "expected"),
    [
        ("a.dsjson", b"", guess.DSJSON),
        ("a.ndjson", LINE, guess.DSJSON),
        ("a.jsonl.gz", gzip.compress(LINE), guess.DSJSON),
        ("a.json", b'["checkpoint"]\n' + LINE, guess.DSJSON),
        ("a.json", b'{"_outcomes": [], "c": {}}', guess.DSJSON),
        ("a.ndjson", b'{"reward": 1, "context": "{\\"_label_cost\\": 1}"}', guess.NDJSON),
        ("a.csv", b"reward,propensity\n", guess.CSV),
        ("a.csv", b"\xef\xbb\xbf,timestamp,item_id,position,click,propensity_score\n", guess.OPEN_BANDIT),
        ("a.vw", b"1:0:0.5 | a", guess.CB),
        ("a.txt", b"\n1 2:0.5:0.3|a\n", guess.CB),
        ("a.dat", b"shared |a\n|b\n0:1:0.5 |c\n\n", guess.CB_ADF),
        ("a", b"|b\n0:-1.0:5e-1 |c\n\n", guess.CB_ADF),
        ("a.pq", b"", guess.PARQUET),
    ],
)
def test_formats_are_guessed(tmp_path, name, content, expected):
    """From the name where it tells, else from the first lines."""
    path = tmp_path / name
    path.write_bytes(content)
    assert guessed(path) == expected


@pytest.mark.parametrize("content", [b"", b"hello\n", b'{"a": 1}', b"| only features\n"])
def test_what_cannot_be_guessed_is_asked_for(tmp_path, content):
    """Where neither name nor lines tell, the error names the option and the formats."""
    path = tmp_path / "log.txt"
    path.write_bytes(content)
    with pytest.raises(InvalidRequest, match=r"unknown extension '\.txt'.*--from parquet\|csv"):
        guessed(path)


def test_a_named_format_is_taken(tmp_path):
    """--from decides, and an unknown one is refused."""
    path = tmp_path / "log.txt"
    path.write_bytes(LINE)
    assert evaluate_files([path], Question(policies=["fixed:1"], log_format="dsjson"))["fixed:1"].n == 1
    with pytest.raises(InvalidRequest, match="--from magic: no such format"):
        evaluate_files([path], Question(policies=["fixed:1"], log_format="magic"))
