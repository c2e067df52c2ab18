"""The gate: whether a log's evidence is enough to promote a policy, and how much of it there would have to be."""
