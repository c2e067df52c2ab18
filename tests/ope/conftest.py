"""The real samples are no part of this repository: where they are absent, the report names what was not run."""

import os
from pathlib import Path

import pytest

SAMPLES = "VW_SAMPLES"
NEEDS_SAMPLES = "test_real_samples.py"
_absent = pytest.StashKey[int]()


@pytest.fixture
def samples():
    """Return the folder with files of Vowpal Wabbit's own test suite."""
    return Path(os.environ[SAMPLES])


@pytest.hookimpl(trylast=True)  # after -m and -k: only what would have run is named
def pytest_collection_modifyitems(config, items):
    """Take out the tests that need the samples where there are none."""
    if SAMPLES in os.environ:
        return
    taken = [item for item in items if item.path.name == NEEDS_SAMPLES]
    items[:] = [item for item in items if item not in taken]
    config.stash[_absent] = len(taken)
    if taken:
        config.hook.pytest_deselected(items=taken)


def pytest_terminal_summary(terminalreporter, config):
    """Say what was taken out, and how to have it run."""
    if count := config.stash.get(_absent, 0):
        terminalreporter.write_line(
            f"NOT RUN: {count} tests of {NEEDS_SAMPLES}: {SAMPLES} does not name the folder of VW's test/train-sets",
            yellow=True,
        )
