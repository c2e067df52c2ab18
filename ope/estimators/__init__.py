"""Estimators: each reads `Sums` and gives a value and its gradient, nothing else."""
