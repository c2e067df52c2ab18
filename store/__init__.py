"""What is written down: records, ports and their adapters. Knows no policy and no HTTP."""
