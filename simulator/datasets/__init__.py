"""Real data sets, fetched and never shipped, in the columns of our logs."""
