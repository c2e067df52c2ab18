"""What adds up the sums: polars by itself, or another engine that reads the log where it lies."""
