"""Reports: an evaluation as exact JSON or as a table; computes nothing."""
