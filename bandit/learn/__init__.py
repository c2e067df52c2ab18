"""Learning: a fold of the outcome log into a line's state, and the checkpoints that it resumes from."""
