"""Reports as one HTML file that needs nothing else: words, plots, tables and what was asked; computes nothing."""
