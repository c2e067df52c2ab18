"""The archive: what the log held, sealed by day into Parquet files that never change, and read as one with the log."""
