"""Intervals: bounds around an estimate from its standard error."""
