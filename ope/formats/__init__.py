"""Log formats: each opens a file as a lazy frame under the file's own column names."""
