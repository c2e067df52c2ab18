"""Delayed rewards: what a decision counts as whose reward has not come yet; a step from sources to sources."""
