"""The Open Bandit loader: parsing on hand-made archives, the real download in the deep round."""

import datetime as dt
import hashlib
import io
import sys
import tarfile

import polars as pl
import pytest
from typer.testing import CliRunner

from ope.evaluate import evaluate_files
from ope.question import Question
from simulator.datasets import fetch
from simulator.datasets.cli import app
from simulator.datasets.fetch import Sdist, cached
from simulator.datasets.open_bandit import SDIST, Behaviour, Campaign, load
from store.errors import HoneyguideError, InvalidInput

CSV = (
    ",timestamp,item_id,position,click,propensity_score,"
    "user_feature_0,user_feature_1,user_feature_2,user_feature_3,user-item_affinity_0\n"
    "0,2019-11-24 00:01:03.979311+00:00,2,1,0,0.25,u0,u1,u2,u3,0.0\n"
    "1,2019-11-24 00:01:45+00:00,33,3,1,0.5,v0,v1,v2,v3,1.0\n"
)


def archive(path, members):
    """Write a tar.gz of {name: text} in the sdist's layout."""
    with tarfile.open(path, "w:gz") as tar:
        for name, text in members.items():
            info = tarfile.TarInfo(f"obp-0.5.7/obp/dataset/obd/{name}")
            info.size = len(text)
            tar.addfile(info, io.BytesIO(text.encode()))
    return path


@pytest.fixture
def small(tmp_path):
    """Return the path of an archive that holds one log of two rows."""
    return archive(tmp_path / "obp-0.5.7.tar.gz", {"bts/men/men.csv": CSV})


def men_of_bts(path):
    """Return the log as rows."""
    return load(Campaign.MEN, Behaviour.BTS, path=path).collect().to_dicts()


def test_columns(small):
    """A row of the data set becomes a row under our names, item and slot included."""
    first, second = men_of_bts(small)
    assert first == {
        "decision_id": "bts-men-0",
        "at": dt.datetime(2019, 11, 24, 0, 1, 3, 979311, tzinfo=dt.UTC),
        "context": '{"user_feature_0":"u0","user_feature_1":"u1","user_feature_2":"u2","user_feature_3":"u3"}',
        "action": "2",
        "slot": 0,
        "propensity": 0.25,
        "reward": 0.0,
        "outcome": "rewarded",
        "n_actions": 34,
        "policy": "bts",
    }
    assert (second["action"], second["slot"], second["reward"]) == ("33", 2, 1.0)
    assert second["at"] == dt.datetime(2019, 11, 24, 0, 1, 45, tzinfo=dt.UTC)


def test_folder_and_archive_agree(small, tmp_path):
    """The full data set's folder layout gives the same rows as the archive."""
    folder = tmp_path / "open_bandit" / "bts" / "men"
    folder.mkdir(parents=True)
    (folder / "men.csv").write_text(CSV)
    assert men_of_bts(tmp_path / "open_bandit") == men_of_bts(small)


def test_nothing_is_extracted(small, tmp_path):
    """The archive is read in place: no file appears."""
    before = sorted(tmp_path.rglob("*"))
    men_of_bts(small)
    assert sorted(tmp_path.rglob("*")) == before


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda folder: folder / "none", "no such file or folder"),
        (lambda folder: folder, "there is no bts/men/men.csv in it. Give the folder"),
        (lambda folder: archive(folder / "a.tar.gz", {"bts/all/all.csv": CSV}), "there is no bts/men/men.csv in it"),
        (lambda folder: archive(folder / "a.tar.gz", {"bts/men/men.csv": "a,b\n1,2\n"}), "lacks timestamp, item_id"),
        (lambda folder: archive(folder / "a.tar.gz", {"bts/men/men.csv": ""}), "is not a readable CSV"),
    ],
    ids=["missing", "wrong folder", "wrong archive", "wrong columns", "empty member"],
)
def test_wrong_path(tmp_path, make, says):
    """A path that does not hold the log is refused with what is missing."""
    with pytest.raises(InvalidInput) as caught:
        men_of_bts(make(tmp_path))
    assert says in str(caught.value)


def test_file_that_is_no_archive(tmp_path):
    """A file that is not a tar, or only the half of one, says so."""
    path = tmp_path / "obp-0.5.7.tar.gz"
    path.write_text("not found")
    with pytest.raises(InvalidInput, match="not a whole tar archive"):
        men_of_bts(path)
    whole = archive(path, {"bts/men/men.csv": CSV + "".join(map(str, range(9_000)))}).read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(InvalidInput, match="not a whole tar archive"):
        men_of_bts(path)


def test_command_writes_what_evaluate_reads(small, tmp_path):
    """`dataset open-bandit` writes a Parquet file that `ope evaluate --policy uniform` accepts."""
    out = tmp_path / "bts.parquet"
    arguments = ["open-bandit", "--campaign", "men", "--behaviour", "bts", "--path", str(small), "--out", str(out)]
    result = CliRunner().invoke(app, arguments)
    assert (result.exit_code, result.stdout) == (0, f"{out}: 2 rows of bts/men, mean reward 0.50000\n")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["bts.parquet", small.name]
    (ips, *_) = evaluate_files([out], Question(policies=["uniform"]))["uniform"].estimates
    assert ips.value == pytest.approx((1 / 34 / 0.5) / 2)


def test_command_fails_in_words(tmp_path):
    """A wrong path ends with 1, a sentence, and no file."""
    out = tmp_path / "log.parquet"
    result = CliRunner().invoke(app, ["open-bandit", "--path", str(tmp_path), "--out", str(out)])
    assert (result.exit_code, out.exists()) == (1, False)
    assert result.stderr.startswith(f"error: {tmp_path}: there is no random/all/all.csv in it")


@pytest.fixture
def published(monkeypatch, tmp_path):
    """Return an sdist whose download is a local copy, and a list that counts the downloads."""
    content, downloads = b"the published bytes", []
    sdist = Sdist("thing", "1.0", hashlib.sha256(content).hexdigest())

    def download(wanted, folder):
        downloads.append(wanted)
        path = folder / wanted.filename
        path.write_bytes(content)
        return path

    monkeypatch.setattr(fetch, "_pip_download", download)
    return sdist, downloads


def test_cache_is_used(published, tmp_path):
    """The second call downloads nothing, and the folder holds the archive alone."""
    sdist, downloads = published
    assert cached(sdist, folder=tmp_path) == cached(sdist, folder=tmp_path) == tmp_path / "thing-1.0.tar.gz"
    assert len(downloads) == 1
    assert [path.name for path in tmp_path.iterdir()] == ["thing-1.0.tar.gz"]


def test_corrupt_cache_is_fetched_again(published, tmp_path):
    """A cached file with another hash is replaced."""
    sdist, downloads = published
    (tmp_path / sdist.filename).write_bytes(b"half of the publ")
    assert cached(sdist, folder=tmp_path).read_bytes() == b"the published bytes"
    assert len(downloads) == 1


def test_wrong_download_is_refused(published, tmp_path):
    """What does not have the published hash never enters the cache."""
    sdist, _ = published
    other = Sdist(sdist.project, sdist.version, "0" * 64)
    with pytest.raises(InvalidInput, match=r"thing-1\.0\.tar\.gz: sha256 is .*, the published file's is 0000"):
        cached(other, folder=tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_cache_folder_follows_the_standard(monkeypatch, tmp_path):
    """XDG_CACHE_HOME says where caches are; the home folder's .cache is the default."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert fetch.cache_folder() == tmp_path / "honeyguide"
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    assert fetch.cache_folder() == tmp_path / "home" / ".cache" / "honeyguide"


def test_pip_that_fails_is_quoted(monkeypatch, tmp_path):
    """When pip cannot download, its last line and the way out are what one reads."""
    failing = [sys.executable, "-c", "import sys; sys.exit('ERROR: no network')"]
    monkeypatch.setattr(fetch, "pip_command", lambda: failing)
    with pytest.raises(HoneyguideError, match=r"obp-0\.5\.7\.tar\.gz: ERROR: no network\. Check the network"):
        cached(SDIST, folder=tmp_path)


@pytest.mark.deep
def test_real_download(tmp_path):
    """The published archive arrives with its hash, and its six logs have their rows and clicks."""
    path = cached(SDIST, folder=tmp_path)
    clicks = {
        (behaviour.value, campaign.value): load(campaign, behaviour, path=path)
        .select(pl.len(), pl.col("reward").sum().cast(pl.Int64).alias("clicks"))
        .collect()
        .row(0)
        for behaviour in Behaviour
        for campaign in Campaign
    }
    assert clicks == {
        ("random", "all"): (10_000, 38),
        ("random", "men"): (10_000, 46),
        ("random", "women"): (10_000, 46),
        ("bts", "all"): (10_000, 42),
        ("bts", "men"): (10_000, 69),
        ("bts", "women"): (10_000, 46),
    }
    out = tmp_path / "random.parquet"
    load(Campaign.MEN, Behaviour.RANDOM, path=path).sink_parquet(out)
    (ips, snips, *_) = evaluate_files([out], Question(policies=["uniform"]))["uniform"].estimates
    assert ips.value == pytest.approx(0.0046, rel=1e-12)
    assert snips.value == pytest.approx(0.0046, rel=1e-12)
