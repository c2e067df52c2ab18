"""How far a log can be trusted: the numbers beside an estimate (`summary`), and a linter of logs (`lint`)."""

from ope.diagnostics.summary import Diagnostics, diagnose, effective_rows, mean_weight_z

__all__ = ["Diagnostics", "diagnose", "effective_rows", "mean_weight_z"]
