"""What engines raise; looks only at those that somebody has loaded."""

import sys

import polars as pl

RAISED = (("duckdb", "Error"), ("pyspark.errors", "PySparkException"), ("py4j.protocol", "Py4JError"))


def trouble() -> tuple[type[BaseException], ...]:
    """Return what is raised where a file cannot be read: by polars, the system, and each loaded engine."""
    loaded = (getattr(sys.modules[module], name) for module, name in RAISED if module in sys.modules)
    return pl.exceptions.PolarsError, pl.exceptions.PanicException, OSError, *loaded
